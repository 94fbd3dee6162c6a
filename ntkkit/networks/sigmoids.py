"""Sigmoids: bounded, increasing activations."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from ntkkit.networks.activations import Activation, Dual, register
from ntkkit.networks.angle import polar_angle
from ntkkit.networks.dense import Dense
from ntkkit.networks.state import State, kept, nearest, safe_ratio, safe_sqrt

_SIGMOID_WIDTH = 2.4020563531719796


class Erf(Activation):
    """phi(z) = erf(z) = 2 / sqrt(pi) int_0^z exp(-x^2) dx.

    With R = (1 + 2 q1)(1 + 2 q2) - 4 k^2 = 1 + 2 (q1 + q2) + 4 q1 q2 delta (2 - delta), free of cancellation,

        E[phi phi] = (2 / pi) kappa, tan kappa = 2 k / sqrt R,    E[phi' phi'] = (4 / pi) / sqrt R

    (Williams 1997, Computing with infinite networks). With kappa = a1 at (u, u) and a2 at (v, v), the distance is

        [m - kappa - (sqrt a1 - sqrt a2)^2 / 2] / sqrt(a1 a2),    m = (a1 + a2) / 2,

    where m - kappa comes from the sum of terms that are not negative

        sin(m - kappa) sin(m + kappa) = sin^2((a1 - a2) / 2) + sin a1 sin a2 delta (2 - delta);

    for variances so unequal that it dwarfs sqrt(a1 a2), the distance is 1 - kappa / sqrt(a1 a2). phi is odd: beyond 90
    degrees the same holds with v for -v. In float32 right to 1e-6 of sqrt(K_ii K_jj), at depth 5 without bias to
    1.2e-6; where all K_ii are alike, a hundred such errors can make an eigenvalue as low as -4e-6.
    """

    def __call__(self, z: Array) -> Array:
        return jax.scipy.special.erf(z)

    def variance(self, q: Array) -> Array:
        return 2 / np.pi * _own_angle(q)

    def dual(self, state: State) -> Dual:
        near, acute = nearest(state)
        sine2, cosine = near * (2 - near), 1 - near
        x, y = _of_point(state.var1), _of_point(state.var2)
        root = _determinant_root(state.var1, state.var2, sine2)
        scale = x.root_sine * y.root_sine
        sine, cosine = scale * cosine, root * (x.width * y.width)  # of kappa
        # of the mean m of the two own angles, by sums of terms that are not negative, and of half their difference
        mean_sine, mean_cosine = x.sine * y.cosine + x.cosine * y.sine, x.cosine_rest * y.sine_rest
        mean_cosine = mean_cosine + x.sine_rest * y.cosine_rest
        half = x.sine * y.cosine - x.cosine * y.sine
        # sin(m - kappa) sin(m + kappa) = sin^2 m - sin^2 kappa
        above = half * half + scale * scale * sine2
        beside = (mean_sine * cosine + mean_cosine * sine) * (mean_cosine * cosine + mean_sine * sine)
        uneven = x.root * x.root + y.root * y.root > 4 * x.root * y.root
        uneven = uneven & (x.root * y.root > 0)
        angle = polar_angle(jnp.where(uneven, sine, above), jnp.where(uneven, cosine, beside))  # kappa, or m - kappa
        unequal = (x.root - y.root) ** 2 / 2
        ratio = jnp.where(uneven, angle, angle - unequal) * (x.inverse_root * y.inverse_root)
        small = kept(jnp.maximum(jnp.where(uneven, 1 - ratio, ratio), 0))
        defined = x.root * y.root > 0
        delta = jnp.where(acute | ~defined, small, 2 - small)
        after = None if state.anti is None else jnp.where(acute | ~defined, 2 - small, small)
        return delta, after, 4 / np.pi / root


class _Point(NamedTuple):
    """What `Erf` needs of a point of variance q, whose own angle is a = asin(2 q / (1 + 2 q))."""

    sine: Array  # sin(a / 2)
    cosine: Array  # cos(a / 2)
    sine_rest: Array  # sin((pi / 2 - a) / 2)
    cosine_rest: Array  # cos((pi / 2 - a) / 2)
    root_sine: Array  # sqrt(sin a)
    width: Array  # 1 / sqrt(1 + 2 q)
    root: Array  # sqrt(a)
    inverse_root: Array  # 1 / sqrt(a), 0 for a = 0


def _of_point(q: Array) -> _Point:
    sine, cosine = 2 * q / (1 + 2 * q), jnp.sqrt(1 + 4 * q) / (1 + 2 * q)
    half_cosine, half_cosine_rest = jnp.sqrt((1 + cosine) / 2), jnp.sqrt((1 + sine) / 2)
    root = safe_sqrt(_own_angle(q))
    point = _Point(
        sine=sine / (2 * half_cosine),
        cosine=half_cosine,
        sine_rest=cosine / (2 * half_cosine_rest),
        cosine_rest=half_cosine_rest,
        root_sine=safe_sqrt(sine),
        width=1 / jnp.sqrt(1 + 2 * q),
        root=root,
        inverse_root=safe_ratio(1, root),
    )
    return _Point(*map(kept, point))


class SigmoidLike(Activation):
    """phi(z) = (1 + erf(z / 2.4020563531719796)) / 2, the logistic function to within 0.02.

    With E_erf the dual of `Erf` at variances and covariance divided by a^2, a = 2.402..., as is neural-tangents'
    layer of the same name,

        E[phi phi] = (1 + E_erf) / 4,    E[phi' phi'] = E[erf' erf'] / 4 a^2,

    in float32 right to 5e-7 of sqrt(K_ii K_jj).

    Examples
    --------
    >>> from ntkkit.networks import SigmoidLike
    >>> float(SigmoidLike()(0.0))
    0.5
    """

    def __call__(self, z: Array) -> Array:
        return (1 + jax.scipy.special.erf(z / _SIGMOID_WIDTH)) / 2

    def variance(self, q: Array) -> Array:
        return (1 + Erf().variance(q / _SIGMOID_WIDTH**2)) / 4

    def dual(self, state: State) -> Dual:
        var1, var2 = state.var1 / _SIGMOID_WIDTH**2, state.var2 / _SIGMOID_WIDTH**2
        curved = Erf().propagate(state._replace(var1=var1, var2=var2, ntk=None))
        # a constant adds to covariances what a bias adds
        raised = Dense(0.25, 0.25, trainable=False).propagate(curved)
        root = _determinant_root(var1, var2, state.delta * (2 - state.delta if state.anti is None else state.anti))
        return raised.delta, None, 1 / (np.pi * _SIGMOID_WIDTH**2 * root)


def _determinant_root(q1: Array, q2: Array, sine2: Array) -> Array:
    """sqrt((1 + 2 q1)(1 + 2 q2) - 4 k^2) from sine2 = delta (2 - delta)."""
    return jnp.sqrt(1 + 2 * (q1 + q2) + 4 * q1 * q2 * sine2)


def _own_angle(q: Array) -> Array:
    """asin(2 q / (1 + 2 q)), in the form that keeps its digits at large q."""
    return polar_angle(2 * q, jnp.sqrt(1 + 4 * q))


register("erf", Erf(), jax.scipy.special.erf)
register("sigmoid_like", SigmoidLike())
