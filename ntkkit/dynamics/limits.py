"""Where learning comes to: gradient flow before weights diffuse, and the posterior in equilibrium."""

from __future__ import annotations

import numpy as np

from ntkkit.dynamics.ndk import NDK
from ntkkit.linalg import eigen, squared_loss_flow


def early_limit(ndk: NDK, points: np.ndarray, X: np.ndarray, Y: np.ndarray, times: np.ndarray) -> np.ndarray:
    """Mean outputs at T = 0, NTK(init_var): gradient flow, (n_times, n_points, k); Y is (n, k)."""
    kernel = ndk(points, X, t=0.0)[0, 0]
    decomposition = eigen(ndk(X, t=0.0)[0, 0])
    return np.stack([kernel @ squared_loss_flow(decomposition, Y, time) for time in times])


def late_limit(ndk: NDK, points: np.ndarray, X: np.ndarray, Y: np.ndarray) -> np.ndarray:
    """Mean outputs in equilibrium: the posterior of NNGP(prior_var) with noise of variance T, (n_points, k)."""
    settled = ndk.replace(init_var=ndk.prior_var)
    kernel = settled.with_covariance(points, X, t=0.0)[1][0, 0]
    own = settled.with_covariance(X, t=0.0)[1][0, 0]
    return kernel @ eigen(own).solve(Y, float(ndk.temperature))
