"""The angle between two directions from their distance, with all its digits and without a slow arccos."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable

import jax.numpy as jnp
import numpy as np
from jax import Array

from ntkkit.networks.state import safe_sqrt

# Degree of the fit of arccos(1 - x) / sqrt(x) on [0, 1] by dtype: its error is 5e-10 at 9, 2e-16 at 19.
_DEGREES = {np.dtype(np.float32): 9, np.dtype(np.float64): 19}
# sin t - t cos t = sum of these times t^(2k + 3); as many terms as the dtype needs below its switch to the closed form.
_SERIES = (1 / 3, -1 / 30, 1 / 840, -1 / 45360, 1 / 3991680)
_SERIES_BELOW = {np.dtype(np.float32): 0.5, np.dtype(np.float64): 0.1}


def angle(delta: Array, anti: Array) -> tuple[Array, Array]:
    """The angles t = arccos(1 - delta) and pi - t = arccos(1 - anti), for anti = 2 - delta.

    Each is as exact, relative to itself, as its argument. Derivatives are 0 where they are infinite (delta or anti 0).
    """
    acute = delta <= anti
    near = jnp.where(acute, delta, anti)  # not minimum, whose derivative at a right angle is an average
    coefficients = _coefficients(near.dtype)
    value = jnp.full_like(near, coefficients[-1])
    for coefficient in coefficients[-2::-1]:
        value = value * near + coefficient
    small = safe_sqrt(near) * value
    return jnp.where(acute, small, np.pi - small), jnp.where(acute, np.pi - small, small)


def acute_angle(distance: Array) -> tuple[Array, Array]:
    """t = arccos(1 - distance) and sin t - t cos t, for a distance in [0, 1], both exact relative to themselves.

    They are sqrt(distance) and distance^(3/2) times analytic functions, which are evaluated as polynomials.
    """
    root = safe_sqrt(distance)
    ratios = [_horner(_fit(f, distance.dtype), distance) for f in (_arccos_ratio, _gap_ratio)]
    return root * ratios[0], distance * root * ratios[1]


def _horner(coefficients: tuple[float, ...], x: Array) -> Array:
    value = jnp.full_like(x, coefficients[-1])
    for coefficient in coefficients[-2::-1]:
        value = value * x + coefficient
    return value


@functools.lru_cache
def _fit(function: Callable[[np.ndarray], np.ndarray], dtype: np.dtype) -> tuple[float, ...]:
    """Power-basis coefficients, lowest first, of the Chebyshev interpolant of a function on [0, 1]."""
    fit = np.polynomial.Chebyshev.interpolate(function, _DEGREES[np.dtype(dtype)], domain=[0, 1])
    return tuple(float(c) for c in fit.convert(kind=np.polynomial.Polynomial).coef)


def _gap_ratio(x: np.ndarray) -> np.ndarray:
    """(sin t - t cos t) / x^(3/2), x = 1 - cos t, from the series sum_k (-1)^(k + 1) 2 k t^(2 k + 1) / (2 k + 1)!."""
    ratio = _arccos_ratio(x)
    square = ratio * ratio * x
    series = sum((-1) ** (k + 1) * 2 * k * square ** (k - 1) / math.factorial(2 * k + 1) for k in range(1, 16))
    return ratio**3 * series


def sine_gap(t: Array, distance: Array) -> Array:
    """sin t - t cos t for t = arccos(1 - distance) in [0, pi], without its cancellation at small t."""
    square = t * t
    series = jnp.full_like(t, _SERIES[-1])
    for coefficient in _SERIES[-2::-1]:
        series = series * square + coefficient
    closed = safe_sqrt(distance * (2 - distance)) - t * (1 - distance)
    return jnp.where(t < _SERIES_BELOW[np.dtype(t.dtype)], t * square * series, closed)


@functools.lru_cache
def _coefficients(dtype: np.dtype) -> tuple[float, ...]:
    """Power-basis coefficients, lowest first, of the Chebyshev interpolant of arccos(1 - x) / sqrt(x) on [0, 1]."""
    fit = np.polynomial.Chebyshev.interpolate(_arccos_ratio, _DEGREES[np.dtype(dtype)], domain=[0, 1])
    return tuple(float(c) for c in fit.convert(kind=np.polynomial.Polynomial).coef)


def _arccos_ratio(x: np.ndarray) -> np.ndarray:
    return 2 * np.arcsin(np.sqrt(x / 2)) / np.sqrt(x)
