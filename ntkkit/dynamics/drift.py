"""Representational drift: what a readout of one time makes of the features of later times."""

from __future__ import annotations

from typing import Any

import numpy as np

from ntkkit.dynamics.learning_curve import LearningCurve, check_data, make_grid
from ntkkit.dynamics.ndk import NDK, check_times
from ntkkit.dynamics.trajectory import find_trajectory
from ntkkit.engine.progress import Progress


def drift(
    ndk: NDK,
    X: Any,
    y: Any,
    X_test: Any = None,
    *,
    readout_time: float,
    times: Any,
    n_steps: int = 400,
    progress: Progress = False,
) -> LearningCurve:
    """The mean outputs of the readout of one time, t0, on the hidden layers of later times, which go on learning.

    All weights follow the dynamics of `learning_curve`, with errors e_i = y_i - f(x_i). Diffusion changes the features
    of hidden layers while the readout follows, so that f stays; a readout of time t0 that does not follow says

        f(x, t, t0) =   int_0^t0 ds sum_i e(t0, s) B_L(x, t; x_i, s) e_i(s)
                      + int_0^t  ds sum_i w m(t0, s) E[phi' phi'](x, t; x_i, s) Kd_(L-1)(x, t; x_i, s) e_i(s):

    what errors have added to the readout itself, until t0, and what they add to hidden weights along its directions;
    symbols as in `NDK`. At t = t0 it is f. In equilibrium, with init_var = prior_var and a = (T + m B_L)^-1 y,

        f(x, t, t0) = sum_i (m(t0, t0) B_L(x, t; x_i, t0) + int_t0^t ds m(t0, s) d/ds B_L(x, t; x_i, s)) a_i.

    Long after t0 only what features have in common at all times is left, B_L of independent hidden weights: for erf
    networks without biases nothing, for relu a code of norms |x|.

    Parameters
    ----------
    ndk : NDK
    X : array-like of shape (n, d)
    y : array-like of shape (n,) or (n, k)
        Targets.
    X_test : array-like of shape (m, d), optional
    readout_time : float
        t0 >= 0.
    times : float or array-like of shape (n_times,)
        Times >= t0 that are reported, increasing.
    n_steps : int, default=400
        Steps in time, as in `learning_curve`, up to the last of the times.
    progress : bool or callable, default=False
        A bar of steps.

    Returns
    -------
    LearningCurve
        Outputs (n_times, n[, k]) at training and test points, without standard deviations.

    Raises
    ------
    ValueError
        As `learning_curve`; for a readout_time that is no time >= 0, or later than one of the times.

    Notes
    -----
    Beyond the cost of `learning_curve` on the training points: for each of the times 90 n (n + m) evaluations of the
    kernel where it is separable, else up to n_steps n (n + m).

    References
    ----------
    Avidan, Li, Sompolinsky (2023), Connecting NTK and NNGP, on representational drift.

    Examples
    --------
    A linear model has no hidden layer that could drift:

    >>> from ntkkit import FullyConnected
    >>> from ntkkit.dynamics import NDK, drift
    >>> ndk = NDK(FullyConnected(depth=0, weight_var=1.0, bias_var=0.0), temperature=0.5)
    >>> drift(ndk, [[1.0]], [3.0], readout_time=20.0, times=[20.0, 30.0]).train[:, 0].round(3)
    array([2., 2.])
    """
    X, Y, X_test = check_data(ndk, X, y, X_test)
    start = check_times(readout_time, "readout_time")
    times = check_times(times, "times")
    if len(start) > 1 or times[0] < start[0]:
        raise ValueError(f"readout_time must be one time, none of times before it; found {readout_time!r}.")
    if (np.diff(times) <= 0).any():
        raise ValueError(f"times must increase, found {times!r}.")
    grid, _ = make_grid(ndk, X, np.union1d(start, times), n_steps)
    readout, reported = np.searchsorted(grid, start[0]), np.searchsorted(grid, times)
    trajectory = find_trajectory(ndk, X, Y, grid, progress=progress)
    points = X if X_test is None else np.concatenate([X, X_test])
    outputs = np.stack([trajectory.drifted(points, i, readout) for i in reported])
    outputs = outputs.reshape(len(times), len(points), *np.shape(y)[1:])
    n = len(X)
    return LearningCurve(times, outputs[:, :n], None if X_test is None else outputs[:, n:])
