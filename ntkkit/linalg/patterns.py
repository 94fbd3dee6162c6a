"""Rows with missing entries: one factorisation for all rows that lack the same ones."""

from __future__ import annotations

import warnings

import numpy as np
from numpy.typing import ArrayLike
from scipy.linalg import LinAlgError, LinAlgWarning

from ntkkit.linalg.cholesky import cholesky
from ntkkit.linalg.eigen import eigen
from ntkkit.linalg.symmetric import EPS, Matrix, check_alpha


def solve_patterns(K: ArrayLike, Y: ArrayLike, alpha: float = 0.0, *, error: float = EPS) -> Matrix:
    """Coefficients of each row from what it has: w_o = (K_oo + alpha I)^-1 y_o, with o the finite entries of a row y.

    W K are the conditional means of all entries given those observed, of rows that are independent of each other and
    have covariance K, observed with noise of variance alpha.

    Parameters
    ----------
    K : array-like of shape (m, m)
        Symmetric positive semi-definite, up to rounding: covariance of the columns of Y.
    Y : array-like of shape (n, m)
        Rows; NaN where nothing was observed.
    alpha : float, default=0.0
        Ridge term >= 0, absolute.
    error : float, default=2.2e-16
        Relative error of the entries of K.

    Returns
    -------
    ndarray of shape (n, m)
        W, zero where nothing was observed. Some k^3 / 3 operations a pattern of k observed entries, 2 k^2 a row.

    Raises
    ------
    ValueError
        If alpha is not finite and >= 0, or K is not real and finite.

    Warns
    -----
    scipy.linalg.LinAlgWarning
        Once, if some K_oo + alpha I were singular to working precision: those rows have minimum-norm solutions.

    Examples
    --------
    >>> K = np.array([[2.0, 1.0], [1.0, 2.0]])
    >>> W = solve_patterns(K, [[4.0, np.nan], [3.0, 3.0]])
    >>> W @ K
    array([[4., 2.],
           [3., 3.]])
    """
    K, Y = np.asarray(K, dtype=np.float64), np.asarray(Y, dtype=np.float64)
    check_alpha(alpha)
    observed = ~np.isnan(Y)
    _, first, pattern = np.unique(np.packbits(observed, axis=1), axis=0, return_index=True, return_inverse=True)
    members = np.split(np.argsort(pattern.ravel(), kind="stable"), np.bincount(pattern.ravel()).cumsum()[:-1])
    W, n_singular = np.zeros_like(Y), 0
    for rows, columns in zip(members, observed[first], strict=True):
        if not columns.any():
            continue
        places = np.ix_(rows, columns)
        solution, singular = solve_semidefinite(K[np.ix_(columns, columns)], Y[places].T, alpha, error=error)
        W[places] = solution.T
        n_singular += singular
    if n_singular:
        warnings.warn(
            f"In {n_singular} of {len(first)} patterns of missing entries K + alpha I is singular to working precision "
            f"at alpha={alpha:g}: minimum-norm solutions were taken. Raise alpha, or make columns differ.",
            LinAlgWarning,
            stacklevel=3,
        )
    return W


def solve_semidefinite(K: Matrix, y: Matrix, alpha: float, *, error: float = EPS) -> tuple[Matrix, bool]:
    """Solve (K + alpha I) a = y, and say whether that is singular, which gives the minimum-norm solution."""
    try:
        return cholesky(K, alpha, error=error).solve(y), False
    except LinAlgError:
        return eigen(K, error=error).solve(y, alpha), True
