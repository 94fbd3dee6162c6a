"""What each sequence has alone along a recurrence: its variances, and lengths that pairs are made of."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from ntkkit.networks.sequences import FEW_FEATURES, Sequences
from ntkkit.networks.state import safe_ratio, safe_sqrt

if TYPE_CHECKING:
    from ntkkit.networks.recurrence import Recurrence


class Lengths(NamedTuple):
    """Of the terms that a unit z is the sum of, over its own length; weights of variance 1.

    Attributes
    ----------
    input, hidden, bias, first : Array
        Of x_t (or of the state of the layer below), of h_(t-1), of the bias, and of the initial state, which is 0 after
        the first step, as that of h_(t-1) is there.
    lives : Array
        1 after the first step, 0 there.
    scale : Array
        The root of the variance of z.
    """

    input: Array
    hidden: Array
    bias: Array
    first: Array
    lives: Array
    scale: Array


class Here(NamedTuple):
    """One step of sequences, or several.

    Attributes
    ----------
    inputs : Array of shape (m, *n)
        Few features: x_t as a vector, of the length `Lengths.input`. Many: its direction.
    layers : list of Lengths
    """

    inputs: Array
    layers: list[Lengths]


class Track(NamedTuple):
    """Sequences along some steps.

    Attributes
    ----------
    all : Here
        Of all these steps, in front.
    units : list of Array of shape (T, n)
        Variances of z, a layer each.
    final : list of Array of shape (n,)
        Variances of the hidden states behind the last step. Both in float64, where jax has it enabled: the errors of
        many steps add up.
    """

    all: Here
    units: list[Array]
    final: list[Array]

    @classmethod
    def of(cls, X: Sequences, recurrence: Recurrence, before: list[Array] | None = None) -> Track:
        """Pass along the steps of sequences; `before` are variances of hidden states in front of them."""
        values = X.values.astype(jax.dtypes.canonicalize_dtype(np.float64))
        n_features = values.shape[-1]
        var = jnp.sum(values**2, axis=-1) / n_features
        steps = jnp.arange(len(var))[:, None]
        lives, begins = (mask.astype(var.dtype) for mask in (steps > X.first, steps == X.first))

        def advance(before: list[Array], step: tuple[Array, ...]) -> tuple[list[Array], tuple[list[Array], ...]]:
            below, alive, first = step
            before = [alive * variance for variance in before]
            units, hidden = recurrence.variances(below, before, first)
            return hidden, (before, units, hidden)

        if before is None:
            before = [jnp.zeros(X.n_sequences, var.dtype) for _ in recurrence.trainable]
        final, (memories, units, hidden) = lax.scan(advance, before, (var, lives, begins))
        largest = float(jnp.finfo(X.dtype).max) ** 0.5 / 4  # whose square is finite; above, variances underflow
        layers = []
        for below, memory, variance in zip([var, *hidden[:-1]], memories, units, strict=True):
            scale = safe_sqrt(variance)
            bias = jnp.minimum(safe_ratio(1, scale), largest)
            lengths = safe_sqrt(below) * bias, safe_sqrt(memory) * bias
            layers.append(Lengths(*lengths, bias, begins * bias, lives, scale))
        if n_features <= FEW_FEATURES:
            inputs = (values * (layers[0].bias / n_features**0.5)[..., None]).astype(X.dtype)
        else:
            inputs = safe_ratio(values, safe_sqrt(n_features * var)[..., None])
        layers = jax.tree.map(lambda part: part.astype(X.dtype), layers)
        return cls(Here(jnp.moveaxis(inputs, -1, 1), layers), units, final)

    def at(self, steps: Array) -> Here:
        """Some steps, (c,), side by side."""
        here: Here = jax.tree.map(lambda part: part[steps], self.all)
        return here._replace(inputs=jnp.moveaxis(here.inputs, 1, 0))
