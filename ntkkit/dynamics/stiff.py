"""Differential equations whose rates span many orders of magnitude: those of a kernel's eigenvalues."""

from __future__ import annotations

import threading
import warnings
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from scipy.integrate import solve_ivp
from scipy.linalg import svd

TINY = float(np.finfo(np.float64).tiny)
Slope = Callable[[np.ndarray], np.ndarray]

# ODEPACK's LSODA keeps its state in global variables in scipy before 1.17.
_one_at_a_time = threading.Lock()


class Path(NamedTuple):
    """The state at each time, and how often the slope was evaluated."""

    states: np.ndarray
    n_evaluations: int


class DualPath(NamedTuple):
    """Coefficients and Theta a at each time, (n_times, n, k), and how often the slope was evaluated."""

    coefficients: np.ndarray
    moved: np.ndarray
    n_evaluations: int


def integrate(slope: Slope, jacobian: Slope, times: np.ndarray, *, scale: np.ndarray, rtol: float) -> Path:
    """Solve da/dt = slope(a) from a(0) = 0, by LSODA: Adams' method, and backward differences where it is stiff.

    On logistic losses with eigenvalues from 1e-6 to 1e3 and times to 1e6 it had errors of 1e-12 to 3e-8 at rtol=1e-11,
    and of scipy's methods it was the fastest for its error. The Jacobian is not evaluated before the equation is stiff.

    Parameters
    ----------
    slope : callable
        (n,) -> (n,).
    jacobian : callable
        Its derivative, (n,) -> (n, n).
    times : ndarray of shape (n_times,)
        Finite times >= 0, in any order.
    scale : ndarray of shape (n,)
        Sizes of a that matter: errors of a step are weighed against rtol (scale / 100 + |a|).
    rtol : float
        Relative error of one step; that of the result is 10 to 100 times larger.

    Returns
    -------
    Path
        n_times n numbers, and 2 n^2 in work.

    Raises
    ------
    RuntimeError
        If the solver gives up.
    """
    grid, places = np.unique(times, return_inverse=True)
    if grid[-1] == 0 or not scale.any():
        return Path(np.zeros((len(times), len(scale))), 1)
    with _one_at_a_time, warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="lsoda: ", category=UserWarning)  # said by the error below
        found = solve_ivp(
            lambda t, a: slope(a),
            (0.0, grid[-1]),
            np.zeros(len(scale)),
            method="LSODA",
            t_eval=grid,
            jac=lambda t, a: jacobian(a),
            rtol=rtol,
            atol=1e-2 * rtol * scale,
        )
    if not found.success:
        reached = found.t[-1] if len(found.t) else 0.0
        raise RuntimeError(
            f"The differential equation could not be solved beyond t = {reached:.3g} of {grid[-1]:.3g}: "
            f"{found.message} Its loss may be without derivative there, or fall without bound; or raise rtol."
        )
    return Path(found.y.T[places], max(int(found.nfev), 1))


def solve_dual(
    theta: np.ndarray,
    slope: Slope,
    bend: Callable[[np.ndarray, np.ndarray], np.ndarray],
    times: np.ndarray,
    *,
    n_outputs: int,
    alpha: float = 0.0,
    rtol: float = 1e-11,
) -> DualPath:
    """Solve da/dt = -l'(Theta a) - alpha a from a(0) = 0, for n points of k outputs each.

    With Theta = U S V', the state is V' a, whose components move at rates that differ by as much as those of S do: each
    has small errors of its own, and f = U S V' a is without the cancellation of Theta a.

    Parameters
    ----------
    theta : ndarray of shape (n, n)
        Finite.
    slope : callable
        l', of f = Theta a, (n, k) -> (n, k).
    bend : callable
        l''(f) (B x I) with a matrix B that acts on the points: (n, k), (n, n) -> (n, k, n, k).
    times : ndarray of shape (n_times,)
        Finite times >= 0, in any order.
    n_outputs : int
        k.
    alpha : float, default=0.0
    rtol : float, default=1e-11
        Relative error of one step.

    Returns
    -------
    DualPath
        Of n_times n k numbers.
    """
    U, S, Vt = svd(theta, check_finite=False)
    shape, US = (len(S), n_outputs), U * S

    def pull(b: np.ndarray) -> np.ndarray:
        return -(Vt @ slope(US @ b.reshape(shape))).ravel() - alpha * b

    def jacobian(b: np.ndarray) -> np.ndarray:
        J = -np.tensordot(Vt, bend(US @ b.reshape(shape), US), (1, 0)).reshape(b.size, b.size)
        J.flat[:: b.size + 1] -= alpha
        return J

    steepest = float(np.abs(pull(np.zeros(S.size * n_outputs))).max())
    # Errors of V' a that outputs of k(x, x) as large as the first eigenvalue would see
    rates = np.maximum(np.sqrt(S * S[0]), 1 / max(float(times.max()), TINY))
    scale = np.repeat(steepest / np.maximum(rates, TINY), n_outputs)
    path = integrate(pull, jacobian, times, scale=scale, rtol=rtol)
    states = path.states.reshape(len(times), *shape)
    return DualPath(Vt.T @ states, US @ states, path.n_evaluations)
