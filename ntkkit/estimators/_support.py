"""What the support vector machines share: the dual solved by libsvm, with and without intercept."""

from __future__ import annotations

from numbers import Integral, Real
from typing import Any, ClassVar

import numpy as np
from sklearn.svm import SVC, SVR
from sklearn.utils._param_validation import Interval

from ntkkit.estimators._base import KernelMachine
from ntkkit.estimators._validation import check_input, is_precomputed


class SupportMachine(KernelMachine):
    """f(x) = sum_i a_i k(x, x_i) + b over support vectors. Subclasses say what the loss is."""

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        **KernelMachine._parameter_constraints,
        "C": [Interval(Real, 0, None, closed="neither")],
        "fit_intercept": ["boolean"],
        "tol": [Interval(Real, 0, None, closed="neither")],
        "max_iter": [Interval(Integral, -1, None, closed="left")],
    }

    C: float
    fit_intercept: bool
    tol: float
    max_iter: int
    support_: np.ndarray
    dual_coef_: np.ndarray
    intercept_: np.ndarray

    def _dense_gram(self, kernel: Any, X: np.ndarray, rows: Any) -> np.ndarray:
        """The Gram matrix of the samples `rows`, as libsvm wants it."""
        return np.ascontiguousarray(self._training_gram(kernel, X, rows), dtype=np.float64)

    def _keep_support(self, kernel: Any, X: np.ndarray, rows: Any, support: np.ndarray) -> None:
        """Keep the support vectors: places among the samples `rows`."""
        self.support_ = np.arange(len(X))[rows][support]
        self.kernel_ = kernel
        self.X_fit_ = None if is_precomputed(kernel) else X[self.support_]

    @property
    def _coefficient_columns(self) -> np.ndarray:
        return self.dual_coef_.T

    def _expand_support(self, X: Any, coefficients: np.ndarray) -> np.ndarray:
        """Evaluate f from coefficients (n_support, n_outputs) -> (n_samples, n_outputs)."""
        if len(coefficients) == 0:
            X = check_input(self, X, kernel=self.kernel_, reset=False)
            return np.tile(self.intercept_, (len(X), 1))
        if self.X_fit_ is None:
            of_support = coefficients
            coefficients = np.zeros((self.n_features_in_, of_support.shape[1]))
            coefficients[self.support_] = of_support
        return self._expand(X, coefficients) + self.intercept_


def mirrored(K: np.ndarray) -> np.ndarray:
    """The Gram matrix of samples phi(x_i) and their mirror images -phi(x_i).

    With targets y_i and -y_i and half of C for each, the loss of w phi + b is an even function of b: without loss of
    generality b = 0, and w is that of the machine without intercept. This lets libsvm, whose machines all have an
    intercept, solve that one, and asks for no factor of K.
    """
    n = len(K)
    whole = np.empty((2 * n, 2 * n))
    whole[:n, :n] = whole[n:, n:] = K
    whole[:n, n:] = whole[n:, :n] = -K
    return whole


def solve_mirrored(
    machine: SVC | SVR, whole: np.ndarray, targets: np.ndarray, weights: np.ndarray | None
) -> tuple[np.ndarray, int]:
    """Coefficients (n,) of the machine without intercept, and how many iterations they took.

    Parameters
    ----------
    machine : SVC or SVR
        Of kernel="precomputed".
    whole : ndarray of shape (2 n, 2 n)
        What `mirrored` returned.
    targets : ndarray of shape (n,)
        Numbers, or labels -1 and +1.
    weights : ndarray of shape (n,) or None
        Weights of the samples.
    """
    n = len(targets)
    halves = np.full(2 * n, 0.5) if weights is None else np.r_[weights, weights] / 2
    machine.fit(whole, np.r_[targets, -targets], sample_weight=halves)
    both = np.zeros(2 * n)
    both[machine.support_] = machine.dual_coef_[0]
    return both[:n] - both[n:], int(np.sum(machine.n_iter_))
