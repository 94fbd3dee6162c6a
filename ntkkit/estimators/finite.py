"""Networks of finite width, trained by gradient descent: what the kernel machines are limits of."""

from __future__ import annotations

from typing import Any, ClassVar, Self

import numpy as np
from scipy.special import expit, softmax
from sklearn.base import ClassifierMixin, MultiOutputMixin, RegressorMixin, _fit_context
from sklearn.utils._param_validation import StrOptions
from sklearn.utils.metaestimators import available_if

from ntkkit.engine.progress import Progress
from ntkkit.estimators._finite import FiniteMachine
from ntkkit.estimators._labels import Labels, find_labels, is_multilabel
from ntkkit.estimators._validation import all_or_nothing, check_input


class FiniteNetworkRegressor(MultiOutputMixin, RegressorMixin, FiniteMachine):
    """The network that a description of ntkkit stands for, at a finite width, trained by gradient descent.

    Each network of the ensemble minimises, from its own random initial parameters,

        E(theta) = sum_i |f(x_i) - y_i|^2 / 2 + weight_decay / 2 |theta|^2,

    and the prediction is their mean. With optimizer="sgd", full batches and a small `learning_rate`, wide networks
    agree with ``NeuralKernelRegressor(NTK(network), alpha=0, train_time=learning_rate_ * n_epochs)``.

    Parameters
    ----------
    network : Network or None, default=None
        `FullyConnected`, `Convolutional`, `Recurrent` or another, without `Dropout`; it says what samples are: rows,
        images or sequences. None is ``FullyConnected()``. It is never changed; ``network__depth`` and other parameters
        of it can be set and searched.
    width : int, default=512
        Units or channels of each hidden layer.
    parametrization : {"ntk", "standard", "mup"}, default="ntk"
        Of the parameters, and so of learning rates and of what features learn, see `FiniteNetwork`.
    gamma0 : float, default=1.0
        Strength of feature learning in "mup", in (0, inf).
    n_networks : int, default=1
        Networks of the ensemble, trained in one vmapped run. Each is the same in a larger ensemble.
    loss : "squared" or callable, default="squared"
        A function of jax (outputs (n, k), y (n, k)) -> (n,) otherwise.
    optimizer : {"adam", "sgd", "momentum"} or optax.GradientTransformation, default="adam"
        As of `NetworkTrainer`.
    learning_rate : float or None, default=None
        None measures one on the first network, see `NetworkTrainer`.
    batch_size : int or None, default=None
        Samples a step; None takes all.
    n_epochs : int, default=200
        Passes over the samples, at most.
    weight_decay : float, default=0.0
        In [0, inf).
    temperature : float, default=0.0
        Of Langevin noise, in [0, inf); for optimizer="sgd".
    centered : bool, default=False
        Train f - f_0 in place of f.
    early_stopping : bool, default=False
        Hold samples out, and keep for each network the parameters of its lowest loss on them.
    validation_fraction : float, default=0.1
        How many, in (0, 1).
    n_iter_no_change : int, default=10
        Epochs without a lower loss there, after which a network stops.
    callbacks : sequence of callable, default=()
        Called with a `TrainedNetworks` at the start and after every epoch; training stops when one returns True.
    random_state : int, RandomState instance or None, default=None
        Of initial parameters, batches, noise and the samples held out.
    progress : bool or callable, default=False
        A bar of epochs; or a function of (epochs done, epochs in all).

    Attributes
    ----------
    network_ : FiniteNetwork
        The function of parameters and inputs: ``network_.apply(params, X)``.
    params_ : pytree of ndarray
        Trained parameters, with an axis of networks in front.
    initial_params_ : pytree of ndarray or None
        Those before, if centered.
    learning_rate_ : float
        The learning rate.
    n_epochs_ : int
        Epochs of training.
    loss_curve_ : ndarray of shape (n_epochs_, n_networks)
        Mean losses of a sample in each epoch.
    validation_loss_curve_ : ndarray of shape (n_epochs_, n_networks) or None
        Those of the samples held out.
    best_epochs_ : ndarray of shape (n_networks,) or None
        When they were lowest.
    n_features_in_ : int
        Columns of X; of images, the numbers in one; of sequences, those in a step.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Column names, where X has any.

    See Also
    --------
    NeuralKernelRegressor : Infinitely wide networks, by solving one system.
    NeuralDynamicsRegressor : Those trained with noise and weight decay.

    Notes
    -----
    Needs optax. Float32 inputs train in float32, which takes half the time. There are no sample weights.

    References
    ----------
    Jacot, Gabriel, Hongler (2018), Neural Tangent Kernel; Lee et al. (2019), Wide neural networks of any depth evolve
    as linear models under gradient descent.

    Examples
    --------
    >>> import numpy as np
    >>> from ntkkit import NTK, FiniteNetworkRegressor, FullyConnected, NeuralKernelRegressor
    >>> X, y = np.array([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]]), np.array([1.0, -1.0, 0.5])
    >>> network = FullyConnected(depth=1)
    >>> finite = FiniteNetworkRegressor(
    ...     network, n_networks=8, optimizer="sgd", centered=True, random_state=0
    ... )
    >>> infinite = NeuralKernelRegressor(NTK(network), alpha=0.0)
    >>> x = [[1.0, -1.0]]
    >>> bool(abs(finite.fit(X, y).predict(x) - infinite.fit(X, y).predict(x))[0] < 0.1)
    True
    """

    _flat: bool

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X: Any, y: Any) -> Self:
        """Train the networks.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Finite numbers; images (n_samples, *input_shape), or those as rows, where the network has an `input_shape`;
            sequences, as a list of arrays (T_i, n_features) or an array, where it is `Recurrent`.
        y : array-like of shape (n_samples,) or (n_samples, n_targets)
            Targets.

        Returns
        -------
        self
            The fitted estimator. Where fit raises (ValueError or TypeError for input or a network that cannot be used,
            ValueError where training diverges, MemoryError), it is as it was before.
        """
        with all_or_nothing(self):
            network = self._finite_network()
            X, y = check_input(self, X, y, kernel=network.network, reset=True, multi_output=True, y_numeric=True)
            self._train(network, X, y, self.loss, None)
            self._flat = y.ndim == 1
        return self

    def predict(self, X: Any, return_std: bool = False) -> Any:
        """The mean over networks.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            As in fit.
        return_std : bool, default=False
            Whether to return standard deviations over networks, too.

        Returns
        -------
        mean : ndarray of shape (n_samples,) or (n_samples, n_targets)
        std : ndarray of the same shape
            If `return_std`.

        Raises
        ------
        ValueError
            If `return_std` of one network.
        """
        outputs = self._outputs(X)
        if self._flat:
            outputs = outputs[..., 0]
        if not return_std:
            return outputs.mean(axis=0)
        if len(outputs) < 2:
            raise ValueError("return_std=True needs n_networks >= 2, found 1.")
        return outputs.mean(axis=0), outputs.std(axis=0, ddof=1)


def _has_probabilities(model: Any) -> bool:
    if model.loss != "log":
        raise AttributeError(f"predict_proba needs loss='log', found {model.loss!r}.")
    return True


class FiniteNetworkClassifier(ClassifierMixin, FiniteMachine):
    """The network that a description of ntkkit stands for, at a finite width, trained to tell classes.

    Parameters
    ----------
    network : Network or None, default=None
        As of `FiniteNetworkRegressor`.
    loss : {"log", "squared"} or callable, default="log"
        "log": minus the log of the probability of the class, by softmax of one output a class; of two classes, and of
        each of several labels, by the logistic function of one output. "squared": half the squared error on targets +1
        and -1, as `NeuralKernelClassifier`.
    width, parametrization, gamma0, n_networks, optimizer, learning_rate, batch_size, n_epochs, weight_decay, \
temperature, centered, early_stopping, validation_fraction, n_iter_no_change, callbacks, random_state, progress
        As of `FiniteNetworkRegressor`. Samples held out are of all classes.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        The labels, sorted. Of several labels a sample, the numbers of the columns.
    network_, params_, initial_params_, learning_rate_, n_epochs_, loss_curve_, validation_loss_curve_, best_epochs_, \
n_features_in_, feature_names_in_
        As of `FiniteNetworkRegressor`.

    See Also
    --------
    FiniteNetworkRegressor : The same machine for numbers.
    NeuralKernelClassifier : Infinitely wide networks, trained on squared error.

    Examples
    --------
    The exclusive or:

    >>> from ntkkit import FiniteNetworkClassifier, FullyConnected
    >>> X = [[-1, -1], [-1, 1], [1, -1], [1, 1]]
    >>> model = FiniteNetworkClassifier(FullyConnected(depth=1), width=64, random_state=0)
    >>> model.fit(X, ["same", "other", "other", "same"]).predict([[-2, -2], [2, -1]])
    array(['same', 'other'], dtype='<U5')
    """

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        **FiniteMachine._parameter_constraints,
        "loss": [StrOptions({"log", "squared"}), callable],
    }

    classes_: np.ndarray
    _labels: Labels

    def __init__(
        self,
        network: Any = None,
        *,
        width: int = 512,
        parametrization: str = "ntk",
        gamma0: float = 1.0,
        n_networks: int = 1,
        loss: Any = "log",
        optimizer: Any = "adam",
        learning_rate: float | None = None,
        batch_size: int | None = None,
        n_epochs: int = 200,
        weight_decay: float = 0.0,
        temperature: float = 0.0,
        centered: bool = False,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        n_iter_no_change: int = 10,
        callbacks: Any = (),
        random_state: Any = None,
        progress: Progress = False,
    ) -> None:
        super().__init__(
            network,
            width=width,
            parametrization=parametrization,
            gamma0=gamma0,
            n_networks=n_networks,
            loss=loss,
            optimizer=optimizer,
            learning_rate=learning_rate,
            batch_size=batch_size,
            n_epochs=n_epochs,
            weight_decay=weight_decay,
            temperature=temperature,
            centered=centered,
            early_stopping=early_stopping,
            validation_fraction=validation_fraction,
            n_iter_no_change=n_iter_no_change,
            callbacks=callbacks,
            random_state=random_state,
            progress=progress,
        )

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = True
        return tags

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X: Any, y: Any) -> Self:
        """Train the networks.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            As of `FiniteNetworkRegressor`.
        y : array-like of shape (n_samples,) or (n_samples, n_labels)
            Labels of two classes or more; or zeros and ones, a column a label, where a sample may have several.

        Returns
        -------
        self
            The fitted estimator. Where fit raises (ValueError or TypeError for input or a network that cannot be used,
            ValueError where training diverges, MemoryError), it is as it was before.
        """
        with all_or_nothing(self):
            network, multilabel = self._finite_network(), is_multilabel(y)
            X, y = check_input(self, X, y, kernel=network.network, reset=True, multi_output=multilabel)
            labels = find_labels(y, multilabel=multilabel)
            targets, loss = labels.encode(y), self.loss
            if loss == "log":
                loss = "logistic" if multilabel or targets.ndim == 1 else "softmax"
            self._train(network, X, targets, loss, None if multilabel else y)
            self.classes_, self._labels = labels.classes, labels
        return self

    def decision_function(self, X: Any) -> np.ndarray:
        """The mean output over networks: with loss="log", logits.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            As in fit.

        Returns
        -------
        ndarray of shape (n_samples,) or (n_samples, n_classes)
            For two classes, of `classes_[1]` alone.
        """
        outputs = self._outputs(X).mean(axis=0)
        return outputs[:, 0] if outputs.shape[1] == 1 else outputs

    def predict(self, X: Any) -> np.ndarray:
        """Labels of the largest mean output, (n_samples,) or (n_samples, n_labels); as `decision_function`."""
        scores = self.decision_function(X)
        return self._labels.decode(scores)

    @available_if(_has_probabilities)
    def predict_proba(self, X: Any) -> np.ndarray:
        """Probabilities that the mean output stands for; with loss="log".

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            As in fit.

        Returns
        -------
        ndarray of shape (n_samples, n_classes)
            Rows sum to 1; of several labels a sample, each has a probability of its own.
        """
        scores = self.decision_function(X).astype(np.float64)
        if self._labels.multilabel:
            return expit(scores)
        if scores.ndim == 1:
            return np.stack([expit(-scores), expit(scores)], axis=1)
        return softmax(scores, axis=1)
