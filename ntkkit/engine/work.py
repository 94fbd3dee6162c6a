"""The work of one matrix: its tiles on the devices, and the parts of a result that they are written to."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Hashable, Iterator, Sequence
from typing import Any, NamedTuple, Protocol

import jax
import numpy as np
from jax import Array

from ntkkit.engine.compile import Job
from ntkkit.engine.plan import Plan, Rectangle
from ntkkit.engine.workers import ROWS_KEPT, THREADS_A_DEVICE, Rows, Workers
from ntkkit.kernels.base import Kernel
from ntkkit.kernels.inputs import result_dtype

# A tile that takes longer than this is timed alone, shorter ones in company.
LONG_TILE_SECONDS = 0.5


class Work:
    """A matrix to be evaluated: a tile function, its kernel and its inputs; Y=None where it is symmetric.

    Parameters
    ----------
    function : callable
        ``function(kernel, X, Y, same=..., **static)``, pure jax, (height, d), (width, d) -> (*lead, height, width).
    kernel : Kernel
    X, Y : ndarray
        Checked inputs.
    lead : tuple of int
        The result's dimensions in front of (n, m).
    static : dict
    """

    def __init__(
        self,
        function: Callable[..., Array],
        kernel: Kernel,
        X: np.ndarray,
        Y: np.ndarray | None,
        *,
        lead: tuple[int, ...] = (),
        static: dict[str, Hashable] | None = None,
    ) -> None:
        self.function, self.kernel, self.X, self.Y, self.lead, self.static = function, kernel, X, Y, lead, static or {}
        self.job = Job(function, kernel, result_dtype(X, X if Y is None else Y), self.static)
        self.shape = (len(X), len(X if Y is None else Y))

    def __reduce__(self) -> Any:
        return _rebuilt, (self.function, self.kernel, self.X, self.Y, self.lead, self.static)

    def bytes_in_flight(
        self, tile: tuple[int, int], devices: Sequence[jax.Device], *, operand: bool = False
    ) -> tuple[int, int]:
        """What the tiles in flight on one memory need, all devices' on a CPU, and what of it they work in."""
        sides = self.X, self.X if self.Y is None else self.Y
        shapes = [(length, *side.shape[1:]) for length, side in zip(tile, sides, strict=True)]
        same = self.kernel.reads_same and self.Y is None and tile[0] >= len(self.X)
        executable = self.job.executable(*shapes, *[tile] * operand, device=devices[0], same=same)
        rows = ROWS_KEPT * sum(int(np.prod(shape)) for shape in shapes) * self.job.dtype.itemsize
        needed = THREADS_A_DEVICE * executable.bytes + min(rows, self.X.nbytes)
        worked_in = THREADS_A_DEVICE * (executable.bytes - executable.argument_bytes)
        return _sharing(devices) * needed, _sharing(devices) * worked_in

    @staticmethod
    def in_flight(tile_bytes: float, devices: Sequence[jax.Device]) -> float:
        """Bytes of all tiles in flight that need so many on a CPU's cache; no bound elsewhere."""
        return _sharing(devices) * THREADS_A_DEVICE * tile_bytes if devices[0].platform == "cpu" else math.inf

    def bytes_of_diagonal(self, length: int, devices: Sequence[jax.Device]) -> int:
        """What calls of so many rows need, where the function is one of a diagonal."""
        executable = self.job.executable((length, *self.X.shape[1:]), device=devices[0])
        return _sharing(devices) * THREADS_A_DEVICE * executable.bytes


def _sharing(devices: Sequence[jax.Device]) -> int:
    """How many of the devices share a memory."""
    return len(devices) if devices[0].platform == "cpu" else 1


def _rebuilt(function: Any, kernel: Any, X: Any, Y: Any, lead: Any, static: Any) -> Work:
    return Work(function, kernel, X, Y, lead=lead, static=static)


class Tiles:
    """The tiles of a work's matrix under a plan, on any device.

    Parameters
    ----------
    work : Work
    plan : Plan
    n_devices : int
    keep_columns : int, optional
        How many tiles' worth of rows of Y stay on each device.
    """

    def __init__(self, work: Work, plan: Plan, *, n_devices: int, keep_columns: int = ROWS_KEPT) -> None:
        self.work, self.plan = work, plan
        (height, width), (n_rows, n_columns) = plan.tile, plan.block
        self.row_order = self.column_order = _by_length(work.kernel, work.X, n_rows)
        self.rows = Rows(work.job, _taken(work.X, self.row_order), height, keep=ROWS_KEPT * n_devices)
        self.columns = self.rows
        if work.Y is not None:
            self.column_order = _by_length(work.kernel, work.Y, n_columns)
            taken = _taken(work.Y, self.column_order)
            self.columns = Rows(work.job, taken, width, keep=keep_columns * n_devices)

    def __call__(self, device: jax.Device, place: Rectangle) -> np.ndarray:
        """One tile, of the size of what is there."""
        height, width = place.shape
        return self.whole(device, place)[..., :height, :width]

    def entries(self, place: Rectangle, outer: Rectangle) -> tuple[Any, Any]:
        """Where the rows and columns of a tile are, counted from the first ones of what holds it."""
        if self.row_order is None and self.column_order is None:
            inside = place.inside(outer)
            return inside.rows, inside.columns
        rows, columns = _places(self.row_order, place.rows), _places(self.column_order, place.columns)
        return (rows - outer.top)[:, None], columns - outer.left

    def whole(self, device: jax.Device, place: Rectangle, *operands: Array) -> np.ndarray:
        """What the function returns for a tile of full size and its operands."""
        same = self.work.kernel.reads_same and self.plan.symmetric and place.top == place.left
        rows, columns = self.rows.on(device, place.top), self.columns.on(device, place.left)
        return self.work.job(device, rows, columns, *operands, same=same)

    def seconds_each(self, devices: Sequence[jax.Device]) -> float:
        """Measure what a tile takes, divided by how many run at a time."""
        place = self.plan.tiles(self.plan.blocks()[0])[-1]
        self(devices[0], place)  # compiles
        start = time.perf_counter()
        self(devices[0], place)
        alone = time.perf_counter() - start
        if alone > LONG_TILE_SECONDS:
            return alone / len(devices)
        with Workers(devices) as workers:
            list(workers.map(self, [place] * workers.count))
            start, n_tiles = time.perf_counter(), 4 * workers.count
            list(workers.map(self, [place] * n_tiles))
        return (time.perf_counter() - start) / n_tiles


def _by_length(kernel: Kernel, X: np.ndarray, group: int) -> np.ndarray | None:
    """An order of inputs in which those of a tile are alike in length, and each stays in its group of consecutive ones.

    None where lengths are all the same.
    """
    lengths = kernel.lengths(X)
    if lengths is None or (lengths == lengths[0]).all():
        return None
    return np.lexsort((lengths, np.arange(len(X)) // group))


def _places(order: np.ndarray | None, part: slice) -> np.ndarray:
    """Where a part of the ordered inputs is among all."""
    return np.arange(part.start, part.stop) if order is None else order[part]


def _taken(X: np.ndarray, order: np.ndarray | None) -> np.ndarray:
    return X if order is None else X[order]


class Part(NamedTuple):
    """Where a block's entries are written.

    Attributes
    ----------
    here : ndarray of shape (*lead, height, width)
    mirror : ndarray of shape (*lead, width, height) or None
        Where the transposed tiles of a symmetric matrix go.
    """

    here: np.ndarray
    mirror: np.ndarray | None


class Target(Protocol):
    """A result that blocks are written to."""

    def open(self, block: Rectangle) -> Part:
        """Return where the block's tiles go."""

    def close(self, block: Rectangle, part: Part) -> None:
        """Take note that all are there."""


class InMemory:
    """A whole matrix in memory."""

    def __init__(self, result: np.ndarray, *, symmetric: bool) -> None:
        self.result, self.symmetric = result, symmetric

    def open(self, block: Rectangle) -> Part:
        here = self.result[..., block.rows, block.columns]
        return Part(here, self.result[..., block.columns, block.rows] if self.symmetric else None)

    def close(self, block: Rectangle, part: Part) -> None:
        """Nothing is left to do."""


Item = tuple[Rectangle, Part, Rectangle, bool]  # a block, where it goes, one of its tiles, whether it is the last


def buffer(plan: Plan, block: Rectangle, *, lead: tuple[int, ...] = ()) -> Part:
    """A block by itself; on the diagonal of a symmetric matrix it is its own mirror image."""
    here = np.empty((*lead, *block.shape), plan.dtype)
    return Part(here, here if plan.symmetric and block.top == block.left else None)


def evaluate_blocks(
    work: Work,
    plan: Plan,
    blocks: Sequence[Rectangle],
    target: Target,
    *,
    devices: Sequence[jax.Device],
    step: Callable[[int], None] = lambda n: None,
) -> None:
    """Evaluate blocks, tile by tile on all devices, into a target; `step` is called after each."""
    evaluate = Tiles(work, plan, n_devices=len(devices))

    def items() -> Iterator[Item]:
        for block in blocks:
            part, tiles = target.open(block), plan.tiles(block)
            yield from ((block, part, tile, tile is tiles[-1]) for tile in tiles)

    def run(device: jax.Device, item: Item) -> Item:
        block, part, place, _ = item
        tile, (rows, columns) = evaluate(device, place), evaluate.entries(place, block)
        transposed = np.swapaxes(tile, -1, -2)
        if plan.symmetric and place.top == place.left:  # here and not in the tile, where XLA would compute all twice
            tile = transposed = (tile + transposed) / 2
        part.here[..., rows, columns] = tile
        if part.mirror is not None:
            mirrored = (columns, rows) if isinstance(rows, slice) else (columns[:, None], rows.T)
            part.mirror[..., *mirrored] = transposed
        return item

    with Workers(devices) as workers:
        for block, part, _, last in workers.map(run, items()):
            if last:
                target.close(block, part)
                step(1)
