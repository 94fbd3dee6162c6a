"""How sure a machine is: the posterior of the Bayesian network, or the spread of an ensemble of trained ones."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn import get_config
from sklearn.utils import gen_batches

from ntkkit.engine import Engine
from ntkkit.kernels import NNGP, NTK, Kernel
from ntkkit.linalg import RidgeFactor, factor_ridge


@dataclass(frozen=True)
class Spread:
    """Prior covariance K less what was learned; formulas in `NeuralKernelRegressor.predict`.

    Attributes
    ----------
    prior, trained : Kernel
        K, and the kernel T of the machine.
    X_fit : ndarray of shape (n, d)
    factor : RidgeFactor
        Of T(X_fit, X_fit) + alpha I.
    gram : ndarray of shape (n, n), or None
        K(X_fit, X_fit) for an ensemble; None for a posterior, where K is T.
    engine : Engine
    """

    prior: Kernel
    trained: Kernel
    X_fit: np.ndarray
    factor: RidgeFactor
    gram: np.ndarray | None
    engine: Engine

    def std(self, X: np.ndarray) -> np.ndarray:
        """Standard deviations, (n, d) -> (n,), in chunks of rows that fit scikit-learn's `working_memory`."""
        n_rows = max(1, int(get_config()["working_memory"] * 2**20 / (8 * 4 * len(self.X_fit))))
        parts = []
        for chunk in gen_batches(len(X), n_rows):
            left, right = self._terms(X[chunk])
            parts.append(self.engine.diag(self.prior, X[chunk]) + np.einsum("ij,ij->j", left, right))
        return np.sqrt(np.maximum(np.concatenate(parts), 0.0))  # rounding may leave it below 0

    def cov(self, X: np.ndarray) -> np.ndarray:
        """Covariances, (n, d) -> (n, n)."""
        left, right = self._terms(X)
        cov = self.engine.gram(self.prior, X) + left.T @ right
        return (cov + cov.T) / 2

    def _terms(self, X: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """L and R, (n, m) each, such that the covariance is K(X, X) + L'R up to its antisymmetric part."""
        K = self.engine.gram(self.prior, self.X_fit, X).astype(np.float64)
        if self.gram is None:
            white = self.factor.whiten(K)
            return -white, white
        T = K if self.trained is self.prior else self.engine.gram(self.trained, self.X_fit, X)
        A = self.factor.solve(T)
        return A, self.gram @ A - 2 * K


def find_spread(
    kernel: Any,
    seen: tuple[np.ndarray, Any, np.ndarray | None],
    alpha: Any,
    *,
    time: float | None,
    engine: Engine | None,
) -> Spread:
    """Factor what the spread of a fitted machine needs; `seen` are its training inputs, their index and weights.

    Raises
    ------
    ValueError
        If the kernel is not exactly that of a network, or there are several alphas.
    """
    X_fit, _, weights = seen
    engine = (engine or Engine()).local
    if np.size(alpha) > 1:
        raise ValueError(f"return_std and return_cov need one alpha for all targets, found {alpha!r}.")
    prior = NNGP(kernel.network) if type(kernel) is NTK else kernel
    factor = factor_ridge(
        engine.gram(kernel, X_fit),
        float(np.ravel(alpha)[0]),
        sample_weight=weights,
        time=math.inf if time is None else time,
        overwrite=True,
    )
    posterior = prior is kernel and time is None
    return Spread(prior, kernel, X_fit, factor, None if posterior else engine.gram(prior, X_fit), engine)


def check_spread(kernel: Any) -> None:
    """Check that a machine with this kernel has a spread.

    Raises
    ------
    ValueError
        If the kernel is not exactly that of a network.
    """
    if type(kernel) not in (NTK, NNGP):
        raise ValueError(
            "return_std and return_cov need kernel=NNGP(network), for the posterior of the Bayesian network, or "
            f"kernel=NTK(network), for the spread of trained networks; found {kernel!r}, which is no network's kernel."
        )
