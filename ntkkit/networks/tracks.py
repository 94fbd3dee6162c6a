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
    """Sequences along their steps.

    Attributes
    ----------
    all : Here
        Of all steps, in front.
    first : Array of shape (n,)
        Where sequences begin.
    units, final : list of Array
        Variances of z at all steps, (T, n); and of the hidden states behind the last of them, (n,); a layer each.
    """

    all: Here
    first: Array
    units: list[Array]
    final: list[Array]

    @classmethod
    def of(cls, X: Sequences, recurrence: Recurrence) -> Track:
        """Pass along the steps."""
        directions, var = X.directions()
        dtype, var = var.dtype, var.astype(jax.dtypes.canonicalize_dtype(np.float64))  # errors of many steps add up
        steps = jnp.arange(len(var))[:, None]
        lives = (steps > X.first).astype(var.dtype)
        begins = (steps == X.first).astype(var.dtype)

        def advance(before: list[Array], step: tuple[Array, ...]) -> tuple[list[Array], tuple[list[Array], ...]]:
            below, alive, first = step
            before = [alive * variance for variance in before]
            units, hidden = recurrence.variances(below, before, first)
            return hidden, (before, units, hidden)

        start = [jnp.zeros_like(var[0]) for _ in recurrence.trainable]
        final, (before, units, hidden) = lax.scan(advance, start, (var, lives, begins))
        layers = []
        for below, memory, variance in zip([var, *hidden], before, units, strict=False):
            scale = safe_sqrt(variance)
            bias = safe_ratio(1, scale)
            layers.append(Lengths(safe_sqrt(below) * bias, safe_sqrt(memory) * bias, bias, begins * bias, lives, scale))
        few = directions.shape[1] <= FEW_FEATURES
        inputs = (directions * layers[0].input[:, None]).astype(dtype) if few else directions
        layers, units, final = jax.tree.map(lambda part: part.astype(dtype), (layers, units, final))
        return cls(Here(inputs, layers), X.first, units, final)

    @property
    def dtype(self) -> jnp.dtype:
        return self.units[0].dtype

    @property
    def n_steps(self) -> int:
        return self.units[0].shape[0]

    @property
    def n_sequences(self) -> int:
        return self.units[0].shape[1]

    def at(self, steps: Array) -> Here:
        """Some steps, (c,), side by side."""
        here: Here = jax.tree.map(lambda part: part[steps], self.all)
        return here._replace(inputs=jnp.moveaxis(here.inputs, 1, 0))

    def last(self, n_steps: int) -> Track:
        """The last steps alone."""
        left_out = self.n_steps - n_steps
        return self._replace(all=jax.tree.map(lambda part: part[left_out:], self.all), first=self.first - left_out)
