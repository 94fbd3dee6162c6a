"""Kernel machines from their loss: sum_i loss_i(f(x_i)) + decay |f|^2 / 2, minimised over f = L w, L L' = K."""

import numpy as np
from scipy.optimize import minimize


def minimise_smooth(K, loss, slope, decay):
    """f at the samples; `loss` and `slope` take all of f and return one value a sample."""
    L = np.linalg.cholesky(K)
    found = minimize(
        lambda w: loss(L @ w).sum() + decay / 2 * w @ w,
        np.zeros(len(K)),
        jac=lambda w: L.T @ slope(L @ w) + decay * w,
        method="BFGS",
        options={"gtol": 1e-9, "maxiter": 5000},
    )
    return L @ found.x


def minimise_pieces(K, slopes, offsets, decay):
    """f at the samples, for loss_i(f) = max_p (slopes[p, i] f + offsets[p, i]): a quadratic program with slacks."""
    L, n = np.linalg.cholesky(K), len(K)
    rows = np.concatenate([np.hstack([-slope[:, None] * L, np.eye(n)]) for slope in slopes])
    found = minimize(
        lambda v: decay / 2 * v[:n] @ v[:n] + v[n:].sum(),
        np.r_[np.zeros(n), np.max(offsets, axis=0)],
        jac=lambda v: np.r_[decay * v[:n], np.ones(n)],
        constraints={"type": "ineq", "fun": lambda v: rows @ v - np.concatenate(offsets), "jac": lambda v: rows},
        method="SLSQP",
        options={"ftol": 1e-12, "maxiter": 1000},
    )
    assert found.success, found.message
    return L @ found.x[:n]


def train_by_subgradients(K, y, decay, steps):
    """Coefficients after gradient descent on the hinge loss of f = sum_i a_i k(., x_i); `steps` are (rate, number)."""
    a = np.zeros(len(K))
    for rate, number in steps:
        for _ in range(number):
            a = (1 - rate * decay) * a + rate * (y * (K @ a) < 1) * y
    return a
