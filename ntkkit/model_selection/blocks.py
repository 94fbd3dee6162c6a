"""Kernel matrices of all rows or of one split, and the blocks that fits take from them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from sklearn.base import clone
from sklearn.gaussian_process.kernels import Kernel as SklearnKernel
from sklearn.utils import _safe_indexing

from ntkkit.engine import Engine
from ntkkit.estimators._base import KernelMachine
from ntkkit.estimators._validation import check_gram, check_input
from ntkkit.kernels import Kernel
from ntkkit.kernels.inputs import result_dtype
from ntkkit.model_selection.folds import Folds

STRIP = 32  # rows


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


def _alike(one: np.ndarray, other: np.ndarray) -> bool:
    """Equality of arrays in which NaN, behind the end of sequences, is equal to NaN."""
    return one.shape == other.shape and bool(np.all((one == other) | ((one != one) & (other != other))))


def _attempt(function: Any, *args: Any) -> Any:
    try:
        return function(*args)
    except Exception as error:
        return error


def or_raise(value: Any) -> Any:
    """Return the value, or raise it if it is an error that was kept."""
    if isinstance(value, Exception):
        raise value
    return value


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
            again = self.read_new(folds.data(self.rows))
            self._repeats = _alike(again, self.X)
        return self._repeats is not False

    def read_new(self, X: Any) -> Any:
        """What the kernel reads of other inputs."""
        return self.reader.read(X if self.transformer is None else self.transformer.transform(X), first=False)

    def find(self, rows: np.ndarray) -> np.ndarray:
        """Where these rows are among `rows`."""
        order = np.argsort(self.rows, kind="stable")
        return order[np.searchsorted(self.rows, rows, sorter=order)]

    def evaluate(self, wanted: list[int]) -> list[Matrices | Exception]:
        """Evaluate kernels in one pass."""
        found = self.reader.evaluate(wanted, self.X)
        tests = [None] * len(wanted) if self.X_test is None else self.reader.evaluate(wanted, self.X_test, self.X)
        return [
            K if isinstance(K, Exception) else Matrices(self, index, K, K_test)
            for index, K, K_test in zip(wanted, found, tests, strict=True)
        ]


@dataclass
class Matrices:
    """The matrices of one kernel at one place, and the blocks that fits take from them."""

    inputs: Inputs
    index: int
    K: Any
    K_test: Any

    def train(self, rows: np.ndarray) -> np.ndarray:
        """k(X[rows]), a copy."""
        if self.inputs.reader.of_pairs_alone or len(np.unique(rows)) == len(rows):
            places = self.inputs.find(rows)
            return block(self.K, places, places)
        return self._evaluate(self._of(rows))

    def cross(self, rows: np.ndarray, train: np.ndarray, folds: Folds) -> np.ndarray:
        """k(X[rows], X[train])."""
        if len(rows) and np.array_equal(rows, self.inputs.rows_test):
            K = or_raise(self.K_test)
            return K if np.array_equal(train, self.inputs.rows) else K.take(self.inputs.find(train), axis=1)
        sliceable = self.inputs.reader.of_pairs_alone or not np.isin(rows, train).any()
        if sliceable and np.isin(rows, self.inputs.rows).all() and self.inputs.repeats(folds):
            return block(self.K, self.inputs.find(rows), self.inputs.find(train))
        return self.new(folds.data(rows), train)

    def new(self, X: Any, train: np.ndarray) -> np.ndarray:
        """k(X, X[train]) of any inputs."""
        return self._evaluate(self.inputs.read_new(X), self._of(train))

    def _of(self, rows: np.ndarray) -> Any:
        """What the kernel reads of these rows."""
        if np.array_equal(rows, self.inputs.rows):
            return self.inputs.X
        return _safe_indexing(self.inputs.X, self.inputs.find(rows))

    def _evaluate(self, X: Any, Y: Any = None) -> np.ndarray:
        return or_raise(*self.inputs.reader.evaluate([self.index], X, Y))


def block(K: np.ndarray, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """K[rows][:, columns], in strips that stay in cache."""
    found = np.empty((len(rows), len(columns)), K.dtype)
    for start in range(0, len(rows), STRIP):
        strip = slice(start, start + STRIP)
        K[rows[strip]].take(columns, axis=1, out=found[strip], mode="clip")  # other modes need a buffer
    return found


class Stored(SklearnKernel):
    """A kernel of numbers of rows, (n, 1) and (m, 1), that looks up what it returns; for one fit.

    Machines treat it as any kernel of scikit-learn: they may overwrite what it returns, and need not check it for
    symmetry, as they would if it were "precomputed".
    """

    def __init__(self, matrices: Matrices, train: np.ndarray, folds: Folds) -> None:
        self.matrices, self.train, self.folds = matrices, train, folds
        self._new = np.empty((0, len(train)))

    def __sklearn_clone__(self) -> Self:
        return self

    def inputs(self, rows: np.ndarray) -> np.ndarray:
        """What stands for rows: of the precision of the kernel, by which machines judge it; exact for 2^24 rows."""
        return rows[:, None].astype(result_dtype(self.matrices.K))

    def new_inputs(self, X: Any) -> np.ndarray:
        """What stands for other inputs, until the next ones: numbers below 0."""
        self._new = self.matrices.new(X, self.train)
        return self.inputs(-1 - np.arange(len(self._new)))

    def __call__(self, X: np.ndarray, Y: np.ndarray | None = None, eval_gradient: bool = False) -> np.ndarray:
        rows = X[:, 0].astype(int)
        if Y is None or Y is X:
            return self.matrices.train(rows)
        columns = Y[:, 0].astype(int)
        if len(rows) and rows[0] < 0:
            places = np.argsort(self.train, kind="stable")
            return block(self._new, -1 - rows, places[np.searchsorted(self.train, columns, sorter=places)])
        return self.matrices.cross(rows, columns, self.folds)

    def diag(self, X: np.ndarray) -> np.ndarray:
        return self(X).diagonal().copy()

    def is_stationary(self) -> bool:
        return False
