"""How far a kernel moves, and how fast: what two snapshots of it have in common."""

from __future__ import annotations

from typing import Any

import numpy as np

from ntkkit.finite._matrices import center_kernel, check_pair, check_path, direction


def kernel_distance(K: Any, other: Any, *, center: bool = False) -> float:
    """Distance of two kernels' directions: S = 1 - <K, K'> / (|K| |K'|), in Frobenius' inner product.

    Evaluated as half the squared distance of K / |K| and K' / |K'|, so that small distances keep their digits.

    Parameters
    ----------
    K, other : array-like of shape (n, n)
        Kernel matrices of the same points.
    center : bool, default=False
        Take H K H with H = I - 1 1' / n of both: S is then 1 - CKA.

    Returns
    -------
    float
        From 0 (equal up to a factor) to 1 for positive semi-definite matrices; n^2 operations.

    Raises
    ------
    ValueError
        If a matrix is not square, symmetric and finite, shapes differ, or one is zero (centred, if asked for).

    References
    ----------
    Fort et al. (2020), Deep learning versus kernel learning; Kornblith et al. (2019), Similarity of neural network
    representations revisited.

    Examples
    --------
    >>> kernel_distance([[1.0, 0.0], [0.0, 0.0]], [[0.0, 0.0], [0.0, 3.0]])
    1.0
    """
    K, other = check_pair(K, other, "other")
    apart = direction(K, "K", center=center) - direction(other, "other", center=center)
    return float((apart**2).sum() / 2)


def frobenius_distance(K: Any, reference: Any, *, center: bool = False) -> float:
    """Relative distance |K - R| / |R| in Frobenius' norm, which sees changes of scale too.

    Parameters
    ----------
    K, reference : array-like of shape (n, n)
        Kernel matrices of the same points.
    center : bool, default=False
        Centre both, as in `kernel_distance`.

    Returns
    -------
    float
        >= 0; n^2 operations.

    Raises
    ------
    ValueError
        As `kernel_distance`, but K may be zero.

    Examples
    --------
    >>> frobenius_distance([[3.0]], [[2.0]])
    0.5
    """
    K, reference = check_pair(K, reference, "reference")
    direction(reference, "reference", center=center)  # raises where there is none
    K, reference = (center_kernel(part) if center else part for part in (K, reference))
    return float(np.linalg.norm(K - reference) / np.linalg.norm(reference))


def kernel_velocity(kernels: Any, times: Any, *, center: bool = False) -> np.ndarray:
    """How fast a kernel turns: S(t_i, t_i+1) / (t_i+1 - t_i), with S the `kernel_distance`.

    S of a smooth path is of second order in the time between: compare velocities at the same spacing.

    Parameters
    ----------
    kernels : array-like of shape (n_times, n, n)
        Kernel matrices of the same points, n_times >= 2.
    times : array-like of shape (n_times,)
        When, increasing: steps, epochs or times.
    center : bool, default=False
        As in `kernel_distance`.

    Returns
    -------
    ndarray of shape (n_times - 1,)
        One between each two times.

    Raises
    ------
    ValueError
        If times do not increase, or are not as many as the kernels. And as `kernel_distance`.

    References
    ----------
    Fort et al. (2020), section 4.

    Examples
    --------
    >>> import numpy as np
    >>> turn = [np.diag([1.0, 0.0]), np.diag([0.0, 1.0]), np.diag([0.0, 2.0])]
    >>> kernel_velocity(turn, [0, 10, 20])
    array([0.1, 0. ])
    """
    kernels = check_path(kernels)
    times = np.asarray(times, dtype=np.float64)
    if times.shape != (len(kernels),) or not np.isfinite(times).all() or (np.diff(times) <= 0).any():
        raise ValueError(f"times must increase, one for each of {len(kernels)} kernels; found {times!r}.")
    directions = [direction(K, f"kernels[{i}]", center=center) for i, K in enumerate(kernels)]
    return (np.diff(directions, axis=0) ** 2).sum(axis=(1, 2)) / 2 / np.diff(times)


def polar_dynamics(kernels: Any) -> np.ndarray:
    """How much of its way a kernel has gone: |K_t - K_0| / |K_T - K_0|, in Frobenius' norm.

    Parameters
    ----------
    kernels : array-like of shape (n_times, n, n)
        Kernel matrices of the same points, from the first time to the last.

    Returns
    -------
    ndarray of shape (n_times,)
        From 0 to 1, and in between above 1 where the kernel goes further than it ends.

    Raises
    ------
    ValueError
        If a matrix is not square, symmetric and finite, or the last is the first.

    Examples
    --------
    >>> polar_dynamics([[[1.0]], [[4.0]], [[3.0]]])
    array([0. , 1.5, 1. ])
    """
    kernels = check_path(kernels)
    ways = np.linalg.norm(kernels - kernels[0], axis=(1, 2))
    if ways[-1] == 0:
        raise ValueError("The last kernel is the first: there is no way to measure parts of.")
    return ways / ways[-1]
