"""Rectifiers: piecewise linear activations."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from ntkkit.networks.activations import Activation, register
from ntkkit.networks.angle import acute_angle
from ntkkit.networks.state import State


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
            t, gap = acute_angle(state.delta)
            return state.delta - gap / np.pi, None, 0.5 - t / (2 * np.pi)
        # beyond 90 degrees, with r = pi - t: E[phi phi] = s (sin r - r cos r) / 2 pi, E[phi' phi'] = r / 2 pi
        acute = state.delta <= state.anti
        t, gap = acute_angle(jnp.where(acute, state.delta, state.anti))
        delta = jnp.where(acute, state.delta, 1) - gap / np.pi
        return delta, None, jnp.where(acute, 0.5 - t / (2 * np.pi), t / (2 * np.pi))


register("relu", Relu(), jax.nn.relu)
