"""Plans: how a matrix is cut. Pure data, so that the same blocks can be run, stored, resumed or sent elsewhere.

A *tile* is one call of the compiled function; a *block* is a rectangle of tiles, the unit of progress.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass

# The longest side of a tile of rows: on a CPU its arrays must stay in cache (freshly mapped pages cost more than the
# arithmetic). Measured: 384 to 768 rows alike in float32, half as fast at 1024 and more.
LONGEST_SIDE = 512
# Sides are multiples of this (or SHORTEST_SIDE), so that few distinct shapes are compiled:
# compiling takes longer than padding costs.
SIDE_STEP = 64
SHORTEST_SIDE = 32
TILES_A_BLOCK_SIDE = 8


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

    def cut(self, height: int, width: int, *, upper: bool) -> Iterator[Rectangle]:
        """Smaller rectangles, ragged at the end; with `upper` only those that reach the diagonal or lie above it."""
        for top in range(self.top, self.bottom, height):
            for left in range(self.left, self.right, width):
                part = Rectangle(top, min(top + height, self.bottom), left, min(left + width, self.right))
                if not upper or part.right > part.top:
                    yield part


@dataclass(frozen=True)
class Plan:
    """How an (n, m) matrix is computed.

    Attributes
    ----------
    shape : (n, m)
    tile : (height, width)
        Rows and columns of one call; ragged edges are padded to it.
    symmetric : bool
        The matrix is symmetric: tiles are square, and those below the diagonal are mirrored.
    """

    shape: tuple[int, int]
    tile: tuple[int, int]
    symmetric: bool

    def blocks(self) -> list[Rectangle]:
        """The blocks, in order."""
        height, width = (side * TILES_A_BLOCK_SIDE for side in self.tile)
        return list(Rectangle(0, self.shape[0], 0, self.shape[1]).cut(height, width, upper=self.symmetric))

    def tiles(self, block: Rectangle) -> list[Rectangle]:
        """The tiles of a block, ragged ones with the size of what is there."""
        return list(block.cut(*self.tile, upper=self.symmetric))


def make_plan(
    shape: tuple[int, int],
    *,
    symmetric: bool,
    budget: int,
    tile_bytes: Callable[[tuple[int, int]], int],
    workers: int = 1,
) -> Plan:
    """The plan with the largest cache-sized tiles of which `workers` fit the budget.

    Parameters
    ----------
    shape : (n, m)
    symmetric : bool
        Whether n = m and tiles below the diagonal are left out.
    budget : int
        Bytes for tiles in flight; the result is not counted.
    tile_bytes : callable
        Bytes that one call of a tile of a shape needs.
    workers : int
        Tiles in flight at a time.

    Raises
    ------
    MemoryError
        If even a single pair does not fit.
    """
    longest = LONGEST_SIDE
    while True:
        height, width = (_side(size, longest) for size in shape)
        if symmetric:
            height = width = max(height, width)
        needed = tile_bytes((height, width)) * workers
        if needed <= budget:
            return Plan(shape, (height, width), symmetric)
        if longest == 1:
            raise MemoryError(
                f"memory={budget} bytes is too little: one pair of inputs needs {needed} bytes ({workers} at a time). "
                f"Raise memory= to at least {needed}."
            )
        # what a tile needs grows with its area: go on where that fits, without compiling everything in between
        fitting = longest * math.sqrt(budget / needed)
        longest = max(1, min(longest // 2, 2 ** math.floor(math.log2(max(fitting, 1)))))


def _side(size: int, longest: int) -> int:
    """A tile's side: `size` cut evenly into parts no longer than `longest`, rounded up to few distinct values."""
    even = math.ceil(size / math.ceil(size / longest))
    return min(longest, SHORTEST_SIDE if even <= SHORTEST_SIDE else math.ceil(even / SIDE_STEP) * SIDE_STEP)


def parse_memory(memory: int | str) -> int:
    """A memory budget in bytes: an int, "500MB", "2 GB", "1GiB", or "auto", a quarter of what is available.

    Raises
    ------
    ValueError
        For anything else, or a budget that is not positive.
    """
    if isinstance(memory, str) and memory == "auto":
        return available_memory() // 4
    if isinstance(memory, str):
        return _parse_size(memory)
    if isinstance(memory, bool) or not isinstance(memory, int) or memory <= 0:
        raise ValueError(
            f"memory must be 'auto', a size such as '2GB', or a positive number of bytes, found {memory!r}."
        )
    return memory


def _parse_size(text: str) -> int:
    units = {"B": 1}
    for power, letter in enumerate("KMGT", start=1):
        units.update({f"{letter}B": 1000**power, f"{letter}IB": 1024**power})
    number = text.strip().rstrip("KMGTIBkmgtib ")
    unit = text.strip()[len(number) :].strip().upper()
    try:
        size = float(number) * units[unit]
    except (ValueError, KeyError):
        size = math.nan
    if not 1 <= size < math.inf:
        raise ValueError(f"memory must be 'auto', a size such as '2GB', or a positive number of bytes, found {text!r}.")
    return int(size)


def available_memory() -> int:
    """Bytes that the machine can still give without swapping (all of its memory where it does not say)."""
    try:
        with open("/proc/meminfo", encoding="ascii") as lines:
            fields = dict(line.split(":", 1) for line in lines)
        return int(fields["MemAvailable"].split()[0]) * 1024
    except (OSError, KeyError, ValueError):
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
