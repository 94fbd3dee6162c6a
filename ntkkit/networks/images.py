"""Pairs of images: how a tile of them begins, and sums over windows of positions."""

from __future__ import annotations

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from ntkkit.networks.offsets import Offsets
from ntkkit.networks.positions import apart, placed
from ntkkit.networks.propagation import Slabs
from ntkkit.networks.state import Positions, State, safe_ratio, safe_sqrt

PADDINGS = ("SAME", "VALID", "CIRCULAR")
MANY_CHANNELS = 8


def image_slabs(X: Array, Y: Array, offsets: Offsets, *, n_axes: int, same: bool) -> Slabs:
    """State of a tile of pairs of images: (n, H, W, C), (m, H, W, C), for some offsets of positions.

    Covariances are averages over channels. Distances are sums of squares of the differences of directions, which are
    rounded to the inputs' dtype: near duplicates keep their angle to its last digit.
    """
    (units1, var1), (units2, var2) = _directions(X), _directions(Y)
    units2, var2 = (jnp.moveaxis(part, 1, -1) for part in (units2, var2[None]))  # (C, H, W, m), (1, H, W, m)
    return _slabs(units1[..., None], units2[:, None], var1[..., None], var2, offsets, n_axes=n_axes, same=same)


def aligned_slabs(X: Array, offsets: Offsets, *, n_axes: int, own: bool) -> Slabs:
    """State of each image with itself, of one draw or of two."""
    units, var = (part[..., None] for part in _directions(X))
    return _slabs(units, units, var, var, offsets, n_axes=n_axes, aligned=True, own=own, same=not own)


def _slabs(
    units1: Array, units2: Array, var1: Array, var2: Array, offsets: Offsets, *, n_axes: int, **kind: bool
) -> Slabs:
    """From units (C, n, H, W, 1) and (C, 1, H, W, m)."""
    sizes = (units1.shape[2], units1.shape[3])
    rows, columns = offsets.around(sizes)
    positions = Positions(sizes, n_axes, 0, columns, var2, **kind)

    def at(row: int | Array) -> State:
        here = positions._replace(row=row)

        def distances(one: Array, other: Array) -> tuple[Array, Array]:
            other = apart(lambda x: placed(x, here), other)
            return (one - other) ** 2 / 2, (one + other) ** 2 / 2

        def add(i: int | Array, sums: tuple[Array, Array]) -> tuple[Array, Array]:
            near, far = distances(units1[i], units2[i])
            return sums[0] + near, sums[1] + far

        delta, anti = distances(units1[0], units2[0])
        if len(units1) <= MANY_CHANNELS:
            for i in range(1, len(units1)):
                delta, anti = add(i, (delta, anti))
        else:
            delta, anti = jax.lax.fori_loop(1, len(units1), add, (delta, anti))
        beside = placed(var2, here)
        both = (var1 > 0) & (beside > 0)  # a black pixel has no direction
        return State(var1, beside, jnp.where(both, delta, 1), jnp.where(both, anti, 1), positions=here)

    return Slabs(positions, rows, at)


def _directions(X: Array) -> tuple[Array, Array]:
    """The vector of channels at each position over its length (zero where that is), channels first; its mean square."""
    wide = X.astype(jax.dtypes.canonicalize_dtype(np.float64))
    squares = jnp.sum(wide * wide, axis=-1)
    units = safe_ratio(wide, safe_sqrt(squares)[..., None])
    return jnp.moveaxis(units, -1, 0).astype(X.dtype), (squares / X.shape[-1]).astype(X.dtype)


# ---- windows


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


def window_sum(values: Array, axis: int, window: int, stride: int, padding: str) -> Array:
    """Sum over windows of positions along an axis; zero outside under SAME."""
    size = values.shape[axis]
    n_out = output_size(size, window, stride, padding)
    pads = [(0, 0)] * values.ndim
    pads[axis] = border(size, window, stride, padding)
    bordered = padded(values, pads, padding)

    def shifted(offset: int) -> Array:
        return jax.lax.slice_in_dim(bordered, offset, offset + (n_out - 1) * stride + 1, stride, axis)

    return sum((shifted(offset) for offset in range(1, window)), shifted(0))
