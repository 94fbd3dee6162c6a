"""Preconditioned conjugate gradients: the ridge system from products with K, all right-hand sides at once."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.linalg import eigh
from sklearn.exceptions import ConvergenceWarning

from ntkkit.linalg.pivoted import PartialCholesky
from ntkkit.linalg.symmetric import EPS, TINY, Matrix, as_columns, check_alpha

Operator = Callable[[Matrix], Matrix]


class IterativeSolution(NamedTuple):
    """What an iterative solver found, and how far it came.

    Attributes
    ----------
    dual_coef : ndarray
        The solution; where it did not converge, the iterate of smallest residual.
    n_iter : int
        Iterations, each one product with the matrix.
    residuals : ndarray of shape (n_iter + 1, k)
        Relative residual of each column after each iteration, as the recurrences have it.
    converged : ndarray of shape (k,)
        Whether the relative residual computed from the solution is at most the tolerance.
    """

    dual_coef: Matrix
    n_iter: int
    residuals: Matrix
    converged: NDArray[np.bool_]


def conjugate_gradients(
    matvec: Operator,
    y: ArrayLike,
    alpha: float = 0.0,
    *,
    preconditioner: PartialCholesky | None = None,
    tol: float = 1e-6,
    max_iter: int = 1000,
) -> IterativeSolution:
    """Solve (K + alpha I) a = y from products with K.

    The columns of y share the products and stop one by one. The residual is computed anew at the end, and iterated on
    where rounding had hidden that it is not below the tolerance.

    The preconditioner is F F' + d I with d = alpha + tr(K - F F') / n: its inverse is known from the eigenvalues of
    F'F. For alpha far above that mean it is the usual F F' + alpha I, and at alpha = 0 it is still definite. (d is at
    least 10 n eps times the largest eigenvalue of F F': below that its inverse is rounding.)

    Parameters
    ----------
    matvec : callable
        V -> K V, (n, j) -> (n, j) for j <= k columns. K is symmetric positive semi-definite.
    y : array-like of shape (n,) or (n, k)
        Right-hand sides.
    alpha : float, default=0.0
        Ridge term >= 0, absolute.
    preconditioner : PartialCholesky, optional
        Of K. Iterations grow like the square root of 1 + |K - F F'| / alpha.
    tol : float, default=1e-6
        Bound > 0 of the relative residual |y - (K + alpha I) a| / |y| of each column. It bounds the relative error of
        the predictions at the training inputs, too.
    max_iter : int, default=1000
        Bound >= 1 of the iterations.

    Returns
    -------
    IterativeSolution
        `dual_coef` of the shape of y, and how it came about. n_iter + 1 products, (rank + 5) n k operations each
        besides, and memory for eight times y.

    Raises
    ------
    ValueError
        If y is not finite or not of the right shape, alpha negative, tol or max_iter not positive, or a product with K
        NaN or infinite.

    Warns
    -----
    sklearn.exceptions.ConvergenceWarning
        If a column did not reach the tolerance: with the residual reached, and what to do.

    References
    ----------
    Cutajar, Osborne, Cunningham, Filippone (2016), Preconditioning kernel matrices.
    Diaz, Epperly, Frangella, Tropp, Webber (2023), Robust, randomized preconditioning for kernel ridge regression.

    Examples
    --------
    >>> K = np.array([[2.0, 1.0], [1.0, 2.0]])
    >>> conjugate_gradients(lambda V: K @ V, [4.0, 4.0], 1.0).dual_coef
    array([1., 1.])
    """
    alpha = float(check_alpha(alpha))
    Y = as_columns(y, len(np.atleast_1d(y)))

    def operator(V: Matrix) -> Matrix:
        return matvec(V) + alpha * V

    precondition = _identity if preconditioner is None else _inverse(preconditioner, alpha)
    X, residuals, reached = iterate(operator, Y, precondition, tol=tol, max_iter=max_iter)
    remedy = f"Raise alpha={alpha:g}, max_iter={max_iter} or the preconditioner's rank, or use an eigendecomposition"
    return conclude(X.reshape(np.shape(y)), residuals, reached, tol=tol, remedy=remedy)


def iterate(
    operator: Operator, Y: Matrix, precondition: Operator, *, tol: float, max_iter: int
) -> tuple[Matrix, Matrix, Matrix]:
    """Solve A X = Y by conjugate gradients, and again for the true residual while that halves it.

    Returns
    -------
    tuple of ndarray
        X, relative residuals of every iteration (n_iter + 1, k), and the true one of each column in the end.

    Raises
    ------
    ValueError
        If tol or max_iter are not positive, or a product is NaN or infinite.
    """
    if not (0 < tol < np.inf and max_iter >= 1):
        raise ValueError(f"tol and max_iter must be positive, found tol={tol:g} and max_iter={max_iter}.")
    size = np.abs(Y).max(axis=0, initial=0.0)
    scale = size * _norms(Y / np.maximum(size, TINY))  # no square overflows
    T = Y / np.maximum(scale, TINY)
    X, reached = np.zeros_like(Y), _norms(T)
    history, going = [reached], np.flatnonzero(reached > tol)
    while len(going) and len(history) <= max_iter:
        change, residual, rows = _run(operator, T[:, going], precondition, tol, max_iter + 1 - len(history))
        for row in rows:
            history.append(history[-1].copy())
            history[-1][going] = row
        trial = X[:, going] + change
        if len(rows) > 1:  # a single step has no rounding to hide
            residual = T[:, going] - operator(change)
        norms, before = _norms(residual), reached[going]
        better = norms < before
        X[:, going[better]], T[:, going[better]] = trial[:, better], residual[:, better]
        reached[going[better]] = norms[better]
        going = going[(norms > tol) & (norms <= before / 2)]
    return X * scale, np.array(history), reached


def _run(
    operator: Operator, R: Matrix, precondition: Operator, tol: float, max_iter: int
) -> tuple[Matrix, Matrix, list[Matrix]]:
    """Conjugate gradients from zero: iterates of smallest residual, their residuals, and the norms of every iteration.

    A column stops where its residual is below `tol`, or the curvature p'Ap / p'p is rounding or negative.

    Raises
    ------
    ValueError
        If a product is NaN or infinite.
    """
    R, X, best, left = R.copy(), np.zeros_like(R), np.zeros_like(R), R.copy()
    smallest, active, history = _norms(R), np.arange(R.shape[1]), [_norms(R)]
    P = precondition(R)
    product, largest = _dots(R, P), np.zeros(R.shape[1])
    while len(active) and len(history) <= max_iter:
        AP = operator(P)
        curvature = _dots(P, AP)
        if not np.isfinite(curvature).all():
            raise ValueError("A product with the matrix is NaN or infinite: scale the inputs (StandardScaler).")
        quotient = curvature / np.maximum(_dots(P, P), TINY)
        largest = np.maximum(largest, quotient)
        sound = (quotient > np.maximum(EPS * largest, TINY)) & (product > 0)
        step = np.divide(product, curvature, out=np.zeros_like(product), where=sound)
        X += step * P
        R -= step * AP
        norms = _norms(R)
        history.append(history[-1].copy())
        history[-1][active] = norms
        improved = norms < smallest[active]
        best[:, active[improved]], left[:, active[improved]] = X[:, improved], R[:, improved]
        smallest[active[improved]] = norms[improved]
        going = sound & (norms > tol)
        active, product, largest = active[going], product[going], largest[going]
        X, R, P = X[:, going], R[:, going], P[:, going]
        Z = precondition(R)
        product, before = _dots(R, Z), product
        P = Z + product / before * P
    return best, left, history[1:]


def conclude(dual_coef: Matrix, residuals: Matrix, reached: Matrix, *, tol: float, remedy: str) -> IterativeSolution:
    """Collect the result of `iterate`, and warn if a column did not converge: what it reached, and what helps."""
    solution = IterativeSolution(dual_coef, len(residuals) - 1, residuals, reached <= tol)
    if not solution.converged.all():
        warnings.warn(
            f"Conjugate gradients reached a relative residual of {reached.max():.2g} in {solution.n_iter} iterations, "
            f"not tol={tol:g}, for {np.count_nonzero(reached > tol)} of {len(reached)} right-hand sides: the matrix is "
            f"too ill-conditioned for it, or not positive definite. {remedy}.",
            ConvergenceWarning,
            stacklevel=3,
        )
    return solution


def _inverse(preconditioner: PartialCholesky, alpha: float) -> Operator:
    """Return d (F F' + d I)^-1: the factor d changes no iterate, and could overflow."""
    F = preconditioner.factor
    n, rank = F.shape
    values, W = eigh(F.T @ F) if rank else (np.zeros(1), np.zeros((0, 1)))
    if values[-1] < TINY:
        return _identity
    d = max(alpha + preconditioner.residual_trace / n, 10 * n * EPS * values[-1])
    core = (W / (np.maximum(values, 0.0) + d)) @ W.T
    return lambda R: R - F @ (core @ (F.T @ R))


def _identity(R: Matrix) -> Matrix:
    return R.copy()


def _dots(U: Matrix, V: Matrix) -> Matrix:
    return np.einsum("ij,ij->j", U, V)


def _norms(U: Matrix) -> Matrix:
    return np.sqrt(_dots(U, U))
