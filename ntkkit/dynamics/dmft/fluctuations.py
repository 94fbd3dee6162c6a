"""How much networks of a large but finite width scatter about their mean-field limit."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from sklearn.utils import check_random_state

from ntkkit.dynamics.dmft.mean_field import check_stable, check_units
from ntkkit.dynamics.dmft.problem import Problem, check_memory, has_kink, make_problem
from ntkkit.dynamics.dmft.two_layer import Units, draw_units, learn, solve_two_layer, unit_outputs
from ntkkit.engine.precision import in_x64
from ntkkit.networks.activations import Identity
from ntkkit.networks.value import check_count


@dataclass(frozen=True, eq=False)
class Fluctuations:
    """Covariances, times the width, of networks of one hidden layer, see `fluctuations`.

    Points are those of training, n, then those of X_test, m; times are steps from 0 to n_steps. The training errors
    Delta = y - f have the covariances of f.

    Attributes
    ----------
    times : ndarray of shape (n_steps + 1,)
        learning_rate times steps.
    predictions : ndarray of shape (n_steps + 1, n + m)
        Their mean, at infinite width.
    prediction_covariance : ndarray of shape (n_steps + 1, n + m, n_steps + 1, n + m)
        width Cov[f(t, x), f(s, x')].
    ntk_covariance : ndarray of shape (n_steps + 1, n_steps + 1, n + m, n + m)
        width Cov[Theta(t; x, x'), Theta(s; x, x')] of the tangent kernel's entries.
    """

    times: np.ndarray
    predictions: np.ndarray
    prediction_covariance: np.ndarray
    ntk_covariance: np.ndarray

    @property
    def prediction_variance(self) -> np.ndarray:
        """width Var f(t, x), (n_steps + 1, n + m)."""
        return np.einsum("tntn->tn", self.prediction_covariance)

    @property
    def ntk_variance(self) -> np.ndarray:
        """width Var Theta(t; x, x'), (n_steps + 1, n + m, n + m)."""
        return np.einsum("ttnm->tnm", self.ntk_covariance)


def fluctuations(
    network: Any,
    X: Any,
    y: Any,
    X_test: Any = None,
    *,
    gamma0: float = 1.0,
    learning_rate: float | None = None,
    n_steps: int = 100,
    n_units: int = 4096,
    random_state: Any = None,
) -> Fluctuations:
    r"""Leading covariances, by the inverse width, of predictions and kernels of networks of one hidden layer.

    Over initial weights, for the training that `solve` describes, f - f at the start. A unit adds
    psi = z phi(h) / gamma0, less what it was at first, to N f, and k = w phi phi + S g g to N Theta; given the errors
    Delta units are independent. So

        delta f = mean_i [psi_i - E psi] + J delta Delta,    delta Delta = -delta f on the training points,

    with J = d E[psi] / d Delta, from which delta Delta = -(1 + J)^-1 mean_i [psi_i - E psi] and, alike,
    delta Theta = mean_i [k_i - E k] + d E[k] / d Delta delta Delta: means of independent terms, whose covariance is
    that of one unit over N. It is exact in the steps' size. As gamma0 goes to 0 it is, of gradient flow and in the
    eigenbasis of the NTK before training, with eigenvalues l of Theta / n,

        delta Delta_k(t) = -sum_j V_kj delta Theta_kj y_j / n,    V_kj = (e^(-l_k t) - e^(-l_j t)) / (l_j - l_k),

    contracted with fourth moments of units; for one training point, t^2 e^(-2 Theta t) y^2 Var k.

    Parameters
    ----------
    network : FullyConnected
        With depth=1, and an activation without kinks; any variances.
    X, y, X_test, gamma0, learning_rate, n_steps
        As of `solve`.
    n_units : int, default=4096
        Units that expectations are taken over, a power of 2; relative errors are about 3 / sqrt(n_units). For linear
        networks they are exact, whatever the number.
    random_state : int, RandomState instance or None, default=None
        Of units.

    Returns
    -------
    Fluctuations

    Raises
    ------
    TypeError, ValueError
        As of `solve`; and for another depth, or activations with kinks.
    MemoryError
        If there is too little, before it is taken.

    Notes
    -----
    Cost n_units n (n + m) n_steps^2, and as many numbers in memory.

    References
    ----------
    Bordelon, Pehlevan (2023), Dynamics of finite width kernel and prediction fluctuations in mean field neural
    networks.

    Examples
    --------
    A lazy linear network on one point, of NTK 2: k has variance 4, and f that of 4 t^2 e^(-4 t), at most e^-2.

    >>> from ntkkit import FullyConnected
    >>> from ntkkit.dynamics import dmft
    >>> network = FullyConnected(depth=1, activation="identity", weight_var=1.0, bias_var=0.0)
    >>> found = dmft.fluctuations(network, [[1.0]], [1.0], gamma0=1e-3, learning_rate=0.005, n_steps=200)
    >>> found.ntk_variance[0].round(6), float(found.prediction_variance.max().round(2))
    (array([[4.]]), 0.14)
    """
    check_count(n_steps, "n_steps", low=1)
    problem, lazy = make_problem(network, X, y, X_test, gamma0=gamma0, learning_rate=learning_rate, n_steps=n_steps)
    _check(problem, n_units)
    rng = np.random.default_rng(check_random_state(random_state).randint(2**31))
    units = draw_units(problem, n_units, rng)
    path = in_x64(solve_two_layer, problem, lazy, units)
    n = len(problem.targets)
    errors = problem.targets - path.predictions[:, :n]
    check_stable(problem, errors, path.ntk[:, :n, :n])
    by_errors, own = in_x64(_linearized, problem, units, errors)
    if isinstance(problem.activation, Identity):
        own = in_x64(_of_quadratic_units, problem, errors)
    f, ntk = _with_feedback(*(jax.tree.map(np.asarray, part) for part in (by_errors, own)))
    return Fluctuations(
        times=problem.learning_rate * np.arange(problem.n_times),
        predictions=path.predictions,
        prediction_covariance=np.tensordot(f, f, (0, 0)) / len(f),
        ntk_covariance=np.einsum("itnm,isnm->tsnm", ntk, ntk, optimize=True) / len(ntk),
    )


def _check(problem: Problem, n_units: int) -> None:
    if problem.depth != 1:
        raise ValueError(f"Fluctuations are known for networks of one hidden layer: take depth=1, not {problem.depth}.")
    if has_kink(problem.activation):
        raise ValueError(
            f"{problem.activation!r} has a kink, and fluctuations need phi'': take a smooth activation such as 'gelu', "
            "'erf' or jax.numpy.tanh."
        )
    check_units(problem, n_units)
    n_points, n, n_times = len(problem.features), len(problem.targets), problem.n_times
    numbers = n_times * n_points * n_units * (4 * n + 3 * (1 + n_points))
    check_memory(
        8.0 * (numbers + 2 * (n_times * n_points) ** 2),
        f"Fluctuations of {n_points} points at {n_times} times by {n_units} units",
        "take fewer points, steps or units",
    )


def _observed(problem: Problem, units: Units, errors: Array) -> tuple[Array, Array]:
    """What each unit adds to f and to the NTK: (n_units, n_times, n_points) and (..., n_points, n_points)."""
    n, variances = len(problem.targets), problem.variances
    features = jnp.asarray(problem.features)
    first = features @ features.T
    start = unit_outputs(problem.activation, units, features)[2]

    def step(carry: tuple[Units, Array], errors: Array) -> tuple[tuple[Units, Array], tuple[Array, Array]]:
        units, learned = carry
        phi, gradient, output = unit_outputs(problem.activation, units, features)
        f = (output - start) / problem.gamma0 + variances.readout_bias * problem.learning_rate / n * learned
        kernel = variances.readout_weight * phi[:, :, None] * phi[:, None]
        kernel += variances.trained[0] * gradient[:, :, None] * gradient[:, None] * first + variances.readout_bias
        return (learn(problem, units, features[:n], errors), learned + errors.sum()), (f, kernel)

    _, (f, kernel) = jax.lax.scan(step, (units, jnp.zeros(())), errors)
    return jnp.moveaxis(f, 0, 1), jnp.moveaxis(kernel, 0, 1)


@jax.jit
def _linearized(problem: Problem, units: Units, errors: Array) -> tuple[tuple[Array, Array], tuple[Array, Array]]:
    """Derivatives of mean f and NTK by the errors, and what each unit adds beyond the mean."""

    def mean(errors: Array) -> tuple[Array, Array]:
        f, kernel = _observed(problem, units, errors)
        return f.mean(axis=0), kernel.mean(axis=0)

    f, kernel = _observed(problem, units, errors)
    return jax.jacfwd(mean)(errors), (f - f.mean(axis=0), kernel - kernel.mean(axis=0))


@jax.jit
def _of_quadratic_units(problem: Problem, errors: Array) -> tuple[Array, Array]:
    """Rows whose mean products are the covariances of one unit of a linear network.

    What it adds is x' M x for its r weights x, standard normal; Cov[x' M x, x' M' x] = 2 sum_ab M_ab M'_ab.
    """
    size = problem.features.shape[1] + 1

    def observed(entries: Array) -> tuple[Array, Array]:
        readout = jnp.sqrt(problem.variances.readout_weight) * entries[None, -1]
        f, kernel = _observed(problem, Units(entries[None, :-1], readout), errors)
        return f[0], kernel[0]

    halves = jax.hessian(observed)(jnp.zeros(size))
    f, kernel = (jnp.moveaxis(part.reshape(*part.shape[:-2], -1), -1, 0) for part in halves)
    return f * size / jnp.sqrt(2.0), kernel * size / jnp.sqrt(2.0)


def _with_feedback(
    by_errors: tuple[np.ndarray, np.ndarray], own: tuple[np.ndarray, np.ndarray]
) -> tuple[np.ndarray, np.ndarray]:
    """What each unit changes f and the NTK by, through the errors, too."""
    n_times, n = by_errors[0].shape[2:]
    size = n_times * n
    feedback = np.eye(size) + by_errors[0][:, :n].reshape(size, size)
    errors = -np.linalg.solve(feedback, own[0][:, :, :n].reshape(-1, size).T).T.reshape(-1, n_times, n)
    f, kernel = (part + np.tensordot(errors, by, ((1, 2), (-2, -1))) for part, by in zip(own, by_errors, strict=True))
    return f, kernel
