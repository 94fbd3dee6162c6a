"""The recursion of a recurrent network over steps and layers, slow and obvious, in 30-digit arithmetic."""

import mpmath as mp
import numpy as np
from references.fully_connected import DUALS
from references.quadrature import REACH, density, expectation, panel


def pair_limits(
    x, y, *, depth=1, activation="relu", recurrent_weight_var=2.0, input_weight_var=2.0, bias_var=0.1,
    initial_state_var=0.0, readout_weight_var=2.0, readout="last", bidirectional=False, n_frozen_layers=0,
):  # fmt: skip
    """(nngp, ntk) of one pair of sequences, (T, m) and (S, m), as mpmath numbers."""
    dual = DUALS[activation] if isinstance(activation, str) else activation
    with mp.workdps(30):
        given = recurrent_weight_var, input_weight_var, bias_var, initial_state_var
        w, u, b, h = (mp.mpf(float(variance)) for variance in given)
        x, y = ([[mp.mpf(float(v)) for v in step] for step in sequence] for sequence in (x, y))
        directions = [(x, y), (x[::-1], y[::-1])] if bidirectional else [(x, y)]
        limits = [
            read(readout, len(x), len(y), *hidden_pairs(*pair, dual, w, u, b, h, depth, n_frozen_layers))
            for pair in directions
        ]
        return tuple(readout_weight_var * sum(parts) for parts in zip(*limits, strict=True))


def hidden_pairs(x, y, dual, w, u, b, h, depth, n_frozen_layers):
    """E[h_t(x) h_s(y)] and their NTK after the last layer, dicts by (t, s); steps count from 1, layers too."""
    q1, q2 = (variances(sequence, dual, w, u, b, h, depth) for sequence in (x, y))
    value, ntk = {}, {}
    for layer in range(1, depth + 1):
        for t in range(len(x) + 1):  # the initial state is that at step 0, the same for x and y
            for s in range(len(y) + 1):
                value[layer, t, s], ntk[layer, t, s] = h if t == s == 0 else 0, 0
    for t in range(1, len(x) + 1):
        for s in range(1, len(y) + 1):
            value[0, t, s], ntk[0, t, s] = mean_product(x[t - 1], y[s - 1]), 0
            for layer in range(1, depth + 1):
                k = w * value[layer, t - 1, s - 1] + u * value[layer - 1, t, s] + b
                theta = w * ntk[layer, t - 1, s - 1] + u * ntk[layer - 1, t, s]
                if layer > n_frozen_layers:
                    theta += k
                value[layer, t, s], slope = dual(k, q1[layer, t], q2[layer, s])
                ntk[layer, t, s] = slope * theta if theta else theta
    return tuple({key[1:]: v for key, v in part.items() if key[0] == depth and 0 not in key} for part in (value, ntk))


def variances(x, dual, w, u, b, h, depth):
    """E[z_t^2], by (layer, step)."""
    q, value = {}, {(layer, 0): h for layer in range(1, depth + 1)}
    for t in range(1, len(x) + 1):
        value[0, t] = mean_product(x[t - 1], x[t - 1])
        for layer in range(1, depth + 1):
            q[layer, t] = w * value[layer, t - 1] + u * value[layer - 1, t] + b
            value[layer, t] = dual(q[layer, t], q[layer, t], q[layer, t])[0]
    return q


def mean_product(a, b):
    return sum(i * j for i, j in zip(a, b, strict=True)) / len(a)


def read(readout, n_steps, other_steps, value, ntk):
    """(nngp, ntk) of a readout of weight variance 1."""
    places = {
        "last": [(n_steps, other_steps)],
        "mean": list(value),
        "per_step": [(t, t) for t in range(1, n_steps + 1)],
    }[readout]
    average, average_ntk = (sum(part[place] for place in places) / len(places) for part in (value, ntk))
    return average, average + average_ntk


def limits(X, Y, **network):
    """(nngp, ntk) of all pairs of two lists, rounded to float64."""
    pairs = [[pair_limits(x, y, **network) for y in Y] for x in X]
    return tuple(np.array([[float(pair[i]) for pair in row] for row in pairs]) for i in (0, 1))


def quadrature_dual(function, slope):
    """The dual of phi = function, phi' = slope, in float64."""

    def dual(k, q1, q2):
        k, q1, q2 = map(float, (k, q1, q2))
        c = k / np.sqrt(q1 * q2)
        return tuple(mean_square(f, q1) if c > 1 - 1e-15 else expectation(f, c, q1, q2) for f in (function, slope))

    return dual


def mean_square(f, q):
    """E[f(u)^2] for u of variance q."""
    u, weight = panel(0, REACH * np.sqrt(q))
    return np.sum(weight * (f(u) ** 2 + f(-u) ** 2) * density(u, np.sqrt(q)))
