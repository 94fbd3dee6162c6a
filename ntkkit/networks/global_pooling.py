"""The ways from images to rows: global pools, local averages, all positions side by side."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from ntkkit.networks.convolution import check_axes, check_window
from ntkkit.networks.images import window_sum
from ntkkit.networks.layer import Layer, Shape
from ntkkit.networks.offsets import ITSELF, Offsets, Sizes, two
from ntkkit.networks.pooling import Pool
from ntkkit.networks.positions import apart, by_column
from ntkkit.networks.propagation import Parts, Slabs, parts_of
from ntkkit.networks.state import State, safe_ratio, safe_sqrt


class _Global(Pool):
    """The end of positions: k <- sum over offsets d of weights[d] mean_p k[p, p + d], around the edges."""

    def __init__(self) -> None:
        pass

    @abstractmethod
    def weights(self, sizes: Sizes) -> tuple[np.ndarray, np.ndarray]:
        """Of offsets of rows and of columns, whose product counts."""

    def initialize(self, key: Array, input_shape: Shape, *, width: int, n_outputs: int) -> tuple[Any, Shape]:
        if len(input_shape) < 2:
            check_axes(self, input_shape, 2)
        return (), input_shape[-1:]

    def offsets_before(self, offsets: Offsets, sizes: Sizes) -> Offsets:
        everything = Offsets.all(sizes)
        weights = self.weights(sizes)
        rows, columns = (
            frozenset(d for d in part if along[d % len(along)]) for part, along in zip(everything, weights, strict=True)
        )
        return Offsets(rows, columns)

    def gather(self, slabs: Slabs) -> State:
        positions = slabs.positions
        needed = self.offsets_before(Offsets(), positions.sizes).around(positions.sizes)
        within = slabs.within
        if within and (within[0].rows, within[0].positions.columns) != needed:
            within = None  # they were for pools before this one; nothing behind reads variances
        down, across = self.weights(positions.sizes)
        down, across = down[list(slabs.rows)], across[list(positions.columns)]

        def mean(values: Array) -> Array:
            """(n, H, W, columns m) -> (n, m), in sums of few terms: long ones lose digits."""
            means = by_column(values.mean(axis=1).mean(axis=1), positions)
            return jnp.sum(means * across.astype(values.dtype)[:, None], axis=1)

        def part(state: State) -> Parts:
            # written first: what XLA fuses into a sum, it evaluates one number after the other
            covariance = apart(lambda x: x, state.covariance)
            ntk = None if state.ntk is None else mean(apart(lambda x: x, state.ntk))
            anti = None if state.anti is None else jnp.zeros(())
            return parts_of(state)._replace(delta=mean(covariance), anti=anti, ntk=ntk)

        parts = slabs.map(part)

        def total(values: Array) -> Array:
            return jnp.sum(values * down.astype(values.dtype)[:, None, None], axis=0)

        covariance, ntk = jax.tree.map(total, (parts.delta, parts.ntk))
        if positions.own:
            return State(covariance, covariance, jnp.zeros_like(covariance), None, ntk)
        if within is not None:
            own1, own2 = (self.gather(own).var1 for own in within)
            var1, var2 = own1, own2 if positions.aligned else own2.T
        else:
            gain = float(down.sum() * across.sum())
            var1, var2 = (jnp.max(q, axis=(1, 2)) * gain for q in (parts.var1[0], parts.var2[0]))
        cosine = safe_ratio(covariance, safe_sqrt(var1) * safe_sqrt(var2))
        delta = 1 - cosine
        if within is not None and positions.same:
            exact = True if positions.aligned else jnp.eye(len(delta), dtype=bool)
            delta = jnp.where(exact, 0, delta)
        return State(var1, var2, delta, None if parts.anti is None else 1 + cosine, ntk)


class GlobalAvgPool(_Global):
    """Average over all positions ("GAP"): k <- mean of k[p, p'] over both."""

    def weights(self, sizes: Sizes) -> tuple[np.ndarray, np.ndarray]:
        return np.full(sizes[0], 1 / sizes[0]), np.full(sizes[1], 1 / sizes[1])

    def apply(self, params: Any, inputs: Array) -> Array:
        return jnp.mean(inputs, axis=tuple(range(1, inputs.ndim - 1)))


class GlobalSumPool(_Global):
    """Sum over all positions."""

    def weights(self, sizes: Sizes) -> tuple[np.ndarray, np.ndarray]:
        return np.full(sizes[0], float(sizes[0])), np.full(sizes[1], float(sizes[1]))

    def apply(self, params: Any, inputs: Array) -> Array:
        return jnp.sum(inputs, axis=tuple(range(1, inputs.ndim - 1)))


class LocalAvgPool(_Global):
    """Average over a window around each position, around the edges, and all positions side by side ("LAP").

    k <- mean over P of the mean of k[p, p'] over p and p' in the window of P: between `Flatten` (a window of one
    position) and `GlobalAvgPool` (of all). Only offsets of positions that share a window are evaluated.

    Parameters
    ----------
    window_shape : tuple of int, default=(5, 5)
        No larger than the image. Static.

    References
    ----------
    Li, Wang, Yu, Du, Hu, Salakhutdinov, Arora (2019), Enhanced convolutional neural tangent kernels.
    """

    window_shape: tuple[int, ...]

    def __init__(self, window_shape: Sequence[int] = (5, 5)) -> None:
        self.__dict__.update(window_shape=check_window(window_shape, "window_shape"))

    def weights(self, sizes: Sizes) -> tuple[np.ndarray, np.ndarray]:
        windows = two(self.window_shape)
        if any(window > size for window, size in zip(windows, sizes, strict=True)):
            raise ValueError(f"window_shape must be at most as large as images, found {windows} for {sizes} positions.")
        return _shared(sizes[0], windows[0]), _shared(sizes[1], windows[1])

    def initialize(self, key: Array, input_shape: Shape, *, width: int, n_outputs: int) -> tuple[Any, Shape]:
        self.weights(two(check_axes(self, input_shape, len(self.window_shape))[:-1]))
        return (), (math.prod(input_shape),)

    def apply(self, params: Any, inputs: Array) -> Array:
        for axis, window in enumerate(self.window_shape):
            inputs = window_sum(inputs, axis + 1, window, 1, "CIRCULAR") / window
        return inputs.reshape(len(inputs), -1)


def _shared(size: int, window: int) -> np.ndarray:
    """The share of pairs of positions in a window that have an offset, around the edge."""
    inside = np.arange(window)
    return np.bincount(((inside[:, None] - inside) % size).ravel(), minlength=size) / window**2


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
    mixes: bool = True

    def __init__(self) -> None:
        pass

    def initialize(self, key: Array, input_shape: Shape, *, width: int, n_outputs: int) -> tuple[Any, Shape]:
        return (), (math.prod(input_shape),)

    def apply(self, params: Any, inputs: Array) -> Array:
        return inputs.reshape(len(inputs), -1)

    def propagate(self, state: State) -> State:
        return state

    def offsets_before(self, offsets: Offsets, sizes: Sizes) -> Offsets:
        return ITSELF

    def gather(self, slabs: Slabs) -> State:
        """The squared distance is averaged, as `Conv` does it."""
        state, column = slabs.at(0), slabs.positions.columns.index(0)
        assert state.positions is not None
        positions = state.positions

        def own(values: Array) -> Array:
            return by_column(values, positions)[..., column, :]

        def mean(values: Array) -> Array:
            return values.mean(axis=1).mean(axis=1)

        q1, q2 = state.var1, positions.var2
        var1, var2 = mean(q1), mean(q2)
        root1, root2 = safe_sqrt(var1), safe_sqrt(var2)
        a = safe_ratio(root2, root1)
        a = jax.lax.stop_gradient(jnp.sqrt(jnp.where(a > 0, a, 1)))  # the result does not depend on it

        def distance(delta: Array) -> Array:
            root_a, one, other = a[:, None, None], safe_sqrt(q1), safe_sqrt(q2)
            far = mean(apart(lambda delta: (root_a * one - other / root_a) ** 2 / 2 + one * other * own(delta), delta))
            near = (a * root1 - root2 / a) ** 2 / 2
            return jnp.maximum(safe_ratio(far - near, root1 * root2), 0)

        anti = None if state.anti is None else distance(state.anti)
        ntk = None if state.ntk is None else mean(apart(own, state.ntk))
        return State(var1, var2, distance(state.delta), anti, ntk)
