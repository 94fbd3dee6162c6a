"""Ensembles of trained networks, and what they say."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import jax
import numpy as np

from ntkkit.engine.rows import filled
from ntkkit.finite._training_steps import outputs
from ntkkit.finite.parametrization import FiniteNetwork
from ntkkit.kernels.inputs import result_dtype

# Rows that networks are asked about at a time.
AT_ONCE = 64


@dataclass(frozen=True, eq=False)
class TrainedNetworks:
    """An ensemble of networks, while it is trained or after that.

    Attributes
    ----------
    network : FiniteNetwork
        The function: ``network.apply(params, X)`` of one network's parameters.
    params : pytree
        Parameters, with an axis of networks in front of each array; numpy arrays at the end of a run. With held-out
        rows, at the end those of the lowest loss there.
    initial_params : pytree
        Those at the start.
    centered : bool
        Whether outputs are f - f_0, without those at the start.
    learning_rate : float
        eta.
    epoch, step : int
        Passes over the rows, and steps, so far.
    losses : ndarray of shape (epoch, n_networks)
        Mean losses of a row in each epoch, of the batches as they were trained on: with full batches, those before the
        epoch's step.
    held_out_losses : ndarray of shape (epoch, n_networks) or None
        Those of the held-out rows after each epoch.
    best_epochs : ndarray of shape (n_networks,) or None
        With held-out rows, the epoch whose parameters are the best so far.
    """

    network: FiniteNetwork
    params: Any
    initial_params: Any
    centered: bool
    learning_rate: float
    epoch: int
    step: int
    losses: np.ndarray
    held_out_losses: np.ndarray | None = None
    best_epochs: np.ndarray | None = None

    @property
    def time(self) -> float:
        """Learning rate times steps: with full batches of `loss="squared"`, the time t of gradient flow."""
        return self.step * self.learning_rate

    @cached_property
    def n_networks(self) -> int:
        """How many."""
        return len(jax.tree.leaves(self.params)[0])

    def one(self, index: int) -> Any:
        """The parameters of one network."""
        return jax.tree.map(lambda entries: entries[index], self.params)

    def outputs(self, X: Any) -> np.ndarray:
        """What each network says.

        Parameters
        ----------
        X : array of shape (n, ...)
            Inputs as they were trained on.

        Returns
        -------
        ndarray of shape (n_networks, n, n_outputs)
        """
        said = network_outputs(self.network, self.params, X)
        return said - network_outputs(self.network, self.initial_params, X) if self.centered else said


def network_outputs(network: FiniteNetwork, params: Any, X: Any) -> np.ndarray:
    """Outputs of every network of an ensemble, a few rows at a time.

    Parameters
    ----------
    network : FiniteNetwork
    params : pytree
        With an axis of networks in front of each array.
    X : array of shape (n, ...)
        Inputs.

    Returns
    -------
    ndarray of shape (n_networks, n, n_outputs)
        Float32 if X is, else float64.
    """
    X = np.asarray(X)
    X = X.astype(result_dtype(X), copy=False)
    places = range(0, len(X), AT_ONCE)
    with jax.enable_x64(X.dtype == np.float64):  # of one shape, which is compiled once
        parts = [outputs(network, params, filled(X[i : i + AT_ONCE], AT_ONCE)) for i in places]
        return np.concatenate([np.asarray(part) for part in parts], axis=1)[:, : len(X)]
