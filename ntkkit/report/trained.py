"""A network of finite width, trained by gradient descent."""

from __future__ import annotations

from typing import Any, Self

import jax
import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.model_selection import train_test_split
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from ntkkit.estimators._validation import check_input
from ntkkit.kernels import NTK
from ntkkit.networks.network import Network

BATCH = 16
HELD_OUT = 0.2
# Epochs without a lower loss on the held-out samples after which training stops.
PATIENCE = 30


class TrainedNetwork(ClassifierMixin, BaseEstimator):
    """The finite network that a family describes, trained with Adam on the cross-entropy.

    A fifth of the training samples is held out: of all epochs of all starts, the parameters with the lowest
    cross-entropy there are kept.

    Parameters
    ----------
    network : Network
        It says what samples are: rows, flattened images of its `input_shape`, or sequences.
    width : int, default=64
        Units or channels of each hidden layer.
    learning_rate : float, default=0.03
        Of Adam. In the NTK parametrisation the entries of the weights are of order 1, so it is larger than usual.
    n_epochs, n_starts : int, default=120 and 2
        Passes over the samples at most, and from how many initial values.
    random_state : int, RandomState instance or None, default=None
        Of the held-out samples, the initial values and the batches.
    """

    def __init__(
        self,
        network: Network,
        *,
        width: int = 64,
        learning_rate: float = 0.03,
        n_epochs: int = 120,
        n_starts: int = 2,
        random_state: Any = None,
    ) -> None:
        self.network = network
        self.width = width
        self.learning_rate = learning_rate
        self.n_epochs = n_epochs
        self.n_starts = n_starts
        self.random_state = random_state

    def fit(self, X: np.ndarray, y: np.ndarray) -> Self:
        """Train on samples and their labels."""
        X, y = check_input(self, X, y, kernel=NTK(self.network), reset=True)
        rng = check_random_state(self.random_state)
        self.classes_, codes = np.unique(y, return_inverse=True)
        n_held_out = max(len(self.classes_), round(HELD_OUT * len(y)))
        X, X_held_out, y, y_held_out = train_test_split(
            X, codes, test_size=n_held_out, stratify=codes, random_state=rng
        )
        starts = [self._train(X, X_held_out, y, y_held_out, rng) for _ in range(self.n_starts)]
        self.loss_, params = min(starts, key=lambda start: start[0])
        self.params_ = jax.tree.map(np.asarray, params)
        return self

    def _train(
        self, X: np.ndarray, X_held_out: np.ndarray, y: np.ndarray, y_held_out: np.ndarray, rng: np.random.RandomState
    ) -> tuple[float, Any]:
        """The lowest loss on the held-out samples, and the parameters that have it."""
        import optax

        shape = self.network.input_shape or X.shape[1:]
        params = self.network.init(rng, shape, width=self.width, n_outputs=len(self.classes_))
        state = optax.adam(self.learning_rate).init(params)
        batch, best, since = min(BATCH, len(X)), (np.inf, params), 0
        for _ in range(self.n_epochs):
            order = rng.permutation(len(X))
            for start in range(0, len(X) - batch + 1, batch):
                rows = order[start : start + batch]
                params, state = _step(self.network, params, state, self.learning_rate, X[rows], y[rows])
            outputs = self._outputs(params, X_held_out)
            loss = float(optax.softmax_cross_entropy_with_integer_labels(outputs, y_held_out).mean())
            best, since = ((loss, params), 0) if loss < best[0] else (best, since + 1)
            if since == PATIENCE:
                break
        return best

    def _outputs(self, params: Any, X: np.ndarray) -> np.ndarray:
        """The network's outputs, (n, n_classes), in batches of one size, so that it is compiled once."""
        filled = np.concatenate([X, np.zeros((-len(X) % BATCH, *X.shape[1:]), X.dtype)])
        parts = [_apply(self.network, params, filled[i : i + BATCH]) for i in range(0, len(X), BATCH)]
        return np.concatenate(parts)[: len(X)]

    def decision_function(self, X: np.ndarray) -> np.ndarray:
        """The outputs, logarithms of probabilities but for a constant; of two classes the second's less the first's."""
        check_is_fitted(self)
        outputs = self._outputs(self.params_, check_input(self, X, kernel=NTK(self.network), reset=False))
        return outputs[:, 1] - outputs[:, 0] if len(self.classes_) == 2 else outputs

    def predict(self, X: np.ndarray) -> np.ndarray:
        """The class of the largest output."""
        outputs = self.decision_function(X)
        return self.classes_[(outputs > 0).astype(int) if outputs.ndim == 1 else outputs.argmax(axis=1)]


@jax.jit
def _apply(network: Network, params: Any, X: Any) -> Any:
    return network.apply(params, X)


@jax.jit
def _step(network: Network, params: Any, state: Any, learning_rate: Any, X: Any, y: Any) -> tuple[Any, Any]:
    import optax

    def loss(params: Any) -> Any:
        return optax.softmax_cross_entropy_with_integer_labels(network.apply(params, X), y).mean()

    updates, state = optax.adam(learning_rate).update(jax.grad(loss)(params), state)
    return optax.apply_updates(params, updates), state
