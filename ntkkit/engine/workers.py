"""Threads that keep devices busy, and the rows that these hold."""

from __future__ import annotations

import functools
import queue
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Self, TypeVar

import jax
import numpy as np

from ntkkit.engine.compile import Job
from ntkkit.engine.plan import TILES_A_SQUARE_SIDE

Item = TypeVar("Item")
Result = TypeVar("Result")

# Threads a device: its next tile waits while the last one's result is copied. On two cores 3 were 15% faster than 2.
THREADS_A_DEVICE = 3
# Pieces of rows that stay on a device: those of a square of tiles, its columns, and of what comes next.
ROWS_KEPT = 3 * TILES_A_SQUARE_SIDE


class Workers:
    """Threads, some for each device, that take work from one queue: a faster device takes more of it."""

    def __init__(self, devices: Sequence[jax.Device]) -> None:
        self.count = THREADS_A_DEVICE * len(devices)
        self._free: queue.SimpleQueue[jax.Device] = queue.SimpleQueue()
        for device in list(devices) * THREADS_A_DEVICE:  # neighbours differ: few items are shared among all
            self._free.put(device)
        self._mine = threading.local()

    def __enter__(self) -> Self:
        self._pool = ThreadPoolExecutor(self.count, initializer=self._start)
        return self

    def __exit__(self, *error: object) -> None:
        self._pool.shutdown(cancel_futures=True)

    def _start(self) -> None:
        self._mine.device = self._free.get()

    def map(self, function: Callable[[jax.Device, Item], Result], items: Iterable[Item]) -> Iterator[Result]:
        """``function(device, item)`` of every item, in their order; few are under way at a time."""
        running: deque[Future[Result]] = deque()
        for item in items:
            running.append(self._pool.submit(self._run, function, item))
            if len(running) > self.count:  # one finished result may wait to be taken
                yield running.popleft().result()
        while running:
            yield running.popleft().result()

    def _run(self, function: Callable[[jax.Device, Item], Result], item: Item) -> Result:
        return function(self._mine.device, item)


class Rows:
    """Consecutive rows of an array on devices, padded to one length; the last ones that were asked for stay there.

    Parameters
    ----------
    job : Job
        Whose dtype they have.
    X : ndarray
    length : int
        Rows of one piece.
    keep : int
        Pieces that stay.
    """

    def __init__(self, job: Job, X: np.ndarray, length: int, *, keep: int) -> None:
        def put(device: Any, start: int) -> jax.Array:
            return job.on_device(X[start : start + length], length, device)

        self._kept = functools.lru_cache(maxsize=keep)(put)  # of no method: a cycle would keep the arrays for long

    def on(self, device: jax.Device, start: int) -> jax.Array:
        """The piece that begins at row `start`."""
        return self._kept(device, start)
