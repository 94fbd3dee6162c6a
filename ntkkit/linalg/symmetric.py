"""What the solvers share: how a symmetric matrix is held, and which of its digits are rounding."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

Matrix = NDArray[np.float64]

EPS = float(np.finfo(np.float64).eps)
SQRT_EPS = EPS**0.5
TINY = float(np.finfo(np.float64).tiny)  # 1 / TINY is finite


def entry_error(dtype: np.dtype) -> float:
    """Return the relative error of entries that were computed in `dtype`.

    A matrix computed in float32 is solved in float64, whose eps says nothing about its entries. Eigenvalues that are
    float32 rounding make predictions noise: a Gaussian kernel on 300 points of a line and alpha = 1e-9 predict |x| with
    a largest error of 0.06 where they are left out, and of 0.3 to 1.5 where they are not.
    """
    return float(np.finfo(dtype).eps) if dtype.kind == "f" else EPS


def as_lapack(K: ArrayLike, *, overwrite: bool) -> Matrix:
    """Hold a symmetric matrix as LAPACK wants it: float64 in Fortran order, and ours to destroy.

    Of a C-ordered matrix this is the transpose, which is the same matrix and costs nothing. With `overwrite` a writable
    contiguous float64 matrix is not copied.

    Raises
    ------
    ValueError
        If K is no square matrix of real numbers.
    """
    K = np.asarray(K)
    if K.ndim != 2 or K.shape[0] != K.shape[1] or K.shape[0] == 0:
        raise ValueError(f"K must be a square matrix with at least one row, found shape {K.shape}.")
    if K.dtype.kind not in "fiub":
        raise ValueError(f"K must hold real numbers, found dtype {K.dtype}.")
    usable = overwrite and K.dtype == np.float64 and K.flags.writeable and K.flags.forc
    A = K if usable else np.array(K, dtype=np.float64, order="A")
    return A if A.flags.f_contiguous else A.T


def one_norm(A: Matrix) -> float:
    """Sum the absolute values of each column, and return the largest sum. No second matrix is made.

    Raises
    ------
    ValueError
        If it is NaN or infinite.
    """
    step = max(1, 2**20 // len(A))
    with np.errstate(over="ignore", invalid="ignore"):  # the result is checked
        norm = float(np.max([np.abs(A[:, j : j + step]).sum(axis=0).max() for j in range(0, len(A), step)]))
    if not np.isfinite(norm):
        raise ValueError(
            "K contains NaN or infinity, or entries too large to add up: scale the inputs (StandardScaler) or the "
            "kernel's variances down."
        )
    return norm


def check_alpha(alpha: ArrayLike) -> NDArray[np.float64]:
    """Convert ridge terms to float64.

    Raises
    ------
    ValueError
        If one is negative, NaN or infinite.
    """
    alphas = np.asarray(alpha, dtype=np.float64)
    if not (np.isfinite(alphas).all() and (alphas >= 0).all()):
        raise ValueError(f"alpha must be finite and >= 0, found {alphas}.")
    return alphas


def as_columns(y: ArrayLike, n: int) -> Matrix:
    """Hold right-hand sides as float64 columns (n, k).

    Raises
    ------
    ValueError
        If y is not finite or not of shape (n,) or (n, k).
    """
    y = np.asarray(y, dtype=np.float64)
    if y.ndim not in (1, 2) or len(y) != n or not np.isfinite(y).all():
        raise ValueError(f"y must be finite and of shape ({n},) or ({n}, k), found shape {y.shape}.")
    return y.reshape(n, -1)


def check_weights(sample_weight: ArrayLike, n: int) -> NDArray[np.float64]:
    """Convert sample weights to float64.

    Raises
    ------
    ValueError
        If one is not finite and positive, or there are not n.
    """
    weights = np.asarray(sample_weight, dtype=np.float64)
    if weights.shape != (n,) or not np.isfinite(weights).all() or not (weights > 0).all():
        raise ValueError(f"sample_weight must be finite and positive, of shape ({n},), found shape {weights.shape}.")
    return weights
