"""What completes a matrix: coordinates of its rows and columns, a kernel between entries, one solution."""

from __future__ import annotations

import warnings
from numbers import Integral, Real
from typing import Any, ClassVar

import numpy as np
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.validation import check_is_fitted, validate_data

from ntkkit.engine import Engine
from ntkkit.estimators._base import KernelMachine
from ntkkit.estimators._coordinates import Coordinates, check_features, make_coordinates
from ntkkit.estimators._entries import ConcatenatedEntries, ProductEntries, condition, covariance
from ntkkit.estimators._large import Options
from ntkkit.estimators._validation import check_kernel, is_precomputed, remedies
from ntkkit.estimators.regression import NeuralKernelRegressor
from ntkkit.kernels import NTK
from ntkkit.linalg import SOLVERS, matmul, solve_patterns
from ntkkit.networks import FullyConnected

# Features learned from the data change no more after so many rounds (by 0.1% of the error, with half of it missing).
ROUNDS = 8
# The weight of which coordinate it is beside prior features, where none is given.
IDENTITY_WEIGHT = 1.5


class CompletionMachine(KernelMachine):
    """Parameters, fitting, and the values of all entries of a matrix."""

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        **KernelMachine._parameter_constraints,
        "row_kernel": "no_validation",
        "alpha": [Interval(Real, 0, None, closed="left")],
        "column_features": ["array-like", StrOptions({"data"}), None],
        "identity_weight": [Interval(Real, 0, None, closed="left"), None],
        "row_weight": [Interval(Real, 0, None, closed="neither")],
        "standardize": ["boolean"],
        "solver": [StrOptions({*SOLVERS, "pcg", "nystrom"})],
        "n_components": [Interval(Integral, 1, None, closed="left")],
        "tol": [Interval(Real, 0, None, closed="neither")],
        "max_iter": [Interval(Integral, 1, None, closed="left")],
        "random_state": ["random_state"],
    }
    _kernel_parameters: ClassVar[tuple[str, ...]] = ("kernel", "row_kernel")

    row_kernel_: Any
    X_fit_: np.ndarray
    mean_: np.ndarray
    scale_: np.ndarray
    n_entries_: int
    solver_: str
    n_iter_: int
    _columns: Coordinates
    _rows: Coordinates | None
    _row_features: np.ndarray | None
    _coefficients: Any
    _covariance: np.ndarray | None

    def __init__(
        self,
        kernel: Any,
        *,
        row_kernel: Any,
        alpha: float,
        column_features: Any,
        identity_weight: float | None,
        row_weight: float,
        standardize: bool,
        solver: str,
        n_components: int,
        tol: float,
        max_iter: int,
        random_state: Any,
        engine: Engine | None,
    ) -> None:
        self.kernel = kernel
        self.row_kernel = row_kernel
        self.alpha = alpha
        self.column_features = column_features
        self.identity_weight = identity_weight
        self.row_weight = row_weight
        self.standardize = standardize
        self.solver = solver
        self.n_components = n_components
        self.tol = tol
        self.max_iter = max_iter
        self.random_state = random_state
        self.engine = engine

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.pairwise = False
        tags.input_tags.allow_nan = True
        return tags

    def _validated(self, X: Any, *, reset: bool) -> np.ndarray:
        with remedies():
            return validate_data(
                self, X, reset=reset, dtype=[np.float64, np.float32], ensure_all_finite="allow-nan", copy=reset
            )

    # ---- fit

    def _fit_matrix(self, X: np.ndarray, row_features: Any) -> None:
        """Learn from a validated matrix."""
        self.kernel_, self.row_kernel_ = self._check_kernels(row_features)
        self.X_fit_, self.n_entries_ = X, int(np.isfinite(X).sum())
        if self.n_entries_ == 0:
            raise ValueError(f"X must have at least one entry that is not NaN, found none in shape {X.shape}.")
        self.mean_, self.scale_ = _moments(X)
        self.solver_, self.n_iter_ = "cholesky", 1
        self._row_features = self._rows = self._coefficients = self._covariance = None
        Y = self._standardized(X)
        self._columns = self._column_coordinates(Y)
        if row_features is None:
            self._covariance = covariance(self, self.kernel_, self._columns.known())
        else:
            self._row_features = check_features(row_features, len(Y), name="row_features", one_a="row of X")
            self._rows = make_coordinates(self._row_features, self._weight(), name="row_features")
            targets = Y[np.isfinite(Y)][:, None]
            self._coefficients, self.solver_, self.n_iter_ = self._entries.solve(targets)

    def _check_kernels(self, row_features: Any) -> tuple[Any, Any]:
        """The kernels; ValueError for those that do not read coordinates."""
        kernel = self._default_kernel() if self.kernel is None else check_kernel(self)
        row_kernel = None if self.row_kernel is None else check_kernel(self, "row_kernel")
        for name, found in (("kernel", kernel), ("row_kernel", row_kernel)):
            if is_precomputed(found) or getattr(found, "input_kind", "rows") != "rows":
                raise ValueError(
                    f"{name} must be a kernel of rows, found {found!r}: what it reads are features of coordinates. "
                    "Give, for example, NTK(FullyConnected(depth=2))."
                )
        if row_kernel is not None and row_features is None:
            raise ValueError("row_kernel is a kernel of row features: give fit row_features=, or leave it out.")
        if row_kernel is not None and self.solver == "nystrom":
            raise ValueError("solver='nystrom' does not go with row_kernel, whose products are fast: use 'pcg'.")
        return kernel, row_kernel

    def _default_kernel(self) -> NTK:
        if isinstance(self.column_features, str):  # odd: columns that do not correlate have nothing in common
            return NTK(FullyConnected(depth=1, activation="erf", weight_var=1.0, bias_var=0.0))
        return NTK(FullyConnected(depth=1, weight_var=1.0, readout_weight_var=2.0, bias_var=0.0))

    def _column_coordinates(self, Y: np.ndarray) -> Coordinates:
        n_columns = Y.shape[1]
        if isinstance(self.column_features, str):
            return self._learn_coordinates(Y)
        features = np.zeros((n_columns, 0))
        if self.column_features is not None:
            features = check_features(self.column_features, n_columns, name="column_features", one_a="column of X")
        return make_coordinates(features, self._weight(), name="column_features")

    def _learn_coordinates(self, Y: np.ndarray) -> Coordinates:
        """Coordinates of the standardised columns, whose missing entries are first 0, then what these make of them."""
        Y = Y if self.standardize else (Y - self.mean_) / self.scale_
        missing, filled = np.isnan(Y), np.nan_to_num(Y)
        if not filled.any():  # no column varies: there is nothing to learn
            return make_coordinates(np.zeros((Y.shape[1], 0)), IDENTITY_WEIGHT, name="column_features")
        weight, name = self.identity_weight or 0.0, "column_features='data'"
        for _ in range(ROUNDS if missing.any() else 1):
            columns = make_coordinates(filled.T, weight, name=name)
            K = covariance(self, self.kernel_, columns.known())
            filled = np.where(missing, matmul(solve_patterns(K, Y, self.alpha), K), Y)
        return columns

    def _weight(self) -> float:
        return IDENTITY_WEIGHT if self.identity_weight is None else self.identity_weight

    @property
    def _entries(self) -> ProductEntries | ConcatenatedEntries:
        """The regression between entries, with row features."""
        assert self._rows is not None
        Z_rows, Z_columns = self._rows.known(), self._columns.known()
        rows, columns = np.nonzero(np.isfinite(self.X_fit_))
        options = Options(self.n_components, self.tol, self.max_iter, self.random_state)
        if self.row_kernel_ is not None:
            return ProductEntries(
                self,
                self.row_kernel_,
                self.kernel_,
                Z_rows,
                Z_columns,
                rows,
                columns,
                float(self.alpha),
                self.solver,
                options,
            )
        regressor = NeuralKernelRegressor(
            self.kernel_, alpha=self.alpha, solver=self.solver, engine=self.engine, **vars(options)
        )
        return ConcatenatedEntries(regressor, Z_rows, Z_columns, rows, columns, self.row_weight)

    # ---- completion

    def _complete(self, X: Any, row_features: Any) -> tuple[np.ndarray, np.ndarray]:
        """X, validated, and the values that the network has for all its entries; means where it knows nothing."""
        check_is_fitted(self)
        X = self._validated(X, reset=False)
        features = self._check_row_features(row_features, len(X))
        Y = self._standardized(X)
        values = self._by_rows(Y) if features is None else self._by_entries(X, Y, features)
        values = values * self.scale_ + self.mean_ if self.standardize else values
        rows, columns = self._unknown(X)
        _warn_of_means(rows, columns & np.isnan(self.X_fit_).all(axis=0) & np.isnan(X).any(axis=0))
        return X, np.where(rows[:, None] | columns, self.mean_, values)

    def _check_row_features(self, row_features: Any, n_rows: int | None) -> np.ndarray | None:
        if self._row_features is None:
            if row_features is not None:
                raise ValueError("row_features must be None, as in fit. Give them to fit, too.")
            return None
        if row_features is None:
            raise ValueError("row_features is None, but fit had some: give those of the rows of X.")
        n_features = self._row_features.shape[1]
        return check_features(row_features, n_rows, name="row_features", one_a="row of X", n_features=n_features)

    def _by_rows(self, Y: np.ndarray, Z_columns: np.ndarray | None = None) -> np.ndarray:
        """Values in all columns, or in new ones, each row by what it has."""
        assert self._covariance is not None
        across = self._covariance
        if Z_columns is not None:
            across = self._gram(self.kernel_, self._columns.known(), Z_columns).astype(np.float64)
        return matmul(solve_patterns(self._covariance, Y, self.alpha), across)

    def _by_entries(self, X: np.ndarray, Y: np.ndarray, features: np.ndarray) -> np.ndarray:
        """Values in all columns; of rows that fit has not seen, given what they have."""
        assert self._rows is not None
        assert self._row_features is not None
        model, values = self._entries, np.empty_like(Y)
        places = _find_rows((X, features), (self.X_fit_, self._row_features))
        seen, new = np.flatnonzero(places >= 0), np.flatnonzero(places < 0)
        if len(seen):
            Z_rows = self._rows.known()[places[seen]]
            values[seen] = model.evaluate(self._coefficients, Z_rows, model.Z_columns)[:, :, 0]
        if len(new):
            values[new] = condition(model, self._coefficients, self._rows.new(features[new]), Y[new])
        return values

    def _unknown(self, X: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Rows of X, and columns, that have nothing to learn from: no features, and no entries or none that differ."""
        columns: np.ndarray = np.zeros(X.shape[1], dtype=bool)
        if self._rows is not None:
            return np.zeros(len(X), dtype=bool), columns
        if self.column_features is None:
            columns = np.isnan(self.X_fit_).all(axis=0)
        elif isinstance(self.column_features, str):
            columns = ~(np.fmax.reduce(self.X_fit_, axis=0) > np.fmin.reduce(self.X_fit_, axis=0))
        return np.isnan(X).all(axis=1), columns

    def _standardized(self, X: np.ndarray) -> np.ndarray:
        X = X.astype(np.float64)
        return (X - self.mean_) / self.scale_ if self.standardize else X


def _moments(X: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Means and standard deviations of the columns; 1 for constant ones, and the average for those without entries."""
    X = X.astype(np.float64)
    counts = np.isfinite(X).sum(axis=0)
    some = counts > 0
    low, counts = np.fmin.reduce(X, axis=0), np.maximum(counts, 1)
    mean = low + np.nansum(X - low, axis=0) / counts  # of constant columns without rounding
    spread = np.fmax.reduce(np.abs(X - mean), axis=0)
    unit = np.where(spread > 0, spread, 1.0)  # no square overflows
    scale = np.where(spread > 0, unit * np.sqrt(np.nansum(np.square((X - mean) / unit), axis=0) / counts), 1.0)
    return np.where(some, mean, mean[some].mean()), np.where(some, scale, scale[some].mean())


def _warn_of_means(rows: np.ndarray, columns: np.ndarray) -> None:
    if rows.any():
        warnings.warn(
            f"Rows without any entry are filled with the columns' means: {_listed(np.flatnonzero(rows))}. Drop them, "
            "or give fit row_features.",
            UserWarning,
            stacklevel=4,
        )
    if columns.any():
        warnings.warn(
            "Columns that had no entry in fit are filled with the mean of all others: "
            f"{_listed(np.flatnonzero(columns))}. Drop them, or give column_features.",
            UserWarning,
            stacklevel=4,
        )


def _find_rows(rows: tuple[np.ndarray, ...], known: tuple[np.ndarray, ...]) -> np.ndarray:
    """The place of each row among the known ones, the first if there are several; -1 if it is none of them."""
    places: dict[bytes, int] = {}
    for place, key in enumerate(_as_bytes(*known)):
        places.setdefault(key, place)
    return np.array([places.get(key, -1) for key in _as_bytes(*rows)], dtype=np.intp)


def _as_bytes(*arrays: np.ndarray) -> list[bytes]:
    joined = np.hstack([array.astype(np.float64) for array in arrays]) + 0.0  # -0 becomes 0
    joined[np.isnan(joined)] = np.nan  # NaNs have many bit patterns
    return [row.tobytes() for row in joined]


def _listed(indices: np.ndarray) -> str:
    """Some numbers, and how many there are if not all are named."""
    return f"{indices.tolist()}" if len(indices) <= 10 else f"{indices[:10].tolist()} and {len(indices) - 10} more"
