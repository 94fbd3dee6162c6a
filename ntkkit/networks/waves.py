"""Waves: sine and cosine."""

from __future__ import annotations

import jax.numpy as jnp
from jax import Array

from ntkkit.networks.activations import Activation, Dual, register
from ntkkit.networks.state import State, safe_ratio, safe_sqrt


class Sin(Activation):
    """phi(z) = sin(z).

    With D = E[(u - v)^2] / 2 and D' = E[(u + v)^2] / 2,

        E[phi phi] = (e^-D - e^-D') / 2,    E[phi' phi'] = (e^-D + e^-D') / 2,    E[phi^2] = (1 - e^-2q) / 2.

    The distance is that of sin(r1 z) and sin(r2 z), 1 - sinh s / sqrt(sinh q1 sinh q2), and what turning v away from
    u adds, (sinh s - sinh k) / sqrt(sinh q1 sinh q2) with s - k = s delta; sin is odd: beyond 90 degrees the same
    holds with v for -v. In float32 right to 1e-6 of sqrt(K_ii K_jj), eigenvalues as for `Erf`; rounding of large
    variances adds up to 1e-7 sqrt(q).

    Examples
    --------
    >>> import math
    >>> from ntkkit import NNGP, FullyConnected
    >>> network = FullyConnected(depth=1, activation="sin", weight_var=1.0, bias_var=0.0)
    >>> math.isclose(NNGP(network)([[1.0]])[0, 0], (1 - math.exp(-2.0)) / 2)
    True
    """

    def __call__(self, z: Array) -> Array:
        return jnp.sin(z)

    def variance(self, q: Array) -> Array:
        return -jnp.expm1(-2 * q) / 2

    def dual(self, state: State) -> Dual:
        anti = 2 - state.delta if state.anti is None else state.anti
        acute = state.delta <= anti
        near = State(state.var1, state.var2, jnp.where(acute, state.delta, anti))
        root1, root2 = safe_sqrt(state.var1), safe_sqrt(state.var2)
        scale = safe_sqrt(-jnp.expm1(-2 * state.var1)) * safe_sqrt(-jnp.expm1(-2 * state.var2))
        envelope = jnp.exp(-((root1 - root2) ** 2) / 2) + jnp.exp(-near.opposite_gap)
        turned = safe_ratio(-jnp.expm1(-near.scale * near.delta) * envelope, scale)
        small = _sine_spread(state.var1, state.var2) + turned
        zero = scale <= 0
        delta = jnp.where(zero, 0, jnp.where(acute, small, 2 - small))
        after = None if state.anti is None else jnp.where(zero, 2, jnp.where(acute, 2 - small, small))
        return delta, after, (jnp.exp(-state.gap) + jnp.exp(-state.opposite_gap)) / 2


class Cos(Activation):
    """phi(z) = cos(z).

    With D = E[(u - v)^2] / 2 and D' = E[(u + v)^2] / 2,

        E[phi phi] = (e^-D + e^-D') / 2,    E[phi' phi'] = (e^-D - e^-D') / 2,    E[phi^2] = (1 + e^-2q) / 2,

    and delta' = [(1 - e^-2D)(1 - e^-2D') + (e^-q1 - e^-q2)^2] / [C (C + e^-D + e^-D')], C^2 = (1 + e^-2q1)(1 +
    e^-2q2): no term is negative. In float32 right to 5e-7 of sqrt(K_ii K_jj); rounding of large variances adds up to
    1e-7 sqrt(q).

    Examples
    --------
    >>> import math
    >>> from ntkkit import NNGP, FullyConnected
    >>> network = FullyConnected(depth=1, activation="cos", weight_var=1.0, bias_var=0.0)
    >>> math.isclose(NNGP(network)([[1.0]])[0, 0], (1 + math.exp(-2.0)) / 2)
    True
    """

    def __call__(self, z: Array) -> Array:
        return jnp.cos(z)

    def variance(self, q: Array) -> Array:
        return (1 + jnp.exp(-2 * q)) / 2

    def dual(self, state: State) -> Dual:
        q1, q2, gap, opposite = state.var1, state.var2, state.gap, state.opposite_gap
        shorter = jnp.minimum(q1, q2)
        unequal = jnp.exp(-shorter) * jnp.expm1(-jnp.abs(q1 - q2))
        scale = jnp.sqrt((1 + jnp.exp(-2 * q1)) * (1 + jnp.exp(-2 * q2)))
        above = jnp.expm1(-2 * gap) * jnp.expm1(-2 * opposite) + unequal**2
        near, far = jnp.exp(-gap), jnp.exp(-opposite)
        return above / (scale * (scale + near + far)), None, (near - far) / 2


def _sine_spread(q1: Array, q2: Array) -> Array:
    """1 - sinh(s) / sqrt(sinh q1 sinh q2), s = sqrt(q1 q2): the distance of sin(r1 z) from sin(r2 z)."""
    root1, root2 = safe_sqrt(q1), safe_sqrt(q2)
    s = root1 * root2
    step = safe_ratio(2 * (root1 - root2), root1 + root2)  # log(r1 / r2)
    curvature = step**2 / 2 * _log_curvature(s)
    exponent = (root1 - root2) ** 2 / 2 + (_log_decay(q1) + _log_decay(q2)) / 2 - _log_decay(s)
    # the exponent is a second difference: by its curvature where its own terms would cancel
    close = step**4 < jnp.finfo(s.dtype).eps
    return -jnp.expm1(-jnp.where(close, curvature, jnp.maximum(exponent, 0)))


def _log_decay(x: Array) -> Array:
    """log((1 - exp(-2 x)) / 2 x), 0 at 0."""
    return jnp.where(x > 0, jnp.log(safe_ratio(-jnp.expm1(-2 * x), 2 * x) + (x <= 0)), 0)


def _log_curvature(x: Array) -> Array:
    """d^2 log(sinh(x) / x) / d(log x)^2 = x coth x - (x / sinh x)^2."""
    small = x < 0.3
    y = jnp.where(small, 1, x)
    decay = jnp.exp(-2 * y)
    closed = y * (1 + decay) / (1 - decay) - 4 * y * y * decay / (1 - decay) ** 2
    square = x * x
    return jnp.where(small, square * (2 / 3 + square * (-4 / 45 + square * (4 / 315 - square * 8 / 4725))), closed)


register("sin", Sin(), jnp.sin)
register("cos", Cos(), jnp.cos)
