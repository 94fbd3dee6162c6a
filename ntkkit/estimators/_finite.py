"""What the estimators of finite networks share: their parameters, training, and what the networks say."""

from __future__ import annotations

from numbers import Integral, Real
from typing import Any, ClassVar

import numpy as np
from sklearn.model_selection import train_test_split
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.validation import check_is_fitted

from ntkkit.engine.progress import Progress
from ntkkit.estimators._network import NetworkEstimator
from ntkkit.estimators._validation import check_input
from ntkkit.finite import FiniteNetwork, NetworkTrainer, network_outputs
from ntkkit.finite.parametrization import PARAMETRIZATIONS
from ntkkit.networks import FullyConnected

POSITIVE = Interval(Real, 0, None, closed="neither")
NOT_NEGATIVE = Interval(Real, 0, None, closed="left")
COUNT = Interval(Integral, 1, None, closed="left")


class FiniteMachine(NetworkEstimator):
    """The mean output of an ensemble of trained networks. Subclasses say what they learn."""

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        "network": "no_validation",  # FiniteNetwork does, with a remedy
        "width": [COUNT],
        "parametrization": [StrOptions(set(PARAMETRIZATIONS))],
        "gamma0": [POSITIVE],
        "n_networks": [COUNT],
        "loss": [StrOptions({"squared"}), callable],
        "optimizer": "no_validation",  # NetworkTrainer does
        "learning_rate": [POSITIVE, None],
        "batch_size": [COUNT, None],
        "n_epochs": [COUNT],
        "weight_decay": [NOT_NEGATIVE],
        "temperature": [NOT_NEGATIVE],
        "centered": ["boolean"],
        "early_stopping": ["boolean"],
        "validation_fraction": [Interval(Real, 0, 1, closed="neither")],
        "n_iter_no_change": [COUNT],
        "callbacks": "no_validation",
        "random_state": ["random_state"],
        "progress": ["boolean", callable],
    }

    network_: FiniteNetwork
    params_: Any
    initial_params_: Any
    learning_rate_: float
    n_epochs_: int
    loss_curve_: np.ndarray
    validation_loss_curve_: np.ndarray | None
    best_epochs_: np.ndarray | None
    _first: np.ndarray

    def __init__(
        self,
        network: Any = None,
        *,
        width: int = 512,
        parametrization: str = "ntk",
        gamma0: float = 1.0,
        n_networks: int = 1,
        loss: Any = "squared",
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
        self.network = network
        self.width = width
        self.parametrization = parametrization
        self.gamma0 = gamma0
        self.n_networks = n_networks
        self.loss = loss
        self.optimizer = optimizer
        self.learning_rate = learning_rate
        self.batch_size = batch_size
        self.n_epochs = n_epochs
        self.weight_decay = weight_decay
        self.temperature = temperature
        self.centered = centered
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.n_iter_no_change = n_iter_no_change
        self.callbacks = callbacks
        self.random_state = random_state
        self.progress = progress

    def _finite_network(self) -> FiniteNetwork:
        network = FullyConnected() if self.network is None else self.network
        return FiniteNetwork(network, self.width, self.parametrization, self.gamma0)

    def _train(self, network: FiniteNetwork, X: np.ndarray, y: np.ndarray, loss: Any, strata: Any) -> None:
        """Train on checked inputs and targets, and keep what predict needs; classes to hold out a part of each."""
        trainer = NetworkTrainer(
            network,
            n_networks=self.n_networks,
            loss=loss,
            optimizer=self.optimizer,
            learning_rate=self.learning_rate,
            batch_size=self.batch_size,
            n_epochs=self.n_epochs,
            weight_decay=self.weight_decay,
            temperature=self.temperature,
            centered=self.centered,
            patience=self.n_iter_no_change,
            callbacks=self.callbacks,
            random_state=self.random_state,
            progress=self.progress,
        )
        self._first = X[:1]
        if self.early_stopping:
            X, y, held_out = self._split(X, y, strata)
        else:
            held_out = None
        found = trainer.run(X, y, held_out=held_out)
        self.network_, self.params_ = network, found.params
        self.initial_params_ = found.initial_params if self.centered else None
        self.learning_rate_, self.n_epochs_ = found.learning_rate, found.epoch
        self.loss_curve_, self.validation_loss_curve_ = found.losses, found.held_out_losses
        self.best_epochs_ = found.best_epochs

    def _split(self, X: np.ndarray, y: np.ndarray, strata: Any) -> tuple[np.ndarray, np.ndarray, Any]:
        """A part to train on, and one to stop by."""
        fewest = 1 if strata is None else len(np.unique(strata))
        n_held_out = max(fewest, round(self.validation_fraction * len(X)))
        try:
            X, held_out, y, targets = train_test_split(
                X, y, test_size=n_held_out, stratify=strata, random_state=self.random_state
            )
        except ValueError as error:
            raise ValueError(
                f"early_stopping=True cannot hold out {n_held_out} of {len(X)} samples: {error} Give more samples, or "
                "early_stopping=False."
            ) from error
        return X, y, (held_out, targets)

    def _outputs(self, X: Any) -> np.ndarray:
        """What each network says, (n_networks, n, n_outputs)."""
        check_is_fitted(self)
        network = self.network_.network
        X = check_input(self, X, kernel=network, reset=False)
        network.check_together((self._first, X), ("the training X", "X"))
        said = network_outputs(self.network_, self.params_, X)
        return said if self.initial_params_ is None else said - network_outputs(self.network_, self.initial_params_, X)
