"""Where the matrix of a work goes: into memory or a store, from this machine's devices or a cluster."""

from __future__ import annotations

import logging
import math
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import jax
import numpy as np

from ntkkit.engine.fingerprint import describe_matrix
from ntkkit.engine.memory import check_available, parse_memory
from ntkkit.engine.plan import (
    COMFORTABLE_BYTES,
    LONGEST_SIDE,
    LONGEST_SIDE_ELSEWHERE,
    SHORTEST_SIDE,
    Plan,
    Rectangle,
    make_plan,
)
from ntkkit.engine.progress import Progress, reporting
from ntkkit.engine.store import IntoStore, Store
from ntkkit.engine.work import InMemory, Target, Tiles, Work, evaluate_blocks

log = logging.getLogger("ntkkit")

# Rows of a diagonal that one call takes, where they fit the memory.
DIAGONAL_ROWS = 2048
# Where a kernel says what a cache holds, a matrix longer than this has two tiles a side at least, which cores share.
SHARED_SIDE = 32
# A block that is stored or sent exists in so many copies: evaluated, mirrored, encoded, and the next one.
COPIES_OF_A_BLOCK = 8


@dataclass(frozen=True)
class Means:
    """With what matrices are evaluated; parameters of `Engine`."""

    memory: int | str
    devices: Sequence[jax.Device]
    cluster: Any
    progress: Progress

    @property
    def budget(self) -> int:
        """Bytes for tiles in flight, and for blocks besides."""
        return parse_memory(self.memory, self.devices)

    def plan(self, work: Work, *, operand: bool = False, longest: int | None = None) -> Plan:
        """How the work is cut into tiles; `operand` says that each tile reads one of its size."""
        platform = self.devices[0].platform
        bounds = [LONGEST_SIDE.get(platform, LONGEST_SIDE_ELSEWHERE), longest]
        if platform == "cpu" and work.kernel.tile_side is not None:  # few pairs take long, too
            half = 2 ** math.ceil(math.log2(max(work.shape) / 2))
            bounds.append(min(work.kernel.tile_side, max(half, SHARED_SIDE)))
        return make_plan(
            work.shape,
            symmetric=work.Y is None,
            budget=self.budget,
            needed_bytes=lambda tile: work.bytes_in_flight(tile, self.devices, operand=operand),
            dtype=work.job.dtype,
            longest=min(bound for bound in bounds if bound is not None),
            comfortable=work.in_flight(COMFORTABLE_BYTES, self.devices) if work.kernel.works_in_cache else math.inf,
        )

    def diagonal_rows(self, work: Work) -> int:
        """How many rows of a diagonal one call takes.

        Raises
        ------
        MemoryError
            If the budget is too small for one.
        """
        length = DIAGONAL_ROWS if len(work.X) > SHORTEST_SIDE else SHORTEST_SIDE
        while (needed := work.bytes_of_diagonal(length, self.devices)) > self.budget:
            if length == 1:
                raise MemoryError(
                    f"memory={self.memory!r} is too little: the kernel of one input with itself needs {needed} bytes, "
                    f"all that are in flight together. Raise memory= to at least {needed}."
                )
            length = max(1, length // 8)
        return length

    def timed(self, work: Work, plan: Plan) -> Plan:
        """Add the time of a tile to a plan, measured here."""
        tiles = Tiles(work, plan, n_devices=len(self.devices))
        return replace(plan, seconds_a_tile=tiles.seconds_each(self.devices))

    def in_large_blocks(self, work: Work, plan: Plan) -> Plan:
        """The plan with its time, and with blocks that are worth storing or sending."""
        n_workers = 1
        if self.cluster is not None:
            from ntkkit.engine.cluster import n_threads

            n_workers = n_threads(self.cluster)
        n_copies = COPIES_OF_A_BLOCK * int(np.prod(work.lead, dtype=int))
        return self.timed(work, plan).with_blocks(self.budget // n_copies, n_workers=n_workers)

    def run(
        self, work: Work, plan: Plan, blocks: Sequence[Rectangle], target: Target, *, store: Store | None = None
    ) -> None:
        """Evaluate blocks of a plan into a target; with a store, workers of a cluster write to it themselves."""
        total = len(plan.blocks())
        with reporting(self.progress, total, unit="block", done=total - len(blocks)) as step:
            if self.cluster is None:
                evaluate_blocks(work, plan, blocks, target, devices=self.devices, step=step)
                return
            from ntkkit.engine.cluster import evaluate_on_cluster

            sink = None if store is None else store.write
            evaluate_on_cluster(self.cluster, work, plan, blocks, target, sink=sink, step=step)

    def in_memory(self, work: Work) -> np.ndarray:
        """The matrix, (*lead, n, m)."""
        plan = self.plan(work)
        check_available((*work.lead, *plan.shape), plan.dtype)
        result = np.empty((*work.lead, *plan.shape), plan.dtype)
        if self.cluster is not None:
            plan = self.in_large_blocks(work, plan)
        self.run(work, plan, plan.blocks(), InMemory(result, symmetric=plan.symmetric))
        return result

    def stored(self, work: Work, path: str | os.PathLike[str], *, wait: bool = False) -> Any:
        """The matrix as a Zarr array; blocks that are in the store already are not evaluated again.

        With `wait`, not while another process or thread is writing there.
        """
        store, description = Store(path), _description(work)
        block = store.block(description)
        missing = None
        if block is not None and not (missing := store.missing(_chunks(work, block))):
            return store.array()
        with store.locked(wait=wait):
            seen, block = block, store.block(description)
            if block != seen:  # another process has begun, or removed it, meanwhile
                missing = None
            if block is None:
                plan = self.in_large_blocks(work, self.plan(work))
                store.create(plan)
            else:
                plan = self._resumed(work, block)
            missing = store.missing(plan, missing)
            store.clear(missing, plan)
            n_blocks = len(plan.blocks())
            log.info("%d of %d blocks are in store=%r", n_blocks - len(missing), n_blocks, str(store.path))
            with IntoStore(store, plan) as target:
                self.run(work, plan, missing, target, store=store)
        return store.array()

    def outlook(self, work: Work, path: str | os.PathLike[str] | None) -> Plan:
        """What would be done, and about how long it would take."""
        if path is not None and (block := Store(path).block(_description(work))) is not None:
            plan = self._resumed(work, block)
            n_stored = len(plan.blocks()) - len(Store(path).missing(plan))
            return replace(self.timed(work, plan), n_stored=n_stored)
        plan = self.plan(work)
        return self.timed(work, plan) if path is None and self.cluster is None else self.in_large_blocks(work, plan)

    def _resumed(self, work: Work, block: tuple[int, int]) -> Plan:
        """The plan for blocks of a shape that was chosen before, maybe with other memory."""
        return replace(self.plan(work, longest=max(block)), block=block)


def _description(work: Work) -> dict[str, Any]:
    return describe_matrix(work.kernel, work.X, work.Y, work.job.dtype)


def _chunks(work: Work, block: tuple[int, int]) -> Plan:
    """The blocks of a store, whatever the tiles."""
    return Plan(work.shape, block, block, work.Y is None, work.job.dtype)
