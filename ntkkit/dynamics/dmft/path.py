"""What mean-field equations say of a training, by steps."""

from __future__ import annotations

from typing import Any, NamedTuple, Self

import numpy as np

from ntkkit.dynamics.dmft.problem import Variances


class Path(NamedTuple):
    """Predictions and kernels at each step, from before the first; points are those of training, then others.

    Attributes
    ----------
    predictions : ndarray of shape (n_times, n_points)
    ntk : ndarray of shape (n_times, n_points, n_points)
    features, gradients : list of ndarray of that shape
        E[phi(h) phi(h)] and E[g g] of each hidden layer.
    """

    predictions: np.ndarray
    ntk: np.ndarray
    features: list[np.ndarray]
    gradients: list[np.ndarray]

    @classmethod
    def of_kernels(
        cls, variances: Variances, predictions: Any, first: Any, features: list[Any], gradients: list[Any]
    ) -> Self:
        """The path with its NTK, sum_l E[g_l g_l] (w E[phi_(l-1) phi_(l-1)] + b) + w E[phi_L phi_L] + b.

        `first` is w x.x' / d + b.
        """
        hidden = [first, *(variances.weight * phi + variances.bias for phi in features)]
        ntk = hidden[0] if not features else variances.readout_weight * features[-1] + variances.readout_bias
        for trained, gradient, covariance in zip(variances.trained, gradients, hidden[:-1], strict=True):
            ntk = ntk + trained * gradient * covariance
        return cls(predictions, np.broadcast_to(ntk, (len(predictions), *ntk.shape[-2:])), features, gradients)
