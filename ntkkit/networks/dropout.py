"""Dropout."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from ntkkit.networks.layer import Layer, Shape
from ntkkit.networks.state import State
from ntkkit.networks.value import check_real


class Dropout(Layer):
    """Each unit is 0 with probability `rate`, and else divided by 1 - rate, drawn anew at each evaluation.

    Covariances of two evaluations stay what they are, variances grow: with r = rate,

        nngp <- nngp,    ntk <- ntk,    q <- q / (1 - r),    delta <- r + (1 - r) delta.

    What is described, also by k(x, x), are two evaluations of the network, that is the average network over its masks.
    It differs from the network without dropout where another activation follows, for which inputs are further apart.
    A Dense or Conv must come between: what dropout leaves is not Gaussian.

    Parameters
    ----------
    rate : float, default=0.5
        In [0, 1). Differentiable.

    References
    ----------
    Srivastava, Hinton, Krizhevsky, Sutskever, Salakhutdinov (2014), Dropout.

    Examples
    --------
    >>> from ntkkit import NNGP
    >>> from ntkkit.networks import Dense, Dropout, Relu, Serial
    >>> layers = [Dense(1.0, 0.0), Relu(), Dropout(0.5), Dense(1.0, 0.0), Relu(), Dense(1.0, 0.0)]
    >>> NNGP(Serial(layers))([[2.0]]).round(
    ...     6
    ... )  # q = 2 becomes 4: 4 (sin t + (pi - t) cos t) / 2 pi, cos t = 1 / 2
    array([[1.217996]])
    """

    rate: Any
    needs_variance: bool = True
    redraws: bool = True
    _leaves = ("rate",)

    def __init__(self, rate: float = 0.5) -> None:
        rate = check_real(rate, "rate")
        if not isinstance(rate, jax.core.Tracer) and rate >= 1:
            raise ValueError(f"rate must be in [0, 1), found {rate!r}.")
        self.__dict__.update(rate=rate)

    def initialize(self, key: Array, input_shape: Shape, *, width: int, n_outputs: int) -> tuple[Any, Shape]:
        """The seed of the masks is a real number, which optimisers accept."""
        return {"seed": jax.random.uniform(key)}, input_shape

    def apply(self, params: Any, inputs: Array) -> Array:
        seed = jax.lax.stop_gradient(params["seed"]).astype(jnp.float32)
        key = jax.random.key(jax.lax.bitcast_convert_type(seed, np.uint32))
        kept = jax.random.bernoulli(key, 1 - self.rate, inputs.shape)
        return jnp.where(kept, inputs / (1 - self.rate), 0)

    def propagate(self, state: State) -> State:
        kept = 1 - self.rate
        anti = None if state.anti is None else self.rate + kept * state.anti
        return state._replace(
            var1=state.var1 / kept, var2=state.var2 / kept, delta=self.rate + kept * state.delta, anti=anti
        )
