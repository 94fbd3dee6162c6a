"""Learning a kernel's hyperparameters: losses of a Gram matrix, their gradients, and the search."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
from scipy.linalg import LinAlgError
from scipy.optimize import minimize
from sklearn.exceptions import ConvergenceWarning
from sklearn.gaussian_process.kernels import Kernel as SklearnKernel

from ntkkit.engine import Engine
from ntkkit.kernels import Kernel
from ntkkit.linalg import cholesky, matmul

Loss = tuple[float, np.ndarray]


def marginal_likelihood(G: np.ndarray, y: np.ndarray) -> Loss:
    """Negative log likelihood of targets (n, k) with covariance G, and its gradient with respect to G.

    1/2 tr y' G^-1 y + k/2 log det G + n k / 2 log 2 pi, with gradient (k G^-1 - a a') / 2 where a = G^-1 y.
    """
    factor = cholesky(G)
    a, inverse = factor.solve(y), factor.solve(np.eye(len(G)))
    log_det = 2 * np.log(factor.factor.diagonal()).sum()
    loss = np.sum(a * y) / 2 + y.shape[1] * log_det / 2 + y.size * np.log(2 * np.pi) / 2
    return float(loss), (y.shape[1] * inverse - a @ a.T) / 2


def leave_one_out_error(G: np.ndarray, y: np.ndarray) -> Loss:
    """Sum of squared leave-one-out errors e_i = a_i / C_ii, with C = G^-1 and a = C y, and its gradient.

    With u = 2 e / C_ii and v_i = -2 sum e_i a_i / C_ii^2, the gradient is -C (u y' + diag(v)) C, symmetrised.
    """
    C = cholesky(G).solve(np.eye(len(G)))
    a, diagonal = C @ y, C.diagonal()[:, None]
    errors = a / diagonal
    v = -2 * np.sum(errors * a, axis=1, keepdims=True) / diagonal**2
    gradient = -(C @ (2 * errors / diagonal)) @ a.T - matmul(C, v * C)
    return float(np.sum(errors**2)), (gradient + gradient.T) / 2


OBJECTIVES: dict[str, Callable[[np.ndarray, np.ndarray], Loss]] = {
    "loo": leave_one_out_error,
    "marginal_likelihood": marginal_likelihood,
}


def evaluate_loss(
    kernel: Any,
    X: np.ndarray,
    y: np.ndarray,
    noise: Any,
    objective: str,
    *,
    engine: Engine | None,
    eval_gradient: bool = True,
) -> tuple[float, np.ndarray | None]:
    """A loss of G = K(X, X) + diag(noise), and its gradient with respect to `kernel.theta` if asked for."""
    function, columns = OBJECTIVES[objective], y.reshape(len(y), -1)
    engine, dK = (engine or Engine()).local, None
    if isinstance(kernel, Kernel):
        K = engine.gram(kernel, X)
    elif eval_gradient:
        K, dK = kernel(X, eval_gradient=True)
    else:
        K = kernel(X)
    G = K.astype(np.float64)
    G[np.diag_indices_from(G)] += noise
    loss, weights = function(G, columns)
    if not eval_gradient:
        return loss, None
    return loss, engine.pullback(kernel, X, weights) if dK is None else np.einsum("ij,ijp->p", weights, dK)


def learn(kernel: Any, X: np.ndarray, y: np.ndarray, noise: Any, objective: str, *, engine: Engine | None) -> Any:
    """The kernel with the free hyperparameters that minimise a loss, found by L-BFGS on their logs within the bounds.

    Raises
    ------
    ValueError
        If nothing is free to be learned.
    scipy.linalg.LinAlgError
        If K + noise is not positive definite at the start.

    Warns
    -----
    sklearn.exceptions.ConvergenceWarning
        If the search stopped early.
    """
    kernel = check_learnable(kernel, f"optimizer={objective!r}")
    if kernel.theta.size == 0:
        raise ValueError(f"optimizer={objective!r} has nothing to learn: every hyperparameter of {kernel!r} is fixed.")
    # of order 1, so that the first step, which is the gradient, does not leave the bounds
    scale = float(y.size if objective == "marginal_likelihood" else max(np.sum(y**2), np.finfo(float).tiny))
    started = False

    def scaled(theta: np.ndarray) -> tuple[float, np.ndarray]:
        nonlocal started
        try:
            loss, gradient = evaluate_loss(kernel.clone_with_theta(theta), X, y, noise, objective, engine=engine)
        except LinAlgError as error:
            if not started:
                raise LinAlgError(f"{error} Raise alpha to learn hyperparameters.") from None
            return 1e25, np.zeros_like(theta)  # the line search turns back
        assert gradient is not None  # was asked for
        started = True
        return loss / scale, gradient / scale

    found = minimize(scaled, kernel.theta, jac=True, bounds=kernel.bounds, method="L-BFGS-B")
    if not found.success:
        warnings.warn(
            f"optimizer={objective!r} stopped early: {found.message} Narrower bounds, or scaled X and y, may help.",
            ConvergenceWarning,
            stacklevel=3,
        )
    return kernel.clone_with_theta(found.x)


def check_learnable(kernel: Any, what: str) -> Any:
    """Check that a kernel has hyperparameters and gradients.

    Raises
    ------
    ValueError
        If it is a callable or "precomputed".
    """
    if not isinstance(kernel, SklearnKernel):
        raise ValueError(
            f"{what} needs a kernel object of ntkkit or scikit-learn, with hyperparameters; found {kernel!r}."
        )
    return kernel
