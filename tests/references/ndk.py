"""Neural Dynamical Kernel of a fully connected network, dense and direct, in numpy. See Avidan, Li, Sompolinsky (2023).

Langevin dynamics on half the sum of squared errors, dTheta = -grad E dt - (T / prior_var) Theta dt + sqrt(2 T) dB, from
entries of variance init_var. All of z = sqrt(weight_var / fan_in) W h + sqrt(bias_var) B, the readout included.
"""

import numpy as np


def identity_dual(c, a, b):
    return c, np.ones_like(c)


def relu_dual(c, a, b):
    scale = np.sqrt(a * b)
    angle = np.arccos(np.clip(c / scale, -1, 1))
    return scale / (2 * np.pi) * (np.sin(angle) + (np.pi - angle) * np.cos(angle)), (np.pi - angle) / (2 * np.pi)


def erf_dual(c, a, b):
    q = (1 + 2 * a) * (1 + 2 * b)
    return 2 / np.pi * np.arcsin(2 * c / np.sqrt(q)), 4 / np.pi / np.sqrt(q - 4 * c * c)


DUALS = {"identity": identity_dual, "relu": relu_dual, "erf": erf_dual}


def statistics(t, s, *, temperature, init_var, prior_var):
    """e(t, s) and m(t, s)."""
    e = np.exp(-temperature * np.abs(t - s) / prior_var)
    return e, prior_var * e + (init_var - prior_var) * np.exp(-temperature * (t + s) / prior_var)


def parts(
    X, times, *, depth, activation, temperature, init_var, prior_var, weight_var=1.0, bias_var=0.0,
    readout_weight_var=None, readout_bias_var=None,
):  # fmt: skip
    """w E[phi' phi'] Kd_(L-1), B_L, e and m, (t, s, row, row) each: NDK = first times m + second times e."""
    e, m = statistics(times[:, None], times[None], temperature=temperature, init_var=init_var, prior_var=prior_var)
    e, m = e[:, :, None, None], m[:, :, None, None]
    hidden = [(weight_var, bias_var)] * depth
    readout = (
        weight_var if readout_weight_var is None else readout_weight_var,
        bias_var if readout_bias_var is None else readout_bias_var,
    )
    (w, b), *rest = [*hidden, readout]
    before = w * X @ X.T / X.shape[1] + b + 0 * e  # of pre-activations, but for the factor m
    below = 0 * before
    for w, b in rest:
        kernel = m * below + e * before
        C = m * before
        variances = np.einsum("ttaa->ta", C)
        K, K_dot = DUALS[activation](C, variances[:, None, :, None], variances[None, :, None, :])
        before = w * K + b
        below = w * K_dot * kernel
    return below, before, e, m


def ndk(X, times, **network):
    """The NDK (to be used where t >= s) and the covariance of the outputs without data, (t, s, row, row) each."""
    below, before, e, m = parts(X, times, **network)
    return m * below + e * before, m * before


def trapezoid(times):
    """Weights of the integral from 0 to t_i over the grid, (i, j)."""
    steps = np.diff(times)
    rule = np.zeros((len(times), len(times)))
    for i in range(1, len(times)):
        rule[i, :i] += steps[:i] / 2
        rule[i, 1 : i + 1] += steps[:i] / 2
    return rule


def left_rectangles(times):
    """The same by left rectangles, as Euler's method has it."""
    return np.tril(np.broadcast_to(np.append(np.diff(times), 0), (len(times), len(times))), -1)


def mean(X, y, times, *, rule=trapezoid, **network):
    """The mean predictor of all rows of X over time, (t, row); the first len(y) rows are trained on.

    f(x, t) = integral_0^t ds sum_mu ndk(x, t; x_mu, s) (y_mu - f_mu(s)), solved time by time.
    """
    kernel, n_train = ndk(X, times, **network)[0], len(y)
    weights = rule(times)
    outputs, residuals = np.zeros((len(times), len(X))), np.tile(y, (len(times), 1))
    for i in range(1, len(times)):
        past = np.einsum("s,sab,sb->a", weights[i, :i], kernel[i, :i, :, :n_train], residuals[:i])
        now = weights[i, i] * kernel[i, i, :, :n_train]
        residuals[i] = np.linalg.solve(np.eye(n_train) + now[:n_train], y - past[:n_train])
        outputs[i] = past + now @ residuals[i]
    return outputs


def covariance(X, n_train, times, *, rule=trapezoid, **network):
    """The covariance of the predictor over initial values and noise, (t, s, row, row).

    A^-1 (m B_L) A^-T, where A = 1 + integral ds ndk acts on functions of time and training row.
    """
    kernel, prior = ndk(X, times, **network)
    size = len(times) * len(X)
    integral = rule(times)[:, :, None, None] * kernel
    integral[..., n_train:] = 0  # no errors but those of training rows drive the predictor
    operator = np.eye(size) + integral.transpose(0, 2, 1, 3).reshape(size, size)
    half = np.linalg.solve(operator, prior.transpose(0, 2, 1, 3).reshape(size, size))
    both = np.linalg.solve(operator, half.T)
    return both.reshape(len(times), len(X), len(times), len(X)).transpose(0, 2, 1, 3)


def drifted_mean(X, y, times, start, *, rule=trapezoid, **network):
    """The mean outputs of the readout of time times[start] on the hidden layers of times[start:], (t, row)."""
    residuals = y - mean(X, y, times, rule=rule, **network)[:, : len(y)]
    below, before, _, _ = parts(X, times, **network)
    names = ("temperature", "init_var", "prior_var")
    e, m = statistics(times[start], times, **{name: network[name] for name in names})
    weights = rule(times)
    hidden = np.einsum("ts,s,tsab,sb->ta", weights[start:], m, below[start:, :, :, : len(y)], residuals)
    return hidden + np.einsum("s,s,tsab,sb->ta", weights[start], e, before[start:, :, :, : len(y)], residuals)
