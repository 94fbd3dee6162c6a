"""The ridge system (K + alpha I) a = y, and which solver takes it."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy.linalg import LinAlgError, LinAlgWarning

from ntkkit.linalg.cholesky import cholesky
from ntkkit.linalg.eigen import Eigen, eigen
from ntkkit.linalg.symmetric import EPS, TINY, Matrix, as_columns, as_lapack, check_alpha, check_weights, entry_error


class RidgeSolution(NamedTuple):
    """The coefficients, and the name of the solver that found them."""

    dual_coef: Matrix
    solver: str


def solve_ridge(
    K: ArrayLike,
    y: ArrayLike,
    alpha: float = 0.0,
    *,
    solver: str = "auto",
    sample_weight: ArrayLike | None = None,
    overwrite: bool = False,
) -> RidgeSolution:
    """Minimise sum_i w_i |y_i - (K a)_i|^2 + alpha a' K a, by (S K S + alpha I) b = S y and a = S b with S = sqrt(w).

    Without weights this is (K + alpha I) a = y; alpha = 0 interpolates. In float64, whatever the dtype of K.

    Parameters
    ----------
    K : array-like of shape (n, n)
        Symmetric positive semi-definite, up to rounding; one triangle is read.
    y : array-like of shape (n,) or (n, k)
        Right-hand sides, all solved with one factorisation.
    alpha : float, default=0.0
        Ridge term >= 0, absolute.
    solver : {"auto", "cholesky", "eigen"}, default="auto"
        "cholesky": n^3 / 3 operations; scipy.linalg.LinAlgError where K + alpha I is not positive definite to working
        precision. "eigen": some ten times slower; eigenvalues of K + alpha I that rounding cannot tell from zero, and
        negative ones, are left out, which gives the minimum-norm least-squares solution. "auto": Cholesky, and where
        that fails eigen, with a warning.
    sample_weight : array-like of shape (n,), optional
        Weights > 0.
    overwrite : bool, default=False
        Let the solver destroy K, which saves n^2 numbers where K is float64.

    Returns
    -------
    RidgeSolution
        `dual_coef` of the shape of y, and `solver`: "cholesky" or "eigen".

    Raises
    ------
    ValueError
        For arguments that are not finite or of the wrong shape, negative alpha, weights that are not positive, an
        unknown solver, and where the solution is too large for float64.

    Warns
    -----
    scipy.linalg.LinAlgWarning
        From solver="auto", if eigen had to be used: with the extreme eigenvalues, and what to raise alpha to.

    Examples
    --------
    >>> solve_ridge([[2.0, 1.0], [1.0, 2.0]], [4.0, 4.0], alpha=1.0)
    RidgeSolution(dual_coef=array([1., 1.]), solver='cholesky')
    """
    if solver not in SOLVERS:
        raise ValueError(f"solver must be one of {sorted(SOLVERS)}, found {solver!r}.")
    alpha = float(check_alpha(alpha))
    error = entry_error(np.asarray(K).dtype)
    A = as_lapack(K, overwrite=overwrite)
    y = as_columns(y, len(A)).reshape(np.shape(y))
    if sample_weight is None:
        dual_coef, used = SOLVERS[solver](A, y, alpha, error)
    else:
        root = np.sqrt(check_weights(sample_weight, len(A)))
        A *= root
        A *= root[:, None]
        dual_coef, used = SOLVERS[solver](A, (y.T * root).T, alpha, error)
        dual_coef = (dual_coef.T * root).T
    if not np.isfinite(dual_coef).all():
        raise ValueError(f"The solution overflows at alpha={alpha:g}: K or the targets are out of scale; rescale them.")
    return RidgeSolution(dual_coef, used)


def _by_cholesky(A: Matrix, y: Matrix, alpha: float, error: float) -> RidgeSolution:
    try:
        return RidgeSolution(cholesky(A, alpha, error=error, overwrite=True).solve(y), "cholesky")
    except LinAlgError:
        found = _describe(eigen(A, error=error, overwrite=True), alpha)
        raise LinAlgError(f"{found}, or use solver='auto' or 'eigen'.") from None


def _by_eigen(A: Matrix, y: Matrix, alpha: float, error: float) -> RidgeSolution:
    return RidgeSolution(eigen(A, error=error, overwrite=True).solve(y, alpha), "eigen")


def _by_either(A: Matrix, y: Matrix, alpha: float, error: float) -> RidgeSolution:
    try:
        return RidgeSolution(cholesky(A, alpha, error=error, overwrite=True).solve(y), "cholesky")
    except LinAlgError:
        decomposition = eigen(A, error=error, overwrite=True)
        warnings.warn(
            f"{_describe(decomposition, alpha)}. The eigen solver was used, which left out "
            f"{decomposition.n_left_out(alpha)} of {len(A)} eigenvalues: a minimum-norm least-squares solution.",
            LinAlgWarning,
            stacklevel=4,
        )
        return RidgeSolution(decomposition.solve(y, alpha), "eigen")


SOLVERS: dict[str, Callable[[Matrix, Matrix, float, float], RidgeSolution]] = {
    "auto": _by_either,
    "cholesky": _by_cholesky,
    "eigen": _by_eigen,
}


def _describe(decomposition: Eigen, alpha: float) -> str:
    low, high = (float(value) + alpha for value in decomposition.values[[0, -1]])
    return (
        f"K + alpha I is singular or not positive definite to working precision at alpha={alpha:g}: its eigenvalues "
        f"reach from {low:.3g} to {high:.3g}. Raise alpha to {_enough(decomposition):.2g} or more"
    )


def _enough(decomposition: Eigen) -> float:
    """Return an alpha at which Cholesky succeeds: no pivot is smaller than the smallest eigenvalue."""
    values = decomposition.values
    rounding = max((len(values) + 1) * EPS * float(np.abs(values).max()), TINY)
    return _rounded_up(max(-float(values[0]), 0.0) + 10 * rounding + 5 * decomposition.noise)


def _rounded_up(value: float) -> float:
    """Return the next number with two significant digits."""
    unit = 10.0 ** (math.floor(math.log10(value)) - 1)
    return math.ceil(value / unit) * unit
