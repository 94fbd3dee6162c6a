"""Ensembles of finite networks, trained by gradient descent in one run."""

from __future__ import annotations

import importlib.util
import math
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from sklearn.base import BaseEstimator

from ntkkit.engine.memory import available_memory
from ntkkit.engine.progress import Progress
from ntkkit.engine.rows import filled, rounded
from ntkkit.finite._learning_rate import default_rate, rate_scale
from ntkkit.finite._run import Callback, Run
from ntkkit.finite._training_steps import OPTIMIZERS, Rates, Rows, Settings
from ntkkit.finite.langevin import _check_targets
from ntkkit.finite.linearized import LinearizedNetwork
from ntkkit.finite.losses import CURVATURES, Loss, resolve_loss
from ntkkit.finite.parametrization import FiniteNetwork
from ntkkit.finite.trained import TrainedNetworks, network_outputs
from ntkkit.kernels.inputs import check_inputs, result_dtype
from ntkkit.networks.network import as_key
from ntkkit.networks.sequences import lengths
from ntkkit.networks.value import check_count, check_real

# How many numbers a network's training holds for each of its parameters, and for each number of its hidden layers.
PER_PARAMETER, PER_ACTIVATION = 8, 3


class NetworkTrainer(BaseEstimator):
    """Gradient descent on an ensemble of finite networks: one vmapped, compiled run.

    Each network minimises, from its own initial parameters theta_0,

        E(theta) = sum_i loss(f(x_i), y_i) + weight_decay / 2 |theta|^2,

    by steps theta <- theta - h grad E, h = learning_rate * network.learning_rate_scale. A batch of b of n rows counts
    n / b times. With loss="squared", half the *sum* of squared errors, full batches and a small learning rate, wide
    networks of parametrisation "ntk" (and of "mup" at small gamma0) follow gradient flow of the NTK at
    t = steps * learning_rate: their mean is ``NeuralKernelRegressor(NTK(network), alpha=0, train_time=t)``. With a
    temperature T, noise sqrt(2 T h) N(0, 1) is added to each step: the density of theta goes to exp(-E / T), for
    parametrisation "ntk" and weight_decay=T the Bayesian posterior at noise variance T.

    Parameters
    ----------
    network : FiniteNetwork or LinearizedNetwork
        Without `Dropout`. Frozen layers stay as they are.
    n_networks : int, default=1
        Networks, >= 1, of independent initial parameters and batches. Each is the same in a larger ensemble.
    loss : {"squared", "logistic", "softmax"} or callable, default="squared"
        See `ntkkit.finite.losses`; a function of jax (outputs (n, k), y (n, k)) -> (n,) otherwise. Static.
    optimizer : {"sgd", "momentum", "adam"} or optax.GradientTransformation, default="sgd"
        "sgd" is plain gradient descent, "momentum" has 0.9. Adam's steps do not depend on the size of gradients: there
        h = learning_rate * sqrt(network.learning_rate_scale). What a transformation of optax returns is added to the
        parameters as it is: learning rates are its own. Static.
    learning_rate : float, optional
        eta > 0. None measures one on the first network. With L the largest eigenvalue of its empirical NTK (of a few
        batches, if there are any) times a bound of the loss' second derivative, "sgd" takes 0.5 / L, 0.1 / L with
        noise, and "momentum" 0.2 / L; "adam" a rate at which its first step moves outputs by half of the targets.
    batch_size : int, optional
        Rows a step; rows that make no whole batch wait for the next epoch. None, or more than there are, takes all.
    n_epochs : int, default=200
        Passes over the rows, >= 1.
    weight_decay : float, default=0.0
        >= 0. Of all parameters that are trained.
    temperature : float, default=0.0
        T >= 0; for optimizer="sgd".
    centered : bool, default=False
        Train f - f_0 in place of f: networks start at 0, and spread less.
    patience : int, default=10
        With held-out rows, epochs without a lower loss there after which a network stops.
    callbacks : sequence of callable, default=()
        Each is called with a `TrainedNetworks` at the start, at every report and at the end; training stops when one
        returns True.
    report_every : int or array-like of int, default=1
        Epochs between two reports; or the epochs of reports, increasing.
    random_state : int, RandomState instance, None, or jax key, default=None
        Of initial parameters, batches and noise.
    progress : bool or callable, default=False
        A bar of epochs; or a function of (epochs done, epochs in all).

    Notes
    -----
    A step costs about three evaluations of each network. Memory: eight copies of all parameters and three of all hidden
    layers of the rows of a batch, for all networks at once; what does not fit is refused before the start.

    References
    ----------
    Jacot, Gabriel, Hongler (2018), Neural Tangent Kernel; Lee et al. (2019), Wide neural networks of any depth evolve
    as linear models under gradient descent; Welling, Teh (2011), Bayesian learning via stochastic gradient Langevin
    dynamics.

    Examples
    --------
    A linear model with one weight goes to the label like 1 - (1 - eta)^t:

    >>> from ntkkit import FullyConnected
    >>> from ntkkit.finite import FiniteNetwork, NetworkTrainer
    >>> line = FiniteNetwork(FullyConnected(depth=0, weight_var=1.0, bias_var=0.0))
    >>> trainer = NetworkTrainer(line, learning_rate=0.5, n_epochs=3, centered=True, random_state=0)
    >>> trainer.run([[1.0]], [2.0]).outputs([[1.0]]).round(6)
    array([[[1.75]]])
    """

    def __init__(
        self,
        network: Any,
        *,
        n_networks: int = 1,
        loss: str | Loss = "squared",
        optimizer: Any = "sgd",
        learning_rate: float | None = None,
        batch_size: int | None = None,
        n_epochs: int = 200,
        weight_decay: float = 0.0,
        temperature: float = 0.0,
        centered: bool = False,
        patience: int = 10,
        callbacks: Sequence[Callback] = (),
        report_every: Any = 1,
        random_state: Any = None,
        progress: Progress = False,
    ) -> None:
        self.network = network
        self.n_networks = n_networks
        self.loss = loss
        self.optimizer = optimizer
        self.learning_rate = learning_rate
        self.batch_size = batch_size
        self.n_epochs = n_epochs
        self.weight_decay = weight_decay
        self.temperature = temperature
        self.centered = centered
        self.patience = patience
        self.callbacks = callbacks
        self.report_every = report_every
        self.random_state = random_state
        self.progress = progress

    def run(
        self, X: Any, y: Any, *, held_out: tuple[Any, Any] | None = None, start: TrainedNetworks | None = None
    ) -> TrainedNetworks:
        """Train.

        Parameters
        ----------
        X : array-like of shape (n, d), (n, *input_shape) or (n, T, m)
            What the network reads. In float32, everything is.
        y : array-like of shape (n,) or (n, k)
            Targets: numbers; +1 and -1 for "logistic" and, in the column of the class, "softmax".
        held_out : tuple of such X and y, optional
            Rows for early stopping: each network ends with the parameters of its lowest loss on them.
        start : TrainedNetworks, optional
            Begin with its parameters (and its initial ones, where centered), in place of random ones; epochs and the
            optimizer's state begin anew.

        Returns
        -------
        TrainedNetworks
            With numpy arrays.

        Raises
        ------
        ValueError
            For bad input or parameters, a learning rate that does not converge, or losses that are not finite.
        TypeError
            If the network is no `FiniteNetwork` or `LinearizedNetwork`.
        MemoryError
            If the ensemble does not fit.
        ImportError
            Without optax.
        """
        self._check()
        X, y, others = self._checked(X, y, held_out)
        with jax.enable_x64(X.dtype == np.float64):
            return self._run(X, y, others, start)

    def _run(
        self, X: np.ndarray, y: np.ndarray, others: tuple[np.ndarray, np.ndarray] | None, start_at: Any
    ) -> TrainedNetworks:
        key = as_key(self.random_state)
        shape = _input_shape(self.network, X)
        self._check_memory(shape, X, y.shape[1])
        if start_at is None:
            seeds = np.asarray(jax.random.key_data(key)).tolist()
            drawn = [
                self.network.init(np.random.default_rng([*seeds, index]), shape, n_outputs=y.shape[1])
                for index in range(self.n_networks)
            ]
            initial = params = jax.tree.map(lambda *entries: np.stack(entries), *drawn)
        else:
            initial, params = start_at.initial_params, start_at.params
            if start_at.n_networks != self.n_networks:
                raise ValueError(f"start has {start_at.n_networks} networks, n_networks={self.n_networks}.")
        size = None if self.batch_size is None or self.batch_size >= len(X) else self.batch_size
        loss = resolve_loss(self.loss)

        def rows(X: np.ndarray, y: np.ndarray) -> Rows:
            weights = np.arange(rounded(len(X))) < len(X)
            X, y = (filled(part, len(weights)) for part in (X, y))
            offsets = network_outputs(self.network, initial, X) if self.centered else 0.0
            return Rows(X, y, offsets, weights.astype(X.dtype))

        data = rows(X, y)
        settings = Settings(loss, CURVATURES.get(loss), self.optimizer, size, self.temperature > 0)
        rate = 1.0 if self.learning_rate is None else float(self.learning_rate)
        if self.learning_rate is None and isinstance(self.optimizer, str):
            first = jax.tree.map(lambda entry: entry[0], params)
            rate = default_rate(self.network, first, data, settings, float(self.weight_decay))
        run = Run(
            (self.network, data, None if others is None else rows(*others)),
            jnp.stack([jax.random.fold_in(key, index) for index in range(self.n_networks)]),
            Rates(
                rate * rate_scale(self.network, self.optimizer),
                float(self.weight_decay),
                float(self.temperature),
                self.patience,
            ),
            settings,
            TrainedNetworks(
                *(self.network, params, initial, self.centered, rate, 0, 0),
                losses=np.empty((0, self.n_networks)),
                held_out_losses=None if others is None else np.empty((0, self.n_networks)),
            ),
            len(X) // size if size else 1,
        )
        return run.until(self._reports(), self.callbacks, self.progress)

    def _reports(self) -> np.ndarray:
        """Epochs of reports, the last among them."""
        if np.ndim(self.report_every) == 0:
            every = check_count(self.report_every, "report_every", low=1)
            epochs = np.arange(every, self.n_epochs, every)
        else:
            epochs = np.asarray(self.report_every)
            if epochs.dtype.kind not in "iu" or epochs.ndim != 1 or (np.diff(epochs) <= 0).any() or epochs.min() < 0:
                raise ValueError(f"report_every must be an integer, or increasing epochs >= 0, found {epochs!r}.")
            epochs = epochs[(epochs > 0) & (epochs < self.n_epochs)]
        return np.append(epochs, self.n_epochs)

    def _check(self) -> None:
        if importlib.util.find_spec("optax") is None:
            raise ImportError("Training finite networks needs optax: pip install 'ntkkit[finite]', or optax itself.")
        if not isinstance(self.network, FiniteNetwork | LinearizedNetwork):
            raise TypeError(f"network must be a FiniteNetwork(network, width), found {self.network!r}.")
        if getattr(self.network.network, "redraws", False):
            raise ValueError(
                f"{self.network.network!r} draws masks of Dropout, which training does not do anew at every step: "
                "leave it out."
            )
        for name in ("n_networks", "n_epochs", "patience"):
            check_count(getattr(self, name), name, low=1)
        if self.batch_size is not None:
            check_count(self.batch_size, "batch_size", low=1)
        for name in ("weight_decay", "temperature"):
            check_real(getattr(self, name), name)
        if check_real(self.learning_rate, "learning_rate", optional=True) == 0:
            raise ValueError("learning_rate must be positive, found 0.")
        named = isinstance(self.optimizer, str)
        if (named and self.optimizer not in OPTIMIZERS) or not (named or hasattr(self.optimizer, "update")):
            raise ValueError(
                f"optimizer must be one of {OPTIMIZERS}, or an optax.GradientTransformation, found {self.optimizer!r}."
            )
        if not named and self.learning_rate is not None:
            raise ValueError(
                f"learning_rate={self.learning_rate!r} is for optimizers by name: give a transformation of optax its "
                "own, and leave it None."
            )
        if self.temperature and self.optimizer != "sgd":
            raise ValueError(f"temperature > 0 needs optimizer='sgd', found {self.optimizer!r}.")
        resolve_loss(self.loss)

    def _checked(self, X: Any, y: Any, held_out: Any) -> tuple[np.ndarray, np.ndarray, Any]:
        kind, shape = self.network.network.input_kind, self.network.network.input_shape
        X = check_inputs(X, kind=kind, input_shape=shape)
        self.network.network.check_together((X,))
        if held_out is None:
            X = X.astype(result_dtype(X), copy=False)
            return X, _column(_check_targets(y, X, X.dtype)), None
        other = check_inputs(held_out[0], kind=kind, input_shape=shape, name="held_out[0]")
        self.network.network.check_together((X, other), ("X", "held_out[0]"))
        dtype = result_dtype(X, other)
        X, other = X.astype(dtype, copy=False), other.astype(dtype, copy=False)
        targets, others = _column(_check_targets(y, X, dtype)), _column(_check_targets(held_out[1], other, dtype))
        if targets.shape[1] != others.shape[1] or X.shape[-1] != other.shape[-1]:
            raise ValueError(
                f"held_out has {other.shape[-1]} features and {others.shape[1]} targets, X and y have {X.shape[-1]} "
                f"and {targets.shape[1]}: give it the same columns."
            )
        return X, targets, (other, others)

    def _check_memory(self, shape: tuple[int, ...], X: np.ndarray, n_outputs: int) -> None:
        size = min(self.batch_size or len(X), len(X))
        params = jax.eval_shape(
            lambda: self.network.init(jax.random.key(0), shape, n_outputs=n_outputs)  # nothing is drawn
        )
        batch = jax.ShapeDtypeStruct((size, *X.shape[1:]), X.dtype)
        layers = jax.make_jaxpr(self.network.apply)(params, batch).jaxpr.eqns
        hidden = sum(math.prod(out.aval.shape) for step in layers for out in step.outvars)
        n_params = sum(leaf.size for leaf in jax.tree.leaves(params))
        numbers = self.n_networks * (PER_PARAMETER * n_params + PER_ACTIVATION * hidden)
        needed, available = numbers * X.dtype.itemsize / 1e9, available_memory() / 1e9
        if needed > available:
            raise MemoryError(
                f"Training {self.n_networks} networks of {n_params} parameters on {size} rows a step needs "
                f"{needed:.1f} GB, and {available:.1f} GB are available: take a smaller batch_size, width or "
                "n_networks, or float32 inputs."
            )


def _column(y: np.ndarray) -> np.ndarray:
    return y.reshape(len(y), -1)


def _input_shape(network: FiniteNetwork, X: np.ndarray) -> tuple[int, ...]:
    """The shape of one input; of sequences with the steps of the longest, which they may be filled up behind."""
    if network.network.input_kind == "sequences":
        return int(lengths(X).max()), X.shape[2]
    return X.shape[1:]
