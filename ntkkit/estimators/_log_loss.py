"""Machines trained on the log loss: coefficients, and probabilities."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from scipy.linalg import LinAlgError, LinAlgWarning, cholesky, helmert
from scipy.special import expit, log_expit, log_softmax, softmax
from sklearn.exceptions import ConvergenceWarning

from ntkkit.dynamics.stiff import solve_dual
from ntkkit.engine.memory import check_available
from ntkkit.estimators._labels import Labels
from ntkkit.linalg import eigen, entry_error
from ntkkit.linalg.logistic import Loss, SigmoidLoss, SoftmaxLoss, minimise


class LogLossSolution(NamedTuple):
    """The coefficients (n,) or (n, k), Newton steps or evaluations of the slope, and which of them it was."""

    dual_coef: np.ndarray
    n_iter: int
    solver: str


def check_log_loss(machine: Any) -> None:
    """Refuse parameters that the log loss has no use for.

    Raises
    ------
    ValueError
        If the solver is one of least squares, or there is no minimiser.
    """
    if machine.solver != "auto":
        raise ValueError(
            f"solver={machine.solver!r} solves least squares; with loss='log' leave solver='auto' (Newton's method, or "
            "a differential equation with a train_time)."
        )
    if machine.alpha == 0 and machine.train_time is None:
        raise ValueError(
            "alpha=0 with loss='log' and train_time=None has no solution: where the kernel separates the classes, the "
            "log loss has no minimiser. Raise alpha, or give a train_time."
        )


def fit_log_loss(
    K: np.ndarray, labels: Labels, y: np.ndarray, weights: np.ndarray | None, offset: Any, machine: Any
) -> LogLossSolution:
    """Minimise sum_i w_i l_i(offset + K a) + alpha / 2 a' K a, or follow its gradient flow until `train_time`.

    Parameters
    ----------
    K : ndarray of shape (n, n)
    labels : Labels
    y : ndarray of shape (n,) or (n, n_labels)
    weights : ndarray of shape (n,) or None
    offset : float or ndarray of shape (n_classes,)
        f at a = 0.
    machine : NeuralKernelClassifier
        Whose `alpha`, `train_time` and `max_iter` hold.

    Returns
    -------
    LogLossSolution
        Of one column a class, or a label, each of which is a problem of its own; of none for two classes.
    """
    K, kept = _semidefinite(K)
    targets, weights = labels.encode(y), np.ones((len(y), 1)) if weights is None else weights[:, None]
    several = targets.ndim == 2 and not labels.multilabel
    if several:
        losses: list[Loss] = [SoftmaxLoss((targets > 0).astype(float), weights)]
    else:
        losses = [SigmoidLoss(column[:, None], weights) for column in targets.reshape(len(y), -1).T]
    start = np.zeros((len(y), targets.shape[1] if several else 1)) + offset
    time = machine.train_time
    if time is None:
        check_available((start.shape[1] + 3, *K.shape), K.dtype)
        parts = [minimise(K, loss, machine.alpha, start=start, max_iter=machine.max_iter) for loss in losses]
        if not all(part.converged for part in parts):
            warnings.warn(
                f"Newton's method did not converge in max_iter={machine.max_iter} steps: raise max_iter or alpha.",
                ConvergenceWarning,
                stacklevel=3,
            )
        found, n_iter = np.concatenate([part.dual_coef for part in parts], axis=1), max(part.n_iter for part in parts)
    else:
        flows = [_flow(K, loss, machine.alpha, time, start=start) for loss in losses]
        found, n_iter = np.concatenate([a for a, _ in flows], axis=1), max(count for _, count in flows)
    if kept is not None:
        found = kept @ (kept.T @ found)
    return LogLossSolution(found.reshape(targets.shape), n_iter, "newton" if time is None else "lsoda")


def prior_log_odds(labels: Labels, y: np.ndarray, weights: np.ndarray | None, *, class_weight: Any) -> Any:
    """Outputs at which probabilities are the shares of the classes in the weights; 0 without class weights."""
    if class_weight is None or weights is None:
        return 0.0
    logs = np.log([np.sum(weights, where=y == label) for label in labels.classes])
    return float(logs[1] - logs[0]) if len(logs) == 2 else logs - logs.mean()


def probabilities(labels: Labels, scores: np.ndarray, *, log: bool = False) -> np.ndarray:
    """Of each class, (n, n_classes), summing to one; or of each label, (n, n_labels)."""
    if labels.multilabel:
        return log_expit(scores) if log else expit(scores)
    if scores.ndim == 1:
        scores = np.stack([-scores, scores], axis=1)
        return log_expit(scores) if log else expit(scores)
    return log_softmax(scores, axis=1) if log else softmax(scores, axis=1)


@dataclass(frozen=True)
class _Centred:
    """A loss of outputs that add up to zero over classes, in k - 1 coordinates: all that slopes of softmax move."""

    loss: Loss
    basis: np.ndarray
    start: np.ndarray

    def slope(self, f: np.ndarray) -> np.ndarray:
        return self.loss.slope(self.start + f @ self.basis) @ self.basis.T

    def bend(self, f: np.ndarray, B: np.ndarray) -> np.ndarray:
        H = self.loss.bend(self.start + f @ self.basis, np.ones((len(f), 1)))[:, :, 0]
        H = self.basis @ H @ self.basis.T
        return H[:, :, None, :] * B[:, None, :, None]


def _flow(K: np.ndarray, loss: Loss, alpha: float, time: float, *, start: np.ndarray) -> tuple[np.ndarray, int]:
    basis = helmert(start.shape[1]) if start.shape[1] > 1 else np.ones((1, 1))
    n = len(basis)
    check_available((4, len(K) * n, len(K) * n), K.dtype)
    centred = _Centred(loss, basis, start)
    path = solve_dual(K, centred.slope, centred.bend, np.array([float(time)]), n_outputs=n, alpha=alpha)
    return path.coefficients[0] @ basis, path.n_evaluations


def _semidefinite(K: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
    """K in float64; where it has negative eigenvalues beyond rounding, without them, and the eigenvectors that stay."""
    error = entry_error(K.dtype)
    K = K.astype(np.float64)
    noise = max(np.sqrt(len(K)) * error, 1e-13) * np.abs(K).sum(axis=1).max()
    shifted = K.copy()
    shifted.flat[:: len(K) + 1] += noise
    try:
        cholesky(shifted, overwrite_a=True, check_finite=False)
    except LinAlgError:
        decomposition = eigen(K, error=error)
        kept = decomposition.values > decomposition.cutoff()
        warnings.warn(
            f"K is not positive semi-definite: its eigenvalues reach from {decomposition.values[0]:.3g} to "
            f"{decomposition.values[-1]:.3g}. {len(K) - kept.sum()} of {len(K)} were left out.",
            LinAlgWarning,
            stacklevel=4,
        )
        V = decomposition.vectors[:, kept]
        return (V * decomposition.values[kept]) @ V.T, V
    return K, None
