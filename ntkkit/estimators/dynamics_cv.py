"""Langevin dynamics stopped at the time that cross-validation chooses, from one solution a fold."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar, Self

import numpy as np
from sklearn.base import ClassifierMixin, MultiOutputMixin, RegressorMixin, _fit_context, is_classifier
from sklearn.model_selection import check_cv

from ntkkit.dynamics import NDK, learning_curve
from ntkkit.dynamics.learning_curve import make_grid
from ntkkit.dynamics.ndk import check_times
from ntkkit.engine.progress import Progress
from ntkkit.estimators._dynamics import DynamicsMachine
from ntkkit.estimators._labels import Labels, find_labels, is_multilabel
from ntkkit.estimators._validation import all_or_nothing, check_input

N_TIMES = 40


class _DynamicsMachineCV(DynamicsMachine):
    """What the two share: a learning curve for each fold."""

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        **DynamicsMachine._parameter_constraints,
        "train_times": ["array-like", None],
        "cv": ["cv_object"],
    }

    train_times: Any
    cv: Any
    train_times_: np.ndarray
    cv_errors_: np.ndarray

    def _choose(
        self,
        ndk: NDK,
        X: np.ndarray,
        y: np.ndarray,
        targets: np.ndarray,
        *,
        error: Callable[[np.ndarray, np.ndarray], np.ndarray] | None = None,
    ) -> None:
        """Train until the time of the least mean error over folds, squared or (n_times,) of outputs and rows."""
        times = self._times(ndk, X)
        columns = targets.reshape(len(targets), -1)
        found = []
        for train, test in check_cv(self.cv, y, classifier=is_classifier(self)).split(X, y):
            curve = learning_curve(
                ndk, X[train], columns[train], X[test], times=times, n_steps=self.n_steps, progress=self.progress
            )
            assert curve.test is not None
            outputs = curve.test.reshape(len(times), len(test), *targets.shape[1:])
            squares = ((outputs - targets[test]) ** 2).reshape(len(times), -1).mean(axis=1)
            found.append((squares if error is None else error(outputs, test), squares))
        errors, squares = np.mean(found, axis=0)
        best = np.lexsort((squares, errors))[0]
        self._train(ndk, X, targets, float(times[best]))
        self.train_times_, self.cv_errors_ = times, errors

    def _times(self, ndk: NDK, X: np.ndarray) -> np.ndarray:
        """The times to choose from."""
        if self.train_times is not None:
            return np.unique(check_times(self.train_times, "train_times"))
        if self.temperature == 0:
            raise ValueError("train_times must be given at temperature 0, where there is no equilibrium.")
        grid, _ = make_grid(ndk, np.asarray(X, dtype=np.float64), None, self.n_steps)
        return grid[np.unique(np.linspace(1, len(grid) - 1, N_TIMES).astype(int))]


class NeuralDynamicsRegressorCV(MultiOutputMixin, RegressorMixin, _DynamicsMachineCV):
    """`NeuralDynamicsRegressor` stopped at the time of the least cross-validated error.

    One solution a fold serves all times, and one more is to all samples, up to the time chosen.

    Parameters
    ----------
    network : FullyConnected, Serial or None, default=None
        As in `NeuralDynamicsRegressor`, and so are the next three.
    temperature : float, default=0.1
        T in [0, inf).
    init_var : float, default=1.0
        Variance of initial weights and biases, in [0, inf).
    prior_var : float, default=1.0
        Their variance under noise and decay alone, in (0, inf).
    train_times : array-like of shape (n_times,), optional
        Times >= 0 to choose from. None: 40 of the steps up to equilibrium, for T > 0.
    cv : int, splitter or iterable, default=5
        Folds, as in GridSearchCV.
    n_steps : int, default=400
        Steps in time.
    progress : bool or callable, default=False
        A bar of steps for each fold; or a function of (steps done, steps in all).

    Attributes
    ----------
    train_time_ : float
        The time chosen.
    train_times_ : ndarray of shape (n_times,)
        What it was chosen from, sorted.
    cv_errors_ : ndarray of shape (n_times,)
        Mean squared errors at each of them, means over folds.
    times_, errors_, ndk_, X_fit_, n_features_in_, feature_names_in_
        As of `NeuralDynamicsRegressor`.

    See Also
    --------
    NeuralDynamicsRegressor : Stopped at one time; the machine, its cost and source.

    Examples
    --------
    >>> import numpy as np
    >>> from ntkkit import FullyConnected, NeuralDynamicsRegressorCV
    >>> X = np.linspace(-1, 1, 20)[:, None]
    >>> model = NeuralDynamicsRegressorCV(FullyConnected(depth=1), train_times=[0.0, 0.1, 10.0], n_steps=50)
    >>> model.fit(X, X[:, 0]).train_time_
    10.0
    """

    def __init__(
        self,
        network: Any = None,
        *,
        temperature: float = 0.1,
        init_var: float = 1.0,
        prior_var: float = 1.0,
        train_times: Any = None,
        cv: Any = 5,
        n_steps: int = 400,
        progress: Progress = False,
    ) -> None:
        self.network = network
        self.temperature = temperature
        self.init_var = init_var
        self.prior_var = prior_var
        self.train_times = train_times
        self.cv = cv
        self.n_steps = n_steps
        self.progress = progress

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X: Any, y: Any) -> Self:
        """Choose the time and train; X and y as in `NeuralDynamicsRegressor.fit`."""
        with all_or_nothing(self):
            ndk = self._make_ndk()
            X, y = check_input(self, X, y, kernel=ndk.network, reset=True, multi_output=True, y_numeric=True)
            self._choose(ndk, X, y, y)
        return self

    def predict(self, X: Any, time: float | None = None) -> np.ndarray:
        """The mean output at a time up to `train_time_`, the default; as `NeuralDynamicsRegressor.predict`."""
        return self._outputs(X, time)


class NeuralDynamicsClassifierCV(ClassifierMixin, _DynamicsMachineCV):
    """`NeuralDynamicsClassifier` stopped at the time of the fewest cross-validated errors.

    One solution a fold serves all times, and one more is to all samples, up to the time chosen. Of times with equal
    shares of wrong labels, it is the one of the lesser squared error.

    Parameters
    ----------
    network : FullyConnected, Serial or None, default=None
        As in `NeuralDynamicsRegressor`, and so are the next three.
    temperature : float, default=0.1
        T in [0, inf).
    init_var : float, default=1.0
        Variance of initial weights and biases, in [0, inf).
    prior_var : float, default=1.0
        Their variance under noise and decay alone, in (0, inf).
    train_times : array-like of shape (n_times,), optional
        Times >= 0 to choose from. None: 40 of the steps up to equilibrium, for T > 0.
    cv : int, splitter or iterable, default=5
        Folds, as in GridSearchCV.
    n_steps : int, default=400
        Steps in time.
    progress : bool or callable, default=False
        A bar of steps for each fold; or a function of (steps done, steps in all).

    Attributes
    ----------
    train_time_ : float
        The time chosen.
    train_times_ : ndarray of shape (n_times,)
        What it was chosen from, sorted.
    cv_errors_ : ndarray of shape (n_times,)
        Shares of wrong labels at each of them, means over folds.
    classes_, times_, errors_, ndk_, X_fit_, n_features_in_, feature_names_in_
        As of `NeuralDynamicsClassifier`.

    See Also
    --------
    NeuralDynamicsClassifier : Stopped at one time.

    Examples
    --------
    >>> import numpy as np
    >>> from ntkkit import FullyConnected, NeuralDynamicsClassifierCV
    >>> X = np.linspace(-1, 1, 20)[:, None]
    >>> y = np.where(np.abs(X[:, 0]) < 0.5, "inside", "outside")
    >>> model = NeuralDynamicsClassifierCV(FullyConnected(depth=1), train_times=[0.01, 10.0], n_steps=50)
    >>> model.fit(X, y).train_time_
    10.0
    """

    classes_: np.ndarray
    _labels: Labels

    def __init__(
        self,
        network: Any = None,
        *,
        temperature: float = 0.1,
        init_var: float = 1.0,
        prior_var: float = 1.0,
        train_times: Any = None,
        cv: Any = 5,
        n_steps: int = 400,
        progress: Progress = False,
    ) -> None:
        self.network = network
        self.temperature = temperature
        self.init_var = init_var
        self.prior_var = prior_var
        self.train_times = train_times
        self.cv = cv
        self.n_steps = n_steps
        self.progress = progress

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = True
        return tags

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X: Any, y: Any) -> Self:
        """Choose the time and train; X and y as in `NeuralDynamicsClassifier.fit`."""
        with all_or_nothing(self):
            ndk, multilabel = self._make_ndk(), is_multilabel(y)
            X, y = check_input(self, X, y, kernel=ndk.network, reset=True, multi_output=multilabel)
            labels = find_labels(y, multilabel=multilabel)

            def mislabelled(outputs: np.ndarray, rows: np.ndarray) -> np.ndarray:
                return np.array([np.mean(labels.decode(scores) != y[rows]) for scores in outputs])

            self._choose(ndk, X, y, labels.encode(y), error=mislabelled)
            self.classes_, self._labels = labels.classes, labels
        return self

    def decision_function(self, X: Any, time: float | None = None) -> np.ndarray:
        """The mean output at a time up to `train_time_`, the default; as `NeuralDynamicsClassifier`."""
        return self._outputs(X, time)

    def predict(self, X: Any, time: float | None = None) -> np.ndarray:
        """Labels of the largest output; as `NeuralDynamicsClassifier.predict`."""
        scores = self.decision_function(X, time)
        return self._labels.decode(scores)
