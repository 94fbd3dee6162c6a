"""Pools, and the ways from images to rows."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp
from jax import Array

from ntkkit.networks.convolution import averaged, check_axes, check_padding, check_window
from ntkkit.networks.images import output_size, own_diagonal, placed, same_position, window_sum
from ntkkit.networks.layer import Layer, Shape
from ntkkit.networks.state import Positions, State, safe_ratio, safe_sqrt


class _Mixing(Layer):
    """A fixed linear map of positions, the same for each channel: k becomes its application to both sides."""

    spatial: bool = True
    mixes: bool = True

    @abstractmethod
    def pool(self, values: Array, axes: Sequence[int]) -> Array:
        """Apply the map along some axes of positions of one image."""

    @property
    @abstractmethod
    def keeps_axes(self) -> bool:
        """Whether the output has positions."""

    def propagate(self, state: State) -> State:
        positions = state.positions
        n_axes = positions.n_axes if positions else 0
        check_axes(self, (*state.delta.shape[-n_axes:], 1) if n_axes else (1,), n_axes or -1)
        assert positions is not None
        assert positions.crossed

        def pool(values: Array) -> Array:
            second = tuple(range(-n_axes, 0))
            values = self.pool(values, second)  # the axes in front keep their places from the front
            first = tuple(range(state.delta.ndim - 2 * n_axes, state.delta.ndim - n_axes))
            return self.pool(values, first)

        covariance = pool(state.covariance)
        if positions.own:
            variances = [self._own_variance(covariance, n_axes)] * 2
        elif positions.within is not None:
            variances = [self._own_variance(pool(own.covariance), n_axes) for own in positions.within]
        else:  # nothing behind reads variances: any that bound the covariances will do
            ones = jnp.ones(state.delta.shape[-n_axes:], state.delta.dtype)
            gain = jnp.max(self.pool(ones, range(n_axes)))
            variances = [self._bound(q, gain, n_axes) for q in (state.var1, state.var2)]
        var1, var2 = variances
        if self.keeps_axes and (positions.own or positions.within is not None):
            var1, var2 = placed(var1, var2, n_axes, True)
        cosine = safe_ratio(covariance, safe_sqrt(var1) * safe_sqrt(var2))
        delta, anti = 1 - cosine, None if state.anti is None else 1 + cosine
        if (itself := self._itself(delta, positions)) is not None:
            delta = jnp.where(itself, 0, delta)
        ntk = None if state.ntk is None else pool(state.ntk)
        after = positions._replace(within=None) if self.keeps_axes else None
        return State(var1, var2, delta, anti, ntk, after)

    def _itself(self, delta: Array, positions: Positions) -> Array | None:
        """Where an output of an image meets itself, as far as that is known: its distance is 0, and not rounding."""
        exact = positions.own or (positions.same and positions.within is not None)
        if not exact:
            return None
        itself = same_position(delta.shape[-positions.n_axes :] if self.keeps_axes else (), True)
        if positions.own:
            return itself
        pairs = jnp.eye(delta.shape[0], dtype=bool)
        return pairs.reshape(*pairs.shape, *[1] * itself.ndim) & itself

    def _own_variance(self, covariance: Array, n_axes: int) -> Array:
        return own_diagonal(covariance, n_axes) if self.keeps_axes else covariance

    def _bound(self, variance: Array, gain: Array, n_axes: int) -> Array:
        """A bound of the variances behind the pool; `gain` is the largest that it makes of ones."""
        largest = jnp.max(variance, axis=tuple(range(-2 * n_axes, 0)), keepdims=True) * gain**2
        return largest if self.keeps_axes else largest.reshape(largest.shape[: -2 * n_axes])


class _Window(_Mixing):
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

    def pool(self, values: Array, axes: Sequence[int]) -> Array:
        for axis, window, step in zip(axes, self.window_shape, self.steps, strict=True):
            sums = window_sum(values, [axis], window, step, self.padding)
            counts = window_sum(jnp.ones(values.shape[axis], values.dtype), [0], window, step, self.padding)
            shape = [1] * sums.ndim
            shape[axis] = -1
            values = self.weigh(sums, counts.reshape(shape))
        return values

    def initialize(self, key: Array, input_shape: Shape, *, width: int, n_outputs: int) -> tuple[Any, Shape]:
        *sizes, channels = check_axes(self, input_shape, len(self.window_shape))
        windows = zip(sizes, self.window_shape, self.steps, strict=True)
        return (), (*(output_size(*window, self.padding) for window in windows), channels)

    def apply(self, params: Any, inputs: Array) -> Array:
        return self.pool(inputs, range(1, inputs.ndim - 1))


class AvgPool(_Window):
    """Average over windows of positions; under "SAME" over those that are inside the image.

    k[P, P'] <- mean of k[p, p'] over p in P and p' in P', and the NTK alike.

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


class _Global(_Mixing):
    """A pool over all positions."""

    keeps_axes = False

    def __init__(self) -> None:
        pass

    def initialize(self, key: Array, input_shape: Shape, *, width: int, n_outputs: int) -> tuple[Any, Shape]:
        if len(input_shape) < 2:
            check_axes(self, input_shape, 2)
        return (), input_shape[-1:]

    def apply(self, params: Any, inputs: Array) -> Array:
        return self.pool(inputs, tuple(range(1, inputs.ndim - 1)))


class GlobalAvgPool(_Global):
    """Average over all positions ("GAP"): k <- mean of k[p, p'] over both."""

    def pool(self, values: Array, axes: Sequence[int]) -> Array:
        return jnp.mean(values, axis=tuple(axes))


class GlobalSumPool(_Global):
    """Sum over all positions."""

    def pool(self, values: Array, axes: Sequence[int]) -> Array:
        return jnp.sum(values, axis=tuple(axes))


class Flatten(Layer):
    """All positions side by side, as a dense layer reads them: k <- mean of k[p, p] over positions.

    Examples
    --------
    >>> from ntkkit import NNGP
    >>> from ntkkit.networks import Dense, Flatten, Serial
    >>> NNGP(Serial([Flatten(), Dense(1.0, 0.0)], input_shape=(2, 2, 1)))([[1.0, 2.0, 3.0, 4.0]])
    array([[7.5]])
    """

    spatial: bool = True

    def __init__(self) -> None:
        pass

    def initialize(self, key: Array, input_shape: Shape, *, width: int, n_outputs: int) -> tuple[Any, Shape]:
        return (), (math.prod(input_shape),)

    def apply(self, params: Any, inputs: Array) -> Array:
        return inputs.reshape(len(inputs), -1)

    def propagate(self, state: State) -> State:
        if state.positions is None:
            return state
        n_axes, state = state.positions.n_axes, uncrossed(state)
        axes = tuple(range(state.delta.ndim - n_axes, state.delta.ndim))
        flat = averaged(state, lambda values, _: jnp.mean(values, axis=axes, keepdims=True), 1, 0, trainable=False)

        def squeezed(part: Array | None) -> Any:
            return None if part is None else jnp.squeeze(part, axes)

        var1, var2, delta, anti, ntk = map(squeezed, flat[:5])
        return State(var1, var2, delta, anti, ntk)


def uncrossed(state: State) -> State:
    """Each position with itself only."""
    positions = state.positions
    if positions is None or not positions.crossed:
        return state
    n_axes = positions.n_axes

    def own(values: Array | None) -> Any:
        return None if values is None else own_diagonal(values, n_axes)

    var1 = state.var1.reshape(state.var1.shape[:-n_axes])
    var2 = state.var2.reshape(*state.var2.shape[: -2 * n_axes], *state.var2.shape[-n_axes:])
    after = positions._replace(crossed=False, within=None)
    return State(var1, var2, own(state.delta), own(state.anti), own(state.ntk), after)
