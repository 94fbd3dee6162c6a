"""Eigendecomposition: some ten times a Cholesky factorisation, then every ridge term for the price of a product."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.linalg import eigh

from ntkkit.linalg.symmetric import EPS, TINY, Matrix, as_lapack, check_alpha, one_norm


@dataclass(frozen=True)
class Eigen:
    """K = V diag(values) V'.

    Attributes
    ----------
    values : ndarray of shape (n,)
        Eigenvalues, ascending.
    vectors : ndarray of shape (n, n)
        V, one eigenvector a column.
    noise : float
        How far the rounding of K's entries moves an eigenvalue.
    """

    values: Matrix
    vectors: Matrix
    noise: float

    def cutoff(self, alpha: float = 0.0) -> float:
        """Return the larger of n eps times the largest eigenvalue of K + alpha I, n >= 20, and the noise of K.

        Zero eigenvalues of small matrices come out as up to 11 eps times the largest, whatever n is.
        """
        return max(max(len(self.values), 20) * EPS * (float(self.values[-1]) + alpha), self.noise, TINY)

    def n_left_out(self, alpha: float = 0.0) -> int:
        """Count what `solve` leaves out: eigenvalues at or below the cutoff, so also negative ones."""
        return int(np.count_nonzero(self.values + alpha <= self.cutoff(alpha)))

    def solve(self, y: ArrayLike, alpha: ArrayLike = 0.0) -> Matrix:
        """Solve (K + alpha I) a = y, in the minimum-norm least-squares sense where it is singular.

        Parameters
        ----------
        y : array-like of shape (n,) or (n, k)
            Right-hand sides.
        alpha : float or array-like of shape (k,), default=0.0
            Ridge term >= 0, one for all or one a column.

        Returns
        -------
        ndarray of the shape of y
            The solution, 4 n^2 operations a column.
        """
        y = np.asarray(y, dtype=np.float64)
        columns = y[:, None] if y.ndim == 1 else y
        inverses = [self._inverse(float(term)) for term in np.atleast_1d(check_alpha(alpha))]
        projected = self.vectors.T @ columns
        with np.errstate(over="ignore", invalid="ignore"):
            return (self.vectors @ (np.stack(inverses, axis=1) * projected)).reshape(y.shape)

    def whiten(self, y: ArrayLike, alpha: float = 0.0) -> Matrix:
        """(L + alpha)^-1/2 V' y, whose squares sum to y' (K + alpha I)^+ y: (n, k) -> (n, k)."""
        return np.sqrt(self._inverse(alpha))[:, None] * (self.vectors.T @ np.asarray(y, dtype=np.float64))

    def _inverse(self, alpha: float) -> NDArray[np.float64]:
        shifted = self.values + alpha
        inverse = np.zeros_like(shifted)
        return np.divide(1.0, shifted, out=inverse, where=shifted > self.cutoff(alpha))


def eigen(K: ArrayLike, *, error: float = EPS, overwrite: bool = False) -> Eigen:
    """Decompose a symmetric matrix, definite or not. ValueError if it is not square, real and finite.

    Parameters
    ----------
    K : array-like of shape (n, n)
        Symmetric; one triangle is read.
    error : float, default=2.2e-16
        Relative error of the entries of K: 1.2e-7 for a kernel computed in float32. Independent errors move an
        eigenvalue by about sqrt(n) error max_i K_ii, which becomes `Eigen.noise`.
    overwrite : bool, default=False
        Use K's memory as workspace.

    Returns
    -------
    Eigen
        The decomposition, ready to solve for any ridge term.

    Examples
    --------
    >>> eigen([[1.0, 1.0], [1.0, 1.0]]).solve([2.0, 2.0])  # singular: the minimum-norm solution
    array([1., 1.])
    """
    A = as_lapack(K, overwrite=overwrite)
    one_norm(A)
    noise = np.sqrt(len(A)) * error * np.abs(A.diagonal()).max()
    values, vectors = eigh(A, lower=False, overwrite_a=True, check_finite=False)
    return Eigen(values, vectors, float(noise))
