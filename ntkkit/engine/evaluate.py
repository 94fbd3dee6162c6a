"""The engine: any kernel over a data set, by tiles."""

from __future__ import annotations

import os
from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

import jax
import numpy as np
from sklearn.utils.validation import _num_samples

from ntkkit.engine.cache import Cache
from ntkkit.engine.memory import parse_memory
from ntkkit.engine.plan import Plan, Rectangle
from ntkkit.engine.precision import in_x64
from ntkkit.engine.progress import Progress, reporting
from ntkkit.engine.result import Means
from ntkkit.engine.store import load, multiply
from ntkkit.engine.tiles import (
    free_hyperparameters,
    kernel_diagonal,
    kernel_tile,
    tile_at_depths,
    tile_input_gradient,
    tile_pullback,
    tile_with_gradient,
)
from ntkkit.engine.work import Tiles, Work
from ntkkit.engine.workers import ROWS_KEPT, THREADS_A_DEVICE, Workers
from ntkkit.kernels.base import Kernel
from ntkkit.kernels.limits import NNGP, NTK


@dataclass(frozen=True)
class Engine:
    """Evaluates kernels over data sets, in tiles of bounded memory, on all devices.

    Results are numpy arrays of one's own: float32 if the inputs are float32, else float64, whatever jax's global flag.

    Parameters
    ----------
    memory : int or str, default="auto"
        Bytes for tiles in flight, besides the result: a number, "500MB", "2GB", "1GiB"; "auto" is a quarter of what the
        machine, and each device with a memory of its own, has available.
    devices : sequence of jax.Device, optional
        Where tiles are evaluated; None is all of this process, ``jax.local_devices()``. Equal devices give equal bits.
    store : path-like, optional
        A directory for the matrix of `gram`, a Zarr array, which is then returned in place of a numpy array: for
        matrices that do not fit the memory, or take hours. Blocks are written as they are finished; whatever stops the
        process, the next call with the same arguments reads those that are there, to compare their checksums, and
        evaluates the others. A store holds one matrix; a call with other arguments says what differs. Safe against a
        kill at any moment, not against a power failure. Needs the extra `store`, and a kernel without functions that
        have no name (lambdas).
    cache : Cache, optional
        Remembers matrices of `gram`, for the next call with the same arguments.
    cluster : distributed.Client, optional
        A Dask cluster whose workers evaluate the blocks of `gram` on all their devices, and write them to the store, if
        there is one, which they must then reach by the same path. Needs the extra `cluster`.
    progress : bool or callable, default=False
        True shows a bar: blocks done, rate, time left. A function is called with (done, total) instead.

    Examples
    --------
    >>> import numpy as np
    >>> from ntkkit import NTK, Engine, FullyConnected
    >>> X = np.eye(2, dtype=np.float32)
    >>> Engine(memory="100MB").gram(NTK(FullyConnected(depth=0, bias_var=0.0)), X).round(6)
    array([[1., 0.],
           [0., 1.]], dtype=float32)
    """

    memory: int | str = "auto"
    devices: Sequence[jax.Device] | None = None
    store: str | os.PathLike[str] | None = None
    cache: Cache | None = None
    cluster: Any = None
    progress: Progress = False

    def __post_init__(self) -> None:
        parse_memory(self.memory)
        if self.devices is not None and not (
            len(self.devices) and all(isinstance(device, jax.Device) for device in self.devices)
        ):
            raise ValueError(
                f"devices must be None or some of jax.devices(), found {self.devices!r}: give a list of them."
            )
        if self.store is not None and not isinstance(self.store, (str, os.PathLike)):
            raise TypeError(f"store must be a path or None, found {self.store!r}.")
        if self.cache is not None and not isinstance(self.cache, Cache):
            raise TypeError(f"cache must be a Cache, such as Cache(memory='2GB'), or None, found {self.cache!r}.")
        if self.store is not None and self.cache is not None:
            raise ValueError(
                "store= keeps one matrix and cache= many; give one of them (Cache(directory=...) is on disk, too)."
            )
        if not (isinstance(self.progress, bool) or callable(self.progress)):
            raise TypeError(f"progress must be True, False or a function of (done, total), found {self.progress!r}.")
        if self.cluster is not None and not hasattr(self.cluster, "scatter"):
            raise TypeError(f"cluster must be a distributed.Client or None, found {self.cluster!r}.")

    def __sklearn_clone__(self) -> Self:
        return self

    def __deepcopy__(self, memo: object) -> Self:
        return self

    def __getstate__(self) -> dict[str, Any]:
        for name in ("devices", "cluster"):
            if getattr(self, name) is not None:
                raise TypeError(f"An Engine with {name}= belongs to its process and cannot be saved: use engine=None.")
        store = None if self.store is None else os.fspath(self.store)  # skops would have to be told to trust a Path
        return {**vars(self), "store": store}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(**state)  # type: ignore[misc]

    @property
    def local(self) -> Engine:
        """The same without store and cluster, for small matrices besides the large one."""
        return replace(self, store=None, cluster=None)

    def gram(self, kernel: Kernel, X: Any, Y: Any = None) -> Any:
        """The kernel of every pair: (n, d), (m, d) -> (n, m). Without Y, or with Y being X, one triangle is computed.

        Returns
        -------
        ndarray of shape (n, m)
            With a `store` it is a Zarr array of this shape, read by slicing.

        Raises
        ------
        ValueError
            If the inputs are not what the kernel reads, their numbers of features differ, or the store holds another
            matrix.
        MemoryError
            If the result does not fit the machine, or one pair does not fit `memory`.
        OSError
            If the store cannot be written, or another process is writing to it (BlockingIOError).
        """
        work = Work(kernel_tile, kernel, *_checked(kernel, X, Y))
        if self.store is not None:
            return self._means().stored(work, self.store)
        if self.cache is None:
            return self._means().in_memory(work)
        return self.cache.find(kernel, work.X, work.Y, lambda path: self._evaluated(work, path))

    def _evaluated(self, work: Work, path: Path | None) -> np.ndarray:
        """The matrix in memory, by way of a store if there is a path."""
        return self._means().in_memory(work) if path is None else load(self._means().stored(work, path, wait=True))

    def gram_at_depths(self, kernel: NTK | NNGP, X: Any, Y: Any = None, *, depths: Sequence[int]) -> np.ndarray:
        """The kernel of every pair at several depths of its network, in one pass through the deepest.

        Parameters
        ----------
        kernel : NTK or NNGP
            Of a network of a family with a `depth`, such as FullyConnected; the depth that it has does not matter.
        X, Y
            As in `gram`.
        depths : sequence of int
            Each at least the network's `n_frozen_layers`.

        Returns
        -------
        ndarray of shape (len(depths), n, m)

        Raises
        ------
        ValueError
            If the network has no depth, none is asked for, or one is too small.
        """
        self._refuse_store("gram_at_depths")
        if not len(depths):
            raise ValueError("depths must be one or more integers, found none.")
        deepest = kernel.replace(network__depth=max(depths))
        static: dict[str, Hashable] = {"depths": tuple(depths)}
        work = Work(tile_at_depths, deepest, *_checked(deepest, X, Y), lead=(len(depths),), static=static)
        found = self._means().in_memory(work)
        if self.cache is not None:
            for depth, K in zip(depths, found, strict=True):
                self.cache.add(kernel.replace(network__depth=depth), work.X, work.Y, K)
        return found

    def gram_gradient(self, kernel: Kernel, X: Any) -> tuple[np.ndarray, np.ndarray]:
        """The Gram matrix (n, n), and its gradient (n, n, p) with respect to the log of each free hyperparameter."""
        self._refuse_store("gram_gradient")
        paths, n_values = free_hyperparameters(kernel)
        work = Work(tile_with_gradient, kernel, *_checked(kernel, X), lead=(1 + n_values,), static={"paths": paths})
        stacked = self._means().in_memory(work)
        return stacked[0], np.moveaxis(stacked[1:], 0, -1)

    def pullback(self, kernel: Kernel, X: Any, weights: Any) -> np.ndarray:
        """sum_ij W_ij dK_ij / d log theta without the gradient of K: how a loss with dL/dK = W depends on theta.

        Parameters
        ----------
        kernel : Kernel
        X : array-like of shape (n, d)
        weights : array-like of shape (n, n)
            W. Only its symmetric part counts, since K is symmetric.

        Returns
        -------
        ndarray of shape (p,), float64
            One entry a free hyperparameter, in the order of `kernel.theta`. By reverse mode: the cost is some four
            Gram matrices, however many hyperparameters there are.

        Raises
        ------
        ValueError
            If the weights are not finite, or not one a pair.
        """
        X, _ = _checked(kernel, X)
        weights = np.asarray(weights)
        if weights.shape != (len(X), len(X)) or not np.isfinite(weights).all():
            raise ValueError(f"weights must be finite and of shape {(len(X), len(X))}, found shape {weights.shape}.")
        paths, n_values = free_hyperparameters(kernel)
        work = Work(tile_pullback, kernel, X, None, static={"paths": paths})
        means = self._means()
        plan = means.plan(work, operand=True)
        tiles = Tiles(work, plan, n_devices=len(means.devices))

        def run(device: jax.Device, place: Rectangle) -> np.ndarray:
            rows, columns = tiles.entries(place, plan.whole)
            both = weights[rows, columns] + weights.T[rows, columns]
            padded = np.zeros(plan.tile, plan.dtype)
            padded[: both.shape[0], : both.shape[1]] = both / 2 if place.top == place.left else both
            return tiles.whole(device, place, in_x64(jax.device_put, padded, device)).astype(np.float64)

        with Workers(means.devices) as workers:
            return np.sum(list(workers.map(run, plan.tiles(plan.whole))), axis=0).reshape(n_values)

    def input_gradient(self, kernel: Kernel, X: Any, Y: Any, weights: Any) -> np.ndarray:
        """sum_j W_ij dk(x_i, y_j) / dx_i: how a function f(x) = sum_j a_j k(x, y_j) changes with its input.

        Parameters
        ----------
        kernel : Kernel
        X : array-like of shape (n, d)
            Inputs; those that are equal to one of Y, where kernels of kinks have a cone, count its slope as 0 there.
        Y : array-like of shape (m, d)
        weights : array-like of shape (n, m)
            W.

        Returns
        -------
        ndarray of the shape of checked X, float64
            By reverse mode, in bounded memory: the cost is some four kernel matrices.

        Raises
        ------
        ValueError
            If the weights are not finite, or not one a pair.
        """
        X, Y = _checked(kernel, X, Y if Y is not X else np.array(X))
        assert Y is not None
        weights = np.asarray(weights)
        if weights.shape != (len(X), len(Y)) or not np.isfinite(weights).all():
            raise ValueError(f"weights must be finite and of shape {(len(X), len(Y))}, found shape {weights.shape}.")
        work, means = Work(tile_input_gradient, kernel, X, Y), self._means()
        plan = means.plan(work, operand=True)
        tiles = Tiles(work, plan, n_devices=len(means.devices))

        def run(device: jax.Device, place: Rectangle) -> tuple[Any, np.ndarray]:
            rows, columns = tiles.entries(place, plan.whole)
            padded = np.zeros(plan.tile, plan.dtype)
            padded[: place.shape[0], : place.shape[1]] = weights[rows, columns]
            slopes = tiles.whole(device, place, in_x64(jax.device_put, padded, device))
            return rows if isinstance(rows, slice) else rows[:, 0], slopes[: place.shape[0]]

        total = np.zeros(X.shape)
        with Workers(means.devices) as workers:
            for rows, slopes in workers.map(run, plan.tiles(plan.whole)):
                total[rows] += slopes
        return total

    def panels(
        self, kernel: Kernel, X: Any, Y: Any = None, *, apply: Callable[[np.ndarray], Any] = lambda panel: panel
    ) -> Iterator[tuple[slice, Any]]:
        """The kernel of every pair, in panels of consecutive rows, in bounded memory: nothing of size (n, m) is made.

        Parameters
        ----------
        kernel : Kernel
        X : array-like of shape (n, d)
        Y : array-like of shape (m, d), optional
            None means X; no use is made of the symmetry.
        apply : callable, optional
            What to make of a panel, such as its product with a vector; runs in the thread that evaluated it.

        Yields
        ------
        rows : slice
        result : ndarray of shape (len of rows, m), or whatever `apply` makes of it

        Raises
        ------
        MemoryError
            If one row of the matrix, or one pair, does not fit `memory`.
        """
        X, Y = _checked(kernel, X, Y)
        Y, means = X if Y is None else Y, self._means()
        work = Work(kernel_tile, kernel, X, Y)
        n_rows = self._rows_a_panel(len(Y) * work.job.dtype.itemsize)
        plan = means.plan(Work(kernel_tile, kernel, X[:n_rows], Y))
        step, width = min(plan.tile[0], n_rows), plan.tile[1]
        n_columns = -(-len(Y) // width)
        fits = Y.nbytes <= means.budget // 4
        panels = replace(plan, block=(step, len(Y)))
        tiles = Tiles(work, panels, n_devices=len(means.devices), keep_columns=n_columns if fits else ROWS_KEPT)

        def run(device: jax.Device, rows: Rectangle) -> tuple[slice, Any]:
            panel = np.empty(rows.shape, plan.dtype)
            for place in rows.cut(step, width, upper=False):
                panel[tiles.entries(place, rows)] = tiles(device, place)
            return rows.rows, apply(panel)

        pieces = Rectangle(0, len(X), 0, len(Y)).cut(step, len(Y), upper=False)
        with Workers(means.devices) as workers, reporting(self.progress, len(X), unit="row") as done:
            for rows, result in workers.map(run, pieces):
                done(rows.stop - rows.start)
                yield rows, result

    def _rows_a_panel(self, row_bytes: int) -> int:
        """Rows of which one panel a worker, and one that waits, take no more than half of the memory."""
        means = self._means()
        budget, count = means.budget // 2, THREADS_A_DEVICE * len(means.devices) + 1
        if row_bytes * count > budget:
            raise MemoryError(
                f"memory={self.memory!r} is too little: {count} rows of the kernel matrix need {row_bytes * count} "
                f"bytes. Raise memory= to at least {2 * row_bytes * count}."
            )
        return budget // (row_bytes * count)

    def matvec(self, kernel: Kernel, X: Any, v: Any, Y: Any = None) -> np.ndarray:
        """K(X, Y) v without K in memory: (n, d), (m,) or (m, k) -> (n,) or (n, k), summed in float64.

        With a `store` K is evaluated into it, once, and read from it; else parts of it are evaluated in every call.

        Parameters
        ----------
        kernel : Kernel
        X : array-like of shape (n, d)
        v : array-like of shape (m,) or (m, k)
        Y : array-like of shape (m, d), optional
            None means X.

        Returns
        -------
        ndarray of shape (n,) or (n, k), float64
            Entries of K are of the inputs' precision.

        Raises
        ------
        ValueError
            If v is not finite, or has not one row a row of Y.
        """
        v, m = np.asarray(v, dtype=np.float64), _num_samples(X if Y is None else Y)
        if v.ndim not in (1, 2) or len(v) != m or not np.isfinite(v).all():
            raise ValueError(f"v must be finite and of shape ({m},) or ({m}, k), found shape {v.shape}.")
        if self.store is not None:
            product = multiply(self.gram(kernel, X, Y), v if v.ndim == 2 else v[:, None])
            return product if v.ndim == 2 else product[:, 0]
        return np.concatenate([part for _, part in self.panels(kernel, X, Y, apply=lambda panel: panel @ v)])

    def diag(self, kernel: Kernel, X: Any) -> np.ndarray:
        """The kernel of each input with itself, shape (n,), without the Gram matrix."""
        X, _ = _checked(kernel, X)
        work, means = Work(kernel_diagonal, kernel, X, None), self._means()
        job, length = work.job, means.diagonal_rows(work)

        def run(device: jax.Device, start: int) -> np.ndarray:
            return job(device, job.on_device(X[start : start + length], length, device))

        with Workers(means.devices) as workers:
            return np.concatenate(list(workers.map(run, range(0, len(X), length))))[: len(X)].copy()

    def plan(self, kernel: Kernel, X: Any, Y: Any = None) -> Plan:
        """How `gram` would cut the matrix, in what memory and about how long it would take; shows as a summary.

        Compiles what `gram` needs, and times a few tiles.
        """
        return self._means().outlook(Work(kernel_tile, kernel, *_checked(kernel, X, Y)), self.store)

    def _means(self) -> Means:
        devices = jax.local_devices() if self.devices is None else self.devices
        return Means(self.memory, devices, self.cluster, self.progress)

    def _refuse_store(self, name: str) -> None:
        if self.store is not None:
            raise ValueError(
                f"store={str(self.store)!r} is for the matrix of gram; {name} would put others there: use an engine "
                "without a store for it (a search over kernels has a cache of its own)."
            )


def gram(kernel: Kernel, X: Any, Y: Any = None, *, engine: Engine | None = None) -> np.ndarray:
    """The Gram matrix of a kernel: (n, d), (m, d) -> (n, m).

    Parameters
    ----------
    kernel : Kernel
    X : array-like of shape (n, d)
    Y : array-like of shape (m, d), optional
        None means X, computed on one triangle.
    engine : Engine, optional
        Memory budget and progress; the default engine otherwise.

    Examples
    --------
    >>> import ntkkit
    >>> ntkkit.gram(ntkkit.NNGP(ntkkit.FullyConnected(depth=0, bias_var=0.0)), [[1.0], [2.0]])
    array([[2., 4.],
           [4., 8.]])
    """
    return (engine or Engine()).gram(kernel, X, Y)


def _checked(kernel: Kernel, X: Any, Y: Any = None) -> tuple[np.ndarray, np.ndarray | None]:
    """Checked inputs; Y is None where the matrix is symmetric."""
    if not isinstance(kernel, Kernel):
        raise TypeError(f"kernel must be a kernel of ntkkit such as NTK(FullyConnected()), found {kernel!r}.")
    same = Y is None or Y is X
    X = kernel.check_inputs(X, name="X")
    if same:
        kernel.examine(X)
        return X, None if kernel.symmetric else X
    Y = kernel.check_inputs(Y, name="Y")
    if Y.shape[-1] != X.shape[-1]:
        raise ValueError(
            f"Y must have as many features as X: found Y with {Y.shape[-1]} and X with {X.shape[-1]}; "
            "pass rows with the same columns."
        )
    kernel.examine(X, Y)
    return X, Y
