"""Gradient flow of any loss with a constant kernel: how infinitely wide networks train on it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ntkkit.dynamics.ndk import check_times
from ntkkit.dynamics.stiff import DualPath, solve_dual
from ntkkit.engine.memory import check_available


@dataclass(frozen=True)
class GradientFlow:
    """Outputs over time, and the coefficients from which those at any other point follow.

    Attributes
    ----------
    times : ndarray of shape (n_times,)
    train : ndarray of shape (n_times, n) or (n_times, n, k)
        Outputs at the training points.
    test : ndarray of shape (n_times, m) or (n_times, m, k), or None
        Outputs at the test points.
    dual_coef : ndarray of shape (n_times, n) or (n_times, n, k)
        a(t), with f(x, t) = f(x, 0) + sum_i Theta(x, x_i) a_i(t).
    """

    times: np.ndarray
    train: np.ndarray
    test: np.ndarray | None
    dual_coef: np.ndarray


def gradient_flow(
    theta_train: Any,
    theta_test: Any,
    f0: Any,
    loss: Callable[[Any], Any],
    t: Any,
    *,
    f0_test: Any = None,
    alpha: float = 0.0,
    rtol: float = 1e-11,
) -> GradientFlow:
    """Solve df(x)/dt = -sum_i Theta(x, x_i) dl/df(x_i): gradient descent, in small steps, on any loss of the outputs.

    With the NTK as Theta this is the training of an infinitely wide network (Lee et al. 2019), and with the empirical
    NTK that of a network linearised around its parameters. Solved are the coefficients,
    da/dt = -dl/df(f0 + Theta a) - alpha a from a(0) = 0, so that test points cost one product. For half the sum of
    squares, f = y + exp(-Theta t) (f0 - y), which `linalg.squared_loss_flow` gives in closed form.

    Parameters
    ----------
    theta_train : array-like of shape (n, n) or (n, n, k, k)
        Theta at the training points: a number a pair, which acts on each of k outputs alike, or a matrix, in which
        [i, j, c, d] is by how much the slope in output d at x_j moves output c at x_i, as neural-tangents'
        ``empirical_ntk_fn(f, trace_axes=())`` has it. It need not be symmetric.
    theta_test : array-like of shape (m, n) or (m, n, k, k), or None
        Between test points (rows) and training points; None is no test points.
    f0 : array-like of shape (n,) or (n, k)
        Outputs at t = 0.
    loss : callable
        A function of all outputs at the training points, a jax array of the shape of `f0` in float64, that returns one
        number and that jax can differentiate twice: the sum over samples, with targets closed over, such as
        ``lambda f: jnp.logaddexp(0, -y * f).sum()``. The unit of time goes with it: a mean runs n times slower.
    t : float or array-like of shape (n_times,)
        Finite times >= 0, in any order, in units of one over an eigenvalue of Theta times a curvature of the loss.
    f0_test : array-like of shape (m,) or (m, k), optional
        Outputs at the test points at t = 0; needed where `f0` is not zero.
    alpha : float, default=0.0
        Weight decay in [0, inf): adds half alpha times the squared norm of f - f0 in the kernel's own norm.
    rtol : float, default=1e-11
        Relative error of one step of the solver, in [1e-13, 1e-2].

    Returns
    -------
    GradientFlow
        float64. Error of outputs 10 to 1000 times rtol, relative to the largest.

    Raises
    ------
    ValueError
        For arrays that are not finite or do not fit each other, negative times, or a loss that is not one number or,
        with its gradient, becomes infinite or NaN on the way.
    TypeError
        If loss is not callable.
    RuntimeError
        If the solver gives up.
    MemoryError
        If (n k)^2 numbers do not fit.

    Notes
    -----
    A product with Theta each of some hundred to some thousand steps; where the equation is stiff, which is where the
    largest eigenvalue moves much faster than what happens at t, also a Jacobian and a factorisation of n k rows each
    of about every tenth step.

    References
    ----------
    Lee, Xiao, Schoenholz, Bahri, Novak, Sohl-Dickstein, Pennington (2019), Wide Neural Networks of Any Depth Evolve as
    Linear Models Under Gradient Descent, equations 4 and 8.

    Examples
    --------
    Logistic loss of one sample, y = 1, with Theta = 1: df/dt = 1 / (1 + exp(f)), so f + exp(f) = t + 1.

    >>> import jax.numpy as jnp
    >>> from ntkkit.dynamics import gradient_flow
    >>> flow = gradient_flow([[1.0]], [[0.5]], [0.0], lambda f: jnp.logaddexp(0, -f).sum(), [0.0, np.e])
    >>> flow.train[:, 0].round(8)
    array([0., 1.])
    >>> flow.test[:, 0].round(8)
    array([0. , 0.5])
    """
    times = check_times(t, "t")
    f0 = _as_outputs(f0, "f0")
    theta_train = _as_theta(theta_train, "theta_train", len(f0), f0)
    if theta_test is not None:
        theta_test = _as_theta(theta_test, "theta_test", None, f0)
        f0_test = _check_start(f0_test, f0, len(theta_test))
    if not callable(loss):
        raise TypeError(
            f"loss must be a function of the outputs, such as lambda f: jnp.sum((f - y)**2), found {loss!r}."
        )
    if not (np.isfinite(alpha) and alpha >= 0 and 1e-13 <= rtol <= 1e-2):
        raise ValueError(f"alpha must be finite and >= 0, rtol in [1e-13, 1e-2]; found alpha={alpha}, rtol={rtol}.")
    check_available((4, f0.size, f0.size), np.dtype(np.float64))
    path = _solve(theta_train, f0, loss, times, alpha=float(alpha), rtol=rtol)
    coefficients, moved = (part.reshape(len(times), *f0.shape) for part in path[:2])
    test = None if theta_test is None else np.stack([f0_test + _apply(theta_test, a) for a in coefficients])
    return GradientFlow(times, f0 + moved, test, coefficients)


def _apply(theta: np.ndarray, a: np.ndarray) -> np.ndarray:
    """sum_j Theta(x_i, x_j) a_j: (m, n) and (n[, k]) -> (m[, k]), or (m, n, k, k) and (n, k) -> (m, k)."""
    if theta.ndim == 2:
        return theta @ a
    return np.einsum("ijcd,jd->ic", theta, a, optimize=True)


def _solve(
    theta: np.ndarray, f0: np.ndarray, loss: Callable[[Any], Any], times: np.ndarray, *, alpha: float, rtol: float
) -> DualPath:
    """The coefficients and Theta a at each time."""
    size = len(theta) if theta.ndim == 2 else f0.size  # a matrix-valued kernel is a kernel of n k points
    matrix = theta if theta.ndim == 2 else theta.transpose(0, 2, 1, 3).reshape(size, size)
    with jax.enable_x64(True):
        _check_loss(loss, f0)
        gradient, hessian = jax.jit(jax.value_and_grad(loss)), jax.jit(jax.hessian(loss))

        def slope(moved: np.ndarray) -> np.ndarray:
            f = f0 + moved.reshape(f0.shape)
            value, slopes = (np.asarray(part) for part in gradient(f))
            if not (np.isfinite(value) and np.isfinite(slopes).all()):
                raise ValueError(
                    f"loss, or its gradient, is not finite where outputs reach from {f.min():.3g} to {f.max():.3g}: "
                    "write it without overflow (jnp.logaddexp, jax.nn.log_softmax), and check that it is bounded below."
                )
            return slopes.reshape(size, -1)

        def bend(moved: np.ndarray, B: np.ndarray) -> np.ndarray:
            H = np.asarray(hessian(f0 + moved.reshape(f0.shape))).reshape(size, f0.size // size, size, -1)
            return np.tensordot(H, B, (2, 0)).transpose(0, 1, 3, 2)

        return solve_dual(matrix, slope, bend, times, n_outputs=f0.size // size, alpha=alpha, rtol=rtol)


def _check_loss(loss: Callable[[Any], Any], f0: np.ndarray) -> None:
    found = jax.eval_shape(loss, jnp.asarray(f0))
    if not (getattr(found, "shape", None) == () and jnp.issubdtype(found.dtype, jnp.floating)):
        raise ValueError(
            f"loss must return one real number, the sum over samples; of outputs {f0.shape}, found {found}."
        )


def _as_outputs(f: Any, name: str) -> np.ndarray:
    f = np.asarray(f, dtype=np.float64)
    if f.ndim not in (1, 2) or f.size == 0 or not np.isfinite(f).all():
        raise ValueError(f"{name} must be finite and of shape (n,) or (n, k), found shape {f.shape}.")
    return f


def _as_theta(theta: Any, name: str, n_rows: int | None, f0: np.ndarray) -> np.ndarray:
    theta = np.asarray(theta, dtype=np.float64)
    rows, n = "m" if n_rows is None else n_rows, len(f0)
    shapes = {2: (n,), 4: (n, *f0.shape[1:] * 2)} if f0.ndim == 2 else {2: (n,)}
    fits = theta.ndim in shapes and theta.shape[1:] == shapes[theta.ndim] and n_rows in (None, theta.shape[0])
    if not fits:
        wanted = " or ".join(str((rows, *shape)).replace("'", "") for shape in shapes.values())
        raise ValueError(f"{name} must be of shape {wanted}, with f0 of shape {f0.shape}; found {theta.shape}.")
    if not np.isfinite(theta).all():
        raise ValueError(f"{name} contains NaN or infinity: scale the inputs (StandardScaler).")
    return theta


def _check_start(f0_test: Any, f0: np.ndarray, m: int) -> np.ndarray:
    if f0_test is None:
        if f0.any():
            raise ValueError("f0_test must be given, the outputs at the test points at t = 0, as f0 is not zero.")
        return np.zeros((m, *f0.shape[1:]))
    f0_test = _as_outputs(f0_test, "f0_test")
    if f0_test.shape != (m, *f0.shape[1:]):
        raise ValueError(f"f0_test must be of shape {(m, *f0.shape[1:])}, found {f0_test.shape}.")
    return f0_test
