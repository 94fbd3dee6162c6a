"""Many samples: which solver takes them, and what the iterative ones need of a kernel."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.gaussian_process.kernels import Kernel as SklearnKernel
from sklearn.utils import check_random_state, gen_batches

from ntkkit.engine import Engine
from ntkkit.engine.memory import available_memory, parse_memory
from ntkkit.engine.store import multiply
from ntkkit.estimators._validation import is_precomputed
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
    budget = _budget(engine)
    dense, stored = (8 + itemsize) * n * n, itemsize * n * n
    sizes = f"n = {n}, memory {budget / 1e9:.3g} GB"
    if dense <= budget and n <= LARGEST_DENSE:
        return "auto", f"{sizes}: a factorisation in float64 needs {dense / 1e9:.3g} GB"
    if not rectangles or (dense <= budget and (np.ndim(alpha) or alpha == 0)):
        return "auto", f"{sizes}: the Gram matrix is there, or alpha={alpha} asks for a factorisation"
    if not np.ndim(alpha) and alpha > 0:
        if stored <= budget:
            return "pcg", f"{sizes}: the Gram matrix of {stored / 1e9:.3g} GB is kept, a factorisation would be slow"
        if engine is not None and engine.store is not None:
            return "pcg", f"{sizes}: the Gram matrix of {stored / 1e9:.3g} GB is in the store"
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
    machine: RidgeMachine,
    kernel: Any,
    X: np.ndarray,
    y: np.ndarray,
    *,
    rows: Any,
    weights: np.ndarray | None,
    options: Options,
) -> IterativeSolution:
    """Conjugate gradients on the samples `rows`, preconditioned by their kernel's randomly pivoted Cholesky factor.

    K is kept where it fits the memory budget, else read from the engine's store in every iteration, or evaluated anew
    where there is none.
    """
    if is_precomputed(kernel) or len(y) ** 2 * X.dtype.itemsize <= _budget(machine.engine):
        K = machine._training_gram(kernel, X, rows)
        diagonal, error = K.diagonal(), entry_error(K.dtype)

        def entries(rows: Any, columns: np.ndarray) -> np.ndarray:
            return K[rows][:, columns]

        def product(V: np.ndarray) -> np.ndarray:
            return _product(K, V)
    else:
        seen, in_store = X[rows], isinstance(kernel, Kernel) and machine._engine.store is not None
        where = "read from the store" if in_store else "evaluated"
        machine.solver_reason_ += f"; it does not fit the memory, and is {where} in every iteration"
        stored = machine._engine.gram(kernel, seen) if in_store else None
        diagonal, error = machine._diagonal(kernel, seen), entry_error(X.dtype)
        refuse_noise(kernel, seen, diagonal)

        def entries(rows: Any, columns: np.ndarray) -> np.ndarray:
            return machine._pairs(kernel, seen, rows, columns)

        def product(V: np.ndarray) -> np.ndarray:
            if stored is not None:
                return multiply(stored, V)
            parts = machine._panels(kernel, seen, seen, apply=lambda panel: _product(panel, V))
            return np.concatenate([part for _, part in parts])

    root = np.ones(len(y)) if weights is None else np.sqrt(weights)
    scaled = root[:, None]
    preconditioner = pivoted_cholesky(
        diagonal * root**2,
        lambda rows, columns: scaled[rows] * np.asarray(entries(rows, columns), dtype=np.float64) * root[columns],
        min(options.n_components, len(y)),
        error=error,
        rng=options.generator(),
    )
    found = conjugate_gradients(
        lambda V: scaled * product(scaled * V),
        (y.T * root).T,
        machine.alpha,
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
    refuse_noise(kernel, few, diagonal)
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


def refuse_noise(kernel: Any, X: np.ndarray, diagonal: np.ndarray) -> None:
    """Refuse a kernel whose Gram matrix is more than the kernel of its pairs, where only those are evaluated."""
    theirs = isinstance(kernel, SklearnKernel) and not isinstance(kernel, Kernel)
    if theirs and not np.allclose(kernel.diag(X[:1]), diagonal[:1]):
        raise ValueError(
            f"Where only pairs are evaluated, the noise that {kernel!r} adds to its diagonal would be lost: leave the "
            "WhiteKernel out, and add its variance to alpha."
        )


def _budget(engine: Engine | None) -> int:
    """Bytes for matrices: the engine's memory, or half of what is available."""
    return available_memory() // 2 if engine is None or engine.memory == "auto" else parse_memory(engine.memory)


def _product(K: np.ndarray, V: np.ndarray) -> np.ndarray:
    """K V with partial sums in the precision of K, added up in float64."""
    total = np.zeros((len(K), V.shape[1]))
    for part in gen_batches(len(V), SUMMED_AT_ONCE):
        total += K[:, part] @ V[part].astype(K.dtype)
    return total
