"""Parents and children: whether noise still decides where training ends."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import jax
import numpy as np
from sklearn.base import clone

from ntkkit.finite.barriers import ErrorBarrier
from ntkkit.finite.linearized import LinearizedNetwork
from ntkkit.finite.trained import TrainedNetworks, network_outputs
from ntkkit.finite.training import NetworkTrainer
from ntkkit.networks.network import as_key
from ntkkit.networks.value import check_count


@dataclass(frozen=True, eq=False)
class ParentChild:
    """What `spawn_children` found: an entry for each epoch of spawning and each parent.

    Parameters
    ----------
    epochs : ndarray of shape (n_spawns,)
        When children were spawned.
    positions : ndarray of shape (n_points,)
        Places between two children, from 0 to 1.
    errors : ndarray of shape (n_spawns, n_networks, n_points)
        Error rates there: at 0 and 1 those of the children.
    linearized_errors : ndarray of shape (n_spawns, n_networks)
        Error rates of the tangents of the parents at these epochs, trained for as long as the children.
    """

    epochs: np.ndarray
    positions: np.ndarray
    errors: np.ndarray
    linearized_errors: np.ndarray

    @property
    def barriers(self) -> np.ndarray:
        """Heights (n_spawns, n_networks) of the barriers between children, as `ErrorBarrier` has them."""
        return np.array([[ErrorBarrier(self.positions, line).height for line in lines] for lines in self.errors])

    @property
    def child_errors(self) -> np.ndarray:
        """Error rates (n_spawns, n_networks) of the children: means of two."""
        return self.errors[:, :, [0, -1]].mean(axis=2)

    def to_frame(self) -> Any:
        """The table, a row for each epoch of spawning and each parent; needs pandas."""
        import pandas as pd

        n_spawns, n_networks = self.linearized_errors.shape
        columns = {"barrier": self.barriers, "child_error": self.child_errors, "linearized": self.linearized_errors}
        places = {"epoch": np.repeat(self.epochs, n_networks), "network": np.tile(range(n_networks), n_spawns)}
        return pd.DataFrame(places | {name: values.ravel() for name, values in columns.items()})


def spawn_children(
    trainer: NetworkTrainer, X: Any, y: Any, X_test: Any, y_test: Any, *, epochs: Sequence[int], n_points: int = 11
) -> ParentChild:
    """Train parents, spawn two children of each at some epochs, and look at the error between the children.

    Children go on from their parent's parameters to the end of its training, in two other orders of batches (and with
    other noise). While the barrier between them is high, noise still decides which valley training ends in. At each of
    these epochs a parent's tangent is trained to the end, too: what the kernel of that time learns. In the
    parametrisation "standard", kernels move as they do in practice; "ntk" suppresses that.

    Parameters
    ----------
    trainer : NetworkTrainer
        Of `n_networks` parents, with batches or a temperature. Its callbacks are left out. Optimizers begin anew.
    X, y : array-like of shape (n, ...) and (n, k)
        To train on; y as the loss takes it, a column a class, or one of +1 and -1.
    X_test, y_test : array-like
        Rows on which errors are counted.
    epochs : sequence of int
        When children are spawned: increasing, from 0 to less than the trainer's `n_epochs`.
    n_points : int, default=11
        Places between two children, >= 3, with both.

    Returns
    -------
    ParentChild

    Raises
    ------
    ValueError
        If children would be the same, for bad epochs, or as `NetworkTrainer.run` does.

    Notes
    -----
    Cost: 3 trainings from each epoch on, the tangents' being two to three times as expensive.

    References
    ----------
    Fort et al. (2020), Deep learning versus kernel learning: an empirical study of loss landscape geometry and the time
    evolution of the neural tangent kernel, sections 2 and 3.

    Examples
    --------
    >>> import numpy as np
    >>> from ntkkit import FullyConnected
    >>> from ntkkit.finite import FiniteNetwork, NetworkTrainer, spawn_children
    >>> X = np.random.default_rng(0).standard_normal((32, 4)).astype(np.float32)
    >>> y = np.sign(X[:, :1])
    >>> net = FiniteNetwork(FullyConnected(depth=1), 8, "standard")
    >>> trainer = NetworkTrainer(net, learning_rate=0.002, batch_size=8, n_epochs=4, random_state=0)
    >>> found = spawn_children(trainer, X, y, X, y, epochs=[0, 2], n_points=3)
    >>> found.errors.shape, found.barriers.shape
    ((2, 1, 3), (2, 1))
    """
    spawns = _checked(trainer, X, epochs)
    positions = np.linspace(0, 1, check_count(n_points, "n_points", low=3))
    X_test, y_test = np.asarray(X_test), np.asarray(y_test).reshape(len(X_test), -1)
    key = as_key(trainer.random_state)
    parents: list[TrainedNetworks] = []

    def keep(report: TrainedNetworks) -> None:
        if report.epoch in spawns:
            parents.append(replace(report, params=jax.tree.map(np.array, report.params)))

    clone(trainer).set_params(callbacks=[keep], report_every=spawns, random_state=key).run(X, y)
    errors, linearized = [], []
    for parent in parents:
        one, other = (_trained_on(trainer, X, y, parent, jax.random.fold_in(key, order)) for order in (1, 2))
        lines = [jax.tree.map(partial(_between, at), one.params, other.params) for at in positions]
        errors.append([_error_rates(network_outputs(parent.network, params, X_test), y_test) for params in lines])
        tangent = LinearizedNetwork(parent.network).at(parent)
        end = _trained_on(trainer, X, y, tangent, jax.random.fold_in(key, 1))
        linearized.append(_error_rates(end.outputs(X_test), y_test))
    return ParentChild(spawns, positions, np.moveaxis(np.array(errors), 1, 2), np.array(linearized))


def _trained_on(trainer: NetworkTrainer, X: Any, y: Any, start: TrainedNetworks, key: Any) -> TrainedNetworks:
    """The networks at the end, of batches that the key draws."""
    named = isinstance(trainer.optimizer, str)
    rest = clone(trainer).set_params(
        network=start.network,
        n_epochs=trainer.n_epochs - start.epoch,
        learning_rate=start.learning_rate if named else None,
        callbacks=(),
        random_state=key,
    )
    return rest.run(X, y, start=start)


def _between(position: float, one: np.ndarray, other: np.ndarray) -> np.ndarray:
    return ((1 - position) * one + position * other).astype(one.dtype)


def _error_rates(outputs: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Of outputs (n_networks, n, k), by their sign where k = 1, else by the largest."""
    if y.shape[1] == 1:
        return (np.sign(outputs) != np.sign(y)).mean(axis=(1, 2))
    return (outputs.argmax(axis=2) != y.argmax(axis=1)).mean(axis=1)


def _checked(trainer: NetworkTrainer, X: Any, epochs: Sequence[int]) -> np.ndarray:
    spawns = np.asarray(epochs)
    if spawns.ndim != 1 or spawns.dtype.kind not in "iu" or not len(spawns) or (np.diff(spawns) <= 0).any():
        raise ValueError(f"epochs must be increasing integers, found {epochs!r}.")
    if spawns[0] < 0 or spawns[-1] >= trainer.n_epochs:
        raise ValueError(f"epochs must be from 0 to {trainer.n_epochs - 1}, before training ends; found {epochs!r}.")
    if trainer.centered:
        raise ValueError(
            "centered=True is not for parents and children, whose outputs would be of different functions."
        )
    if (trainer.batch_size is None or trainer.batch_size >= len(X)) and not trainer.temperature:
        raise ValueError(
            "Children would be the same: give the trainer batches smaller than all rows, or a temperature."
        )
    return spawns
