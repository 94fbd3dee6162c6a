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

    With R = (1 + 2 q1)(1 + 2 q2) - 4 k^2 = 1 + 2 (q1 + q2) + 4 s^2 delta (2 - delta), free of cancellation,

        E[phi phi] = (2 / pi) atan2(2 k, sqrt R),    E[phi' phi'] = (4 / pi) / sqrt R

    (Williams 1997, Computing with infinite networks).
    """

    def __call__(self, z: Array) -> Array:
        return jax.scipy.special.erf(z)

    def variance(self, q: Array) -> Array:
        return 2 / np.pi * jnp.arctan2(2 * q, jnp.sqrt(1 + 4 * q))

    def dual(self, state: State) -> tuple[Array, Array | None, Array]:
        scale = state.scale
        other = 2 - state.delta if state.anti is None else state.anti
        determinant = 1 + 2 * (state.var1 + state.var2) + 4 * scale * scale * state.delta * other
        root = jnp.sqrt(determinant)
        moment = 2 / np.pi * jnp.arctan2(2 * state.covariance, root)
        post = safe_sqrt(self.variance(state.var1)) * safe_sqrt(self.variance(state.var2))
        delta = jnp.maximum(safe_ratio(post - moment, post), 0)
        anti = None if state.anti is None else jnp.where(post > 0, jnp.maximum(safe_ratio(post + moment, post), 0), 2)
        return delta, anti, 4 / np.pi / root


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
