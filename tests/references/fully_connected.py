"""The recursion of a fully connected network, slow and obvious, in 50-digit arithmetic or in numpy."""

import mpmath as mp
import numpy as np


def relu_dual(k, q1, q2):
    """E[phi phi], E[phi' phi'] for phi = relu, by mpmath."""
    s = mp.sqrt(q1 * q2)
    if s == 0:
        return mp.mpf(0), mp.mpf(0)
    c = max(min(k / s, mp.mpf(1)), mp.mpf(-1))
    t = mp.acos(c)
    return s * (mp.sin(t) + (mp.pi - t) * c) / (2 * mp.pi), (mp.pi - t) / (2 * mp.pi)


def erf_dual(k, q1, q2):
    a, b = 1 + 2 * q1, 1 + 2 * q2
    return 2 / mp.pi * mp.asin(2 * k / mp.sqrt(a * b)), 4 / mp.pi / mp.sqrt(a * b - 4 * k * k)


def identity_dual(k, q1, q2):
    return k, mp.mpf(1)


DUALS = {"relu": relu_dual, "erf": erf_dual, "identity": identity_dual}


def pair_limits(
    x, y, *, depth=3, activation="relu", weight_var=2.0, bias_var=0.1, readout_weight_var=None, readout_bias_var=None,
    n_frozen_layers=0,
):  # fmt: skip
    """(nngp, ntk) of one pair of rows, as mpmath numbers of 50 digits."""
    with mp.workdps(50):
        x, y = [mp.mpf(float(v)) for v in x], [mp.mpf(float(v)) for v in y]
        dual = DUALS[activation]
        w, b = mp.mpf(weight_var), mp.mpf(bias_var)
        v = w if readout_weight_var is None else mp.mpf(readout_weight_var)
        c = b if readout_bias_var is None else mp.mpf(readout_bias_var)
        k, q1, q2 = (sum(p * q for p, q in zip(i, j, strict=True)) / len(x) for i, j in ((x, y), (x, x), (y, y)))
        theta = mp.mpf(0)
        for layer in range(depth):
            k, q1, q2 = w * k + b, w * q1 + b, w * q2 + b
            theta = w * theta + (k if layer >= n_frozen_layers else 0)
            f, d = dual(k, q1, q2)
            k, theta, q1, q2 = f, theta * d, dual(q1, q1, q1)[0], dual(q2, q2, q2)[0]
        k = v * k + c
        return k, v * theta + k


def limits(X, Y, **network):
    """(nngp, ntk) of all pairs, rounded to float64."""
    pairs = [[pair_limits(x, y, **network) for y in Y] for x in X]
    return tuple(np.array([[float(pair[i]) for pair in row] for row in pairs]) for i in (0, 1))
