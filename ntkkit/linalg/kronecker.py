"""Parts of a Kronecker product: observed places of a grid, with the covariance of rows times that of columns."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ntkkit.linalg.crossed import crossed_effects
from ntkkit.linalg.pcg import IterativeSolution, conclude, iterate
from ntkkit.linalg.pivoted import Indices
from ntkkit.linalg.product import matmul
from ntkkit.linalg.symmetric import Matrix, as_columns, check_alpha


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

    def dense(self) -> Matrix:
        """K, (N, N)."""
        K = self.A[:, self.rows][self.rows]
        K *= self.B[:, self.columns][self.columns]
        return K

    def solve(
        self,
        y: Matrix,
        alpha: float,
        *,
        rank: int,
        tol: float,
        max_iter: int,
        rng: np.random.Generator,
    ) -> IterativeSolution:
        """Solve (K + alpha I) a = y by conjugate gradients, preconditioned by `CrossedEffects`.

        Memory for 8 N k + 6 R C + 20 (R + C) rank + 32 rank^2 numbers, k the columns of y, besides A and B.

        Raises
        ------
        ValueError
            If A, B or y are not finite, alpha negative, or rank, tol or max_iter not positive.
        """
        if rank < 1:
            raise ValueError(f"rank must be at least 1, found {rank}.")
        for name, factor in (("A", self.A), ("B", self.B)):
            if not np.isfinite(factor).all():
                raise ValueError(f"{name} must be finite, found NaN or infinity.")
        alpha, Y = float(check_alpha(alpha)), as_columns(y, len(self.rows))
        precondition = crossed_effects(self, alpha, rank=rank, rng=rng)

        def operator(V: Matrix) -> Matrix:
            return self.matvec(V) + alpha * V

        X, residuals, reached = iterate(operator, Y, precondition, tol=tol, max_iter=max_iter)
        remedy = (
            f"Raise alpha={alpha:g}, max_iter={max_iter} or the preconditioner's rank, or use an eigendecomposition"
        )
        return conclude(X.reshape(np.shape(y)), residuals, reached, tol=tol, remedy=remedy)
