"""The infinitely wide network after some steps of gradient descent."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy.linalg import eigh

from ntkkit.kernels import NNGP, NTK
from ntkkit.networks.network import Network

DEFAULT_STEPS = 100


@dataclass(frozen=True)
class TrainedLimit:
    """Gaussian outputs of the infinitely wide network after `n_steps` steps of gradient descent.

    Attributes
    ----------
    mean : ndarray of shape (n_points, k)
        A y.
    operator : ndarray of shape (n_points, n)
        A = Theta(x, X) Theta^-1 (1 - (1 - eta Theta)^s).
    std : ndarray of shape (n_points,)
        Over initial parameters; the same for every output.
    learning_rate : float
    n_steps : int
    """

    mean: np.ndarray
    operator: np.ndarray
    std: np.ndarray
    learning_rate: float
    n_steps: int

    def continued(self, initial: np.ndarray) -> np.ndarray:
        """What an infinitely wide network says after training that said this before, (..., n_points, k).

        A y + f_0(x) - A f_0(X): its initial function is all that it differs by from others.
        """
        return self.mean + initial - self.operator @ initial[..., : self.operator.shape[1], :]

    @property
    def time(self) -> float:
        """Learning rate times steps."""
        return self.learning_rate * self.n_steps


def trained_limit(
    network: Network, X: np.ndarray, Y: np.ndarray, points: np.ndarray, *, train_time: float | None
) -> TrainedLimit:
    """Mean and spread at `points`, of which the first are X, trained on X (n, ...) and Y (n, k).

    With Theta = V diag(l) V' it is Theta^-1 (1 - (1 - eta Theta)^s) = sum_i v_i v_i' (1 - (1 - eta l_i)^s) / l_i, and
    eta = 1 / max l.

    Raises
    ------
    ValueError
        For a time that is not positive, or a kernel that is zero.
    """
    if train_time is not None and not 0 < train_time < math.inf:
        raise ValueError(f"train_time must be positive and finite, found {train_time!r}.")
    n, points = len(X), points.astype(np.float64)
    theta, prior = NTK(network)(points, points[:n]), NNGP(network)(points)
    values, vectors = eigh(theta[:n])
    if not values[-1] > 0:
        raise ValueError("The NTK of X is zero: outputs of the infinitely wide network do not learn from X.")
    rate = 1 / float(values[-1])
    n_steps = DEFAULT_STEPS if train_time is None else max(1, math.ceil(train_time / rate - 1e-9))
    values = np.maximum(values, np.finfo(float).eps * values[-1])
    with np.errstate(divide="ignore"):  # the largest eigenvalue is learned in one step
        learned = -np.expm1(n_steps * np.log1p(-rate * values)) / values
    A = (theta @ vectors) * learned @ vectors.T
    covariance = prior.diagonal() + np.einsum("ij,ij->i", A @ prior[:n, :n] - 2 * prior[:, :n], A)
    return TrainedLimit(A @ Y, A, np.sqrt(np.maximum(covariance, 0)), rate, n_steps)
