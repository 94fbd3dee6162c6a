"""What an infinitely wide network predicts while it learns: the mean of its outputs, and their fluctuations."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.linalg import solve
from sklearn.utils import check_consistent_length
from threadpoolctl import threadpool_limits

from ntkkit.dynamics.memory import Memory
from ntkkit.dynamics.modes import Modes, separate
from ntkkit.dynamics.ndk import NDK, check_times
from ntkkit.engine.memory import available_memory, check_available
from ntkkit.engine.progress import Progress, reporting

# Kernels of points with training points that a step holds at once, at most.
COPIES = 4


@dataclass(frozen=True)
class LearningCurve:
    """Predictions over time, of the training points and of others.

    Attributes
    ----------
    times : ndarray of shape (n_times,)
    train : ndarray of shape (n_times, n) or (n_times, n, k)
        Mean output at the training points, of the shape of y.
    test : ndarray of shape (n_times, m) or (n_times, m, k), or None
        The same at the test points.
    train_std, test_std : ndarray of shape (n_times, n) and (n_times, m), or None
        Standard deviation of one network's output, over initial weights and noise; the same for every target.
    """

    times: np.ndarray
    train: np.ndarray
    test: np.ndarray | None = None
    train_std: np.ndarray | None = None
    test_std: np.ndarray | None = None


def learning_curve(
    ndk: NDK,
    X: Any,
    y: Any,
    X_test: Any = None,
    *,
    times: Any = None,
    n_steps: int = 400,
    return_std: bool = False,
    progress: Progress = False,
) -> LearningCurve:
    """The outputs of an infinitely wide network under Langevin dynamics on half the sum of squared errors.

    The mean solves f(x, t) = int_0^t ds sum_i Kd(x, t; x_i, s) (y_i - f(x_i, s)), by the implicit trapezoidal rule.
    First errors shrink at the pace of gradients, 1 / eigenvalues of the kernel; then weights diffuse, at the pace
    prior_var / T, to the posterior. Around its mean f is Gaussian, with covariance A^-1 C A^-T over points and times,
    where A = 1 + int Kd and C = m B_L.

    Parameters
    ----------
    ndk : NDK
    X : array-like of shape (n, d)
    y : array-like of shape (n,) or (n, k)
        Targets.
    X_test : array-like of shape (m, d), optional
    times : float or array-like of shape (n_times,), optional
        Times >= 0 that are reported, increasing; the last is where the calculation ends. None: all steps up to
        8 prior_var / T, when weights have come to equilibrium.
    n_steps : int, default=400
        Steps in time. Half of them grow by a factor up to .03 prior_var / T, half are equal from there on. The error
        falls like 1 / n_steps^1.5 where steps are short beside the kernel's memory. At small temperature they are not:
        at 400 steps and T = 1e-3 equilibrium was .05 off (relu, 100 pictures, targets of size 1). Compare with the
        posterior, the ridge regression with the NNGP and alpha = T, and raise n_steps.
    return_std : bool, default=False
        Also calculate standard deviations: (n_steps n)^2 numbers and (n_steps n)^3 operations.
    progress : bool or callable, default=False
        A bar of steps.

    Returns
    -------
    LearningCurve

    Raises
    ------
    ValueError
        For inputs that are not finite, of other lengths or columns, or times missing at T = 0.
    MemoryError
        If what is asked for does not fit, with what it needs.

    Warns
    -----
    UserWarning
        If modes (see Notes) would serve, but do not fit in half of the memory.

    Notes
    -----
    If init_var = prior_var, or without biases for activations with phi(a z) = a phi(z), a > 0, the kernel is a sum of
    products of functions of t and of s, and the past is carried by 30 modes: 30 n (n + m) numbers in memory, as many
    operations a step, 90 n (n + m) evaluations of the kernel and one eigendecomposition. Relative error 1e-6. Else, or
    where that does not fit: n_steps^2 n (n + m) / 2 evaluations, memory for n (n + m) numbers, n_steps n^3 / 3
    operations. n = 1000 and 300 test points took 11 s of a processor and .5 GB with modes; both grow like n (n + m).

    References
    ----------
    Avidan, Li, Sompolinsky (2023), Connecting NTK and NNGP, equations for the mean predictor.

    Examples
    --------
    A linear network with init_var = prior_var comes to the posterior of the NNGP with noise T:

    >>> from ntkkit import FullyConnected
    >>> from ntkkit.dynamics import NDK, learning_curve
    >>> ndk = NDK(FullyConnected(depth=0, weight_var=1.0, bias_var=0.0), temperature=0.5)
    >>> curve = learning_curve(ndk, [[1.0]], [3.0], times=[0.0, 20.0])
    >>> curve.train[:, 0].round(4)  # 3 / (1 + T)
    array([0., 2.])
    """
    X, Y, X_test = check_data(ndk, X, y, X_test)
    grid, reported = make_grid(ndk, X, times, n_steps)
    points = X if X_test is None else np.concatenate([X, X_test])
    outputs = np.zeros((len(grid), len(points), Y.shape[1]))
    # products of a step are bound by memory: threads that meet after each gain little, and lose much if one waits
    with reporting(progress, len(grid) - 1, unit="step") as done, threadpool_limits(1, "blas"):
        memory = make_memory(ndk, points, X, Y, grid)
        for i in range(1, len(grid)):
            outputs[i] = memory.step(i)
            done(1)
    shape, n = np.shape(y)[1:], len(X)
    stds = _standard_deviations(ndk, points, n, grid)[reported] if return_std else None
    means = outputs[reported].reshape(len(reported), len(points), *shape)
    return LearningCurve(
        grid[reported],
        means[:, :n],
        None if X_test is None else means[:, n:],
        None if stds is None else stds[:, :n],
        None if stds is None or X_test is None else stds[:, n:],
    )


def make_memory(ndk: NDK, points: np.ndarray, X: np.ndarray, targets: np.ndarray, grid: np.ndarray) -> Memory | Modes:
    """The past by modes, where the kernel is separable and they fit the memory, or else by the kernel at all times.

    Raises
    ------
    MemoryError
        If neither fits.
    """
    n_times, (n, k), n_points = len(grid), targets.shape, len(points)
    needed = 8 * (COPIES * n * n_points + 2 * n_times * (n + n_points) * k)
    if needed > (available := available_memory()):
        raise MemoryError(
            f"{n} training points and {n_points} in all need {needed / 1e9:.1f} GB at {n_times} times, and "
            f"{available / 1e9:.1f} GB are available: take fewer points or n_steps."
        )
    separation = separate(ndk, grid)
    if separation is not None and Modes.fits(n, n_points):
        return Modes(ndk, points, X, targets, grid, separation)
    if separation is not None:
        warnings.warn(
            f"Modes of {n} training points and {n_points} in all need {Modes.size(n, n_points) / 1e9:.1f} GB, and half "
            f"of {available / 1e9:.1f} GB are available: the kernel is evaluated at all pairs of times instead, "
            f"{n_times**2 * n * n_points / 2:.1e} times. Take fewer points, or n_steps.",
            stacklevel=3,
        )
    return Memory(ndk, points, X, targets, grid)


def make_grid(ndk: NDK, X: np.ndarray, times: Any, n_steps: int) -> tuple[np.ndarray, np.ndarray]:
    """Times from 0 on that resolve both phases, and the places among them of those that are reported."""
    rate = float(ndk.temperature / ndk.prior_var)
    if times is None and rate == 0:
        raise ValueError("times must be given at temperature 0, where there is no equilibrium: give times=10.0.")
    wanted = None if times is None else check_times(times, "times")
    if wanted is not None and (np.diff(wanted) <= 0).any():
        raise ValueError(f"times must increase, found {times!r}.")
    end = 8 / rate if wanted is None else float(wanted[-1])
    if end == 0:
        return np.zeros(1), np.zeros(1, dtype=np.intp)
    fastest = float(np.abs(ndk(X, t=0.0)[0, 0]).sum(axis=1).max())  # at least the largest eigenvalue
    if not np.isfinite(fastest):
        raise ValueError("The kernel of X is not finite: scale X (StandardScaler), or lower the network's variances.")
    first = min(1e-2 / fastest, end / n_steps) if fastest > 0 else end / n_steps
    slow = min(0.03 / rate, end) if rate > 0 else end
    if slow <= first * n_steps / 2:
        grid = np.linspace(0, end, n_steps + 1)
    elif slow == end:
        grid = np.append(0, np.geomspace(first, end, n_steps))
    else:
        early = np.geomspace(first, slow, n_steps // 2)
        grid = np.concatenate([[0], early, np.linspace(slow, end, n_steps - len(early) + 1)[1:]])
    if wanted is None:
        return grid, np.arange(len(grid))
    grid = np.union1d(grid, wanted)
    return grid, np.searchsorted(grid, wanted)


def _standard_deviations(ndk: NDK, points: np.ndarray, n: int, grid: np.ndarray) -> np.ndarray:
    """Of outputs at all points, the first n of which are trained on: (n_t, n + m)."""
    n_t, n_all = len(grid), len(points)
    size = n_t * n_all
    check_available((4, size, size), np.dtype(np.float64))
    kernel, covariance = ndk.with_covariance(points, t=grid)
    kernel *= trapezoid(grid)[:, :, None, None]
    kernel[..., n:] = 0  # errors at the training points only drive the outputs
    A = np.eye(size) + kernel.transpose(0, 2, 1, 3).reshape(size, size)
    half = solve(A, covariance.transpose(0, 2, 1, 3).reshape(size, size), check_finite=False)
    variances = solve(A, half.T, overwrite_a=True, overwrite_b=True, check_finite=False).diagonal()
    return np.sqrt(np.maximum(variances, 0)).reshape(n_t, n_all)


def trapezoid(grid: np.ndarray) -> np.ndarray:
    """Weights of the integral from 0 to t_i over the grid, (i, j)."""
    steps = np.diff(grid)
    whole = np.append(steps, 0) / 2 + np.append(0, steps) / 2
    rule = np.tril(np.broadcast_to(whole, (len(grid), len(grid))), -1)
    return rule + np.diag(np.append(0, steps) / 2)


def check_data(ndk: Any, X: Any, y: Any, X_test: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
    """Inputs as float64 rows, and targets as columns."""
    if not isinstance(ndk, NDK):
        raise TypeError(f"ndk must be an NDK such as NDK(FullyConnected(depth=2)), found {ndk!r}.")
    X = ndk.check_inputs(X)
    Y = np.asarray(y, dtype=np.float64)
    check_consistent_length(X, Y)
    if Y.ndim not in (1, 2) or not np.isfinite(Y).all():
        raise ValueError(f"y must be finite and of shape (n,) or (n, k), found shape {Y.shape}.")
    if X_test is not None:
        X_test = ndk.check_inputs(X_test, name="X_test")
        if X_test.shape[1] != X.shape[1]:
            raise ValueError(f"X_test must have the {X.shape[1]} columns of X, found {X_test.shape[1]}.")
    return X, Y.reshape(len(Y), -1), X_test
