"""What the kernel machine says of itself: its leave-one-out path, and whether it knows how sure to be."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.stats import norm

from ntkkit.estimators import NeuralKernelClassifierCV, NeuralKernelRegressor, NeuralKernelRegressorCV
from ntkkit.kernels import NNGP, NTK
from ntkkit.linalg import eigen, entry_error
from ntkkit.networks import FullyConnected
from ntkkit.report.models import prepared_rows, prepared_tests
from ntkkit.report.problem import Problem
from ntkkit.report.run import Result, tuning_rows

LEVEL = 0.9
LEVELS = np.round(np.arange(0.5, 1.0, 0.05), 2)


@dataclass(frozen=True)
class Diagnosis:
    """The path over the ridge term, and the share of test rows that bands of each level hold.

    Attributes
    ----------
    alphas, errors : ndarray of shape (n_alphas,)
        Ridge terms, and the leave-one-out error at each: of labels the error rate, of numbers the root mean square.
    chosen : float
        The ridge term that the search chose.
    coverage : ndarray of shape (n_levels,)
        The share of test rows that the band of each of `LEVELS` holds.
    size : float
        At `LEVEL`: the mean number of labels in a set, or the mean half width of the band.
    """

    alphas: np.ndarray
    errors: np.ndarray
    chosen: float
    coverage: np.ndarray
    size: float

    @property
    def covered(self) -> float:
        """The coverage at `LEVEL`."""
        return float(self.coverage[np.flatnonzero(LEVELS == LEVEL)[0]])


def diagnose(problem: Problem, wide: Result, *, random_state: int) -> Diagnosis:
    """Look at the chosen network on the tuning rows and the test rows.

    Labels: sets {c : f_c(x) >= threshold}, the threshold being that quantile of the leave-one-out values of the true
    labels which should leave out 1 - level of them (a conformal prediction set). Numbers: the posterior of the Bayesian
    network (NNGP) of these hyperparameters, its noise and its scale chosen by marginal likelihood.
    """
    rows = tuning_rows(problem, random_state=random_state)
    X, y, test = prepared_rows(problem, rows), problem.y_train[rows], prepared_tests(problem, rows)
    chosen = float(wide.chosen["alpha"])
    if problem.task == "classification":
        return _of_labels(wide.kernel, X, y, test, problem.y_test, chosen)
    return _of_numbers(wide.kernel.network, X, y, test, problem.y_test, chosen)


def _of_labels(
    kernel: Any, X: np.ndarray, y: np.ndarray, test: np.ndarray, y_test: np.ndarray, chosen: float
) -> Diagnosis:
    model = NeuralKernelClassifierCV(kernel, criterion="error_rate").fit(X, y)
    left_out, scores = (_one_column_a_class(f) for f in (model.cv_predictions_, model.decision_function(test)))
    true = left_out[np.arange(len(y)), np.searchsorted(model.classes_, y)]
    # the smallest of n + 1 values, the new row's being one of them, that leaves out no more than 1 - level
    thresholds = [np.sort(true)[max(int(np.floor((1 - level) * (len(y) + 1))) - 1, 0)] for level in LEVELS]
    sets = np.stack([scores >= threshold for threshold in thresholds])
    known = np.isin(y_test, model.classes_)
    place = np.searchsorted(model.classes_, np.where(known, y_test, model.classes_[0]))
    coverage = (sets[:, np.arange(len(y_test)), place] & known).mean(axis=1)
    size = sets[np.flatnonzero(LEVELS == LEVEL)[0]].sum(axis=1).mean()
    return Diagnosis(model.alphas_, model.cv_errors_, chosen, coverage, float(size))


def _of_numbers(
    network: FullyConnected, X: np.ndarray, y: np.ndarray, test: np.ndarray, y_test: np.ndarray, chosen: float
) -> Diagnosis:
    center, scale = float(y.mean()), float(y.std())
    targets = (y - center) / scale
    path = NeuralKernelRegressorCV(NTK(network)).fit(X, targets)
    alpha, square = likeliest_noise(NNGP(network)(X), targets, path.alphas_)
    model = NeuralKernelRegressor(NNGP(network), alpha=alpha).fit(X, targets)
    mean, std = model.predict(test, return_std=True)
    widths = scale * np.sqrt(square * (std**2 + alpha))
    errors = np.abs(y_test - (center + scale * mean))
    coverage = np.array([np.mean(errors <= norm.ppf((1 + level) / 2) * widths) for level in LEVELS])
    size = norm.ppf((1 + LEVEL) / 2) * widths.mean()
    return Diagnosis(path.alphas_, scale * np.sqrt(path.cv_errors_), chosen, coverage, float(size))


def likeliest_noise(K: np.ndarray, y: np.ndarray, alphas: np.ndarray) -> tuple[float, float]:
    """The alpha and the scale s that maximise the likelihood of y under the covariance s (K + alpha I).

    For each alpha the best scale is s = y'(K + alpha I)^-1 y / n; that leaves n log s + log det(K + alpha I) to
    minimise.
    """
    decomposition = eigen(K, error=entry_error(K.dtype))
    shifted = np.maximum(decomposition.values, 0.0)[:, None] + alphas
    squares = np.mean((decomposition.vectors.T @ y)[:, None] ** 2 / shifted, axis=0)
    best = int(np.argmin(np.log(squares) + np.mean(np.log(shifted), axis=0)))
    return float(alphas[best]), float(squares[best])


def _one_column_a_class(scores: np.ndarray) -> np.ndarray:
    return np.stack([-scores, scores], axis=1) if scores.ndim == 1 else scores
