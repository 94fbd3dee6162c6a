"""Kernel matrices that many fits share: each evaluated once, and kept until the last fit that needs it has begun."""

from __future__ import annotations

import threading
import time
from collections import Counter
from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.base import clone
from sklearn.pipeline import Pipeline
from sklearn.utils import _safe_indexing

from ntkkit.engine import Engine
from ntkkit.engine.plan import parse_memory
from ntkkit.estimators._base import KernelMachine
from ntkkit.estimators._validation import check_gram, check_input
from ntkkit.kernels import Kernel
from ntkkit.model_selection.folds import Folds


class Reader:
    """Reads inputs and evaluates kernels as a machine does.

    Parameters
    ----------
    machine : estimator
        A kernel machine; it is not changed.
    kernels : list of kernels
        What can stand in its place: one, or relatives that differ in depth only.
    """

    def __init__(self, machine: Any, kernels: list[Any]) -> None:
        self.machine = clone(machine)
        self.kernels = kernels
        self.ours = isinstance(machine, KernelMachine)
        # k(X) of a training set may be more than k(X, X) of its pairs: scikit-learn's WhiteKernel adds noise
        self.of_pairs_alone = isinstance(kernels[0], Kernel) or not self.ours

    def read(self, X: Any, *, first: bool) -> Any:
        """Inputs as the machine reads them in fit, the first ones, or in predict."""
        return check_input(self.machine, X, kernel=self.kernels[0], reset=first) if self.ours else X

    @property
    def engine(self) -> Engine:
        return getattr(self.machine, "engine", None) or Engine()

    def evaluate(self, wanted: list[int], X: Any, Y: Any = None) -> list[np.ndarray | Exception]:
        """k(X), or k(X, Y), or what is wrong with it, for each kernel that is wanted."""
        if len(wanted) == 1:
            return [_attempt(self._evaluate_one, self.kernels[wanted[0]], X, Y)]
        depths = [self.kernels[index].network.depth for index in wanted]
        found = self.engine.gram_at_depths(self.kernels[0], X, Y, depths=depths)
        return [_attempt(check_gram, K, K.shape) for K in found]

    def _evaluate_one(self, kernel: Any, X: Any, Y: Any) -> np.ndarray:
        if self.ours:
            return self.machine._gram(kernel, X, Y)
        return kernel(X, X if Y is None else Y)  # as SVC and KernelRidge call it


def _attempt(function: Any, *args: Any) -> Any:
    try:
        return function(*args)
    except Exception as error:
        return error


@dataclass
class Inputs:
    """What the kernels of a place are evaluated on: all rows, or the training and the test rows of a split.

    Attributes
    ----------
    reader : Reader
    transformer : transformer or None
        What the data pass before the kernel reads them.
    rows, X
        Numbers of the rows that are taken with each other, and what the kernel reads.
    rows_test, X_test
        Those that are taken with them besides, if any.
    """

    reader: Reader
    transformer: Any
    rows: np.ndarray
    X: Any
    rows_test: np.ndarray
    X_test: Any
    _repeats: bool | None = None

    def repeats(self, folds: Folds) -> bool:
        """Whether the data are read in predict as they were in fit; some transformers fit otherwise (TargetEncoder)."""
        if self._repeats is None and self.transformer is not None:
            again = self.transformer.transform(folds.data(self.rows))
            self._repeats = np.array_equal(self.reader.read(again, first=False), self.X)
        return self._repeats is not False

    def find(self, rows: np.ndarray) -> np.ndarray:
        """Where these rows are among `rows`."""
        order = np.argsort(self.rows, kind="stable")
        return order[np.searchsorted(self.rows, rows, sorter=order)]

    def evaluate(self, wanted: list[int]) -> list[Matrices | Exception]:
        """Evaluate kernels in one pass."""
        found = self.reader.evaluate(wanted, self.X)
        tests = [None] * len(wanted) if self.X_test is None else self.reader.evaluate(wanted, self.X_test, self.X)
        return [
            next((K for K in pair if isinstance(K, Exception)), None) or Matrices(self, index, *pair)
            for index, *pair in zip(wanted, found, tests, strict=True)
        ]


@dataclass
class Matrices:
    """The matrices of one kernel at one place, and the blocks that fits take from them."""

    inputs: Inputs
    index: int
    K: Any
    K_test: Any

    def train(self, rows: np.ndarray) -> np.ndarray:
        """k(X[rows])."""
        if np.array_equal(rows, self.inputs.rows):
            return self.K
        places = self.inputs.find(rows)
        if self.inputs.reader.of_pairs_alone or len(np.unique(rows)) == len(rows):
            return block(self.K, places, places)
        return self._evaluate(_safe_indexing(self.inputs.X, places))

    def cross(self, rows: np.ndarray, train: np.ndarray, folds: Folds) -> np.ndarray:
        """k(X[rows], X[train])."""
        if np.array_equal(rows, self.inputs.rows_test):
            return self.K_test
        sliceable = self.inputs.reader.of_pairs_alone or not np.isin(rows, train).any()
        if sliceable and np.isin(rows, self.inputs.rows).all() and self.inputs.repeats(folds):
            return block(self.K, self.inputs.find(rows), self.inputs.find(train))
        return self.new(folds.data(rows), train)

    def new(self, X: Any, train: np.ndarray) -> np.ndarray:
        """k(X, X[train]) of any inputs."""
        inputs = self.inputs
        if inputs.transformer is not None:
            X = inputs.transformer.transform(X)
        X_train = inputs.X
        if not np.array_equal(train, inputs.rows):
            X_train = _safe_indexing(X_train, inputs.find(train))
        return self._evaluate(inputs.reader.read(X, first=False), X_train)

    def _evaluate(self, X: Any, Y: Any = None) -> np.ndarray:
        (K,) = self.inputs.reader.evaluate([self.index], X, Y)
        if isinstance(K, Exception):
            raise K
        return K


def block(K: np.ndarray, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """K[rows][:, columns], C-contiguous: two takes are twice as fast as indexing."""
    return K.take(rows, axis=0).take(columns, axis=1)


class Shared:
    """Kernels that differ in depth at most, behind one preparation of the data, and their matrices.

    A *place* is where matrices belong: 0 for all rows; or, where the preparation differs from training set to training
    set, or splits have few rows each, the number of the split. A matrix is evaluated when the first fit asks for it,
    with its deeper relatives as far as memory allows, and forgotten when the last fit has asked.

    Parameters
    ----------
    machine : estimator
        The kernel machine.
    front : Pipeline or None
        What the data pass before the machine.
    """

    def __init__(self, machine: Any, front: Pipeline | None) -> None:
        self.machine, self.front = machine, front
        self.kernels: list[Any] = []
        self.n_candidates: list[int] = []
        self.seconds = 0.0
        self._lock = threading.Lock()
        self._inputs: dict[int, Inputs] = {}
        self._kept: dict[tuple[int, int], Matrices | Exception] = {}
        self._asked: Counter[tuple[int, int]] = Counter()

    def share_of_time(self, folds: Folds) -> float:
        """Seconds of evaluation for each fit that took part."""
        return self.seconds / (sum(self.n_candidates) * len(folds.trains))

    def matrices(self, index: int, folds: Folds, rows: np.ndarray, y: Any, params: dict[str, Any]) -> Matrices:
        """The matrices of a kernel for a fit with these rows. `params` are what the preparation's fit takes."""
        with self._lock:
            place = folds.number(rows) if self._apart(folds) else 0
            if (place, index) not in self._kept:
                start = time.perf_counter()
                self._evaluate(place, index, folds, rows, y, params)
                self.seconds += time.perf_counter() - start
            self._asked[place, index] += 1
            found = self._kept[place, index]
            if self._asked[place, index] == self.n_candidates[index] * self._n_splits(folds, place):
                del self._kept[place, index]
        if isinstance(found, Exception):
            raise found
        return found

    def _apart(self, folds: Folds) -> bool:
        return self.front is not None or not folds.one_matrix_is_less()

    def _n_splits(self, folds: Folds, place: int) -> int:
        return sum(folds.number(train) == place for train in folds.trains) if self._apart(folds) else len(folds.trains)

    def _evaluate(
        self, place: int, index: int, folds: Folds, rows: np.ndarray, y: Any, params: dict[str, Any]
    ) -> None:
        done = {kernel for where, kernel in [*self._asked, *self._kept] if where == place}
        wanted = [index, *(i for i in range(len(self.kernels)) if i != index and i not in done)]
        try:
            if place not in self._inputs:
                self._inputs[place] = self._prepare(place, folds, rows, y, params)
            inputs = self._inputs[place]
            n_places = len(set(map(folds.number, folds.trains))) if self._apart(folds) else 1
            n_bytes = 8 * len(inputs.rows) * (len(inputs.rows) + len(inputs.rows_test)) * n_places
            wanted = wanted[: max(1, parse_memory(inputs.reader.engine.memory) // n_bytes)]
            found = inputs.evaluate(wanted)
        except Exception as error:
            found = [error] * len(wanted)
        self._kept.update(((place, i), value) for i, value in zip(wanted, found, strict=True))

    def _prepare(self, place: int, folds: Folds, rows: np.ndarray, y: Any, params: dict[str, Any]) -> Inputs:
        reader = Reader(self.machine, self.kernels)
        if not self._apart(folds):
            used = folds.used()
            return Inputs(reader, None, used, reader.read(folds.data(used), first=True), used[:0], None)
        test = folds.tests[place]
        X, X_test, transformer = folds.data(rows), folds.data(test), None
        if self.front is not None:
            transformer = clone(self.front)
            X = transformer.fit_transform(X, y, **params)  # of the training rows only
            X_test = transformer.transform(X_test)
        return Inputs(reader, transformer, rows, reader.read(X, first=True), test, reader.read(X_test, first=False))
