"""Matrices that solvers must survive."""

import numpy as np
from scipy.linalg import hilbert

EPS = np.finfo(float).eps


def spectrum(values, seed=0):
    """A symmetric matrix with these eigenvalues."""
    rng = np.random.default_rng(seed)
    Q, _ = np.linalg.qr(rng.normal(size=(len(values), len(values))))
    K = (Q * values) @ Q.T
    return (K + K.T) / 2


def rbf(X, dtype=float):
    return np.exp(-((X[:, None] - X[None]) ** 2).sum(-1) / 2).astype(dtype)


def points(n, seed=0):
    return np.random.default_rng(seed).normal(size=(n, 3))


def duplicated():
    X = points(12)
    return rbf(X[[*range(12), 3, 3, 7]])


def kahan(n=60):
    """R'R with condition number about 4^n, and no pivot that looks small."""
    R = np.eye(n) - np.triu(np.ones((n, n)), 1)
    return R.T @ R


DEFINITE = {
    "condition 1e2": spectrum(np.logspace(-2, 0, 40)),
    "condition 1e6": spectrum(np.logspace(-6, 0, 40)),
    "condition 1e10": spectrum(np.logspace(-10, 0, 40)),
    "condition 1e13": spectrum(np.logspace(-13, 0, 40)),
    "one sample": np.array([[3.0]]),
    "two samples": np.array([[2.0, -1.0], [-1.0, 2.0]]),
    "huge entries": 1e150 * spectrum(np.logspace(-4, 0, 20)),
    "tiny entries": 1e-150 * spectrum(np.logspace(-4, 0, 20)),
    "unequal scales": np.outer(np.logspace(-3, 3, 15), np.logspace(-3, 3, 15)) * spectrum(np.linspace(1, 2, 15)),
    "kernel of distinct points": rbf(points(20)),
}
SINGULAR = {
    "rank 5 of 30": spectrum(np.r_[np.zeros(25), np.linspace(1, 2, 5)]),
    "condition 1e20": spectrum(np.logspace(-20, 0, 40)),
    "duplicate rows": duplicated(),
    "constant": np.ones((10, 10)),
    "zero": np.zeros((4, 4)),
    "zero, one sample": np.zeros((1, 1)),
    "a zero row": np.diag([1.0, 0.0, 2.0]),
    "hilbert": hilbert(16),
    "kahan": kahan(),
}
BELOW_CUTOFF = {
    "slightly indefinite": spectrum(np.r_[-1e-9, np.linspace(1, 2, 20)]),
    "indefinite": spectrum(np.linspace(-1, 1, 21)),
    "negative": -np.eye(3),
    "below the normal range": 1e-310 * np.eye(3),  # numpy's own pinv overflows
    "rounded to float32": rbf(points(60) / 10, np.float32),
}


def targets(K, n_outputs=2):
    return np.random.default_rng(1).normal(size=(len(K), n_outputs))
