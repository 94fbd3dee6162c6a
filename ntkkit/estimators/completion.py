"""Matrix completion by infinitely wide networks."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from sklearn.base import OneToOneFeatureMixin, TransformerMixin, _fit_context
from sklearn.utils import check_array
from sklearn.utils.validation import check_is_fitted

from ntkkit.engine import Engine
from ntkkit.estimators._completion import CompletionMachine
from ntkkit.estimators._coordinates import check_features
from ntkkit.estimators._validation import all_or_nothing


class NeuralMatrixCompleter(OneToOneFeatureMixin, TransformerMixin, CompletionMachine):
    """Fill the missing entries of a matrix as an infinitely wide network does that is trained on the others.

    The network is given features z of an entry's coordinates and trained to output the entry. Infinitely wide, it is
    kernel regression between entries, with the kernel

    - [i = i'] k(z_j, z_j') without row features: every row by itself, from the entries that it has. Rows that lack the
      same entries share one factorisation.
    - k((z_i, z_j), (z_i', z_j')) with `row_features` in fit: a network of both coordinates, put together.
    - k_row(z_i, z_i') k(z_j, z_j') if there is a `row_kernel`, too: products with the kernel matrix take seconds for
      hundreds of thousands of entries.

    Parameters
    ----------
    kernel : kernel, callable or None, default=None
        Between coordinates: of ntkkit or scikit-learn, or a function of two arrays, of rows as features have them.
        None is the NTK of one hidden ReLU layer, k = k1(u) + u k0(u), where u is the cosine of the features,
        k0(u) = (pi - arccos u) / pi and k1(u) = u k0(u) + sqrt(1 - u^2) / pi; for features learned from data that of
        one hidden erf layer, an odd function of u: columns that do not correlate have nothing in common.
    row_kernel : kernel or callable, optional
        Between the coordinates of rows; for data with row features.
    alpha : float, default=0.0
        Ridge term in [0, inf): the variance of noise in entries, in units of the kernel; 0 interpolates.
    column_features : array-like of shape (n_columns, p), "data" or None, default=None
        What is known of the columns, one row a column of X. "data" learns it from X: the features of a column are its
        standardised entries, completed anew in several rounds; for tables of which nothing else is known. Columns whose
        entries are all the same are continued.
    identity_weight : float, optional
        Weight w >= 0 of "which row, or column, this is" beside its features p: z = (p, w e_j), scaled to mean square
        one, after p to a mean squared norm of one. None is 0 for features learned from data, else 1.5.
    row_weight : float, default=1.0
        Weight > 0 of a row's features against the column's where both are put together. Not used with `row_kernel`.
    standardize : bool, default=False
        Subtract each column's mean and divide by its standard deviation, as observed in fit, and undo it after
        completion. Wanted wherever columns have units of their own.
    solver : {"auto", "cholesky", "eigen", "pcg", "nystrom"}, default="auto"
        With row features, as in `NeuralKernelRegressor`; with a row kernel "auto" is "pcg" for more than 4000 entries,
        and "nystrom" not possible.
    n_components, tol, max_iter, random_state
        Of the iterative solvers, as in `NeuralKernelRegressor`; n_components=300 by default. With a row kernel
        2 sqrt(n_components) leading eigenvectors of either side precondition.
    engine : Engine, optional
        Memory budget and progress of evaluating kernels of ntkkit; the default engine otherwise.

    Attributes
    ----------
    kernel_, row_kernel_ : kernel or callable
        What was evaluated.
    X_fit_ : ndarray of shape (n_samples, n_features_in_)
        The matrix given to fit.
    mean_, scale_ : ndarray of shape (n_features_in_,)
        Of the columns, as observed; they are used if `standardize`. Columns without any observation have the average of
        the others'.
    n_entries_ : int
        Entries observed.
    solver_ : str
        With row features: what solved for the coefficients.
    n_iter_ : int
        Its iterations; 1 for those that do not iterate, and without row features.
    n_features_in_ : int
        Columns of X.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Column names, where X has any.

    See Also
    --------
    NeuralMatrixCompleterCV : Chooses alpha and weights by entries held out.
    sklearn.impute.KNNImputer, sklearn.impute.IterativeImputer : Other ways.

    Notes
    -----
    Row features are metadata of scikit-learn's routing: request them by ``set_fit_request(row_features=True)`` and
    ``set_transform_request(row_features=True)``, and cross-validation cuts them as it does X.

    A row given to `transform` that was in fit, values and features, is that row. With row features other rows are new:
    their own entries count besides those of fit, which takes one solution more for every entry that they have. They do
    not tell of each other.

    Without features (and alpha = 0) a missing entry of a row with n others, of sum S, becomes S / (2 pi - 1 + n).

    References
    ----------
    Radhakrishnan, Stefanakis, Belkin, Uhler (2022), Simple, fast, and flexible framework for matrix completion with
    infinite width neural networks, PNAS 119(16).

    Examples
    --------
    >>> import numpy as np
    >>> from ntkkit import NeuralMatrixCompleter
    >>> X = [[1.0, 2.0, np.nan], [np.nan, 1.0, 1.0]]
    >>> filled = NeuralMatrixCompleter().fit_transform(X)
    >>> np.isclose(filled[0, 2], 3 / (2 * np.pi + 1)), np.isclose(filled[1, 0], 2 / (2 * np.pi + 1))
    (np.True_, np.True_)
    """

    def __init__(
        self,
        kernel: Any = None,
        *,
        row_kernel: Any = None,
        alpha: float = 0.0,
        column_features: Any = None,
        identity_weight: float | None = None,
        row_weight: float = 1.0,
        standardize: bool = False,
        solver: str = "auto",
        n_components: int = 300,
        tol: float = 1e-6,
        max_iter: int = 1000,
        random_state: Any = None,
        engine: Engine | None = None,
    ) -> None:
        super().__init__(
            kernel,
            row_kernel=row_kernel,
            alpha=alpha,
            column_features=column_features,
            identity_weight=identity_weight,
            row_weight=row_weight,
            standardize=standardize,
            solver=solver,
            n_components=n_components,
            tol=tol,
            max_iter=max_iter,
            random_state=random_state,
            engine=engine,
        )

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X: Any, y: Any = None, row_features: Any = None) -> Self:
        """Learn from the entries that X has.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            A matrix, NaN where an entry is missing. At least one must be there.
        y : None
            Ignored.
        row_features : array-like of shape (n_samples, p), optional
            What is known of the rows. Then entries of all rows tell of each other.

        Returns
        -------
        self
            The fitted completer. Where fit raises, it is as it was before.

        Raises
        ------
        ValueError
            For text, infinite or no entries, features that are not finite or of another length, or a row kernel without
            row features.
        """
        with all_or_nothing(self):
            self._fit_matrix(self._validated(X, reset=True), row_features)
        return self

    def fit_transform(self, X: Any, y: Any = None, row_features: Any = None) -> np.ndarray:
        """Fit, and complete X: arguments of `fit`, result of `transform`."""
        return self.fit(X, y, row_features).transform(X, row_features)

    def transform(self, X: Any, row_features: Any = None) -> np.ndarray:
        """Complete a matrix.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features_in_)
            NaN where an entry is missing.
        row_features : array-like of shape (n_samples, p)
            Of its rows, if fit had any.

        Returns
        -------
        ndarray of shape (n_samples, n_features_in_)
            X with finite numbers in place of NaN; what was observed is as it was. float32 if X is, else float64.

        Raises
        ------
        ValueError
            As in `fit`; for other columns than there, or row features where it had none, or none where it had some.

        Warns
        -----
        UserWarning
            If rows, or columns in fit, have no entry and no features: they are filled with means.
        """
        X, values = self._complete(X, row_features)
        return np.where(np.isnan(X), values.astype(X.dtype), X)

    def predict(self, X: Any, row_features: Any = None) -> np.ndarray:
        """What the network has for every entry, missing or not; arguments and errors as in `transform`.

        Returns
        -------
        ndarray of shape (n_samples, n_features_in_)
            Where an entry was observed, it is near that for small alpha. Means where `transform` has them.
        """
        X, values = self._complete(X, row_features)
        return values.astype(X.dtype)

    def predict_entries(
        self, rows: Any, columns: Any, *, row_features: Any = None, column_features: Any = None
    ) -> np.ndarray:
        """Single entries, of coordinates that fit has seen or of new ones.

        Parameters
        ----------
        rows, columns : array-like of int of shape (n,)
            Places in the matrix of fit.
        row_features : array-like of shape (q, p), optional
            Of new rows, which `rows` then counts.
        column_features : array-like of shape (q, p), optional
            Of new columns, which `columns` then counts.

        Returns
        -------
        ndarray of shape (n,)
            float64; of new columns on the average column's scale, if `standardize`. Means where `transform` has them.

        Raises
        ------
        ValueError
            For places outside the matrix, and features of coordinates that had none in fit.
        """
        check_is_fitted(self)
        new_rows = None if row_features is None else self._check_row_features(row_features, None)
        n_rows = len(self.X_fit_ if new_rows is None else new_rows)
        Z_columns, mean, scale = self._columns_of(column_features)
        rows, columns = _check_places(rows, n_rows, "rows"), _check_places(columns, len(Z_columns), "columns")
        if len(rows) != len(columns):
            raise ValueError(f"rows and columns must be of one length, found {len(rows)} and {len(columns)}.")
        wanted, row = np.unique(rows, return_inverse=True)
        if self._rows is None:
            Y = self._standardized(self.X_fit_[wanted])
            values = self._by_rows(Y, None if column_features is None else Z_columns)
        else:
            Z_rows = self._rows.known() if new_rows is None else self._rows.new(new_rows)
            values = self._entries.evaluate(self._coefficients, Z_rows[wanted], Z_columns)[:, :, 0]
        found = values[row, columns]
        found = found * scale[columns] + mean[columns] if self.standardize else found
        if self._rows is not None:
            return found
        empty_rows, empty_columns = self._unknown(self.X_fit_)
        unknown = empty_rows[rows] | (column_features is None and empty_columns[columns])
        return np.where(unknown, mean[columns], found)

    def score_entries(self, X: Any, Y: Any, *, row_features: Any = None) -> float:
        """How well entries are filled that X lacks and Y has: R^2, against the columns' means.

        Parameters
        ----------
        X, row_features
            As in `transform`.
        Y : array-like of shape (n_samples, n_features_in_)
            The truth, or as much as is known of it; else NaN.

        Returns
        -------
        float
            1 - sum (y - f)^2 / s^2 / sum (y - mean)^2 / s^2, where s is the column's standard deviation if
            `standardize`, else one. 1 is perfect; column means have 0, and so has what is wrong where they are right.

        Raises
        ------
        ValueError
            If there are no such entries, Y is of another shape, or infinite somewhere.
        """
        X, values = self._complete(X, row_features)
        Y = check_array(Y, dtype=np.float64, ensure_all_finite="allow-nan", input_name="Y")
        if Y.shape != X.shape:
            raise ValueError(f"Y must have the shape of X, {X.shape}, found {Y.shape}.")
        held_out = np.isnan(X) & ~np.isnan(Y)
        if not held_out.any():
            raise ValueError("Y has no entry that X lacks: hide some of X, for example by hide_entries(X, 0.1).")
        return self._score(Y[held_out], values[held_out], np.nonzero(held_out)[1])

    def _score(self, truth: np.ndarray, found: np.ndarray, columns: np.ndarray) -> float:
        """R^2 of entries of these columns."""
        unit = self.scale_[columns] if self.standardize else 1.0
        unexplained = np.square((truth - found) / unit).sum()
        total = np.square((truth - self.mean_[columns]) / unit).sum()
        return float(1 - unexplained / total) if total else float(unexplained == 0)

    def _columns_of(self, features: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Coordinates, means and scales of the columns of fit, or of new ones with such features."""
        if features is None:
            return self._columns.known(), self.mean_, self.scale_
        if self.column_features is None or isinstance(self.column_features, str):
            raise ValueError("column_features must be None: columns had no features in the constructor.")
        n_features = self._columns.features.shape[1]
        found = check_features(features, None, name="column_features", one_a="column", n_features=n_features)
        mean, scale = (np.full(len(found), moment.mean()) for moment in (self.mean_, self.scale_))
        return self._columns.new(found), mean, scale


def _check_places(places: Any, n: int, name: str) -> np.ndarray:
    """Whole numbers from 0 to n - 1, one-dimensional."""
    found = np.asarray(places)
    found = found.astype(np.intp) if found.size == 0 else found
    if found.ndim != 1 or found.dtype.kind not in "iu":
        raise ValueError(f"{name} must be a list of whole numbers, found {places!r}.")
    if len(found) and not (found.min() >= 0 and found.max() < n):
        raise ValueError(f"{name} must be from 0 to {n - 1}, found {found.min()} to {found.max()}.")
    return found
