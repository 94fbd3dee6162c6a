"""Sigmoids: bounded, increasing activations."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from ntkkit.networks.activations import Activation, Dual, register
from ntkkit.networks.angle import polar_angle
from ntkkit.networks.dense import Dense
from ntkkit.networks.state import State, kept, safe_ratio, safe_sqrt

_SIGMOID_WIDTH = 2.4020563531719796


class Erf(Activation):
    """phi(z) = erf(z) = 2 / sqrt(pi) int_0^z exp(-x^2) dx.

    With R = (1 + 2 q1)(1 + 2 q2) - 4 k^2 = 1 + 2 (q1 + q2) + 4 q1 q2 delta (2 - delta), free of cancellation,

        E[phi phi] = (2 / pi) kappa, tan kappa = 2 k / sqrt R,    E[phi' phi'] = (4 / pi) / sqrt R

    (Williams 1997, Computing with infinite networks). With kappa = a1 at (u, u) and a2 at (v, v), the distance is

        [(a1 - kappa + a2 - kappa) / 2 - (a1 - a2)^2 / 4 / ((a1 + a2) / 2 + sqrt(a1 a2))] / sqrt(a1 a2),

    and the differences of angles come from the addition theorem, where delta can be factored out; for variances so
    unequal that these differences dwarf sqrt(a1 a2) it is 1 - kappa / sqrt(a1 a2). phi is odd: beyond 90 degrees the
    same holds with v for -v. In float32 right to 1e-6 of sqrt(K_ii K_jj); where all K_ii are alike, a hundred such
    errors can make an eigenvalue as low as -4e-6.
    """

    def __call__(self, z: Array) -> Array:
        return jax.scipy.special.erf(z)

    def variance(self, q: Array) -> Array:
        return 2 / np.pi * _own_angle(q)

    def dual(self, state: State) -> Dual:
        anti = 2 - state.delta if state.anti is None else state.anti
        acute = state.delta <= anti
        near = kept(jnp.where(acute, state.delta, anti))
        q1, q2 = state.var1, state.var2
        root1, root2 = safe_sqrt(q1), safe_sqrt(q2)
        sine2, cosine = near * (2 - near), 1 - near
        root = _determinant_root(q1, q2, sine2)

        def tangent(q: Array, other: Array, r: Array, r_other: Array) -> Array:
            """tan(a - kappa) for the point of variance q."""
            own = jnp.sqrt(1 + 4 * q)
            gap = (r - r_other) * (r + r_other) + sine2 * other * (1 + 2 * q)
            above = safe_ratio(2 * r * (1 + 2 * q) * gap, r * root + r_other * cosine * own)
            return above / (own * root + 4 * q * r * r_other * cosine)

        tangent1, tangent2 = tangent(q1, q2, root1, root2), tangent(q2, q1, root2, root1)
        angle1, angle2 = _own_angle(q1), _own_angle(q2)
        post = safe_sqrt(angle1) * safe_sqrt(angle2)
        uneven = (post > 0) & (angle1 + angle2 > 4 * post)
        angle = polar_angle(
            jnp.where(uneven, 2 * root1 * root2 * cosine, tangent1 + tangent2),
            jnp.where(uneven, root, 1 - tangent1 * tangent2),
        )  # kappa, or the sum of the differences
        unequal = safe_ratio((angle1 - angle2) ** 2, 2 * (angle1 + angle2 + 2 * post))
        ratio = safe_ratio(jnp.where(uneven, angle, angle / 2 - unequal), post)
        small = kept(jnp.maximum(jnp.where(uneven, 1 - ratio, ratio), 0))
        delta = jnp.where(acute | (post == 0), small, 2 - small)
        after = None if state.anti is None else jnp.where(acute | (post == 0), 2 - small, small)
        return delta, after, 4 / np.pi / root


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
