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


def two_slopes_dual(a, b):
    """Of b relu(z) - a relu(-z)."""

    def dual(k, q1, q2):
        (f, g), (f_minus, g_minus) = relu_dual(k, q1, q2), relu_dual(-k, q1, q2)
        return (a * a + b * b) * f - 2 * a * b * f_minus, (a * a + b * b) * g + 2 * a * b * g_minus

    return dual


def step_dual(k, q1, q2):
    return relu_dual(k, q1, q2)[1], mp.nan


def sign_dual(k, q1, q2):
    """sign(z) = step(z) - step(-z)."""
    return 2 * (relu_dual(k, q1, q2)[1] - relu_dual(-k, q1, q2)[1]), mp.nan


def polynomial_dual(*coefficients):
    """By E[u^i v^j] = sum_p i! j! k^p (q1/2)^m (q2/2)^n / (p! m! n!), i = p + 2 m, j = p + 2 n (Isserlis)."""

    def moment(i, j, k, q1, q2):
        terms = (
            mp.fac(i) * mp.fac(j) * k**p * (q1 / 2) ** ((i - p) // 2) * (q2 / 2) ** ((j - p) // 2)
            / (mp.fac(p) * mp.fac((i - p) // 2) * mp.fac((j - p) // 2))
            for p in range(i % 2, min(i, j) + 1, 2)
        )  # fmt: skip
        return mp.fsum(terms) if (i - j) % 2 == 0 else mp.mpf(0)

    def expected(c, *of):
        return mp.fsum(a * b * moment(i, j, *of) for i, a in enumerate(c) for j, b in enumerate(c))

    slopes = [j * c for j, c in enumerate(coefficients)][1:]
    return lambda k, q1, q2: (expected(coefficients, k, q1, q2), expected(slopes, k, q1, q2))


def rectified_cube_dual(k, q1, q2):
    """Cho and Saul (2009), of order 3 and 2."""
    s = mp.sqrt(q1 * q2)
    t = mp.acos(max(min(k / s, mp.mpf(1)), mp.mpf(-1))) if s else mp.mpf(0)
    r, x, y = mp.pi - t, mp.cos(t), mp.sin(t)
    third = r * (9 * x * y**2 + 15 * x**3) + 4 * y**3 + 15 * y * x**2
    return s**3 * third / (2 * mp.pi), 9 * s**2 * (3 * y * x + r * (1 + 2 * x**2)) / (2 * mp.pi)


def exp_dual(k, q1, q2):
    return (mp.exp((q1 + q2) / 2 + k),) * 2


def rbf_dual(gamma):
    def dual(k, q1, q2):
        value = mp.exp(-gamma * (q1 + q2 - 2 * k))
        return value, 2 * gamma * value

    return dual


def gaussian_dual(k, q1, q2):
    r = (1 + 2 * q1) * (1 + 2 * q2) - 4 * k * k
    return 1 / mp.sqrt(r), 4 * k / mp.sqrt(r) ** 3


def sin_dual(k, q1, q2):
    decay = mp.exp(-(q1 + q2) / 2)
    return decay * mp.sinh(k), decay * mp.cosh(k)


def cos_dual(k, q1, q2):
    return sin_dual(k, q1, q2)[::-1]


def sigmoid_like_dual(k, q1, q2):
    a2 = mp.mpf(2.4020563531719796) ** 2
    value, slope = erf_dual(k / a2, q1 / a2, q2 / a2)
    return (1 + value) / 4, slope / (4 * a2)


def gelu_dual(k, q1, q2):
    p = (1 + q1) * (1 + q2)
    root = mp.sqrt(p - k * k)
    kappa = mp.atan(k / root)
    value = ((k * k + q1 * q2 * root**2) / (p * root) + k * kappa) / (2 * mp.pi) + k / 4
    return value, (kappa + k / root * (1 / root**2 + (2 + q1 + q2) / p)) / (2 * mp.pi) + mp.mpf(1) / 4


DUALS = {
    "relu": relu_dual, "erf": erf_dual, "identity": identity_dual, "ABRelu": two_slopes_dual(-0.3, 1.2),
    "LeakyRelu": two_slopes_dual(0.2, 1.0), "Abs": two_slopes_dual(-1, 1), "Sign": sign_dual, "Step": step_dual,
    "Exp": exp_dual, "Rbf": rbf_dual(0.3), "Gaussian": gaussian_dual, "Sin": sin_dual, "Cos": cos_dual,
    "SigmoidLike": sigmoid_like_dual, "Polynomial": polynomial_dual(0.3, -1.0, 0.5, 0.2),
    "RectifiedMonomial": rectified_cube_dual, "Monomial": polynomial_dual(0, 0, 0, 0, 1),
    "Hermite": polynomial_dual(0, -3 / mp.sqrt(6), 0, 1 / mp.sqrt(6)), "Gelu": gelu_dual,
}  # fmt: skip


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
