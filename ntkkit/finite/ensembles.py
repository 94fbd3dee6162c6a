"""What an ensemble of finite networks says, over time."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Predictions:
    """What the networks of an ensemble say of some rows, over time.

    Parameters
    ----------
    values : ndarray of shape (n_times, n_networks, n) or (n_times, n_networks, n, k)

    Examples
    --------
    >>> import numpy as np
    >>> from ntkkit.finite import Predictions
    >>> said = Predictions(np.array([[[1.0], [3.0]]]))  # two networks, of one row, once
    >>> float(said.mean[0, 0]), float(said.standard_error[0, 0])
    (2.0, 1.0)
    """

    values: np.ndarray

    @cached_property
    def mean(self) -> np.ndarray:
        """The mean over networks, (n_times, n[, k])."""
        return self.values.mean(axis=1)

    @cached_property
    def std(self) -> np.ndarray:
        """The standard deviation over networks, (n_times, n[, k])."""
        return self.values.std(axis=1, ddof=1)

    @property
    def standard_error(self) -> np.ndarray:
        """That of the mean, std / sqrt(n_networks)."""
        return self.std / math.sqrt(self.values.shape[1])

    def z_scores(self, mean: Any) -> np.ndarray:
        """How far the mean is from that of a theory, (n_times, n[, k]), in standard errors."""
        return (self.mean - np.asarray(mean)) / self.standard_error

    def variance_ratio(self, std: Any) -> np.ndarray:
        """std^2 over that of a theory. Where outputs are Gaussian, its standard error is sqrt(2 / (n_networks - 1))."""
        return (self.std / np.asarray(std)) ** 2


@dataclass(frozen=True)
class Simulation:
    """What an ensemble said while it was trained.

    Parameters
    ----------
    times : ndarray of shape (n_times,)
    train : Predictions
        Of the training rows.
    test : Predictions, optional
        Of X_test.
    drifted : Simulation, optional
        What the readout of `readout_time` says, on the hidden layers of each time; before it, the readout of each time.
    """

    times: np.ndarray
    train: Predictions
    test: Predictions | None = None
    drifted: Simulation | None = None
