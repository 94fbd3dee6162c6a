"""Checks of kernel matrices, and their directions."""

from __future__ import annotations

from typing import Any

import numpy as np

from ntkkit.linalg.symmetric import Matrix

# Of the largest entry: what is no rounding, of a kernel computed in float32.
ASYMMETRY = 1e-4
# Of the norm before centring: what is rounding after it.
ROUNDING = 1e-13


def check_kernel(K: Any, name: str = "K") -> Matrix:
    """A kernel matrix as float64.

    Raises
    ------
    ValueError
        If it is not square, symmetric (up to rounding in float32) and finite.
    """
    K = np.asarray(K, dtype=np.float64)
    if K.ndim != 2 or K.shape[0] != K.shape[1] or not len(K):
        raise ValueError(f"{name} must be a square matrix with at least one row, found shape {K.shape}.")
    if not np.isfinite(K).all():
        raise ValueError(f"{name} contains NaN or infinity.")
    off = np.abs(K - K.T).max()
    if off > ASYMMETRY * np.abs(K).max():
        raise ValueError(f"{name} must be symmetric; entries differ from those across the diagonal by up to {off:.2g}.")
    return K


def check_pair(K: Any, other: Any, name: str) -> tuple[Matrix, Matrix]:
    """Two kernel matrices of the same points.

    Raises
    ------
    ValueError
        If one is none, or shapes differ.
    """
    K, other = check_kernel(K), check_kernel(other, name)
    if K.shape != other.shape:
        raise ValueError(f"K and {name} must be of the same points, found shapes {K.shape} and {other.shape}.")
    return K, other


def check_path(kernels: Any) -> np.ndarray:
    """Kernel matrices of the same points over time, (n_times, n, n).

    Raises
    ------
    ValueError
        If one is none, or there are fewer than two.
    """
    kernels = np.asarray(kernels, dtype=np.float64)
    if kernels.ndim != 3 or len(kernels) < 2:
        raise ValueError(f"kernels must be of shape (n_times, n, n), n_times >= 2; found {kernels.shape}.")
    return np.stack([check_kernel(K, f"kernels[{i}]") for i, K in enumerate(kernels)])


def center_kernel(K: Matrix) -> Matrix:
    """H K H with H = I - 1 1' / n."""
    half = K - K.mean(axis=0)
    return half - half.mean(axis=1, keepdims=True)


def unit(values: Matrix, name: str, *, scale: float = 0.0) -> Matrix:
    """An array of Frobenius norm 1 in the same direction.

    Raises
    ------
    ValueError
        If it has none: its norm is zero, or rounding beside a scale.
    """
    norm = float(np.linalg.norm(values))
    if norm <= ROUNDING * scale:
        raise ValueError(f"{name} is zero, or becomes zero when it is centred: it has no direction.")
    return values / norm


def direction(K: Matrix, name: str, *, center: bool) -> Matrix:
    """K / |K|, or H K H / |H K H|; ValueError if that is zero."""
    return unit(center_kernel(K) if center else K, name, scale=float(np.linalg.norm(K)))
