"""Sequences of unequal lengths: arrays (n, T, m) that are NaN behind the end of each."""

from __future__ import annotations

from typing import Any, NamedTuple, Self

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

# Up to so many features a step, distances of steps are sums over features; a matrix product is slower there.
FEW_FEATURES = 4
# So many steps are skipped together where no sequence is, and are evaluated again for derivatives.
SEGMENT = 8


def lengths(X: np.ndarray) -> np.ndarray:
    """How many steps each sequence of such an array has."""
    return (~np.isnan(X[..., 0])).sum(axis=1)


class Sequences(NamedTuple):
    """Sequences, one step after another.

    Attributes
    ----------
    values : Array of shape (T, n, m)
        Zero where a sequence is not; T is a multiple of `SEGMENT`.
    first, last : Array of shape (n,)
        Its first step, and the one behind its last.
    """

    values: Array
    first: Array
    last: Array

    @classmethod
    def of(cls, X: Any) -> Self:
        """From an array (n, T, m), or (n, T) of one feature, with NaN behind the ends."""
        X = jnp.asarray(X)
        if not jnp.issubdtype(X.dtype, jnp.floating):
            X = X.astype(jax.dtypes.canonicalize_dtype(np.float64))
        X = X[..., None] if X.ndim == 2 else X
        X = jnp.pad(X, [(0, 0), (0, -X.shape[1] % SEGMENT), (0, 0)], constant_values=jnp.nan)
        there = ~jnp.isnan(X[..., 0])
        values = jnp.where(there[..., None], X, 0)
        return cls(jnp.moveaxis(values, 1, 0), jnp.zeros(len(X), int), jnp.sum(there, axis=1))

    @property
    def lengths(self) -> Array:
        return self.last - self.first

    @property
    def n_steps(self) -> int:
        return len(self.values)

    @property
    def n_sequences(self) -> int:
        return len(self.last)

    @property
    def dtype(self) -> np.dtype:
        return self.values.dtype

    def cut(self, start: int | Array, n_steps: int) -> Self:
        """Some of the steps, counted from 0."""
        values = jax.lax.dynamic_slice_in_dim(self.values, start, n_steps)
        return type(self)(values, self.first - start, self.last - start)

    @property
    def reversed(self) -> Self:
        """The last step first."""
        return self._taken(self.last[None] - 1 - self._steps(), self.first, self.last)

    @property
    def ending_together(self) -> Self:
        """All moved to end at T."""
        moved = self.n_steps - self.last
        return self._taken(self._steps() - moved[None], self.first + moved, self.last + moved)

    def _steps(self) -> Array:
        return jnp.arange(len(self.values))[:, None]

    def _taken(self, source: Array, first: Array, last: Array) -> Self:
        steps = self._steps()
        inside = (steps >= first) & (steps < last)
        values = jnp.take_along_axis(self.values, jnp.where(inside, source, 0)[..., None], axis=0)
        return type(self)(jnp.where(inside[..., None], values, 0), first, last)


class Distances(NamedTuple):
    """Half the squared distances of vectors from others, and from the opposites of others."""

    near: Array
    far: Array


def apart(length1: Array, length2: Array, delta: Array, anti: Array | None) -> Distances:
    """Of vectors of some lengths, whose directions have the distances delta and anti (None: 2 - delta)."""
    both, unlike = length1 * length2, (length1 - length2) ** 2 / 2
    return Distances(unlike + both * delta, unlike + both * (2 - delta if anti is None else anti))


def inputs_apart(inputs1: Array, inputs2: Array, length1: Array, length2: Array) -> Distances:
    """Of few features: vectors, (m, n) and (m, k) or (m, c, k). Of many: directions, and the vectors' lengths.

    Correlations of directions are right to 4e-16, within which duplicates are equal.
    """
    if len(inputs1) <= FEW_FEATURES:
        pairs = [(beside(one, other), other[None]) for one, other in zip(inputs1, inputs2, strict=True)]
        near = [(one - other) ** 2 for one, other in pairs]
        far = [(one + other) ** 2 for one, other in pairs]
        return Distances(sum(near[1:], near[0]) / 2, sum(far[1:], far[0]) / 2)
    correlation = jnp.tensordot(inputs1, inputs2, axes=(0, 0), precision=jax.lax.Precision.HIGHEST)
    rounding = 4 * jnp.finfo(correlation.dtype).eps
    delta, anti = (jnp.where(gap <= rounding, 0, gap) for gap in (1 - correlation, 1 + correlation))
    return apart(length1, length2, delta.astype(length1.dtype), anti.astype(length1.dtype))


def beside(one: Array, other: Array) -> Array:
    """Numbers (n,), as they combine with others of shape (k,) or (c, k) to (n, k) or (n, c, k)."""
    return one.reshape(-1, *[1] * other.ndim)
