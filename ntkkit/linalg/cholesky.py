"""Cholesky factorisation: one n^3 / 3 for any number of right-hand sides."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.linalg import LinAlgError, cho_solve, lapack, solve_triangular

from ntkkit.linalg.symmetric import EPS, Matrix, as_lapack, check_alpha, one_norm


@dataclass(frozen=True)
class Cholesky:
    """K + alpha I = L L'.

    Attributes
    ----------
    factor : ndarray of shape (n, n)
        L in the lower triangle. What lies above the diagonal is no part of it.
    rcond : float
        Estimate of the reciprocal condition number in the 1-norm.
    """

    factor: Matrix
    rcond: float

    def solve(self, y: ArrayLike) -> Matrix:
        """(K + alpha I)^-1 y: (n,) -> (n,) or (n, k) -> (n, k), 2 n^2 operations a column."""
        return cho_solve((self.factor, True), np.asarray(y, dtype=np.float64), check_finite=False)

    def whiten(self, y: ArrayLike) -> Matrix:
        """L^-1 y, whose squares sum to y' (K + alpha I)^-1 y: (n, k) -> (n, k), n^2 operations a column."""
        return solve_triangular(self.factor, np.asarray(y, dtype=np.float64), lower=True, check_finite=False)


def cholesky(K: ArrayLike, alpha: float = 0.0, *, error: float = EPS, overwrite: bool = False) -> Cholesky:
    """Factor K + alpha I, or say that this is no positive definite matrix to working precision.

    Exact duplicates among the rows of K leave a pivot L_ii^2 of at most 2 (n + 1) eps A_ii, A = K + alpha I, instead of
    zero (Higham 2002, theorem 10.3: L L' differs from A by (n + 1) eps / 2 sqrt(A_ii A_jj)), and the factorisation runs
    through. So pivots below twice that, or below four times `error`, count as zero, and so does a reciprocal condition
    number below eps.

    Parameters
    ----------
    K : array-like of shape (n, n)
        Symmetric; one triangle is read.
    alpha : float, default=0.0
        Ridge term >= 0.
    error : float, default=2.2e-16
        Relative error of the entries of K: 1.2e-7 for a kernel computed in float32.
    overwrite : bool, default=False
        Let the factor take K's place, which saves n^2 numbers. If the factorisation fails, K is as it was.

    Returns
    -------
    Cholesky
        The factor, ready to solve.

    Raises
    ------
    scipy.linalg.LinAlgError
        If K + alpha I is not positive definite to working precision. (And ValueError if K is not square, real and
        finite, or alpha not finite and >= 0.)

    References
    ----------
    Higham (2002), Accuracy and Stability of Numerical Algorithms, section 10.1.

    Examples
    --------
    >>> cholesky([[2.0, 1.0], [1.0, 2.0]], alpha=1.0).solve([4.0, 4.0])
    array([1., 1.])
    """
    alpha = float(check_alpha(alpha))
    A = as_lapack(K, overwrite=overwrite)
    diagonal = A.diagonal().copy()
    np.fill_diagonal(A, diagonal + alpha)
    norm = one_norm(A)
    factor, failed_at = lapack.dpotrf(A, lower=1, clean=0, overwrite_a=1)
    if failed_at == 0:
        smallest = np.min(factor.diagonal() ** 2 / (diagonal + alpha))
        rcond, _ = lapack.dpocon(factor, norm, uplo="L")
        if smallest > max(4 * (len(A) + 1) * EPS, 4 * error) and rcond > EPS:
            return Cholesky(factor, float(rcond))
    _restore(A, diagonal)
    raise LinAlgError(f"K + alpha I is not positive definite to working precision at alpha={alpha:g}.")


def _restore(A: Matrix, diagonal: Matrix) -> None:
    """Undo a factorisation, which has written nothing above the diagonal."""
    for i in range(len(A)):
        A[i + 1 :, i] = A[i, i + 1 :]
    np.fill_diagonal(A, diagonal)
