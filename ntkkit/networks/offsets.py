"""Offsets of positions: which ones a layer needs, and what becomes of them where a layer keeps only some positions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple, Self

import jax.numpy as jnp
import numpy as np
from jax import Array

Sizes = tuple[int, int]


class Offsets(NamedTuple):
    """Differences of positions of two images, along rows and along columns."""

    rows: frozenset[int] = frozenset()
    columns: frozenset[int] = frozenset()

    @classmethod
    def all(cls, sizes: Sizes) -> Offsets:
        rows, columns = (frozenset(range(1 - size, size)) for size in sizes)
        return cls(rows, columns)

    def around(self, sizes: Sizes) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Ascending, where positions go on at the other end."""
        rows, columns = (tuple(sorted({d % size for d in part})) for part, size in zip(self, sizes, strict=True))
        return rows, columns

    def union(self, other: Self) -> Offsets:
        return Offsets(self.rows | other.rows, self.columns | other.columns)

    def spread(self, sizes: Sizes, strides: Sizes, windows: Sizes) -> Offsets:
        """Those of the positions that windows read, before a layer whose outputs have these offsets."""
        rows, columns = (
            frozenset(x for d in part for x in _read(d, stride, window) if abs(x) < size)
            for part, size, stride, window in zip(self, sizes, strides, windows, strict=True)
        )
        return Offsets(rows, columns)


ITSELF = Offsets(frozenset([0]), frozenset([0]))


def two(sizes: Sequence[int]) -> Sizes:
    """Sizes of one or two axes of positions, as of two."""
    return (1, sizes[0]) if len(sizes) == 1 else (sizes[0], sizes[1])


def _read(offset: int, stride: int, window: int) -> range:
    return range(stride * offset - window + 1, stride * offset + window)


def left(offsets: Sequence[int], size: int, after: int, stride: int, window: int = 1) -> tuple[int, ...]:
    """The offsets that can be known behind a layer that turns `size` positions into `after`."""
    known = set(offsets)

    def possible(d: int) -> bool:
        return all(x % size in known for x in _read(d, stride, window) if abs(x) < size)

    return tuple(d for d in range(after) if possible(d) or (d > 0 and possible(d - after)))


def kept(values: Array, axis: int, offsets: Sequence[int], size: int, after: int, stride: int) -> Array:
    """Offsets between every stride-th position: (..., positions, offsets, ...), those positions along `axis`.

    What was the offset stride d is d. Around the edge it may have been another one.
    """
    index = {d: i for i, d in enumerate(offsets)}
    chosen = np.zeros((after, len(found := left(offsets, size, after, stride))), int)
    for column, d in enumerate(found):
        before, beyond = index.get(stride * d % size), index.get(stride * (d - after) % size)
        for p in range(after):
            first, second = (before, beyond) if p + d < after else (beyond, before)
            place = second if first is None else first
            assert place is not None
            chosen[p, column] = p * len(offsets) + place
    return _taken(values, axis, chosen)


def pooled(
    values: Array,
    axis: int,
    offsets: Sequence[int],
    pool: Callable[[Array, int], Array],
    found: Sequence[int],
) -> Array:
    """A map of positions applied on both sides: (..., positions, offsets, ...), positions along `axis`."""
    size = values.shape[axis]
    index = {d: i for i, d in enumerate(offsets)}
    p, other = np.indices((size, size))
    places = np.vectorize(lambda d: index.get(int(d), 0))((other - p) % size)  # what is not known is not read
    crossed = _taken(values, axis, p * len(offsets) + places)
    crossed = pool(pool(crossed, axis), axis + 1)
    after = crossed.shape[axis]
    p, d = np.meshgrid(np.arange(after), np.array(found), indexing="ij")
    return _taken(crossed, axis, p * after + (p + d) % after)


def _taken(values: Array, axis: int, index: np.ndarray) -> Array:
    """Entries of two neighbouring axes by their place among both."""
    shape = values.shape
    flat = values.reshape(*shape[:axis], -1, *shape[axis + 2 :])
    return jnp.take(flat, index.ravel(), axis=axis).reshape(*shape[:axis], *index.shape, *shape[axis + 2 :])
