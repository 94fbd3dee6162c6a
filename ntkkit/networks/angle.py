"""The angle between two directions from their distance, with all its digits and without a slow arccos."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from ntkkit.networks.state import safe_ratio, safe_sqrt


def acute_angle(distance: Array) -> tuple[Array, Array]:
    """t = arccos(1 - distance) and sin t - t cos t, for a distance in [0, 1], both exact relative to themselves.

    They are sqrt(distance) and distance^(3/2) times analytic functions, which are evaluated as polynomials. Derivatives
    are 0 where they are infinite, at distance 0.
    """
    root = safe_sqrt(distance)
    ratios = [_horner(_fit(f, distance.dtype), distance) for f in (_arccos_ratio, _gap_ratio)]
    return root * ratios[0], distance * root * ratios[1]


def angle(delta: Array, anti: Array) -> tuple[Array, Array, Array]:
    """t = arccos(1 - delta), pi - t = arccos(1 - anti), anti = 2 - delta, and sin a - a cos a of the smaller angle."""
    acute = delta <= anti
    small, gap = acute_angle(jnp.where(acute, delta, anti))  # not minimum, whose derivative at 90 degrees is an average
    return jnp.where(acute, small, np.pi - small), jnp.where(acute, np.pi - small, small), gap


@jax.custom_jvp
def polar_angle(y: Array, x: Array) -> Array:
    """The angle of the point (x, y) for y >= 0, in [0, pi]: arctan2, which XLA evaluates slowly on a CPU.

    Right to 2e-7 relative to itself in float32, to 4e-15 in float64; 0 at the origin. The derivative there is 0.
    """
    width = jnp.abs(x)
    steep = y > width
    slope = safe_ratio(jnp.where(steep, width, y), jnp.where(steep, y, width))
    angle = slope * _horner(_fit(_arctan_ratio, slope.dtype), slope * slope)
    angle = jnp.where(steep, np.pi / 2 - angle, angle)
    return jnp.where(x < 0, np.pi - angle, angle)


@polar_angle.defjvp
def _polar_angle_jvp(primals: tuple[Array, Array], tangents: tuple[Array, Array]) -> tuple[Array, Array]:
    (y, x), (dy, dx) = primals, tangents
    return polar_angle(y, x), safe_ratio(x * dy - y * dx, x * x + y * y)


def _horner(coefficients: tuple[float, ...], x: Array) -> Array:
    value = jnp.full_like(x, coefficients[-1])
    for coefficient in coefficients[-2::-1]:
        value = value * x + coefficient
    return value


@functools.lru_cache
def _fit(function: Callable[[np.ndarray], np.ndarray], dtype: np.dtype) -> tuple[float, ...]:
    """Power-basis coefficients, lowest first, of the Chebyshev interpolant of a function on [0, 1]."""
    fit = np.polynomial.Chebyshev.interpolate(function, _DEGREES[function][np.dtype(dtype)], domain=[0, 1])
    return tuple(float(c) for c in fit.convert(kind=np.polynomial.Polynomial).coef)


def _arccos_ratio(x: np.ndarray) -> np.ndarray:
    return 2 * np.arcsin(np.sqrt(x / 2)) / np.sqrt(x)


def _arctan_ratio(x: np.ndarray) -> np.ndarray:
    """arctan(sqrt x) / sqrt x."""
    root = np.sqrt(x)
    return np.arctan(root) / root


def _gap_ratio(x: np.ndarray) -> np.ndarray:
    """(sin t - t cos t) / x^(3/2), x = 1 - cos t, from the series sum_k (-1)^(k + 1) 2 k t^(2 k + 1) / (2 k + 1)!."""
    ratio = _arccos_ratio(x)
    square = ratio * ratio * x
    series = sum((-1) ** (k + 1) * 2 * k * square ** (k - 1) / math.factorial(2 * k + 1) for k in range(1, 16))
    return ratio**3 * series


# Degrees of the fits on [0, 1]; their relative errors are below 3e-9 in float32, 1e-15 in float64.
_DEGREES: dict[Callable[[np.ndarray], np.ndarray], dict[np.dtype, int]] = {
    function: {np.dtype(np.float32): degree, np.dtype(np.float64): 19}
    for function, degree in ((_arccos_ratio, 8), (_gap_ratio, 7), (_arctan_ratio, 9))
}
