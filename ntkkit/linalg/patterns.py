"""Rows with missing entries: one factorisation for all rows that lack the same ones."""

from __future__ import annotations

import warnings

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.linalg import LinAlgError, LinAlgWarning
from sklearn.utils import gen_batches

from ntkkit.linalg.cholesky import cholesky
from ntkkit.linalg.eigen import eigen
from ntkkit.linalg.pivoted import Indices
from ntkkit.linalg.symmetric import EPS, Matrix, check_alpha

# Rows with at least this share of the entries are solved by the inverse for all columns, if its reciprocal condition
# number is above this: the relative error is then some 1e-10 at most.
MOSTLY_OBSERVED, WELL_CONDITIONED = 0.5, 1e-6
# Numbers in arrays of small matrices.
AT_ONCE = 2**21


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
        W, zero where nothing was observed or K_jj = 0. Some k^3 / 3 operations a pattern of k observed entries and
        2 k^2 a row, or, if K + alpha I is well-conditioned, 2 j^3 and 2 j m for j missing ones where they are fewer.

    Raises
    ------
    ValueError
        If alpha is not finite and >= 0, K not real, finite and square, or Y not real and of as many columns, or
        infinite somewhere.

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
    K, Y = _checked(K, Y)
    check_alpha(alpha)
    W, varies = np.zeros_like(Y), K.diagonal() != 0
    if varies.any():  # the others tell nothing, and would make K singular
        W[:, varies] = _solve(K[np.ix_(varies, varies)], Y[:, varies], float(alpha), error)
    return W


def _checked(K: ArrayLike, Y: ArrayLike) -> tuple[Matrix, Matrix]:
    K, Y = np.asarray(K), np.asarray(Y)
    if K.ndim != 2 or Y.ndim != 2 or K.shape != 2 * Y.shape[1:]:
        raise ValueError(f"K must be of shape (m, m) for Y of shape (n, m), found {K.shape} for {Y.shape}.")
    for name, found in (("K", K), ("Y", Y)):
        if found.dtype.kind not in "fiub":
            raise ValueError(f"{name} must hold real numbers, found dtype {found.dtype}.")
    if not np.isfinite(K).all():
        raise ValueError("K contains NaN or infinity: scale the inputs (StandardScaler), or its variances down.")
    if np.isinf(Y).any():
        raise ValueError("Y must be finite, or NaN where nothing was observed, found infinity.")
    return K.astype(np.float64), Y.astype(np.float64)


def _solve(K: Matrix, Y: Matrix, alpha: float, error: float) -> Matrix:
    """`solve_patterns` of what was checked."""
    observed = ~np.isnan(Y)
    _, first, pattern = np.unique(np.packbits(observed, axis=1), axis=0, return_index=True, return_inverse=True)
    pattern, patterns = pattern.ravel(), observed[first]
    W, left = np.zeros_like(Y), np.ones(len(patterns), dtype=bool)
    inverse = _invert(K, alpha, error)
    if inverse is not None:
        left = patterns.sum(axis=1) < MOSTLY_OBSERVED * len(K)
        rows = np.flatnonzero(~left[pattern])
        W[rows] = _by_inverse(inverse, Y[rows], patterns, pattern[rows])
    n_singular = 0
    members = np.split(np.argsort(pattern, kind="stable"), np.bincount(pattern).cumsum()[:-1])
    for number in np.flatnonzero(left & patterns.any(axis=1)):
        rows, columns = members[number], patterns[number]
        places = np.ix_(rows, columns)
        solution, singular = solve_semidefinite(K[np.ix_(columns, columns)], Y[places].T, alpha, error=error)
        W[places] = solution.T
        n_singular += singular
    if n_singular:
        warnings.warn(
            f"In {n_singular} of {len(first)} patterns of missing entries K + alpha I is singular to working precision "
            f"at alpha={alpha:g}: minimum-norm solutions were taken. Raise alpha, or make columns differ.",
            LinAlgWarning,
            stacklevel=4,
        )
    return W


def _invert(K: Matrix, alpha: float, error: float) -> Matrix | None:
    """(K + alpha I)^-1, or None where its rounding could be seen."""
    try:
        factor = cholesky(K, alpha, error=error)
    except LinAlgError:
        return None
    return factor.solve(np.eye(len(K))) if factor.rcond > WELL_CONDITIONED else None


def _by_inverse(P: Matrix, Y: Matrix, patterns: NDArray[np.bool_], pattern: Indices) -> Matrix:
    """The same for rows that lack few entries: with P = (K + alpha I)^-1, y_m = 0 and v = P y, w = v - P_m P_mm^-1 v_m.

    P_mm of patterns with the same number of missing entries are inverted together, which spares many small calls.
    """
    W = np.nan_to_num(Y) @ P
    n_missing = (~patterns).sum(axis=1)
    for m in np.setdiff1d(n_missing[pattern], [0]):
        of_size = np.flatnonzero(n_missing == m)
        numbers = np.searchsorted(of_size, pattern)
        mine = np.flatnonzero(n_missing[pattern] == m)
        lacking = np.nonzero(~patterns[of_size])[1].reshape(-1, m)
        for some in gen_batches(len(of_size), max(1, AT_ONCE // m**2)):
            inverses = np.linalg.inv(P[lacking[some, :, None], lacking[some, None, :]])
            inside = mine[(numbers[mine] >= some.start) & (numbers[mine] < some.stop)]
            for rows in np.array_split(inside, -(-len(inside) * m * len(P) // AT_ONCE)):
                columns = lacking[numbers[rows]]
                weights = np.einsum("rij,rj->ri", inverses[numbers[rows] - some.start], W[rows[:, None], columns])
                W[rows] -= np.einsum("rmp,rm->rp", P[columns], weights)
                W[rows[:, None], columns] = 0.0
    return W


def solve_semidefinite(K: Matrix, y: Matrix, alpha: float, *, error: float = EPS) -> tuple[Matrix, bool]:
    """Solve (K + alpha I) a = y, and say whether that is singular, which gives the minimum-norm solution."""
    try:
        return cholesky(K, alpha, error=error).solve(y), False
    except LinAlgError:
        return eigen(K, error=error).solve(y, alpha), True
