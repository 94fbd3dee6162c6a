"""Plans: how a matrix is cut. Pure data, so that the same blocks can be run, stored, resumed or sent elsewhere.

A *tile* is one call of the compiled function; a *block* is a rectangle of tiles, the unit of storing, resuming,
distributing and progress.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np

# The longest side of a tile of rows: on a CPU its arrays must stay in cache (freshly mapped pages cost more than the
# arithmetic). Measured: 384 to 768 rows alike in float32, half as fast at 1024 and more; but mirroring a tile of 512
# takes three times as long as one of 480: entries a power of two apart share a place in cache. Other devices
# want more work a call; 2048 is no measurement.
LONGEST_SIDE = {"cpu": 480}
LONGEST_SIDE_ELSEWHERE = 2048
# What a tile may need on a CPU, so that it stays in cache. Measured: gelu in float64 (52 MB at 480 rows) is 1.7 times
# faster with 256 rows; with 12 MB fully connected kernels are as fast as with 32, convolutional ones twice as fast.
COMFORTABLE_BYTES = 12e6
# Sides are multiples of this (or SHORTEST_SIDE), so that few distinct shapes are compiled:
# compiling takes longer than padding costs.
SIDE_STEP = 64
SHORTEST_SIDE = 32
# Tiles are taken in squares of so many a side, whose rows stay on the devices.
TILES_A_SQUARE_SIDE = 8
# What a stored or distributed block aims at: seconds of work, and no side shorter than this (64 kB in float32).
BLOCK_SECONDS = 20.0
SHORTEST_BLOCK_SIDE = 128


@dataclass(frozen=True)
class Rectangle:
    """Rows `top:bottom` and columns `left:right` of a matrix."""

    top: int
    bottom: int
    left: int
    right: int

    @property
    def rows(self) -> slice:
        return slice(self.top, self.bottom)

    @property
    def columns(self) -> slice:
        return slice(self.left, self.right)

    @property
    def shape(self) -> tuple[int, int]:
        return self.bottom - self.top, self.right - self.left

    def inside(self, outer: Rectangle) -> Rectangle:
        """The same as counted from the first row and column of another."""
        return Rectangle(self.top - outer.top, self.bottom - outer.top, self.left - outer.left, self.right - outer.left)

    def cut(self, height: int, width: int, *, upper: bool) -> Iterator[Rectangle]:
        """Smaller rectangles, ragged at the end; with `upper` only those that reach the diagonal or lie above it."""
        for top in range(self.top, self.bottom, height):
            for left in range(self.left, self.right, width):
                part = Rectangle(top, min(top + height, self.bottom), left, min(left + width, self.right))
                if not upper or part.right > part.top:
                    yield part


@dataclass(frozen=True, repr=False)
class Plan:
    """How an (n, m) matrix is computed. Its repr is a summary to read.

    Attributes
    ----------
    shape : (n, m)
    tile : (height, width)
        Rows and columns of one call; ragged edges are padded to it.
    block : (height, width)
        Multiples of the tile's.
    symmetric : bool
        The matrix is symmetric: tiles and blocks are square, and those below the diagonal are mirrored.
    dtype : numpy.dtype
        Of the matrix.
    tile_bytes : int
        What the tiles in flight need, all together.
    seconds_a_tile : float
        Measured, divided by how many run at a time; NaN where nobody asked.
    n_stored : int
        Blocks that the store holds already.
    """

    shape: tuple[int, int]
    tile: tuple[int, int]
    block: tuple[int, int]
    symmetric: bool
    dtype: np.dtype
    tile_bytes: int = 0
    seconds_a_tile: float = math.nan
    n_stored: int = 0

    @property
    def whole(self) -> Rectangle:
        return Rectangle(0, self.shape[0], 0, self.shape[1])

    def blocks(self) -> list[Rectangle]:
        """The blocks, in order."""
        return list(self.whole.cut(*self.block, upper=self.symmetric))

    def tiles(self, block: Rectangle) -> list[Rectangle]:
        """The tiles of a block, ragged ones with the size of what is there; neighbours follow each other."""
        height, width = (side * TILES_A_SQUARE_SIDE for side in self.tile)
        squares = block.cut(height, width, upper=self.symmetric)
        return [tile for square in squares for tile in square.cut(*self.tile, upper=self.symmetric)]

    @property
    def n_tiles(self) -> int:
        n_rows, n_columns = (-(-size // side) for size, side in zip(self.shape, self.tile, strict=True))
        return n_rows * (n_rows + 1) // 2 if self.symmetric else n_rows * n_columns

    @property
    def seconds(self) -> float:
        """Estimate of the time of all tiles, without compilation."""
        return self.n_tiles * self.seconds_a_tile

    def __repr__(self) -> str:
        (n, m), n_blocks = self.shape, len(self.blocks())
        size = n * m * self.dtype.itemsize
        lines = [
            f"{n} x {m} {self.dtype}, {format_bytes(size)}" + (", symmetric" if self.symmetric else ""),
            f"tiles:  {self.tile[0]} x {self.tile[1]}, {self.n_tiles} of them",
            f"blocks: {self.block[0]} x {self.block[1]}, {n_blocks} of them"
            + (f", {self.n_stored} stored already" if self.n_stored else ""),
            f"memory: {format_bytes(self.tile_bytes)} for tiles in flight",
        ]
        if not math.isnan(self.seconds_a_tile):
            lines.append(f"time:   about {format_seconds(self.seconds * (1 - self.n_stored / n_blocks))}")
        return "\n".join(lines)

    def with_blocks(self, budget: int, *, n_workers: int = 1) -> Plan:
        """The same with blocks to store or to send: 20 seconds of work, within a budget of bytes, and 4 a worker.

        Parameters
        ----------
        budget : int
            Bytes for one block.
        n_workers : int
            How many share the work.
        """
        by_time = math.sqrt(BLOCK_SECONDS / max(self.seconds_a_tile, 1e-9))
        by_memory = math.sqrt(budget / (self.tile[0] * self.tile[1] * self.dtype.itemsize))
        by_workers = math.sqrt(self.n_tiles / (4 * n_workers)) if n_workers > 1 else math.inf
        at_least = min(SHORTEST_BLOCK_SIDE / side for side in self.tile)
        count = max(1, math.floor(min(by_memory, max(at_least, min(by_time, by_workers)))))
        sides = []
        for size, side in zip(self.shape, self.tile, strict=True):
            n_tiles = -(-size // side)
            sides.append(side * -(-n_tiles // -(-n_tiles // count)))  # cut evenly: chunks are stored whole
        return replace(self, block=(sides[0], sides[1]))


def make_plan(
    shape: tuple[int, int],
    *,
    symmetric: bool,
    budget: int,
    needed_bytes: Callable[[tuple[int, int]], tuple[int, int]],
    dtype: np.dtype,
    longest: int = LONGEST_SIDE["cpu"],
    comfortable: float = math.inf,
) -> Plan:
    """The plan with the largest tiles that fit the budget, and the cache if they can.

    Parameters
    ----------
    shape : (n, m)
    symmetric : bool
        Whether n = m and tiles below the diagonal are left out.
    budget : int
        Bytes for tiles in flight; the result is not counted.
    needed_bytes : callable
        Bytes that all tiles in flight of a shape need, and how many of them they work in.
    dtype : numpy.dtype
        Of the matrix.
    longest : int
        The longest side of a tile.
    comfortable : float
        Bytes for tiles in flight to work in, which only tiles of one pair may exceed.

    Returns
    -------
    Plan
        Tiles of equal shape.

    Raises
    ------
    MemoryError
        If the budget is too small even for tiles of a single pair.
    """
    while True:
        height, width = (_side(size, longest) for size in shape)
        if symmetric:
            height = width = max(height, width)
        needed, worked_in = needed_bytes((height, width))
        if needed <= budget and (worked_in <= comfortable or longest == 1):
            block = (height * TILES_A_SQUARE_SIDE, width * TILES_A_SQUARE_SIDE)
            return Plan(shape, (height, width), block, symmetric, dtype, needed)
        if longest == 1:
            raise MemoryError(
                f"memory={budget} bytes is too little: tiles of one pair of inputs need {needed} bytes, all that are "
                f"in flight together. Raise memory= to at least {needed}."
            )
        # what a tile needs grows with its area: go on where that fits, without compiling everything in between
        fitting = longest * math.sqrt(min(budget / needed, comfortable / worked_in))
        longest = max(1, min(longest // 2, 2 ** math.floor(math.log2(max(fitting, 1)))))


def _side(size: int, longest: int) -> int:
    """A tile's side: `size` cut evenly into parts no longer than `longest`, rounded up to few distinct values."""
    even = math.ceil(size / math.ceil(size / longest))
    if longest <= 2 * SIDE_STEP:  # such pairs take long
        step = min(max(1, longest // 4), 2 ** math.ceil(math.log2(even)))
    else:
        step = SHORTEST_SIDE if even <= SHORTEST_SIDE else SIDE_STEP
    return min(longest, math.ceil(even / step) * step)


def format_bytes(count: float) -> str:
    """A number of bytes with its unit."""
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.3g} {unit}"
        count /= 1000
    return f"{count:.3g} TB"


def format_seconds(seconds: float) -> str:
    """A time with its unit."""
    for unit, length in (("days", 86400.0), ("hours", 3600.0), ("minutes", 60.0)):
        if seconds >= 2 * length:
            return f"{seconds / length:.2g} {unit}"
    return f"{seconds:.2g} seconds"
