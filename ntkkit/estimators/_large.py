"""Many samples: which solver takes them, and what the iterative ones need of a kernel."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.gaussian_process.kernels import Kernel as SklearnKernel
from sklearn.utils import check_random_state, gen_batches

from ntkkit.engine import Engine
from ntkkit.engine.plan import available_memory, parse_memory
from ntkkit.kernels import Kernel
from ntkkit.linalg import IterativeSolution, conjugate_gradients, entry_error, pivoted_cholesky, solve_nystrom

if TYPE_CHECKING:
    from ntkkit.estimators._base import RidgeMachine

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
        error=entry_error(K.dtype),
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
    machine: RidgeMachine,
    kernel: Any,
    X: np.ndarray,
    y: np.ndarray,
    *,
    weights: np.ndarray | None,
    options: Options,
) -> tuple[np.ndarray, IterativeSolution]:
    """Ridge regression on centres among the samples: the centres, and their coefficients.

    Raises
    ------
    ValueError
        If the kernel adds noise to its diagonal, which a machine without a Gram matrix would leave out.
    """
    rng = options.generator()
    n_centres = min(options.n_components, len(X))
    few = X[rng.choice(len(X), size=min(len(X), CANDIDATES_A_CENTRE * n_centres), replace=False)]
    diagonal, error = machine._diagonal(kernel, few), entry_error(X.dtype)
    theirs = isinstance(kernel, SklearnKernel) and not isinstance(kernel, Kernel)
    if theirs and not np.allclose(kernel.diag(few[:1]), diagonal[:1]):
        raise ValueError(
            f"solver='nystrom' cannot take the noise that {kernel!r} adds to its diagonal: leave the WhiteKernel out, "
            "and add its variance to alpha."
        )
    found = pivoted_cholesky(
        diagonal, lambda rows, columns: machine._pairs(kernel, few, rows, columns), n_centres, error=error, rng=rng
    )
    centres = few[found.pivots if len(found.pivots) else [0]]  # none where the kernel is zero
    solution = solve_nystrom(
        machine._gram(kernel, centres, centres),
        lambda: machine._panels(kernel, X, centres, apply=lambda panel: panel),
        y,
        machine.alpha,
        sample_weight=weights,
        error=error,
        tol=options.tol,
        max_iter=options.max_iter,
    )
    return centres, solution


def _product(K: np.ndarray, V: np.ndarray) -> np.ndarray:
    """K V with partial sums in the precision of K, added up in float64."""
    total = np.zeros((len(K), V.shape[1]))
    for part in gen_batches(len(V), SUMMED_AT_ONCE):
        total += K[:, part] @ V[part].astype(K.dtype)
    return total
