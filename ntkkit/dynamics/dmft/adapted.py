"""The tangent kernel that a network of one hidden layer has learned, at any points."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, NamedTuple

import jax
import numpy as np

from ntkkit.dynamics.dmft.mean_field import check_units, diverges, first_rise
from ntkkit.dynamics.dmft.problem import Problem, check_memory, check_network, first_features
from ntkkit.dynamics.dmft.two_layer import Units, draw_units, ntk_of, train_units, unit_kernels
from ntkkit.engine.precision import in_x64
from ntkkit.networks.activations import resolve_activation
from ntkkit.networks.families import FullyConnected

# Of a learning rate that was not given, before training is given up.
HALVINGS = 12


class LearnedUnits(NamedTuple):
    """A population of hidden units before and after training.

    Attributes
    ----------
    start, end : Units
    errors : ndarray of shape (n_steps + 1, n)
        y - f of the training points.
    learning_rate : float
    """

    start: Units
    end: Units
    errors: np.ndarray
    learning_rate: float


def learn_units(
    network: FullyConnected,
    X: np.ndarray,
    y: np.ndarray,
    theta: np.ndarray,
    *,
    gamma0: float,
    learning_rate: float | None,
    n_steps: int,
    n_units: int,
    random_state: np.random.Generator,
) -> LearnedUnits:
    """Train a population on X (n, d) and y (n,), whose exact NTK before training is theta.

    Arguments are those of `solve`; a learning rate of None is halved until training does not diverge.

    Raises
    ------
    ValueError
        If training diverges.
    """
    features = first_features(network, X)
    n, (_, r) = len(X), features.shape
    check_memory(
        8.0 * (n_units * (6 * n + 4 * r) + 6 * n * n),
        f"Training {n_units} units on {n} points",
        "take fewer points or n_units",
    )
    largest = float(np.linalg.eigvalsh(theta)[-1])
    rate = learning_rate or (n / (4 * largest) if largest > 0 else 1.0)
    problem = Problem(
        features, y, resolve_activation(network.activation), check_network(network), gamma0, rate, n_steps
    )
    check_units(problem, n_units)
    start = draw_units(problem, n_units, random_state)
    for _ in range(HALVINGS):
        end, predictions, _ = in_x64(lambda: train_units(problem, theta, start, with_kernels=False))  # noqa: B023
        errors = y - np.array(predictions)
        if not diverges(errors):
            return LearnedUnits(start, jax.tree.map(np.array, end), errors, problem.learning_rate)
        if learning_rate is not None:
            break
        problem = replace(problem, learning_rate=problem.learning_rate / 2)
    raise ValueError(
        f"Training diverges from step {first_rise(errors)} on with learning_rate={problem.learning_rate:.3g} and "
        f"gamma0={gamma0:.3g}: take smaller ones, or standardise y."
    )


def learned_change(
    network: FullyConnected, start: Units, end: Units, first: np.ndarray, second: np.ndarray
) -> np.ndarray:
    """What training has added to the NTK of points (n, d) and (m, d): (n, m)."""
    one, other = first_features(network, first), first_features(network, second)
    return np.array(in_x64(_change, network, start, end, one, other))


@jax.jit
def _change(network: FullyConnected, start: Units, end: Units, one: Any, other: Any) -> Any:
    activation, variances, covariance = resolve_activation(network.activation), check_network(network), one @ other.T
    after, before = (
        ntk_of(variances, covariance, *unit_kernels(activation, units, one, other)) for units in (end, start)
    )
    return after - before
