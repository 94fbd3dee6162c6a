"""Ridge regression between entries of a matrix, whose features are those of their row and of their column."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from sklearn.base import clone

from ntkkit.estimators._coordinates import concatenate
from ntkkit.estimators._large import Options, refuse_noise
from ntkkit.estimators._validation import check_symmetric
from ntkkit.estimators.regression import NeuralKernelRegressor
from ntkkit.linalg import KroneckerPart, matmul, solve_ridge, solve_semidefinite

if TYPE_CHECKING:
    from ntkkit.estimators._base import KernelMachine

# Up to so many entries solver="auto" factors the kernel matrix of a product; conjugate gradients take the others.
MOST_FACTORED = 4000
# Numbers in the right-hand sides that are solved for together.
SOLVED_AT_ONCE = 2**22
EVERY = slice(None)


class Entries(Protocol):
    """f at entries (r, c) from values observed at N of them."""

    @property
    def alpha(self) -> float:
        """The ridge term."""

    @property
    def Z_columns(self) -> np.ndarray:
        """Coordinates of the columns, (C, d)."""

    @property
    def n_entries(self) -> int:
        """N."""

    def solve(self, targets: np.ndarray) -> Any:
        """Coefficients of targets (N, k)."""

    def evaluate(
        self, coefficients: Any, Z_rows: np.ndarray, Z_columns: np.ndarray, targets: slice = EVERY
    ) -> np.ndarray:
        """f at each pair of a row and a column, for some targets: (q, p, k)."""

    def covariances(self, Z_row: np.ndarray, columns: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The kernel of k entries of a row (1, d) with those observed, (N, k), and with all of the row, (C, k)."""


@dataclass(frozen=True)
class ProductEntries:
    """f(r, c) = sum_n a_n k_row(r, r_n) k_column(c, c_n)."""

    machine: KernelMachine
    row_kernel: Any
    kernel: Any
    Z_rows: np.ndarray
    Z_columns: np.ndarray
    rows: np.ndarray
    columns: np.ndarray
    alpha: float
    solver: str
    options: Options

    @property
    def n_entries(self) -> int:
        return len(self.rows)

    def solve(self, targets: np.ndarray) -> tuple[np.ndarray, str, int]:
        A, B = covariance(self.machine, self.row_kernel, self.Z_rows), self._columns_gram()
        part = KroneckerPart(A, B, self.rows, self.columns)
        solver = self.solver
        if solver == "auto" and self.n_entries > MOST_FACTORED:
            solver = "pcg"
        if solver == "pcg":
            options = self.options
            found = part.solve(
                targets,
                self.alpha,
                rank=options.n_components,
                tol=options.tol,
                max_iter=options.max_iter,
                rng=options.generator(),
            )
            return found.dual_coef, solver, max(found.n_iter, 1)
        solution = solve_ridge(part.dense(), targets, self.alpha, solver=solver, overwrite=True)
        return solution.dual_coef, solution.solver, 1

    def evaluate(
        self, coefficients: np.ndarray, Z_rows: np.ndarray, Z_columns: np.ndarray, targets: slice = EVERY
    ) -> np.ndarray:
        coefficients = coefficients[:, targets]
        K_rows = self.machine._gram(self.row_kernel, Z_rows, self.Z_rows).astype(np.float64)
        K_columns = self.machine._gram(self.kernel, self.Z_columns, Z_columns).astype(np.float64)
        grid = np.zeros((len(self.Z_rows), len(self.Z_columns)))
        values = np.empty((len(Z_rows), len(Z_columns), coefficients.shape[1]))
        for k, column in enumerate(coefficients.T):
            grid[self.rows, self.columns] = column
            values[:, :, k] = matmul(matmul(K_rows, grid), K_columns)
        return values

    def covariances(self, Z_row: np.ndarray, columns: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        K_columns = self._columns_gram()[:, columns]
        K_rows = self.machine._gram(self.row_kernel, self.Z_rows, Z_row).astype(np.float64)
        own = self.machine._gram(self.row_kernel, Z_row, Z_row)[0, 0]
        return K_rows[self.rows] * K_columns[self.columns], own * K_columns

    def _columns_gram(self) -> np.ndarray:
        return covariance(self.machine, self.kernel, self.Z_columns)


@dataclass(frozen=True)
class ConcatenatedEntries:
    """f(r, c) = sum_n a_n k((r, c), (r_n, c_n)): a kernel on features of rows and columns put together."""

    regressor: NeuralKernelRegressor
    Z_rows: np.ndarray
    Z_columns: np.ndarray
    rows: np.ndarray
    columns: np.ndarray
    row_weight: float

    @property
    def alpha(self) -> float:
        return self.regressor.alpha

    @property
    def n_entries(self) -> int:
        return len(self.rows)

    def solve(self, targets: np.ndarray) -> tuple[NeuralKernelRegressor, str, int]:
        X, kernel = self._observed(), self.regressor.kernel
        refuse_noise(kernel, X, self.regressor._diagonal(kernel, X[:1]))  # `covariances` has none
        fitted = clone(self.regressor).fit(X, targets)
        return fitted, fitted.solver_, fitted.n_iter_

    def evaluate(
        self, coefficients: NeuralKernelRegressor, Z_rows: np.ndarray, Z_columns: np.ndarray, targets: slice = EVERY
    ) -> np.ndarray:
        dual_coef = coefficients.dual_coef_[:, targets]
        return np.stack([coefficients._expand(self._of_row(row, Z_columns), dual_coef) for row in Z_rows])

    def covariances(self, Z_row: np.ndarray, columns: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        machine, row = self.regressor, self._of_row(Z_row[0], self.Z_columns)
        return (
            machine._gram(machine.kernel, self._observed(), row[columns]).astype(np.float64),
            machine._gram(machine.kernel, row, row[columns]).astype(np.float64),
        )

    def _observed(self) -> np.ndarray:
        return concatenate(self.Z_rows[self.rows], self.Z_columns[self.columns], self.row_weight)

    def _of_row(self, Z_row: np.ndarray, Z_columns: np.ndarray) -> np.ndarray:
        return concatenate(np.broadcast_to(Z_row, (len(Z_columns), len(Z_row))), Z_columns, self.row_weight)


def covariance(machine: KernelMachine, kernel: Any, Z: np.ndarray) -> np.ndarray:
    """The kernel of coordinates with each other, in float64."""
    K = machine._gram(kernel, Z, Z).astype(np.float64)
    refuse_noise(kernel, Z, K.diagonal())
    check_symmetric(K, "The matrix that the kernel returns for k(X, X)")
    return K


def condition(model: Entries, coefficients: Any, Z_rows: np.ndarray, Y: np.ndarray) -> np.ndarray:
    """f in new rows, each given what was observed in it besides what f was fitted to: (q, d), (q, C) -> (q, C).

    With P the posterior covariance of a row's entries, P = K - K_N' (K_NN + alpha I)^-1 K_N, and o those observed,
    f becomes f + P_o (P_oo + alpha I)^-1 (y_o - f_o). The rows do not tell of each other.
    """
    values = model.evaluate(coefficients, Z_rows, model.Z_columns)[:, :, 0]
    observed = ~np.isnan(Y)
    sizes = observed.sum(axis=1)
    for group in _groups(sizes, max(1, SOLVED_AT_ONCE // model.n_entries)):
        across, within = zip(*(model.covariances(Z_rows[[row]], observed[row]) for row in group), strict=True)
        solved, _, _ = model.solve(np.hstack(across))
        end = 0
        for row, own in zip(group, within, strict=True):
            start, end, o = end, end + sizes[row], observed[row]
            left = own - model.evaluate(solved, Z_rows[[row]], model.Z_columns, slice(start, end))[0]
            symmetric = (left[o] + left[o].T) / 2
            weights, _ = solve_semidefinite(symmetric, Y[row, o] - values[row, o], model.alpha)
            values[row] += matmul(left, weights)
    return values


def _groups(sizes: np.ndarray, most: int) -> list[np.ndarray]:
    """Indices of the sizes > 0, in order, in groups whose sizes sum to about `most`."""
    some = np.flatnonzero(sizes)
    cuts = np.flatnonzero(np.diff(sizes[some].cumsum() // most)) + 1
    return [group for group in np.split(some, cuts) if len(group)]
