"""The ridge system (K + alpha I) a = y, and which solver takes it."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy.linalg import LinAlgError, LinAlgWarning

from ntkkit.linalg.cholesky import Cholesky, cholesky
from ntkkit.linalg.eigen import Eigen, eigen
from ntkkit.linalg.path import squared_loss_flow
from ntkkit.linalg.symmetric import EPS, TINY, Matrix, as_columns, as_lapack, check_alpha, check_weights, entry_error


class RidgeSolution(NamedTuple):
    """The coefficients, and the name of the solver that found them."""

    dual_coef: Matrix
    solver: str


@dataclass(frozen=True)
class ShiftedEigen:
    """K + alpha I by the eigenvalues of K; with a finite time, the solution is `squared_loss_flow`'s at that time."""

    decomposition: Eigen
    alpha: float
    time: float = math.inf

    def solve(self, y: Matrix) -> Matrix:
        return squared_loss_flow(self.decomposition, y, self.time, alpha=self.alpha)

    def whiten(self, y: Matrix) -> Matrix:
        return self.decomposition.whiten(y, self.alpha)


Factor = Cholesky | ShiftedEigen


@dataclass(frozen=True)
class RidgeFactor:
    """S K S + alpha I, factored, with S = diag(root) the square roots of the sample weights, or the identity."""

    factor: Factor
    root: Matrix | None = None

    @property
    def solver(self) -> str:
        """Which solver it was: "cholesky" or "eigen"."""
        return "cholesky" if isinstance(self.factor, Cholesky) else "eigen"

    @property
    def decomposition(self) -> Eigen:
        """Eigenvalues and eigenvectors of S K S, where the solver is eigen."""
        assert isinstance(self.factor, ShiftedEigen)
        return self.factor.decomposition

    def at(self, alpha: float) -> RidgeFactor:
        """The same for another ridge term, where the solver is eigen."""
        assert isinstance(self.factor, ShiftedEigen)
        return replace(self, factor=replace(self.factor, alpha=alpha))

    def solve(self, y: ArrayLike) -> Matrix:
        """S (S K S + alpha I)^-1 S y: (n,) -> (n,) or (n, k) -> (n, k)."""
        return self._scaled(self.factor.solve(self._scaled(np.asarray(y, dtype=np.float64))))

    def whiten(self, B: ArrayLike) -> Matrix:
        """R S B with R'R = (S K S + alpha I)^-1: (n, m) -> (n, m), for variances without cancellation."""
        return self.factor.whiten(self._scaled(np.asarray(B, dtype=np.float64)))

    def _scaled(self, y: Matrix) -> Matrix:
        return y if self.root is None else (y.T * self.root).T


def factor_ridge(
    K: ArrayLike,
    alpha: float = 0.0,
    *,
    solver: str = "auto",
    sample_weight: ArrayLike | None = None,
    time: float = math.inf,
    overwrite: bool = False,
) -> RidgeFactor:
    """Factor the ridge system of `solve_ridge` once, to solve it many times.

    Parameters
    ----------
    K : array-like of shape (n, n)
        Symmetric positive semi-definite, up to rounding; one triangle is read.
    alpha : float, default=0.0
        Ridge term >= 0, absolute.
    solver : {"auto", "cholesky", "eigen"}, default="auto"
        As in `solve_ridge`.
    sample_weight : array-like of shape (n,), optional
        Weights > 0.
    time : float, default=inf
        Training time.
    overwrite : bool, default=False
        Let the factor take K's place.

    Returns
    -------
    RidgeFactor
        The factor, ready to solve.

    Raises
    ------
    ValueError
        For arguments that are not finite or of the wrong shape, or an unknown solver. LinAlgError and warnings as
        in `solve_ridge`.

    Examples
    --------
    >>> factor = factor_ridge([[2.0, 1.0], [1.0, 2.0]], alpha=1.0)
    >>> factor.solve([4.0, 4.0]), factor.solver
    (array([1., 1.]), 'cholesky')
    """
    error = entry_error(np.asarray(K).dtype)
    return _factor(as_lapack(K, overwrite=overwrite), float(check_alpha(alpha)), error, solver, sample_weight, time)


def solve_ridge(
    K: ArrayLike,
    y: ArrayLike,
    alpha: ArrayLike = 0.0,
    *,
    solver: str = "auto",
    sample_weight: ArrayLike | None = None,
    time: float = math.inf,
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
    alpha : float or array-like of shape (k,), default=0.0
        Ridge term >= 0, absolute: one for all columns of y, or one each, which "cholesky" factors one by one.
    solver : {"auto", "cholesky", "eigen"}, default="auto"
        "cholesky": n^3 / 3 operations; scipy.linalg.LinAlgError where K + alpha I is not positive definite to working
        precision. "eigen": some ten times slower; eigenvalues of K + alpha I that rounding cannot tell from zero, and
        negative ones, are left out, which gives the minimum-norm least-squares solution. "auto": Cholesky, and where
        that fails eigen, with a warning; eigen also for several ridge terms and for a training time.
    sample_weight : array-like of shape (n,), optional
        Weights > 0.
    time : float, default=inf
        Training time of gradient descent, as in `squared_loss_flow`; finite times need solver="auto" or "eigen".
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
    error = entry_error(np.asarray(K).dtype)
    A = as_lapack(K, overwrite=overwrite)
    alphas, shape = check_alpha(alpha), np.shape(y)
    columns = as_columns(y, len(A))
    if alphas.shape not in ((), (1,), columns.shape[1:]):
        raise ValueError(f"alpha must be a number, or one for each of {columns.shape[1]} targets, found {alphas}.")
    distinct = [float(term) for term in np.unique(alphas)]
    if len(distinct) == 1:
        factor = _factor(A, distinct[0], error, solver, sample_weight, time)
        dual_coef = factor.solve(columns)
    elif solver == "cholesky":
        dual_coef = np.empty_like(columns)
        for term in distinct:
            factor = _factor(A.copy(order="F"), term, error, solver, sample_weight, time)
            dual_coef[:, alphas == term] = factor.solve(columns[:, alphas == term])
    else:
        factor = _factor(A, distinct[0], error, "eigen", sample_weight, time)
        dual_coef = np.concatenate([factor.at(term).solve(columns[:, [i]]) for i, term in enumerate(alphas)], axis=1)
    if not np.isfinite(dual_coef).all():
        raise ValueError(f"The solution overflows at alpha={alphas}: K or the targets are out of scale; rescale them.")
    return RidgeSolution(dual_coef.reshape(shape), factor.solver)


def _factor(
    A: Matrix, alpha: float, error: float, solver: str, sample_weight: ArrayLike | None, time: float
) -> RidgeFactor:
    """Factor A, which is destroyed."""
    if solver not in SOLVERS:
        raise ValueError(f"solver must be one of {sorted(SOLVERS)}, found {solver!r}.")
    root = None
    if sample_weight is not None:
        root = np.sqrt(check_weights(sample_weight, len(A)))
        A *= root
        A *= root[:, None]
    if time == math.inf:
        return RidgeFactor(SOLVERS[solver](A, alpha, error), root)
    if solver == "cholesky":
        raise ValueError(f"solver='cholesky' has no training times, found time={time:g}: use solver='eigen' or 'auto'.")
    return RidgeFactor(ShiftedEigen(eigen(A, error=error, overwrite=True), alpha, time), root)


def _by_cholesky(A: Matrix, alpha: float, error: float) -> Factor:
    try:
        return cholesky(A, alpha, error=error, overwrite=True)
    except LinAlgError:
        found = _describe(eigen(A, error=error, overwrite=True), alpha)
        raise LinAlgError(f"{found}, or use solver='auto' or 'eigen'.") from None


def _by_eigen(A: Matrix, alpha: float, error: float) -> Factor:
    return ShiftedEigen(eigen(A, error=error, overwrite=True), alpha)


def _by_either(A: Matrix, alpha: float, error: float) -> Factor:
    try:
        return cholesky(A, alpha, error=error, overwrite=True)
    except LinAlgError:
        decomposition = eigen(A, error=error, overwrite=True)
        warnings.warn(
            f"{_describe(decomposition, alpha)}. The eigen solver was used, which left out "
            f"{decomposition.n_left_out(alpha)} of {len(A)} eigenvalues: a minimum-norm least-squares solution.",
            LinAlgWarning,
            stacklevel=5,
        )
        return ShiftedEigen(decomposition, alpha)


SOLVERS: dict[str, Callable[[Matrix, float, float], Factor]] = {
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
