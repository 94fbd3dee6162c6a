"""Networks under Langevin dynamics, infinitely wide, stopped at a time: between the NTK and the NNGP."""

from __future__ import annotations

from numbers import Real
from typing import Any, ClassVar, Self

import numpy as np
from sklearn.base import ClassifierMixin, MultiOutputMixin, RegressorMixin, _fit_context
from sklearn.utils._param_validation import Interval

from ntkkit.engine.progress import Progress
from ntkkit.estimators._dynamics import DynamicsMachine, check_train_time
from ntkkit.estimators._labels import Labels, find_labels, is_multilabel
from ntkkit.estimators._validation import all_or_nothing, check_input

TRAIN_TIME = [Interval(Real, 0, None, closed="both"), None]  # with infinity


class NeuralDynamicsRegressor(MultiOutputMixin, RegressorMixin, DynamicsMachine):
    """An infinitely wide network trained by gradient descent with noise and weight decay, stopped at a time.

    Its weights follow Langevin dynamics at temperature T on half the sum of squared errors, see `NDK`; predictions are
    the mean output f(x, t) at t = `train_time`. Early on they are those of gradient flow of the NTK,
    ``NeuralKernelRegressor(NTK(network), alpha=0, train_time=t)`` but for the unit of time; in equilibrium those of the
    Bayesian network, ``NeuralKernelRegressor(NNGP(network), alpha=T)``. In between the network forgets its initial
    weights, at the pace prior_var / T, and generalises better or worse than at both ends. Where an end is wanted alone,
    the estimators named here solve one system in place of one a step.

    Parameters
    ----------
    network : FullyConnected, Serial or None, default=None
        Of dense layers, all trained, and activations that have derivatives. None is ``FullyConnected()``. It is never
        changed; ``network__depth`` and other parameters of it can be set and searched.
    temperature : float, default=0.1
        T in [0, inf): the strength of noise, and of decay T / prior_var. In equilibrium, the variance of noise in y.
    init_var : float, default=1.0
        Variance of initial weights and biases, in [0, inf); it multiplies the network's `weight_var` and `bias_var`.
    prior_var : float, default=1.0
        Their variance under noise and decay alone, in (0, inf).
    train_time : float or None, default=None
        When training stops, in [0, inf]. None, or infinity, is equilibrium, taken to be reached at
        8 prior_var / T; at T = 0 there is none, and a time must be given.
    n_steps : int, default=400
        Steps in time, as in `learning_curve`; its error falls like 1 / n_steps^1.5 or faster. On 24 rows, predictions
        of a relu network in equilibrium were .006 off with 400 steps and .001 with 1600, for targets of variance 1.
    progress : bool or callable, default=False
        A bar of steps; or a function of (steps done, steps in all).

    Attributes
    ----------
    train_time_ : float
        When training stopped.
    times_ : ndarray of shape (n_times,)
        The steps in time.
    errors_ : ndarray of shape (n_times, n_samples) or (n_times, n_samples, n_targets)
        y - f of the training samples at these times.
    ndk_ : NDK
        The kernel.
    X_fit_ : ndarray of shape (n_samples, n_features)
        The training inputs, float64, images as rows.
    n_features_in_ : int
        Columns of X.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Column names, where X has any.

    See Also
    --------
    NeuralDynamicsRegressorCV : With the training time chosen by cross-validation, for one solution a fold.
    learning_curve : All times at once, and standard deviations over networks.

    Notes
    -----
    fit costs what `learning_curve` does. predict evaluates 90 kernels of n entries a row where the kernel is separable
    (init_var = prior_var, or homogeneous activations such as "relu" without biases), else one for each of `times_` so
    far, in the memory of 128 rows of one. There are no sample weights.

    References
    ----------
    Avidan, Li, Sompolinsky (2023), Connecting NTK and NNGP: a unified theoretical framework for neural network learning
    dynamics in the kernel regime.

    Examples
    --------
    A linear network of one input, y = 3 x: in equilibrium the slope shrinks by sum x^2 / (sum x^2 + T).

    >>> from ntkkit import FullyConnected, NeuralDynamicsRegressor
    >>> network = FullyConnected(depth=0, weight_var=1.0, bias_var=0.0)
    >>> model = NeuralDynamicsRegressor(network, temperature=5.0).fit([[1.0], [2.0]], [3.0, 6.0])
    >>> model.predict([[4.0]]).round(3)
    array([6.])
    >>> model.predict([[4.0]], time=0.0)
    array([0.])
    """

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        **DynamicsMachine._parameter_constraints,
        "train_time": TRAIN_TIME,
    }

    def __init__(
        self,
        network: Any = None,
        *,
        temperature: float = 0.1,
        init_var: float = 1.0,
        prior_var: float = 1.0,
        train_time: float | None = None,
        n_steps: int = 400,
        progress: Progress = False,
    ) -> None:
        self.network = network
        self.temperature = temperature
        self.init_var = init_var
        self.prior_var = prior_var
        self.train_time = train_time
        self.n_steps = n_steps
        self.progress = progress

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X: Any, y: Any) -> Self:
        """Train until `train_time`.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Finite numbers; images as rows or (n_samples, *input_shape), where the network has an `input_shape`.
        y : array-like of shape (n_samples,) or (n_samples, n_targets)
            Targets.

        Returns
        -------
        self
            The fitted estimator. Where fit raises (ValueError or TypeError for input, a network or a time that cannot
            be used), it is as it was before.
        """
        with all_or_nothing(self):
            ndk, time = self._make_ndk(), check_train_time(self)
            X, y = check_input(self, X, y, kernel=ndk.network, reset=True, multi_output=True, y_numeric=True)
            self._train(ndk, X, y, time)
        return self

    def predict(self, X: Any, time: float | None = None) -> np.ndarray:
        """Evaluate the mean output.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            As in fit.
        time : float, optional
            When, from 0 to `train_time_`, the default. One fit serves all; between `times_` outputs are interpolated.

        Returns
        -------
        ndarray of shape (n_samples,) or (n_samples, n_targets)

        Raises
        ------
        ValueError
            For another time.
        """
        return self._outputs(X, time)


class NeuralDynamicsClassifier(ClassifierMixin, DynamicsMachine):
    """`NeuralDynamicsRegressor` on targets +1 and -1: sign f(x, t), or argmax_c f_c(x, t).

    Parameters
    ----------
    network : FullyConnected, Serial or None, default=None
        Of dense layers, all trained, and activations that have derivatives. None is ``FullyConnected()``.
    temperature : float, default=0.1
        T in [0, inf).
    init_var : float, default=1.0
        Variance of initial weights and biases, in [0, inf); it multiplies the network's `weight_var` and `bias_var`.
    prior_var : float, default=1.0
        Their variance under noise and decay alone, in (0, inf).
    train_time : float or None, default=None
        When training stops, in [0, inf]. None, or infinity, is equilibrium; at T = 0 there is none.
    n_steps : int, default=400
        Steps in time.
    progress : bool or callable, default=False
        A bar of steps; or a function of (steps done, steps in all).

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        The labels, sorted. Of several labels a sample, the numbers of the columns.
    train_time_, times_, errors_, ndk_, X_fit_, n_features_in_, feature_names_in_
        As of `NeuralDynamicsRegressor`; `errors_` with a column a class, or none for two classes.

    See Also
    --------
    NeuralDynamicsClassifierCV : With the training time chosen by cross-validation, for one solution a fold.
    NeuralDynamicsRegressor : The same machine for numbers, with notes on cost and source.

    Examples
    --------
    >>> from ntkkit import FullyConnected, NeuralDynamicsClassifier
    >>> X = [[-1, -1], [-1, 1], [1, -1], [1, 1]]
    >>> model = NeuralDynamicsClassifier(FullyConnected(depth=1), train_time=2.0, n_steps=50)
    >>> model.fit(X, ["same", "other", "other", "same"]).predict([[-2, -2], [2, -1]])
    array(['same', 'other'], dtype='<U5')
    """

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        **DynamicsMachine._parameter_constraints,
        "train_time": TRAIN_TIME,
    }

    classes_: np.ndarray
    _labels: Labels

    def __init__(
        self,
        network: Any = None,
        *,
        temperature: float = 0.1,
        init_var: float = 1.0,
        prior_var: float = 1.0,
        train_time: float | None = None,
        n_steps: int = 400,
        progress: Progress = False,
    ) -> None:
        self.network = network
        self.temperature = temperature
        self.init_var = init_var
        self.prior_var = prior_var
        self.train_time = train_time
        self.n_steps = n_steps
        self.progress = progress

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = True
        return tags

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X: Any, y: Any) -> Self:
        """Train until `train_time`.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Finite numbers; images as rows or (n_samples, *input_shape), where the network has an `input_shape`.
        y : array-like of shape (n_samples,) or (n_samples, n_labels)
            Labels of two classes or more; or zeros and ones, a column a label, where a sample may have several.

        Returns
        -------
        self
            The fitted estimator. Where fit raises (ValueError or TypeError for input, a network or a time that cannot
            be used), it is as it was before.
        """
        with all_or_nothing(self):
            ndk, time, multilabel = self._make_ndk(), check_train_time(self), is_multilabel(y)
            X, y = check_input(self, X, y, kernel=ndk.network, reset=True, multi_output=multilabel)
            labels = find_labels(y, multilabel=multilabel)
            self._train(ndk, X, labels.encode(y), time)
            self.classes_, self._labels = labels.classes, labels
        return self

    def decision_function(self, X: Any, time: float | None = None) -> np.ndarray:
        """The mean output, (n_samples,) of `classes_[1]` or (n_samples, n_classes); as `NeuralDynamicsRegressor`."""
        return self._outputs(X, time)

    def predict(self, X: Any, time: float | None = None) -> np.ndarray:
        """Labels of the largest output at a time, (n_samples,) or (n_samples, n_labels); as `decision_function`."""
        scores = self.decision_function(X, time)
        return self._labels.decode(scores)
