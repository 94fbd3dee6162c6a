"""What the windows of a convolution read of pairs of images."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import Array

from ntkkit.networks.images import border, padded
from ntkkit.networks.offsets import two
from ntkkit.networks.positions import beside, rolled
from ntkkit.networks.state import Positions


class Windows:
    """Averages over the windows of a convolution, as many as there are positions, at one offset d of two images."""

    def __init__(self, shape: Sequence[int], steps: Sequence[int], padding: str, positions: Positions) -> None:
        self.shape, self.padding, self.positions = two(shape), padding, positions
        sizes = zip(positions.sizes, self.shape, two(steps), strict=True)
        before = [border(*window, padding)[0] for window in sizes]
        self.shifts = [range(-low, size - low) for low, size in zip(before, self.shape, strict=True)]
        self.pads = [(low, size - 1 - low) for low, size in zip(before, self.shape, strict=True)]
        height, width = positions.sizes
        # whether position p + o is inside the first image, and p + d + o inside the second: (H,) or (W, columns)
        h, w = np.arange(height), np.arange(width)[:, None]
        beyond = (h + positions.row) % height, (w + np.array(positions.columns)) % width
        self.inside_rows = [[_inside(x + o, height) for x in (h, beyond[0])] for o in self.shifts[0]]
        self.inside_columns = [
            [_inside(x + o, width) for x in (np.broadcast_to(w, beyond[1].shape), beyond[1])] for o in self.shifts[1]
        ]
        circular = padding == "CIRCULAR"
        in_place = positions.columns == (0,) and isinstance(positions.row, int) and positions.row == 0
        self.masked = not (circular or in_place)

    def bordered(self, values: Array) -> Array:
        """With what windows read beyond the edges."""
        return padded(values, [(0, 0), *self.pads, (0, 0)], self.padding if self.padding == "CIRCULAR" else "SAME")

    def _reads(self, values: Array, i: int, j: int) -> Array:
        """What position (i, j) of every window reads, of bordered values."""
        height, width = self.positions.sizes
        return values[:, i : i + height, j : j + width]

    def alone(self, values: Array) -> Array:
        """Of numbers of single images, (k, H, W, m)."""
        values, (height, width) = self.bordered(values), self.shape
        total = sum(self._reads(values, i, j) for i in range(height) for j in range(width))
        return jnp.asarray(total) / (height * width)

    def pairs(self, values: Array) -> Array:
        """Of bordered numbers of pairs, (n, H, W, columns m), where both positions are inside."""
        total: Any = 0.0
        for i in range(self.shape[0]):
            row: Any = 0.0
            for j in range(self.shape[1]):
                part = self._reads(values, i, j)
                both = self.inside_columns[j][0] & self.inside_columns[j][1]
                row = row + (part * self._each(both, values.dtype) if self.masked and not both.all() else part)
            if self.masked and self.shifts[0][i] != 0:
                row = row * (self.inside_rows[i][0] & self.inside_rows[i][1]).astype(values.dtype)[:, None, None]
            total = total + row
        return jnp.asarray(total) / math.prod(self.shape)

    def _each(self, mask: np.ndarray, dtype: Any) -> np.ndarray:
        """(W, columns) -> (W, columns m)."""
        m = self.positions.var2.shape[-1]
        return np.repeat(mask, m, axis=1).astype(dtype)

    def outside_second(self, values: Array) -> list[Array]:
        """Of numbers of the first images, (n, H, W, 1), where the second's row is outside, or else its column."""
        values = self.bordered(values)
        inside = [jnp.asarray(mask[1]).astype(values.dtype)[:, None, None] for mask in self.inside_rows]
        shifts = range(self.shape[1])
        reads = [[self._reads(values, i, j) for j in shifts] for i in range(self.shape[0])]
        rows = sum((1 - inside[i]) * part for i, row in enumerate(reads) for part in row)
        columns = [sum(inside[i] * row[j] for i, row in enumerate(reads)) for j in shifts]
        return [jnp.asarray(part) / math.prod(self.shape) for part in (rows, *columns)]

    def at_columns(self, parts: Sequence[Array]) -> Array:
        """What `outside_second` gives, together: (n, H, W, columns m)."""
        total, *columns = parts
        for (_, inside), part in zip(self.inside_columns, columns, strict=True):
            if not inside.all():
                total = total + self._each(~inside, part.dtype) * part
        return total

    def outside_first(self, values: Array) -> Array:
        """Of numbers of the second images, (1, H, W, m), beside the first, where the first's position is outside."""
        values = self.bordered(values)
        inside = [jnp.asarray(mask[0]).astype(values.dtype)[:, None, None] for mask in self.inside_rows]
        reads = [
            [rolled(self._reads(values, i, j), self.positions.row) for j in range(self.shape[1])]
            for i in range(self.shape[0])
        ]
        everywhere = sum((1 - inside[i]) * part for i, row in enumerate(reads) for part in row)
        at_edges = [sum(inside[i] * row[j] for i, row in enumerate(reads)) for j in range(self.shape[1])]
        found: dict[tuple[int, ...], Array] = {}
        beside_each = []
        for w in range(self.positions.sizes[1]):
            out = tuple(j for j in range(self.shape[1]) if not self.inside_columns[j][0][w, 0])
            if out not in found:
                found[out] = jnp.asarray(sum((at_edges[j] for j in out), everywhere))
            beside_each.append(found[out])
        return beside(beside_each, self.positions.columns) / math.prod(self.shape)


def _inside(place: Any, size: int) -> Any:
    return (place >= 0) & (place < size)
