"""Choosing the hyperparameters of matrix completion by entries held out."""

from __future__ import annotations

from numbers import Integral
from typing import Any, ClassVar, Self

import numpy as np
from sklearn.base import BaseEstimator, MetaEstimatorMixin, OneToOneFeatureMixin, TransformerMixin, _fit_context, clone
from sklearn.model_selection import GridSearchCV, KFold
from sklearn.utils import check_array, check_random_state
from sklearn.utils.validation import check_is_fitted, validate_data

from ntkkit.estimators import NeuralMatrixCompleter
from ntkkit.estimators._validation import all_or_nothing, remedies

ALPHAS = (1e-3, 1e-2, 1e-1, 1.0, 10.0)
# Weights of the identity beside features that are given, and beside features learned from the data.
GIVEN_WEIGHTS, LEARNED_WEIGHTS = (0.5, 1.5, 3.0), (0.0, 0.3)


class NeuralMatrixCompleterCV(OneToOneFeatureMixin, TransformerMixin, MetaEstimatorMixin, BaseEstimator):
    """`NeuralMatrixCompleter` with hyperparameters chosen by cross-validation over entries.

    The entries that a matrix has are divided at random into folds. For each point of the grid every fold is hidden and
    completed from the others; the best point is fitted to all entries. Results are those of GridSearchCV of
    scikit-learn, whose samples are the entries here.

    Parameters
    ----------
    completer : NeuralMatrixCompleter, optional
        The parameters that are not searched; None is ``NeuralMatrixCompleter()``.
    param_grid : dict or list of dict, optional
        From parameter name to a list of values. None: `alpha` from 1e-3 to 10 in powers of ten and, where there are
        features, the `identity_weight` 0.5, 1.5 and 3, for features learned from the data 0 and 0.3. (Coordinates are
        scaled so that diagonals of kernels are near one.)
    cv : int or splitter, default=5
        Folds, or a splitter of scikit-learn, of samples that are entries in the order of rows.
    n_jobs : int, default=None
        Processes, as in GridSearchCV.
    random_state : int, RandomState or None, default=None
        Of the folds.

    Attributes
    ----------
    cv_results_ : dict of ndarray
        As GridSearchCV's; test scores are `NeuralMatrixCompleter.score_entries` of the fold hidden.
    best_params_ : dict
        The point of the highest mean score.
    best_score_ : float
        That score.
    best_index_ : int
        Its place in `cv_results_`.
    best_estimator_ : NeuralMatrixCompleter
        Fitted to all entries.
    n_features_in_ : int
        Columns of X.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Column names, where X has any.

    Examples
    --------
    >>> import numpy as np
    >>> from ntkkit import NeuralMatrixCompleter, NeuralMatrixCompleterCV
    >>> X = np.outer(np.arange(1.0, 11), [1.0, 2.0, 3.0, 4.0])
    >>> X[::3, 1] = np.nan
    >>> search = NeuralMatrixCompleterCV(
    ...     NeuralMatrixCompleter(column_features="data", standardize=True),
    ...     {"alpha": [1e-3, 10.0]},
    ...     random_state=0,
    ... )
    >>> search.fit(X).best_params_
    {'alpha': 0.001}
    """

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        "completer": [NeuralMatrixCompleter, None],
        "param_grid": [dict, list, None],
        "cv": ["cv_object"],
        "n_jobs": [Integral, None],
        "random_state": ["random_state"],
    }

    cv_results_: dict[str, Any]
    best_params_: dict[str, Any]
    best_score_: float
    best_index_: int
    best_estimator_: NeuralMatrixCompleter

    def __init__(
        self,
        completer: NeuralMatrixCompleter | None = None,
        param_grid: Any = None,
        *,
        cv: Any = 5,
        n_jobs: int | None = None,
        random_state: Any = None,
    ) -> None:
        self.completer = completer
        self.param_grid = param_grid
        self.cv = cv
        self.n_jobs = n_jobs
        self.random_state = random_state

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags

    @_fit_context(prefer_skip_nested_validation=False)  # points of the grid are not validated yet
    def fit(self, X: Any, y: Any = None, row_features: Any = None) -> Self:
        """Choose, and fit; arguments and errors as in `NeuralMatrixCompleter.fit`, and ValueError for a bad grid."""
        with all_or_nothing(self):
            completer = NeuralMatrixCompleter() if self.completer is None else clone(self.completer)
            with remedies():
                matrix = validate_data(self, X, dtype=[np.float64, np.float32], ensure_all_finite="allow-nan")
            places = np.argwhere(np.isfinite(matrix))
            cv = self.cv
            if isinstance(cv, Integral):
                if len(places) < int(cv):
                    raise ValueError(f"X must have an entry for each of cv={cv} folds, found {len(places)}.")
                cv = KFold(int(cv), shuffle=True, random_state=self.random_state)
            search = GridSearchCV(
                _OnEntries(completer, matrix.shape, row_features),
                _default_grid(completer, row_features) if self.param_grid is None else self.param_grid,
                cv=cv,
                n_jobs=self.n_jobs,
                refit=False,
                error_score="raise",
            ).fit(places, matrix[tuple(places.T)])
            self.cv_results_, self.best_index_ = search.cv_results_, int(search.best_index_)
            self.best_params_, self.best_score_ = search.best_params_, float(search.best_score_)
            self.best_estimator_ = completer.set_params(**clone(self.best_params_, safe=False))
            self.best_estimator_.fit(X, row_features=row_features)
        return self

    def fit_transform(self, X: Any, y: Any = None, row_features: Any = None) -> np.ndarray:
        """Fit, and complete X."""
        return self.fit(X, y, row_features).transform(X, row_features)

    def transform(self, X: Any, row_features: Any = None) -> np.ndarray:
        """Complete a matrix, as `NeuralMatrixCompleter.transform`."""
        check_is_fitted(self)
        return self.best_estimator_.transform(X, row_features)

    def predict(self, X: Any, row_features: Any = None) -> np.ndarray:
        """What the network has for every entry, as `NeuralMatrixCompleter.predict`."""
        check_is_fitted(self)
        return self.best_estimator_.predict(X, row_features)

    def predict_entries(self, rows: Any, columns: Any, **features: Any) -> np.ndarray:
        """Single entries, as `NeuralMatrixCompleter.predict_entries`."""
        check_is_fitted(self)
        return self.best_estimator_.predict_entries(rows, columns, **features)

    def score_entries(self, X: Any, Y: Any, *, row_features: Any = None) -> float:
        """R^2 of entries that X lacks and Y has, as `NeuralMatrixCompleter.score_entries`."""
        check_is_fitted(self)
        return self.best_estimator_.score_entries(X, Y, row_features=row_features)


def hide_entries(X: Any, share: float, *, random_state: Any = None) -> np.ndarray:
    """Make some of the entries missing that a matrix has, to see how well they are completed.

    Parameters
    ----------
    X : array-like of shape (n, m)
        Numbers; NaN where an entry is missing.
    share : float
        Of the entries observed, in (0, 1): at least one is hidden, and at least one is left.
    random_state : int, RandomState or None, default=None
        Which.

    Returns
    -------
    ndarray of shape (n, m)
        A copy with NaN in their places, float32 if X is, else float64.

    Raises
    ------
    ValueError
        For another share, fewer than two entries, and what is no matrix of finite numbers and NaN.

    Examples
    --------
    >>> np.isnan(hide_entries(np.ones((3, 4)), 0.25, random_state=0)).sum()
    np.int64(3)
    """
    if not 0 < share < 1:
        raise ValueError(f"share must be in (0, 1), found {share}.")
    with remedies():
        hidden = check_array(
            X, dtype=[np.float64, np.float32], ensure_all_finite="allow-nan", copy=True, input_name="X"
        )
    places = np.flatnonzero(~np.isnan(hidden))
    if len(places) < 2:
        raise ValueError(f"X must have at least two entries, of which one can be hidden, found {len(places)}.")
    n_hidden = min(max(1, round(share * len(places))), len(places) - 1)
    hidden.flat[check_random_state(random_state).choice(places, size=n_hidden, replace=False)] = np.nan
    return hidden


class _OnEntries(BaseEstimator):
    """A completer whose samples are entries: places (n, 2) and their values. Its parameters are the completer's."""

    def __init__(self, completer: NeuralMatrixCompleter, shape: tuple[int, int], row_features: Any) -> None:
        self.completer = completer
        self.shape = shape
        self.row_features = row_features

    def set_params(self, **params: Any) -> Self:
        self.completer.set_params(**params)
        return self

    def fit(self, places: np.ndarray, values: np.ndarray) -> Self:
        matrix = np.full(self.shape, np.nan, dtype=values.dtype)
        matrix[tuple(places.T)] = values
        self.fitted_ = clone(self.completer).fit(matrix, row_features=self.row_features)
        return self

    def score(self, places: np.ndarray, values: np.ndarray) -> float:
        """`score_entries` of these."""
        return self.fitted_._score(values, self.fitted_.predict_entries(*places.T), places[:, 1])


def _default_grid(completer: NeuralMatrixCompleter, row_features: Any) -> dict[str, Any]:
    if isinstance(completer.column_features, str):
        return {"alpha": ALPHAS, "identity_weight": LEARNED_WEIGHTS}
    if completer.column_features is None and row_features is None:
        return {"alpha": ALPHAS}
    return {"alpha": ALPHAS, "identity_weight": GIVEN_WEIGHTS}
