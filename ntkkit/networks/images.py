"""Statistics of pairs of images: how a tile of them begins, and sums over windows of positions."""

from __future__ import annotations

import functools
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from ntkkit.networks.state import Positions, State, safe_ratio, safe_sqrt

PADDINGS = ("SAME", "VALID", "CIRCULAR")


def image_state(X: Array, Y: Array, *, same: bool, crossed: bool, within: bool) -> State:
    """State of a tile of pairs of images: (n, H, W, C), (m, H, W, C) -> (n, m, H, W) or, crossed, (n, m, H, W, H, W).

    Covariances are averages over channels. As in `tile_state`, angles are computed in float64.
    """
    dtype, n_axes = jnp.result_type(X, Y), X.ndim - 2
    (unit1, var1), (unit2, var2) = _directions(X), _directions(Y)
    axes = "hw"[:n_axes]
    other = "yx"[:n_axes] if crossed else axes
    pattern = f"n{axes}c,m{other}c->nm{axes}{other if crossed else ''}"
    correlation = jnp.einsum(pattern, unit1, unit2, precision=jax.lax.Precision.HIGHEST)
    if same:
        pairs = jnp.eye(len(X), dtype=bool).reshape(len(X), len(X), *[1] * (correlation.ndim - 2))
        correlation = jnp.where(pairs & same_position(X.shape[1:-1], crossed), 1, correlation)
    positions = Positions(n_axes, crossed, same=same)
    state = _state(correlation, *placed(var1[:, None], var2[None], n_axes, crossed), positions, dtype)
    if not within:
        return state
    return state._replace(positions=positions._replace(within=(own_state(X, (1,)), own_state(Y, (0,)))))


def own_state(X: Array, pair_axes: tuple[int, ...] = ()) -> State:
    """Crossed state of each image with itself: (n, H, W, C) -> (n, H, W, H, W), with axes of length 1 put in front."""
    unit, var = _directions(X)
    n_axes = X.ndim - 2
    axes, other = "hw"[:n_axes], "yx"[:n_axes]
    correlation = jnp.einsum(f"n{axes}c,n{other}c->n{axes}{other}", unit, unit, precision=jax.lax.Precision.HIGHEST)
    correlation = jnp.where(same_position(X.shape[1:-1], True), 1, correlation)
    correlation, var = jnp.expand_dims(correlation, pair_axes), jnp.expand_dims(var, pair_axes)
    positions = Positions(n_axes, True, own=True)
    return _state(correlation, *placed(var, var, n_axes, True), positions, X.dtype)


def image_diagonal(X: Array, *, crossed: bool) -> State:
    """State of each image with itself: (n, H, W, C) -> (n, H, W) or, crossed, (n, H, W, H, W)."""
    if crossed:
        return own_state(X)
    var = _directions(X)[1].astype(X.dtype)
    return State(var, var, jnp.zeros_like(var), positions=Positions(X.ndim - 2, False, own=True))


def _state(correlation: Array, var1: Array, var2: Array, positions: Positions, dtype: np.dtype) -> State:
    rounding = 4 * jnp.finfo(correlation.dtype).eps
    delta, anti = (jnp.where(distance <= rounding, 0, distance) for distance in (1 - correlation, 1 + correlation))
    var1, var2, delta, anti = (part.astype(dtype) for part in (var1, var2, delta, anti))
    return State(var1, var2, delta, anti, positions=positions)


def same_position(shape: Sequence[int], crossed: bool) -> Array:
    """Where a position meets itself: (H, W) -> (H, W, H, W), or everywhere where positions are not crossed."""
    if not crossed:
        return jnp.ones((), bool)
    size = int(np.prod(shape))
    return jnp.eye(size, dtype=bool).reshape(*shape, *shape)


def placed(var1: Array, var2: Array, n_axes: int, crossed: bool) -> tuple[Array, Array]:
    """Variances (..., H, W) on the axes of the positions of the first and of the second image."""
    if not crossed:
        return var1, var2
    ones = (1,) * n_axes
    return var1.reshape(*var1.shape, *ones), var2.reshape(*var2.shape[:-n_axes], *ones, *var2.shape[-n_axes:])


def _directions(X: Array) -> tuple[Array, Array]:
    """The vector of channels at each position over its length (zero where that is), and its mean square."""
    wide = X.astype(jax.dtypes.canonicalize_dtype(np.float64))
    squares = jnp.sum(wide * wide, axis=-1)
    return safe_ratio(wide, safe_sqrt(squares)[..., None]), squares / X.shape[-1]


# ---- windows


def own_diagonal(values: Array, n_axes: int) -> Array:
    """Entries of equal positions, (..., H, W, H, W) -> (..., H, W)."""
    size = int(np.prod(values.shape[-n_axes:]))
    shape = values.shape[: -2 * n_axes]
    return jnp.diagonal(values.reshape(*shape, size, size), axis1=-2, axis2=-1).reshape(*shape, *values.shape[-n_axes:])


def output_size(size: int, window: int, stride: int, padding: str) -> int:
    """Positions that are left of `size`."""
    return -(-size // stride) if padding != "VALID" else (size - window) // stride + 1


def border(size: int, window: int, stride: int, padding: str) -> tuple[int, int]:
    """Positions that are put before and behind `size`."""
    total = max((output_size(size, window, stride, padding) - 1) * stride + window - size, 0)
    return (0, 0) if padding == "VALID" else (total // 2, total - total // 2)


def padded(values: Array, pads: Sequence[tuple[int, int]], padding: str) -> Array:
    """Values with borders of zeros or, circular, of what is at the other end."""
    return jnp.pad(values, pads, mode="wrap" if padding == "CIRCULAR" else "constant")


def window_sum(values: Array, axes: Sequence[int], window: int, stride: int, padding: str) -> Array:
    """Sum over windows of positions, the same offset along all of the axes at a time; zero outside under SAME."""
    size = values.shape[axes[0]]
    n_out = output_size(size, window, stride, padding)
    pads = [(0, 0)] * values.ndim
    for axis in axes:
        pads[axis] = border(size, window, stride, padding)
    bordered = padded(values, pads, padding)

    def shifted(offset: int) -> Array:
        places = [slice(None)] * values.ndim
        for axis in axes:
            places[axis] = slice(offset, offset + (n_out - 1) * stride + 1, stride)
        return bordered[tuple(places)]

    return functools.reduce(jnp.add, map(shifted, range(window)))
