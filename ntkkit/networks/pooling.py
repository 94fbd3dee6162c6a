"""Pools over windows."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

from ntkkit.networks.convolution import check_axes, check_padding, check_window
from ntkkit.networks.images import output_size, window_sum
from ntkkit.networks.layer import Layer, Shape
from ntkkit.networks.offsets import Offsets, Sizes, left, pooled, two
from ntkkit.networks.positions import apart, by_column, itself, placed
from ntkkit.networks.propagation import Parts, Slabs, parts_of
from ntkkit.networks.state import Positions, State, safe_ratio, safe_sqrt


class Pool(Layer):
    """A fixed linear map of positions, the same for each channel: k becomes its application to both sides."""

    spatial: bool = True
    mixes: bool = True
    pools: bool = True

    def propagate(self, state: State) -> State:
        check_axes(self, (1,), state.positions.n_axes if state.positions else -1)
        raise TypeError(f"{self!r} needs all offsets of positions.")


def _beside(own: Array, positions: Positions) -> Array:
    """Numbers of the other side's images, (m, ..., 1), as its positions have them."""
    return own if positions.aligned else jnp.moveaxis(own, 0, -1)[None, ..., 0, :]


class _Window(Pool):
    """A pool over windows."""

    window_shape: tuple[int, ...]
    strides: tuple[int, ...] | None
    padding: str
    keeps_axes = True

    def __init__(
        self, window_shape: Sequence[int] = (2, 2), strides: Sequence[int] | None = None, padding: str = "VALID"
    ) -> None:
        window_shape = check_window(window_shape, "window_shape")
        self.__dict__.update(
            window_shape=window_shape,
            strides=None if strides is None else check_window(strides, "strides", like=window_shape),
            padding=check_padding(padding),
        )

    @property
    def steps(self) -> tuple[int, ...]:
        return self.strides or self.window_shape

    @abstractmethod
    def weigh(self, sums: Array, counts: Array) -> Array:
        """What the sums over windows become; counts are of positions inside the image."""

    def pool(self, values: Array, axis: int, window: int, step: int) -> Array:
        """The pool along one axis."""
        sums = window_sum(values, axis, window, step, self.padding)
        counts = window_sum(jnp.ones(values.shape[axis], values.dtype), 0, window, step, self.padding)
        return self.weigh(sums, jnp.expand_dims(counts, [i for i in range(sums.ndim) if i != axis]))

    def initialize(self, key: Array, input_shape: Shape, *, width: int, n_outputs: int) -> tuple[Any, Shape]:
        *sizes, channels = check_axes(self, input_shape, len(self.window_shape))
        windows = zip(sizes, self.window_shape, self.steps, strict=True)
        return (), (*(output_size(*window, self.padding) for window in windows), channels)

    def apply(self, params: Any, inputs: Array) -> Array:
        for axis, (window, step) in enumerate(zip(self.window_shape, self.steps, strict=True)):
            inputs = self.pool(inputs, axis + 1, window, step)
        return inputs

    def sizes_after(self, sizes: Sizes) -> Sizes:
        windows = zip(sizes, two(self.window_shape), two(self.steps), strict=True)
        height, width = (output_size(*window, self.padding) for window in windows)
        return height, width

    def offsets_before(self, offsets: Offsets, sizes: Sizes) -> Offsets:
        if self.padding == "CIRCULAR":  # windows go on at the other end
            return Offsets.all(sizes)
        return offsets.spread(sizes, two(self.steps), two(self.window_shape))

    def gather(self, slabs: Slabs) -> Slabs:
        positions = slabs.positions
        check_axes(self, (*positions.sizes[2 - positions.n_axes :], 1), len(self.window_shape))
        after = self.sizes_after(positions.sizes)
        (height, width), (down, across) = two(self.window_shape), two(self.steps)

        def left_of(slabs: Slabs) -> tuple[tuple[int, ...], tuple[int, ...]]:
            rows = left(slabs.rows, positions.sizes[0], after[0], down, height)
            return rows, left(slabs.positions.columns, positions.sizes[1], after[1], across, width)

        rows, columns = left_of(slabs)

        def along_columns(values: Array) -> Array:
            each = by_column(values, positions)
            each = pooled(each, 2, positions.columns, lambda x, axis: self.pool(x, axis, width, across), columns)
            return each.reshape(*each.shape[:3], -1)

        def along_rows(values: Array) -> Array:
            values = jnp.moveaxis(values, 0, 2)
            values = pooled(values, 1, slabs.rows, lambda x, axis: self.pool(x, axis, height, down), rows)
            return jnp.moveaxis(values, 2, 0)

        def part(state: State) -> Parts:
            covariance, ntk = jax.tree.map(along_columns, (state.covariance, state.ntk))
            anti = None if state.anti is None else jnp.zeros(())
            return parts_of(state)._replace(delta=covariance, anti=anti, ntk=ntk)

        parts = slabs.map(part)
        covariances, ntks = jax.tree.map(along_rows, (parts.delta, parts.ntk))
        own = left_of(slabs.within[0]) if slabs.within else ((), ())
        within = None
        if slabs.within and all(0 in part for part in own):
            within = self.gather(slabs.within[0]), self.gather(slabs.within[1])
        after_positions = positions._replace(sizes=after, columns=columns)
        if positions.own:
            itself_only = by_column(covariances[rows.index(0)], after_positions)
            var1 = var2 = itself_only[..., columns.index(0), :]
        elif within is not None:
            var1, var2 = within[0].at(0).var1, _beside(within[1].at(0).var1, positions)
        else:  # nothing behind reads variances: any that bound the covariances will do
            gain = self.pool(self.pool(jnp.ones(positions.sizes, covariances.dtype), 0, height, down), 1, width, across)
            var1, var2 = (
                jnp.max(q, axis=(1, 2), keepdims=True) * jnp.max(gain) ** 2 * jnp.ones_like(gain)[..., None]
                for q in (parts.var1[0], parts.var2[0])
            )

        def at(row: int | Array) -> State:
            here = after_positions._replace(row=row, var2=var2)
            index = found.index(row)
            beside = apart(lambda x: placed(x, here), var2)
            cosine = safe_ratio(covariances[index], safe_sqrt(var1) * safe_sqrt(beside))
            anti = None if parts.anti is None else 1 + cosine
            state = State(var1, beside, 1 - cosine, anti, None if ntks is None else ntks[index], here)
            exact = itself(state) if positions.own or within is not None else None
            return state if exact is None else state._replace(delta=jnp.where(exact, 0, state.delta))

        found = Slabs(after_positions, rows, at, within)
        return found


class AvgPool(_Window):
    """Average over windows of positions; under "SAME" over those that are inside the image.

    k[P, P'] <- mean of k[p, p'] over p in P and p' in P', and the NTK alike. Behind it float32 kernels of near
    duplicates (relative distance 1e-4) err by some 2e-5 of sqrt(K_ii K_jj), others and those of exact ones by 1e-6.

    Parameters
    ----------
    window_shape : tuple of int, default=(2, 2)
        Static, as the others.
    strides : tuple of int, optional
        Steps between windows; None means next to each other.
    padding : {"SAME", "VALID", "CIRCULAR"}, default="VALID"
        As of `Conv`.
    """

    def weigh(self, sums: Array, counts: Array) -> Array:
        return sums / counts


class SumPool(_Window):
    """Sum over windows of positions; parameters as for `AvgPool`."""

    def weigh(self, sums: Array, counts: Array) -> Array:
        return sums
