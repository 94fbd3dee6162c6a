"""Many samples: which solver takes them, and what the iterative ones need of a kernel."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.gaussian_process.kernels import Kernel as SklearnKernel
from sklearn.utils import check_random_state, gen_batches

from ntkkit.engine import Engine
from ntkkit.engine.plan import available_memory, parse_memory
from ntkkit.linalg import IterativeSolution, conjugate_gradients, pivoted_cholesky, solve_nystrom

if TYPE_CHECKING:
    from ntkkit.estimators._base import KernelMachine

# Beyond this a Cholesky factorisation takes minutes, and conjugate gradients seconds.
LARGEST_DENSE = 15_000
# Centres are chosen among so many samples a centre.
CANDIDATES_A_CENTRE = 10
# Columns of a stored matrix that are summed in its own precision.
SUMMED_AT_ONCE = 4096


def choose_solver(n: int, *, alpha: Any, itemsize: int, engine: Engine | None, rectangles: bool) -> tuple[str, str]:
    """What solver="auto" takes, and why.

    Parameters
    ----------
    n : int
        Samples.
    alpha : float or array
        Ridge terms.
    itemsize : int
        Bytes an entry of K.
    engine : Engine or None
        Whose memory is the budget; half of what is available without one.
    rectangles : bool
        Whether parts of K can be evaluated, which they cannot with kernel="precomputed".

    Returns
    -------
    solver, reason : str
        "auto" stands for Cholesky, with eigen where that fails.
    """
    budget = available_memory() // 2 if engine is None or engine.memory == "auto" else parse_memory(engine.memory)
    dense, stored = (8 + itemsize) * n * n, itemsize * n * n
    sizes = f"n = {n}, memory {budget / 1e9:.3g} GB"
    if dense <= budget and n <= LARGEST_DENSE:
        return "auto", f"{sizes}: a factorisation in float64 needs {dense / 1e9:.3g} GB"
    if not rectangles or (dense <= budget and (np.ndim(alpha) or alpha == 0)):
        return "auto", f"{sizes}: the Gram matrix is there, or alpha={alpha} asks for a factorisation"
    if stored <= budget and not np.ndim(alpha) and alpha > 0:
        return "pcg", f"{sizes}: the Gram matrix of {stored / 1e9:.3g} GB is kept, a factorisation would take minutes"
    return "nystrom", f"{sizes}: the Gram matrix would need {stored / 1e9:.3g} GB"


@dataclass(frozen=True)
class Entries:
    """Entries of K(X, X), of any kernel but a precomputed one, as `solve_on_centres` asks for them."""

    machine: KernelMachine
    kernel: Any
    X: np.ndarray

    def diagonal(self) -> np.ndarray:
        if isinstance(self.kernel, SklearnKernel):
            return self.kernel.diag(self.X)
        parts = (self.machine._gram(self.kernel, self.X[rows]).diagonal() for rows in gen_batches(len(self.X), 256))
        return np.concatenate(list(parts))

    def block(self, rows: Any, columns: Any) -> np.ndarray:
        return self.machine._gram(self.kernel, self.X[rows], self.X[columns])

    def panels(self, columns: Any) -> Iterator[tuple[slice, np.ndarray]]:
        start = 0
        for panel in self.machine._panels(self.kernel, self.X, self.X[columns], apply=lambda panel: panel):
            yield slice(start, start + len(panel)), panel
            start += len(panel)


@dataclass(frozen=True)
class Options:
    """How the iterative solvers go about it; parameters of the estimators."""

    n_components: int
    tol: float
    max_iter: int
    random_state: Any

    def generator(self) -> np.random.Generator:
        return np.random.default_rng(check_random_state(self.random_state).randint(np.iinfo(np.int32).max))


def solve_pcg(
    K: np.ndarray, y: np.ndarray, alpha: float, *, weights: np.ndarray | None, options: Options
) -> IterativeSolution:
    """Conjugate gradients on a stored K, preconditioned by its randomly pivoted Cholesky factor."""
    root = np.ones(len(K)) if weights is None else np.sqrt(weights)
    scaled = root[:, None]

    def matvec(V: np.ndarray) -> np.ndarray:
        return scaled * _product(K, scaled * V)

    preconditioner = pivoted_cholesky(
        K.diagonal() * root**2,
        lambda rows, columns: scaled[rows] * np.asarray(K[rows][:, columns], dtype=np.float64) * root[columns],
        min(options.n_components, len(K)),
        error=_error(K.dtype),
        rng=options.generator(),
    )
    found = conjugate_gradients(
        matvec,
        (y.T * root).T,
        alpha,
        preconditioner=preconditioner,
        tol=options.tol,
        max_iter=options.max_iter,
    )
    return found._replace(dual_coef=(found.dual_coef.T * root).T)


def solve_on_centres(
    entries: Entries, y: np.ndarray, alpha: float, *, weights: np.ndarray | None, options: Options
) -> tuple[np.ndarray, IterativeSolution]:
    """Ridge regression on centres among the samples: which they are, and their coefficients."""
    rng = options.generator()
    n, n_centres = len(entries.X), min(options.n_components, len(entries.X))
    candidates = rng.choice(n, size=min(n, CANDIDATES_A_CENTRE * n_centres), replace=False)
    few = Entries(entries.machine, entries.kernel, entries.X[candidates])
    error = _error(entries.X.dtype)
    pivots = pivoted_cholesky(few.diagonal(), few.block, n_centres, error=error, rng=rng).pivots
    if len(pivots) == 0:  # the kernel is zero
        pivots = np.arange(1)
    centres = np.sort(candidates[pivots])
    found = solve_nystrom(
        entries.block(centres, centres),
        lambda: entries.panels(centres),
        y,
        alpha,
        sample_weight=weights,
        error=error,
        tol=options.tol,
        max_iter=options.max_iter,
    )
    return centres, found


def _product(K: np.ndarray, V: np.ndarray) -> np.ndarray:
    """K V with partial sums in the precision of K, added up in float64."""
    total = np.zeros((len(K), V.shape[1]))
    for part in gen_batches(len(V), SUMMED_AT_ONCE):
        total += K[:, part] @ V[part].astype(K.dtype)
    return total


def _error(dtype: np.dtype) -> float:
    return float(np.finfo(dtype).eps) if dtype.kind == "f" else float(np.finfo(np.float64).eps)
