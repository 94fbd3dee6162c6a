"""Steps: activations that jump, with an NNGP but no NTK."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
from jax import Array

from ntkkit.networks.activations import Activation, Dual, register
from ntkkit.networks.angle import angle
from ntkkit.networks.state import State


class Sign(Activation):
    """phi(z) = sign(z).

    With t = arccos(1 - delta), E[phi phi] = 1 - 2 t / pi (the arcsine law). E[phi' phi'] is infinite at t = 0: networks
    with trained parameters before a `Sign` have no NTK. In float32 right to 5e-7 of sqrt(K_ii K_jj).

    Examples
    --------
    >>> from ntkkit import NNGP, FullyConnected
    >>> network = FullyConnected(depth=1, activation="sign", weight_var=1.0, bias_var=0.0)
    >>> NNGP(network)([[1.0, 0.0]], [[0.0, 1.0], [-2.0, 0.0]]).round(15) + 0.0
    array([[ 0., -1.]])
    """

    has_ntk = False

    def __call__(self, z: Array) -> Array:
        return jnp.sign(z)

    def variance(self, q: Array) -> Array:
        return jnp.where(q > 0, jnp.ones_like(q), 0)

    def dual(self, state: State) -> Dual:
        t, rest, _ = angle(state.delta, 2 - state.delta if state.anti is None else state.anti)
        return 2 / np.pi * t, None if state.anti is None else 2 / np.pi * rest, None


class Step(Activation):
    """phi(z) = 1 for z > 0, 0 elsewhere.

    With t = arccos(1 - delta), E[phi phi] = (pi - t) / 2 pi (arc-cosine kernel of order 0, Cho and Saul 2009). No NTK,
    and the accuracy of `Sign`.

    Examples
    --------
    >>> from ntkkit import NNGP, FullyConnected
    >>> network = FullyConnected(depth=1, activation="step", weight_var=1.0, bias_var=0.0)
    >>> NNGP(network)([[1.0, 0.0]], [[0.0, 1.0], [2.0, 0.0]]).round(15)
    array([[0.25, 0.5 ]])
    """

    has_ntk = False

    def __call__(self, z: Array) -> Array:
        return jnp.where(z > 0, jnp.ones_like(z), 0)

    def variance(self, q: Array) -> Array:
        return jnp.where(q > 0, jnp.full_like(q, 0.5), 0)

    def dual(self, state: State) -> Dual:
        t, _, _ = angle(state.delta, 2 - state.delta if state.anti is None else state.anti)
        return t / np.pi, None, None


register("sign", Sign(), jnp.sign)
register("step", Step())
