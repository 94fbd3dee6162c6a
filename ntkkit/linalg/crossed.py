"""Effects of rows and of columns, fitted in turn: nearly the inverse of a part of a Kronecker product."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_factor, cho_solve, eigvalsh
from scipy.sparse import csr_array
from sklearn.utils.extmath import randomized_svd

from ntkkit.linalg.product import matmul
from ntkkit.linalg.symmetric import SQRT_EPS, TINY, Matrix

if TYPE_CHECKING:
    from ntkkit.linalg.kronecker import KroneckerPart

Array = NDArray[np.floating]

# Random rows whose least eigenvalue stands for that of all.
N_SAMPLED = 500


class Effects(Protocol):
    """Grids F x for coefficients x, and H = F'F + d I at the observed places."""

    def project(self, grid: Array) -> Array:
        """F' of a grid."""

    def solve(self, products: Array) -> Array:
        """H^-1 of coefficients."""

    def expand(self, coefficients: Array) -> Array:
        """F of coefficients, in all places."""


@dataclass(frozen=True)
class JointEffects:
    """U X V' for X (k, l); the Cholesky factor of H."""

    U: Array
    V: Array
    factor: tuple[Array, bool]

    def project(self, grid: Array) -> Array:
        return matmul(matmul(self.U.T, grid), self.V)

    def solve(self, products: Array) -> Array:
        return cho_solve(self.factor, products.ravel(), check_finite=False).reshape(products.shape)

    def expand(self, coefficients: Array) -> Array:
        return matmul(matmul(self.U, coefficients), self.V.T)


@dataclass(frozen=True)
class RowEffects:
    """X V' for X (R, l), which each row has for itself: the inverse of H is one (l, l) a row."""

    V: Array
    inverses: Array

    def project(self, grid: Array) -> Array:
        return matmul(grid, self.V)

    def solve(self, products: Array) -> Array:
        return np.einsum("rij,rj->ri", self.inverses, products)

    def expand(self, coefficients: Array) -> Array:
        return matmul(coefficients, self.V.T)


@dataclass(frozen=True)
class ColumnEffects:
    """Those of the turned grid."""

    of_rows: RowEffects

    def project(self, grid: Array) -> Array:
        return self.of_rows.project(grid.T)

    def solve(self, products: Array) -> Array:
        return self.of_rows.solve(products)

    def expand(self, coefficients: Array) -> Array:
        return self.of_rows.expand(coefficients).T


@dataclass(frozen=True)
class CrossedEffects:
    """V -> d M^-1 V for M near K + alpha I, (N, k) -> (N, k), with K that of a `KroneckerPart`.

    Leading eigenvectors give A ~ U U' + a I and B ~ V V' + b I, and M = F F' + d I with d = a b + alpha: effects
    of both, U U' x V V', of rows, a I x V V', and of columns, U U' x b I. Then d M^-1 v = v - F x, where H x = F'v for
    H = F'F + d I. That is solved by one symmetric round of block Gauss-Seidel, which is backfitting: one after the
    other is fitted to what the others leave of v. So d M^-1 is symmetric, and as definite as H.

    A round takes some 10 R C (k + l) operations a right-hand side, and 4 (k l)^2, for k and l eigenvectors.

    References
    ----------
    Ghosh, Hastie, Owen (2022), Backfitting for large scale crossed random effects regressions.
    """

    part: KroneckerPart
    effects: tuple[Effects, Effects, Effects]
    d: float

    def __call__(self, V: Matrix) -> Matrix:
        return np.stack([self._leave(v) for v in V.T], axis=1) if V.shape[1] else V.copy()

    def _leave(self, v: Matrix) -> Matrix:
        """What effects do not explain of v."""
        places, grid = (self.part.rows, self.part.columns), self.part.scatter(v)
        found: dict[int, Array] = {}
        for i in (0, 1, 2, 1, 2, 1, 0):
            effect, known = self.effects[i], found.get(i, 0.0)
            change = effect.solve(effect.project(grid) - self.d * known)
            found[i] = known + change
            grid[places] -= effect.expand(change)[places]
        return grid[places]


def crossed_effects(part: KroneckerPart, alpha: float, *, rank: int, rng: np.random.Generator) -> CrossedEffects:
    """Make them from 2 sqrt(rank) eigenvectors of A and of B: some 16 (R + C) rank^2 + 20 rank^3 operations.

    a and b are the least eigenvalues of some random rows: with the mean of those left out M would have what K has not
    wherever eigenvalues fall, and take more iterations for it than without effects of single rows and columns.
    """
    side = int(2 * np.sqrt(rank))
    (U, a), (V, b) = (split(factor, side, rng) for factor in (part.A, part.B))
    largest = (a + np.square(U).sum(axis=0).max()) * (b + np.square(V).sum(axis=0).max())
    d = max(alpha + a * b, SQRT_EPS * largest, TINY)  # below that, what is left of the largest is rounding
    there = csr_array((np.ones(len(part.rows)), (part.rows, part.columns)), shape=(len(U), len(V)))
    of_rows, of_columns = there @ _squares(V), there.T @ _squares(U)
    m, n = U.shape[1], V.shape[1]
    joint = matmul(_squares(U).T, of_rows).reshape(m, m, n, n).transpose(0, 2, 1, 3).reshape(m * n, m * n)
    joint.flat[:: m * n + 1] += d
    rows = RowEffects(np.sqrt(a) * V, _inverses(a * of_rows, d))
    columns = RowEffects(np.sqrt(b) * U, _inverses(b * of_columns, d))
    return CrossedEffects(part, (JointEffects(U, V, cho_factor(joint, lower=True)), rows, ColumnEffects(columns)), d)


def split(K: Array, rank: int, rng: np.random.Generator) -> tuple[Array, float]:
    """Return (n, rank) factors U and c >= 0 of K ~ U U' + c I."""
    some = rng.permutation(len(K))[:N_SAMPLED]
    least = max(float(eigvalsh(K[np.ix_(some, some)], subset_by_index=[0, 0])[0]), 0.0)
    vectors, values, _ = randomized_svd(K, min(rank, len(K)), random_state=int(rng.integers(2**31)))
    return vectors * np.sqrt(np.maximum(values - least, 0.0)), least


def _squares(U: Array) -> Array:
    """u u' of each row u, as a row."""
    return np.einsum("ri,rj->rij", U, U).reshape(len(U), -1)


def _inverses(products: Array, d: float) -> Array:
    """Of the matrices in rows, d I added to each."""
    side = round(np.sqrt(products.shape[1]))
    return np.linalg.inv(products.reshape(-1, side, side) + d * np.eye(side))
