"""Arrays of numbers at positions: one image's laid beside another's, at some offset."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from ntkkit.networks.state import Positions, State


def rolled(values: Array, row: int | Array) -> Array:
    """Rows h + row, around the edge, at h: (k, H, W, m)."""
    if isinstance(row, int) and row == 0:
        return values
    return jax.lax.dynamic_slice_in_dim(jnp.concatenate([values, values], axis=1), row, values.shape[1], axis=1)


def beside(values: Sequence[Array], columns: Sequence[int]) -> Array:
    """Columns w + column, around the edge, of values[w] at w: (k, H, W, m) each -> (k, H, W, columns m)."""
    width = len(values)
    twice = {id(one): jnp.concatenate([one, one], axis=2) for one in values}
    steps = set(np.diff(columns).tolist()) or {1}
    parts = []
    for w, one in enumerate(values):
        if len(steps) == 1:  # slices are copied faster than gathered
            (step,) = steps
            part = twice[id(one)][:, :, w + columns[0] : w + columns[-1] + 1 : step]
        else:
            part = jnp.take(one, (w + np.array(columns)) % width, axis=2)
        parts.append(part.reshape(*part.shape[:2], -1))
    return jnp.stack(parts, axis=2)


def placed(values: Array, positions: Positions) -> Array:
    """Numbers of the other side's images, (k, H, W, m), beside the first's: (k, H, W, columns m)."""
    values = rolled(values, positions.row)
    return values if positions.columns == (0,) else beside([values] * positions.sizes[1], positions.columns)


def by_column(values: Array, positions: Positions) -> Array:
    """(..., columns m) -> (..., columns, m)."""
    return values.reshape(*values.shape[:-1], len(positions.columns), -1)


def itself(state: State) -> Array | None:
    """Where an image's position meets itself, in a state whose diagonal pairs are images with themselves."""
    positions = state.positions
    assert positions is not None
    if not (positions.own or positions.same) or 0 not in positions.columns:
        return None
    column = jnp.array(positions.columns) == 0
    if positions.aligned:
        pairs = column[None, None, None]
    else:
        n = state.delta.shape[0]
        pairs = (column[None, :, None] & jnp.eye(n, dtype=bool)[:, None]).reshape(n, 1, 1, -1)
    return pairs & (positions.row == 0)


def apart(function: Callable[..., Any], *arrays: Array) -> Any:
    """``function(*arrays)`` as arrays of their own: XLA evaluates anew, in all that reads it, what costs little.

    A shifted window reads its input as often as it has positions. The condition always holds, which XLA does not see;
    `jax.lax.optimization_barrier` did not help on a CPU.
    """
    holds = jnp.nan_to_num(arrays[0].ravel()[0]) < jnp.inf
    shapes = jax.eval_shape(function, *arrays)

    def never(*arrays: Array) -> Any:
        return jax.tree.map(lambda part: jnp.zeros(part.shape, part.dtype), shapes)

    return jax.lax.cond(holds, function, never, *arrays)
