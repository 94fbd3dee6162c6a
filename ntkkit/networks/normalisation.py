"""Normalisation over features."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
from jax import Array

from ntkkit.networks.layer import Layer, Shape
from ntkkit.networks.state import State, safe_ratio, safe_sqrt


class LayerNorm(Layer):
    """Each input divided by its standard deviation over features, after its mean is taken away; nothing is learnt.

    Units of a wide layer have mean 0 over features after a Dense, and their variance over features is q: k becomes k
    / sqrt(q1 q2), the NTK becomes ntk / sqrt(q1 q2), and the distance stays what it was. Inputs without variance stay
    0. Use it after a Dense: after an activation the mean over features is not 0, and what the kernel then describes
    is the division alone.

    References
    ----------
    Ba, Kiros, Hinton (2016), Layer normalization.

    Examples
    --------
    >>> from ntkkit import NNGP
    >>> from ntkkit.networks import Dense, LayerNorm, Serial
    >>> network = Serial([Dense(3.0, 0.0), LayerNorm(), Dense(1.0, 0.0)])
    >>> NNGP(network)([[2.0, 0.0], [3.0, 3.0]]).round(6)
    array([[1.      , 0.707107],
           [0.707107, 1.      ]])
    """

    needs_variance: bool = True

    def __init__(self) -> None:
        pass

    def initialize(self, key: Array, input_shape: Shape, *, width: int, n_outputs: int) -> tuple[Any, Shape]:
        return (), input_shape

    def apply(self, params: Any, inputs: Array) -> Array:
        centred = inputs - jnp.mean(inputs, axis=-1, keepdims=True)
        return safe_ratio(centred, safe_sqrt(jnp.mean(centred**2, axis=-1, keepdims=True)))

    def propagate(self, state: State) -> State:
        inverse1, inverse2 = (safe_ratio(jnp.ones_like(q), safe_sqrt(q)) for q in (state.var1, state.var2))
        var1, var2 = (jnp.where(q > 0, jnp.ones_like(q), 0) for q in (state.var1, state.var2))
        ntk = None if state.ntk is None else state.ntk * inverse1 * inverse2
        return state._replace(var1=var1, var2=var2, ntk=ntk)
