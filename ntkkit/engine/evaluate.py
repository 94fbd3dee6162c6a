"""The engine: any kernel over a data set, by tiles."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Hashable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np
from jax import Array
from tqdm.auto import tqdm

from ntkkit.engine.compile import Job
from ntkkit.engine.plan import SHORTEST_SIDE, Plan, Rectangle, available_memory, make_plan, parse_memory
from ntkkit.engine.precision import in_x64
from ntkkit.engine.tiles import (
    free_hyperparameters,
    kernel_diagonal,
    kernel_tile,
    tile_at_depths,
    tile_pullback,
    tile_with_gradient,
)
from ntkkit.kernels.base import Kernel
from ntkkit.kernels.inputs import result_dtype
from ntkkit.kernels.limits import NNGP, NTK

# Tiles in flight: one is copied to the host while others are computed. On two cores 3 were 15% faster than 2.
WORKERS = 3
DIAGONAL_ROWS = 2048


@dataclass(frozen=True)
class Engine:
    """Evaluates kernels over data sets, in tiles of bounded memory, on jax's default device.

    Results are numpy arrays of one's own: float32 if the inputs are float32, else float64, whatever jax's global flag.

    Parameters
    ----------
    memory : int or str, default="auto"
        Bytes for tiles in flight, besides the result: a number, "500MB", "2GB", "1GiB"; "auto" is a quarter of what the
        machine has available.
    progress : bool, default=False
        Show a progress bar: blocks done, rate, time left.

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
    progress: bool = False

    def __post_init__(self) -> None:
        parse_memory(self.memory)

    def gram(self, kernel: Kernel, X: Any, Y: Any = None) -> np.ndarray:
        """The kernel of every pair: (n, d), (m, d) -> (n, m). Without Y, or with Y being X, one triangle is computed.

        Raises
        ------
        ValueError
            If the inputs are not what the kernel reads, or their numbers of features differ.
        MemoryError
            If the result does not fit the machine, or one pair does not fit `memory`.
        """
        return self._evaluate(kernel_tile, kernel, *_checked(kernel, X, Y))

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
            If the network has no depth, or a depth is too small.
        """
        deepest = kernel.replace(network__depth=max(depths))
        checked = _checked(deepest, X, Y)
        return self._evaluate(tile_at_depths, deepest, *checked, lead=(len(depths),), depths=tuple(depths))

    def gram_gradient(self, kernel: Kernel, X: Any) -> tuple[np.ndarray, np.ndarray]:
        """The Gram matrix (n, n), and its gradient (n, n, p) with respect to the log of each free hyperparameter."""
        paths, n_values = free_hyperparameters(kernel)
        stacked = self._evaluate(tile_with_gradient, kernel, *_checked(kernel, X), lead=(1 + n_values,), paths=paths)
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
        job = Job(tile_pullback, kernel, result_dtype(X), {"paths": paths})
        plan = self._plan(job, X, None, operand=True)
        side = plan.tile[0]
        rows = [job.on_device(X[i : i + side], side) for i in range(0, len(X), side)]

        def run(part: Rectangle) -> np.ndarray:
            i, j = part.top // side, part.left // side
            both = weights[part.rows, part.columns] + weights[part.columns, part.rows].T
            padded = np.zeros(plan.tile, job.dtype)
            padded[: both.shape[0], : both.shape[1]] = both / 2 if i == j else both
            found = job(rows[i], rows[j], in_x64(jax.device_put, padded), same=i == j)
            return found.astype(np.float64)

        with ThreadPoolExecutor(WORKERS) as pool:
            parts = pool.map(run, [part for block in plan.blocks() for part in plan.tiles(block)])
            return np.sum(list(parts), axis=0).reshape(n_values)

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
        Y = X if Y is None else Y
        job = Job(kernel_tile, kernel, result_dtype(X, Y), {})
        n_rows = self._rows_a_panel(len(Y) * job.dtype.itemsize)
        plan = self._plan(job, X[:n_rows], Y)
        height, width = plan.tile
        step = min(height, n_rows)
        columns = [job.on_device(Y[j : j + width], width) for j in range(0, len(Y), width)]

        def run(start: int) -> tuple[slice, Any]:
            rows = X[start : start + step]
            on_device, panel = job.on_device(rows, height), np.empty((len(rows), len(Y)), job.dtype)
            for j, part in enumerate(columns):
                left, right = j * width, min((j + 1) * width, len(Y))
                panel[:, left:right] = job(on_device, part, same=False)[: len(rows), : right - left]
            return slice(start, start + len(rows)), apply(panel)

        with (
            ThreadPoolExecutor(WORKERS) as pool,
            tqdm(total=len(X), unit="row", disable=not self.progress) as bar,
        ):
            running: deque[Future[tuple[slice, Any]]] = deque()
            for start in range(0, len(X), step):
                running.append(pool.submit(run, start))
                if len(running) > WORKERS:  # bounds what waits to be taken, too
                    bar.update(step)
                    yield running.popleft().result()
            for future in running:
                bar.update(step)
                yield future.result()

    def _rows_a_panel(self, row_bytes: int) -> int:
        """Rows of which one panel a worker, and one that waits, take no more than half of the memory."""
        budget = parse_memory(self.memory) // 2
        if row_bytes * (WORKERS + 1) > budget:
            raise MemoryError(
                f"memory={self.memory!r} is too little: {WORKERS + 1} rows of the kernel matrix need "
                f"{row_bytes * (WORKERS + 1)} bytes. Raise memory= to at least {2 * row_bytes * (WORKERS + 1)}."
            )
        return budget // (row_bytes * (WORKERS + 1))

    def matvec(self, kernel: Kernel, X: Any, v: Any, Y: Any = None) -> np.ndarray:
        """K(X, Y) v without K: (n, d), (m,) or (m, k) -> (n,) or (n, k), summed in float64.

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
        v = np.asarray(v, dtype=np.float64)
        m = len(X if Y is None else Y)
        if v.ndim not in (1, 2) or len(v) != m or not np.isfinite(v).all():
            raise ValueError(f"v must be finite and of shape ({m},) or ({m}, k), found shape {v.shape}.")
        return np.concatenate([part for _, part in self.panels(kernel, X, Y, apply=lambda panel: panel @ v)])

    def diag(self, kernel: Kernel, X: Any) -> np.ndarray:
        """The kernel of each input with itself, shape (n,), without the Gram matrix."""
        X, _ = _checked(kernel, X)
        job = Job(kernel_diagonal, kernel, result_dtype(X), {})
        length = DIAGONAL_ROWS if len(X) > SHORTEST_SIDE else SHORTEST_SIDE
        parts = [job(job.on_device(X[start : start + length], length)) for start in range(0, len(X), length)]
        return np.concatenate(parts)[: len(X)].copy()

    def plan(self, kernel: Kernel, X: Any, Y: Any = None) -> Plan:
        """How `gram` would cut the matrix."""
        X, Y = _checked(kernel, X, Y)
        return self._plan(Job(kernel_tile, kernel, result_dtype(X, X if Y is None else Y), {}), X, Y)

    def _plan(self, job: Job, X: np.ndarray, Y: np.ndarray | None, *, operand: bool = False) -> Plan:
        shape = (len(X), len(X if Y is None else Y))

        def tile_bytes(tile: tuple[int, int]) -> int:
            shapes = [(side, *X.shape[1:]) for side in tile] + [tile] * operand
            return job.executable(*shapes, same=Y is None and tile[0] >= len(X)).bytes

        return make_plan(
            shape, symmetric=Y is None, budget=parse_memory(self.memory), tile_bytes=tile_bytes, workers=WORKERS
        )

    def _evaluate(
        self,
        function: Callable[..., Array],
        kernel: Kernel,
        X: np.ndarray,
        Y: np.ndarray | None,
        *,
        lead: tuple[int, ...] = (),
        **static: Hashable,
    ) -> np.ndarray:
        """Run a tile function over all tiles; `lead` are the result's dimensions in front of (n, m)."""
        job = Job(function, kernel, result_dtype(X, X if Y is None else Y), static)
        plan = self._plan(job, X, Y)
        result = _allocate((*lead, *plan.shape), job.dtype)
        height, width = plan.tile
        rows = [job.on_device(X[i : i + height], height) for i in range(0, len(X), height)]
        columns = rows if Y is None else [job.on_device(Y[j : j + width], width) for j in range(0, len(Y), width)]

        def run(part: Rectangle) -> None:
            i, j = part.top // height, part.left // width
            tile = job(rows[i], columns[j], same=plan.symmetric and i == j)
            tile = tile[..., : part.bottom - part.top, : part.right - part.left]
            if not plan.symmetric:
                result[..., part.rows, part.columns] = tile
                return
            mirrored = np.swapaxes(tile, -1, -2)
            if i == j:  # here and not in the tile, where XLA would compute every entry twice
                tile = mirrored = (tile + mirrored) / 2
            result[..., part.rows, part.columns] = tile
            result[..., part.columns, part.rows] = mirrored

        blocks = plan.blocks()
        with (
            ThreadPoolExecutor(WORKERS) as pool,
            tqdm(total=len(blocks), unit="block", disable=not self.progress) as bar,
        ):
            for block in blocks:
                list(pool.map(run, plan.tiles(block)))
                bar.update()
        return result


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
        return X, None
    Y = kernel.check_inputs(Y, name="Y")
    if Y.shape[1:] != X.shape[1:]:
        raise ValueError(
            f"Y must have as many features as X: found Y with {Y.shape[1]} and X with {X.shape[1]}; "
            "pass rows with the same columns."
        )
    kernel.examine(X, Y)
    return X, Y


def _allocate(shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    needed, available = int(np.prod(shape, dtype=object)) * dtype.itemsize, available_memory()
    if needed > available:
        raise MemoryError(
            f"The result of shape {shape} in {dtype} needs {needed / 1e9:.1f} GB, and {available / 1e9:.1f} GB are "
            "available: use fewer rows, or float32 inputs."
        )
    return np.empty(shape, dtype)
