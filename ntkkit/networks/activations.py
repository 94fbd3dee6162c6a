"""Activations: each phi with the maps that it becomes at infinite width, its duals."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from ntkkit.networks.angle import angle, sine_gap
from ntkkit.networks.layer import Layer, Shape
from ntkkit.networks.state import State, safe_ratio, safe_sqrt


class Activation(Layer):
    """phi, applied to each unit.

    For (u, v) Gaussian with variances q1, q2 and correlation 1 - delta, a subclass gives E[phi(u)^2] as `variance` and,
    as `dual`, how far apart phi(u) and phi(v) are and E[phi'(u) phi'(v)]:

        nngp <- E[phi(u) phi(v)],    ntk <- ntk E[phi'(u) phi'(v)].
    """

    def __init__(self) -> None:
        pass

    @abstractmethod
    def __call__(self, z: Array) -> Array:
        """Phi, elementwise."""

    @abstractmethod
    def variance(self, q: Array) -> Array:
        """E[phi(u)^2] for u of variance q."""

    @abstractmethod
    def dual(self, state: State) -> tuple[Array, Array | None, Array]:
        """Distance and antipodal distance of (phi(u), phi(v)), and E[phi'(u) phi'(v)]."""

    def initialize(self, key: Array, input_shape: Shape, *, width: int, n_outputs: int) -> tuple[Any, Shape]:
        return (), input_shape

    def apply(self, params: Any, inputs: Array) -> Array:
        return self(inputs)

    def propagate(self, state: State) -> State:
        delta, anti, derivative = self.dual(state)
        ntk = None if state.ntk is None else state.ntk * derivative
        return State(self.variance(state.var1), self.variance(state.var2), delta, anti, ntk)


class Identity(Activation):
    """phi(z) = z: E[phi phi] = k, E[phi' phi'] = 1."""

    def __call__(self, z: Array) -> Array:
        return z

    def variance(self, q: Array) -> Array:
        return q

    def dual(self, state: State) -> tuple[Array, Array | None, Array]:
        return state.delta, state.anti, jnp.ones_like(state.delta)


class Relu(Activation):
    """phi(z) = max(z, 0), without a factor sqrt 2.

    With t = arccos(1 - delta) and g = delta / 2 - (sin t - t cos t) / 2 pi,

        E[phi phi] = s (1/2 - g),    E[phi' phi'] = (pi - t) / 2 pi,

    (arc-cosine kernels of order 1 and 0, Cho and Saul 2009), in float32 right to 3e-7 of sqrt(K_ii K_jj).
    """

    def __call__(self, z: Array) -> Array:
        return jnp.maximum(z, 0)

    def variance(self, q: Array) -> Array:
        return q / 2

    def dual(self, state: State) -> tuple[Array, Array | None, Array]:
        if state.anti is None:  # an activation of non-negative values came before: the correlation is not negative
            t, rest = angle(state.delta, 2 - state.delta)
            return state.delta - sine_gap(t, state.delta) / np.pi, None, rest / (2 * np.pi)
        t, rest = angle(state.delta, state.anti)
        near = state.delta - sine_gap(t, state.delta) / np.pi
        far = 1 - sine_gap(rest, state.anti) / np.pi  # E[phi phi] = s (sin r - r cos r) / 2 pi with r = pi - t
        return jnp.where(state.delta <= 1, near, far), None, rest / (2 * np.pi)


class Erf(Activation):
    """phi(z) = erf(z) = 2 / sqrt(pi) int_0^z exp(-x^2) dx.

    With R = (1 + 2 q1)(1 + 2 q2) - 4 k^2 = 1 + 2 (q1 + q2) + 4 q1 q2 delta (2 - delta), free of cancellation,

        E[phi phi] = (2 / pi) kappa, tan kappa = 2 k / sqrt R,    E[phi' phi'] = (4 / pi) / sqrt R

    (Williams 1997, Computing with infinite networks). With kappa = a1 at (u, u) and a2 at (v, v), the distance is

        [(a1 - kappa + a2 - kappa) / 2 - (a1 - a2)^2 / 4 / ((a1 + a2) / 2 + sqrt(a1 a2))] / sqrt(a1 a2),

    and the differences of angles come from the addition theorem, where delta can be factored out. phi is odd: beyond 90
    degrees the same holds with v for -v.
    """

    def __call__(self, z: Array) -> Array:
        return jax.scipy.special.erf(z)

    def variance(self, q: Array) -> Array:
        return 2 / np.pi * _own_angle(q)

    def dual(self, state: State) -> tuple[Array, Array | None, Array]:
        anti = 2 - state.delta if state.anti is None else state.anti
        acute = state.delta <= anti
        near = jnp.where(acute, state.delta, anti)
        q1, q2 = state.var1, state.var2
        root1, root2 = safe_sqrt(q1), safe_sqrt(q2)
        sine2, cosine = near * (2 - near), 1 - near
        root = jnp.sqrt(1 + 2 * (q1 + q2) + 4 * q1 * q2 * sine2)

        def tangent(q: Array, other: Array, r: Array, r_other: Array) -> Array:
            """tan(a - kappa) for the point of variance q."""
            own = jnp.sqrt(1 + 4 * q)
            gap = (r - r_other) * (r + r_other) + sine2 * other * (1 + 2 * q)
            above = safe_ratio(2 * r * (1 + 2 * q) * gap, r * root + r_other * cosine * own)
            return above / (own * root + 4 * q * r * r_other * cosine)

        tangent1, tangent2 = tangent(q1, q2, root1, root2), tangent(q2, q1, root2, root1)
        differences = jnp.arctan2(tangent1 + tangent2, 1 - tangent1 * tangent2)
        angle1, angle2 = _own_angle(q1), _own_angle(q2)
        post = safe_sqrt(angle1) * safe_sqrt(angle2)
        unequal = safe_ratio((angle1 - angle2) ** 2, 2 * (angle1 + angle2 + 2 * post))
        small = jnp.maximum(safe_ratio(differences / 2 - unequal, post), 0)
        delta = jnp.where(acute | (post == 0), small, 2 - small)
        after = None if state.anti is None else jnp.where(acute | (post == 0), 2 - small, small)
        return delta, after, 4 / np.pi / root


def _own_angle(q: Array) -> Array:
    """asin(2 q / (1 + 2 q)), in the form that keeps its digits at large q."""
    return jnp.arctan2(2 * q, jnp.sqrt(1 + 4 * q))


_BY_NAME: dict[str, Activation] = {"identity": Identity(), "relu": Relu(), "erf": Erf()}
_BY_FUNCTION: dict[Callable[..., Any], Activation] = {
    jax.nn.relu: Relu(),
    jax.nn.identity: Identity(),
    jax.scipy.special.erf: Erf(),
}


def resolve_activation(activation: str | Callable[..., Any] | Activation) -> Activation:
    """The `Activation` that a name, a jax function or an Activation stands for.

    Raises
    ------
    ValueError
        If the name or function is not known.
    """
    if isinstance(activation, Activation):
        return activation
    known: dict[Any, Activation] = _BY_NAME if isinstance(activation, str) else _BY_FUNCTION
    try:
        return known[activation]
    except (KeyError, TypeError):
        functions = ["jax.nn.relu", "jax.nn.identity", "jax.scipy.special.erf"]
        raise ValueError(
            f"activation must be one of {sorted(_BY_NAME)}, one of the functions {functions}, or an Activation; "
            f"found {activation!r}."
        ) from None
