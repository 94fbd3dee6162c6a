"""Rectified powers: arc-cosine kernels of any order."""

from __future__ import annotations

import functools
import math

import jax.numpy as jnp
import numpy as np
from jax import Array

from ntkkit.networks.activations import Activation, Dual
from ntkkit.networks.angle import acute_angle
from ntkkit.networks.state import State
from ntkkit.networks.value import check_count


class RectifiedMonomial(Activation):
    """phi(z) = z^n for z > 0, 0 elsewhere.

    With t = arccos(1 - delta), A_n(c) the moment E[u^n v^n] of unit Gaussians, and G_n(t) of order t^(2n + 1) given by
    G_0 = t, G_n(t) = -n^2 int_0^t G_(n-1)(x) sin x dx (a power series, summed as such),

        E[phi phi] = s^n [A_n(cos t) - G_n(t) / pi] / 2,    E[phi' phi'] = n^2 times that of n - 1,

    and beyond 90 degrees, with r = pi - t, E[phi phi] = s^n (-1)^n G_n(r) / 2 pi. In float32 right to 1e-6 of
    sqrt(K_ii K_jj). Variances grow like q^n.

    Parameters
    ----------
    degree : int
        n, 1 to 8; 1 is `Relu`, and for 0 there is `Step`. Static.

    References
    ----------
    Cho, Saul (2009), Kernel methods for deep learning.

    Examples
    --------
    >>> from ntkkit import NNGP, FullyConnected
    >>> from ntkkit.networks import RectifiedMonomial
    >>> network = FullyConnected(depth=1, activation=RectifiedMonomial(2), weight_var=1.0, bias_var=0.0)
    >>> NNGP(network)([[1.0]]).round(12)  # E[z^4] / 2
    array([[1.5]])
    """

    degree: int

    def __init__(self, degree: int) -> None:
        degree = check_count(degree, "degree", low=1)
        if degree > _HIGHEST:
            raise ValueError(f"degree must be at most {_HIGHEST}, found {degree}.")
        self.__dict__.update(degree=degree)

    def __call__(self, z: Array) -> Array:
        return jnp.maximum(z, 0) ** self.degree

    def variance(self, q: Array) -> Array:
        return float(_moments(self.degree).sum()) / 2 * q**self.degree

    def dual(self, state: State) -> Dual:
        n, anti = self.degree, 2 - state.delta if state.anti is None else state.anti
        acute = state.delta <= anti
        near = jnp.where(acute, state.delta, anti)
        t, _ = acute_angle(near)
        whole = float(_moments(n).sum())
        lost = near * _horner(_moments(n), 1 - near)[1]
        gap = _gap(n, t) / np.pi
        delta = jnp.where(acute, lost + gap, whole - (-1) ** n * gap) / whole

        before = _gap(n - 1, t) / np.pi
        moment = _horner(_moments(n - 1), 1 - near)[0]
        derivative = jnp.where(acute, moment - before, (-1) ** (n - 1) * before)
        return delta, None, n * n * state.scale ** (n - 1) * derivative / 2


_HIGHEST = 8


@functools.lru_cache
def _moments(n: int) -> np.ndarray:
    """Coefficients of A_n(c) = E[u^n v^n] = sum_k a_k c^k, which are not negative."""
    coefficients = np.zeros(n + 1)
    for k in range(n % 2, n + 1, 2):
        half = (n - k) // 2
        coefficients[k] = (math.factorial(n) / (2**half * math.factorial(half))) ** 2 / math.factorial(k)
    return coefficients


@functools.lru_cache
def _gap_series(n: int) -> np.ndarray:
    """Coefficients of t^(2n + 1), t^(2n + 3), ... of G_n(t), enough for t <= pi / 2."""
    degree = 45 + 6 * n
    sine = np.array([0.0 if k % 2 == 0 else (-1) ** (k // 2) / math.factorial(k) for k in range(degree)])
    series = np.array([0.0, 1.0])
    for m in range(1, n + 1):
        series = -(m**2) * np.polynomial.polynomial.polyint(np.polynomial.polynomial.polymul(series, sine))[:degree]
    return series[2 * n + 1 :: 2]


def _gap(n: int, t: Array) -> Array:
    return t ** (2 * n + 1) * _horner(_gap_series(n), t * t)[0]


def _horner(coefficients: np.ndarray, x: Array) -> tuple[Array, Array]:
    """P(x) and [P(1) - P(x)] / (1 - x)."""
    value, quotient = jnp.zeros_like(x), jnp.zeros_like(x)
    for coefficient in coefficients[::-1]:
        quotient = quotient + value
        value = value * x + float(coefficient)
    return value, quotient
