"""Kernel matrices that many fits share: each evaluated once, and kept until the last fit that needs it has begun."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np
from sklearn.base import clone
from sklearn.pipeline import Pipeline

from ntkkit.engine import Cache, Engine
from ntkkit.engine.memory import parse_memory
from ntkkit.estimators._base import KernelMachine
from ntkkit.model_selection.blocks import Inputs, Matrices, Reader, or_raise
from ntkkit.model_selection.folds import Folds


class Front:
    """What the data pass before the machine: fitted to each training set once, and to nothing else.

    Parameters
    ----------
    steps : Pipeline or None
        None leaves the data as they are.
    """

    def __init__(self, steps: Pipeline | None) -> None:
        self.steps = steps
        self._lock = threading.Lock()
        self._fitted: dict[int, tuple[Any, Any]] = {}

    def fit(self, folds: Folds, rows: np.ndarray, y: Any, params: dict[str, Any]) -> tuple[Any, Any]:
        """The transformer that these training rows make, and what it makes of them in its fit."""
        if self.steps is None:
            return None, folds.data(rows)
        with self._lock:
            number = folds.number(rows)
            if number not in self._fitted:
                transformer = clone(self.steps)
                self._fitted[number] = transformer, transformer.fit_transform(folds.data(rows), y, **params)
            return self._fitted[number]


class Shared:
    """Kernels that differ in depth at most, behind one preparation of the data, and their matrices.

    A *place* is where matrices belong: 0 for all rows; or, where the preparation differs from training set to training
    set, or splits have few rows each, the number of the split. A matrix is evaluated when the first fit asks for it,
    with its deeper relatives as far as memory allows, and forgotten when the last fit has asked.

    Parameters
    ----------
    machine : estimator
        The kernel machine.
    front : Front
    """

    def __init__(self, machine: Any, front: Front) -> None:
        self.machine, self.front = machine, front
        self.kernels: list[Any] = []
        self.n_candidates: list[int] = []
        self.seconds = 0.0
        self._lock = threading.Lock()
        self._by_split: bool | None = None
        self._inputs: dict[int, Inputs] = {}
        self._kept: dict[tuple[int, int], Matrices | Exception] = {}
        self._asked: Counter[tuple[int, int]] = Counter()

    def remember_in(self, cache: Cache) -> None:
        """Keep matrices in a cache, unless the machine's engine has its own place for them."""
        if isinstance(self.machine, KernelMachine):
            self.machine = clone(self.machine).set_params(engine=_with_cache(self.machine.engine, cache))

    def share_of_time(self, folds: Folds) -> float:
        """Seconds of evaluation for each fit that took part."""
        return self.seconds / (sum(self.n_candidates) * len(folds.trains))

    def matrices(self, index: int, folds: Folds, rows: np.ndarray, y: Any, params: dict[str, Any]) -> Matrices:
        """The matrices of a kernel for a fit with these rows. `params` are what the preparation's fit takes."""
        with self._lock:
            if self._by_split is None:
                self._by_split = not self._start_with_all_rows(folds)
            place = folds.number(rows) if self._by_split else 0
            if (place, index) not in self._kept:
                start = time.perf_counter()
                self._evaluate(place, index, folds, rows, y, params)
                self.seconds += time.perf_counter() - start
            self._asked[place, index] += 1
            found = self._kept[place, index]
            if self._asked[place, index] == self.n_candidates[index] * self._places(folds)[place]:
                del self._kept[place, index]
            if self._asked.total() == sum(self.n_candidates) * len(folds.trains):
                self._inputs.clear()
        return or_raise(found)

    def _start_with_all_rows(self, folds: Folds) -> bool:
        """Read all rows, if one matrix of them serves all splits; rows that cannot be read fail in their own splits."""
        if self.front.steps is not None or not folds.one_matrix_is_less():
            return False
        reader, used = Reader(self.machine, self.kernels), folds.used()
        try:
            self._inputs[0] = Inputs(reader, None, used, reader.read(folds.data(used), first=True), used[:0], None)
        except Exception:
            return False
        return True

    def _places(self, folds: Folds) -> Counter[int]:
        """How many splits each place serves."""
        return Counter(folds.number(train) if self._by_split else 0 for train in folds.trains)

    def _evaluate(self, place: int, index: int, folds: Folds, rows: np.ndarray, y: Any, params: dict[str, Any]) -> None:
        done = {kernel for where, kernel in [*self._asked, *self._kept] if where == place}
        wanted = [index, *(i for i in range(len(self.kernels)) if i != index and i not in done)]
        try:
            if place not in self._inputs:
                self._inputs[place] = self._prepare(place, folds, rows, y, params)
            inputs = self._inputs[place]
            n_bytes = 8 * len(inputs.rows) * (len(inputs.rows) + len(inputs.rows_test)) * len(self._places(folds))
            wanted = wanted[: max(1, parse_memory(inputs.reader.engine.memory) // n_bytes)]
            found = inputs.evaluate(wanted)
        except Exception as error:
            found = [error] * len(wanted)
        self._kept.update(((place, i), value) for i, value in zip(wanted, found, strict=True))

    def _prepare(self, place: int, folds: Folds, rows: np.ndarray, y: Any, params: dict[str, Any]) -> Inputs:
        reader, test = Reader(self.machine, self.kernels), folds.tests[place]
        transformer, X = self.front.fit(folds, rows, y, params)
        inputs = Inputs(reader, transformer, rows, reader.read(X, first=True), test[:0], None)
        try:
            inputs.rows_test, inputs.X_test = test, inputs.read_new(folds.data(test))
        except Exception:
            inputs.rows_test = test[:0]  # what cannot be read fails in scoring
        return inputs


@contextmanager
def remembering(estimator: Any, cache: Cache) -> Iterator[None]:
    """Let a kernel machine, or the one at the end of a pipeline, find its matrix in a cache while this lasts."""
    machine = estimator.steps[-1][1] if isinstance(estimator, Pipeline) else estimator
    if not isinstance(machine, KernelMachine):
        yield
        return
    engine = machine.engine
    machine.engine = _with_cache(engine, cache)
    try:
        yield
    finally:
        machine.engine = engine


def _with_cache(engine: Engine | None, cache: Cache) -> Engine:
    engine = engine or Engine()
    return engine if engine.cache is not None or engine.store is not None else replace(engine, cache=cache)
