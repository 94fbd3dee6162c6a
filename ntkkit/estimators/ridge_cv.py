"""Kernel ridge with the ridge term chosen by leave-one-out: all of them from one eigendecomposition."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar, Self

import numpy as np
from sklearn.base import ClassifierMixin, MultiOutputMixin, RegressorMixin, _fit_context
from sklearn.gaussian_process.kernels import Kernel as SklearnKernel
from sklearn.utils._param_validation import StrOptions

from ntkkit.engine import Engine
from ntkkit.estimators._base import KernelMachine
from ntkkit.estimators._labels import Labels, encode_weighted, find_labels, is_multilabel
from ntkkit.estimators._validation import all_or_nothing, check_input, check_kernel, check_weights, is_precomputed
from ntkkit.linalg import entry_error, factor_ridge, generalized_cross_validation, leave_one_out

# Ridge terms, relative to the mean of the kernel's diagonal, where none are given.
RELATIVE_ALPHAS = np.logspace(-8, 1, 19)

# Of mean squared errors (n_alphas, k) and leave-one-out predictions (n_alphas, n, k): what is minimised at each ridge
# term, and the index of the best one, for all targets or for each.
Choose = Callable[[np.ndarray, np.ndarray], tuple[np.ndarray, Any]]


class _RidgeMachineCV(KernelMachine):
    """What the two share: the path over ridge terms. Subclasses choose."""

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        **KernelMachine._parameter_constraints,
        "alphas": ["array-like", None],
    }

    alphas: Any
    criterion: str
    alphas_: np.ndarray
    alpha_: Any
    cv_errors_: np.ndarray
    cv_predictions_: np.ndarray

    def _fit_path(
        self, kernel: Any, X: np.ndarray, targets: np.ndarray, choose: Choose, *, rows: Any, weights: np.ndarray | None
    ) -> None:
        """Choose ridge terms and solve, for the samples `rows`."""
        columns, k = targets.reshape(len(targets), -1), int(targets.size / len(targets))
        first, copies = _find_copies(kernel, X[rows])
        of_row = np.ones(len(columns)) if weights is None else weights
        pooled = np.bincount(copies, of_row)
        means = np.stack([np.bincount(copies, of_row * column) for column in columns.T], axis=1) / pooled[:, None]
        chosen = np.arange(len(X))[rows][first]
        K = self._training_gram(kernel, X, chosen)
        alphas = _check_alphas(self.alphas, K, pooled)
        factor = factor_ridge(K, solver="eigen", sample_weight=pooled, overwrite=isinstance(kernel, SklearnKernel))
        left_out = means - leave_one_out(factor.decomposition, means, alphas, sample_weight=pooled)
        predictions = left_out[:, copies]
        if self.criterion == "gcv":
            squares = generalized_cross_validation(factor.decomposition, means, alphas, sample_weight=pooled)
        else:
            squares = np.average((predictions - columns) ** 2, axis=1, weights=weights)
        errors, best = choose(squares, predictions)
        shared, best = best.size == 1, np.broadcast_to(best, k)
        dual_coef = [factor.at(float(alphas[b])).solve(means[:, [i]]) for i, b in enumerate(best)]
        self._keep(kernel, X, np.concatenate(dual_coef, axis=1).reshape(-1, *targets.shape[1:]), chosen)
        self.alphas_ = alphas
        self.alpha_ = float(alphas[best[0]]) if shared else alphas[best]
        self.cv_errors_ = errors
        self.cv_predictions_ = np.full((len(X), *targets.shape[1:]), np.nan)
        self.cv_predictions_[rows] = predictions[best, :, np.arange(k)].T.reshape(targets.shape)


class NeuralKernelRegressorCV(MultiOutputMixin, RegressorMixin, _RidgeMachineCV):
    """Kernel ridge regression with the ridge term chosen by leave-one-out.

    One eigendecomposition of K gives, for every alpha, the residuals that refitting without each sample would leave,

        y_i - f_i(x_i) = a_i / (G^-1)_ii,    a = G^-1 y,    G = K + alpha I.

    Equal rows of X are one sample, left out together: otherwise each would tell the other's target. They count as one
    row with the mean of their targets and the sum of their weights, which is the same machine.

    Parameters
    ----------
    kernel : kernel, callable, "precomputed" or None, default=None
        As in `NeuralKernelRegressor`.
    alphas : array-like of shape (n_alphas,), optional
        Ridge terms in [0, inf), absolute, to choose from. None: the mean of the kernel's diagonal times
        ``np.logspace(-8, 1, 19)``, as far as that is above the rounding of K (float32: from about 1e-5 on).
    criterion : {"loo", "gcv"}, default="loo"
        What is minimised: the mean squared leave-one-out error, or generalised cross-validation, which replaces the
        diagonal of G^-1 by its mean.
    alpha_per_target : bool, default=False
        Whether each target gets a ridge term of its own.
    engine : Engine, optional
        Memory budget and progress of evaluating kernels of ntkkit; the default engine otherwise.

    Attributes
    ----------
    alpha_ : float or ndarray of shape (n_targets,)
        The ridge term chosen; one a target with `alpha_per_target`.
    alphas_ : ndarray of shape (n_alphas,)
        What it was chosen from.
    cv_errors_ : ndarray of shape (n_alphas,) or (n_alphas, n_targets)
        The criterion at each of them; one column a target with `alpha_per_target`.
    cv_predictions_ : ndarray of shape (n_samples,) or (n_samples, n_targets)
        Leave-one-out predictions at `alpha_`; NaN for samples of weight zero.
    kernel_ : kernel, callable or "precomputed"
        What was evaluated.
    X_fit_ : ndarray of shape (n_samples, n_features) or None
        The training inputs; None with kernel="precomputed".
    dual_coef_ : ndarray of shape (n_samples,) or (n_samples, n_targets)
        The coefficients a; of equal rows, the first carries their sum.
    n_features_in_ : int
        Columns of X; of images, the numbers in one; of sequences, those in a step.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Column names, where X has any.

    See Also
    --------
    NeuralKernelRegressor : One ridge term, by a faster solver.
    sklearn.linear_model.RidgeCV : The same for linear models.

    Notes
    -----
    fit takes some 9 n^3 operations for the eigendecomposition, then 2 n^2 (n_targets + 1) a ridge term. With sample
    weights, residuals count by their weights.

    References
    ----------
    Golub, Heath, Wahba (1979), Generalized cross-validation as a method for choosing a good ridge parameter.

    Examples
    --------
    >>> import numpy as np
    >>> from ntkkit import NTK, FullyConnected, NeuralKernelRegressorCV
    >>> X = np.linspace(-1, 1, 20)[:, None]
    >>> model = NeuralKernelRegressorCV(NTK(FullyConnected(depth=1)), alphas=[1e-3, 1.0, 1e3])
    >>> model.fit(X, X[:, 0]).alpha_  # there is no noise to smooth
    0.001
    """

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        **_RidgeMachineCV._parameter_constraints,
        "criterion": [StrOptions({"loo", "gcv"})],
        "alpha_per_target": ["boolean"],
    }

    def __init__(
        self,
        kernel: Any = None,
        *,
        alphas: Any = None,
        criterion: str = "loo",
        alpha_per_target: bool = False,
        engine: Engine | None = None,
    ) -> None:
        self.kernel = kernel
        self.alphas = alphas
        self.criterion = criterion
        self.alpha_per_target = alpha_per_target
        self.engine = engine

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Choose the ridge term and solve; X, y and weights as in `NeuralKernelRegressor.fit`."""
        with all_or_nothing(self):
            kernel = check_kernel(self)
            X, y = check_input(self, X, y, kernel=kernel, reset=True, multi_output=True, y_numeric=True)
            rows, weights = check_weights(sample_weight, X)
            self._fit_path(kernel, X, y[rows], self._choose, rows=rows, weights=weights)
        return self

    def _choose(self, squares: np.ndarray, predictions: np.ndarray) -> tuple[np.ndarray, Any]:
        errors = squares if self.alpha_per_target else squares.mean(axis=1)
        return errors, errors.argmin(axis=0)

    def predict(self, X: Any) -> np.ndarray:
        """Evaluate f, (n_samples,) or (n_samples, n_targets); X as in `NeuralKernelRegressor.predict`."""
        return self._evaluate(X)


class NeuralKernelClassifierCV(ClassifierMixin, _RidgeMachineCV):
    """Least-squares classification with the ridge term chosen by leave-one-out.

    `NeuralKernelClassifier` for every ridge term from one eigendecomposition; see `NeuralKernelRegressorCV`.

    Parameters
    ----------
    kernel : kernel, callable, "precomputed" or None, default=None
        As in `NeuralKernelRegressor`.
    alphas : array-like of shape (n_alphas,), optional
        Ridge terms in [0, inf), absolute, to choose from. None: the mean of the kernel's diagonal times
        ``np.logspace(-8, 1, 19)``, as far as that is above the rounding of K (float32: from about 1e-5 on).
    criterion : {"loo", "gcv", "error_rate"}, default="loo"
        What is minimised: the mean squared leave-one-out error of the targets +1 and -1, generalised cross-validation,
        or the share of samples that the leave-one-out predictions label wrongly (of equal shares, the lesser mean
        squared error).
    class_weight : dict, "balanced" or None, default=None
        As in `NeuralKernelClassifier`.
    engine : Engine, optional
        Memory budget and progress of evaluating kernels of ntkkit; the default engine otherwise.

    Attributes
    ----------
    alpha_ : float
        The ridge term chosen.
    alphas_ : ndarray of shape (n_alphas,)
        What it was chosen from.
    cv_errors_ : ndarray of shape (n_alphas,)
        The criterion at each of them.
    cv_predictions_ : ndarray of shape (n_samples,) or (n_samples, n_classes)
        Leave-one-out values of the decision function at `alpha_`; NaN for samples of weight zero.
    classes_ : ndarray of shape (n_classes,)
        The labels, sorted.
    intercept_ : float or ndarray of shape (n_classes,)
        With class weights, the weighted mean of the targets, which f adds; else 0.
    kernel_ : kernel, callable or "precomputed"
        What was evaluated.
    X_fit_ : ndarray of shape (n_samples, n_features) or None
        The training inputs; None with kernel="precomputed".
    dual_coef_ : ndarray of shape (n_samples,) or (n_samples, n_classes)
        The coefficients a.
    n_features_in_ : int
        Columns of X; of images, the numbers in one; of sequences, those in a step.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Column names, where X has any.

    See Also
    --------
    NeuralKernelClassifier : One ridge term, by a faster solver.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from ntkkit import NeuralKernelClassifierCV
    >>> X, y = load_iris(return_X_y=True)
    >>> bool(NeuralKernelClassifierCV(criterion="error_rate").fit(X, y).cv_errors_.min() < 0.05)
    True
    """

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        **_RidgeMachineCV._parameter_constraints,
        "criterion": [StrOptions({"loo", "gcv", "error_rate"})],
        "class_weight": [dict, StrOptions({"balanced"}), None],
    }

    classes_: np.ndarray
    intercept_: Any
    _labels: Labels

    def __init__(
        self,
        kernel: Any = None,
        *,
        alphas: Any = None,
        criterion: str = "loo",
        class_weight: Any = None,
        engine: Engine | None = None,
    ) -> None:
        self.kernel = kernel
        self.alphas = alphas
        self.criterion = criterion
        self.class_weight = class_weight
        self.engine = engine

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = True
        return tags

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Choose the ridge term and solve; X, y and weights as in `NeuralKernelClassifier.fit`."""
        with all_or_nothing(self):
            kernel, multilabel = check_kernel(self), is_multilabel(y)
            X, y = check_input(self, X, y, kernel=kernel, reset=True, multi_output=multilabel)
            rows, weights = check_weights(sample_weight, X)
            y = y[rows]
            labels = find_labels(y, multilabel=multilabel)
            targets, intercept, weights = encode_weighted(labels, y, weights, class_weight=self.class_weight)

            def choose(squares: np.ndarray, predictions: np.ndarray) -> tuple[np.ndarray, Any]:
                squares = squares.mean(axis=1)
                if self.criterion != "error_rate":
                    return squares, squares.argmin()
                scores = predictions.reshape(-1, *targets.shape) + intercept
                wrong = np.stack([labels.decode(values) != y for values in scores]).reshape(*scores.shape[:2], -1)
                rates = np.average(wrong.mean(axis=2), axis=1, weights=weights)
                return rates, np.lexsort((squares, rates))[0]

            self._fit_path(kernel, X, targets, choose, rows=rows, weights=weights)
            self.cv_predictions_ += intercept
            self.intercept_, self.classes_, self._labels = intercept, labels.classes, labels
        return self

    def decision_function(self, X: Any) -> np.ndarray:
        """Evaluate f, as `NeuralKernelClassifier.decision_function`."""
        return self._evaluate(X) + self.intercept_

    def predict(self, X: Any) -> np.ndarray:
        """Labels of the largest f, as `NeuralKernelClassifier.predict`."""
        scores = self.decision_function(X)
        return self._labels.decode(scores)


def _find_copies(kernel: Any, X: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The first of each set of equal rows, and to which set each row belongs. A Gram matrix is taken as it is."""
    if is_precomputed(kernel):
        return np.arange(len(X)), np.arange(len(X))
    _, first, copies = np.unique(X, axis=0, return_index=True, return_inverse=True)
    return first, copies.reshape(-1)


def _check_alphas(alphas: Any, K: np.ndarray, weights: np.ndarray | None) -> np.ndarray:
    """Ridge terms, by default relative to the mean of the diagonal; below the rounding of K errors are meaningless."""
    if alphas is None:
        mean = float(np.average(K.diagonal().astype(np.float64), weights=weights))
        rounding = np.sqrt(len(K)) * entry_error(K.dtype)
        return RELATIVE_ALPHAS[rounding < RELATIVE_ALPHAS] * (mean if mean > 0 else 1.0)
    found = np.asarray(alphas, dtype=np.float64)
    if found.ndim != 1 or found.size == 0 or not np.isfinite(found).all() or (found < 0).any():
        raise ValueError(f"alphas must be one or more finite numbers >= 0, found {alphas!r}.")
    return found
