"""The same blocks on other machines, by Dask distributed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import chain, islice
from typing import Any

import jax
import numpy as np

from ntkkit.engine.plan import Plan, Rectangle
from ntkkit.engine.work import Part, Target, Work, buffer, evaluate_blocks

Sink = Callable[[Rectangle, np.ndarray, Plan], None]
# Blocks that wait for each thread of the cluster, so that none is idle; results of so many are on their way, too.
BLOCKS_AHEAD = 2


def n_threads(client: Any) -> int:
    """How many threads the cluster has.

    Raises
    ------
    RuntimeError
        If it has no worker.
    """
    count = sum(client.nthreads().values())
    if not count:
        raise RuntimeError(f"cluster={client!r} has no worker: start some, or client.wait_for_workers(1).")
    return count


def evaluate_on_cluster(
    client: Any,
    work: Work,
    plan: Plan,
    blocks: Sequence[Rectangle],
    target: Target,
    *,
    sink: Sink | None,
    step: Callable[[int], None],
) -> None:
    """Evaluate blocks on the workers of a cluster; blocks of a worker that is lost go to another.

    Parameters
    ----------
    client : distributed.Client
    work : Work
        Sent to each worker once.
    plan : Plan
    blocks : sequence of Rectangle
    target : Target
        Where blocks are gathered, unless there is a sink.
    sink : callable, optional
        ``sink(block, values, plan)``, called by the worker in place of sending a block back.
    step : callable
        Called after each block.
    """
    from distributed import CancelledError, as_completed

    shared = client.scatter(work, broadcast=True, hash=False)
    waiting: Iterator[Rectangle] = iter(blocks)
    places: dict[Any, Rectangle] = {}

    def submit(count: int) -> Iterator[Any]:  # reads what `shared` and `waiting` are by then
        for block in islice(waiting, count):
            future = client.submit(_evaluate, shared, plan, block, sink, pure=False)
            places[future] = block
            yield future

    running = as_completed(submit(BLOCKS_AHEAD * n_threads(client)))
    try:
        for future in running:
            block = places.pop(future)
            try:
                values = future.result()
            except CancelledError:  # the data went with the worker: they are sent again, and the block is done anew
                shared = client.scatter(work, broadcast=True, hash=False)
                waiting = chain([block], waiting)
                running.update(submit(1))
                continue
            for following in submit(1):
                running.add(following)
            if sink is None:
                part = target.open(block)
                part.here[...] = values
                if part.mirror is not None:
                    part.mirror[...] = np.swapaxes(values, -1, -2)
                target.close(block, part)
            step(1)
    finally:
        client.cancel(list(places))  # after an error; a traceback that is kept would keep them going


class _Buffer:
    """One block by itself, as a target."""

    def __init__(self, part: Part) -> None:
        self.part = part

    def open(self, block: Rectangle) -> Part:
        return self.part

    def close(self, block: Rectangle, part: Part) -> None:
        pass


def _evaluate(work: Work, plan: Plan, block: Rectangle, sink: Sink | None) -> np.ndarray | None:
    """Evaluate a block on all devices of this worker."""
    part = buffer(plan, block, lead=work.lead)
    evaluate_blocks(work, plan, [block], _Buffer(part), devices=jax.local_devices())
    if sink is None:
        return part.here
    sink(block, part.here, plan)
    return None
