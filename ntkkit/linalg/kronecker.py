"""Parts of a Kronecker product: observed places of a grid, with the covariance of rows times that of columns."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ntkkit.linalg.pcg import IterativeSolution, conjugate_gradients
from ntkkit.linalg.pivoted import Indices, pivoted_cholesky
from ntkkit.linalg.product import matmul
from ntkkit.linalg.symmetric import EPS, Matrix


@dataclass(frozen=True)
class KroneckerPart:
    """K_(r,c),(r',c') = A_rr' B_cc' of N places (r, c) of an (R, C) grid, never made as a whole.

    Attributes
    ----------
    A : ndarray of shape (R, R)
        Covariance of the grid's rows, symmetric positive semi-definite.
    B : ndarray of shape (C, C)
        Covariance of its columns.
    rows, columns : ndarray of shape (N,)
        The places, each once.

    Examples
    --------
    >>> part = KroneckerPart(
    ...     np.array([[2.0, 1.0], [1.0, 2.0]]), np.eye(2), np.array([0, 1, 1]), np.array([0, 0, 1])
    ... )
    >>> part.dense()
    array([[2., 1., 0.],
           [1., 2., 0.],
           [0., 0., 2.]])
    >>> part.matvec(np.array([[1.0], [1.0], [1.0]])).ravel()
    array([3., 3., 2.])
    """

    A: Matrix
    B: Matrix
    rows: Indices
    columns: Indices

    def scatter(self, v: Matrix) -> Matrix:
        """Put numbers in their places: (N,) -> (R, C), zero elsewhere."""
        grid = np.zeros((len(self.A), len(self.B)))
        grid[self.rows, self.columns] = v
        return grid

    def matvec(self, V: Matrix) -> Matrix:
        """K V, (N, k) -> (N, k), by A (R, C) B for each column: 2 R C (R + C) operations."""
        products = [matmul(matmul(self.A, self.scatter(v)), self.B)[self.rows, self.columns] for v in V.T]
        return np.stack(products, axis=1) if products else np.zeros_like(V)

    def entries(self, i: Any, j: Any) -> Matrix:
        """K[i][:, j] for indices, or slices, of places."""
        K = self.A[:, self.rows[j]][self.rows[i]]
        K *= self.B[:, self.columns[j]][self.columns[i]]
        return K

    def dense(self) -> Matrix:
        """K, (N, N)."""
        return self.entries(slice(None), slice(None))

    def solve(
        self,
        y: Matrix,
        alpha: float,
        *,
        rank: int,
        tol: float,
        max_iter: int,
        rng: np.random.Generator,
        error: float = EPS,
    ) -> IterativeSolution:
        """Solve (K + alpha I) a = y by `conjugate_gradients`, preconditioned by `pivoted_cholesky` of a rank.

        Memory for N (rank + 8 k) + 3 R C numbers, k the columns of y, besides A and B.
        """
        diagonal = self.A.diagonal()[self.rows] * self.B.diagonal()[self.columns]
        preconditioner = pivoted_cholesky(diagonal, self.entries, min(rank, len(diagonal)), error=error, rng=rng)
        return conjugate_gradients(self.matvec, y, alpha, preconditioner=preconditioner, tol=tol, max_iter=max_iter)
