"""Dynamical mean-field theory: how networks learn that are infinitely wide and yet learn features."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import jax
import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import check_random_state

from ntkkit.dynamics.dmft.deep import check_deep_memory, solve_deep
from ntkkit.dynamics.dmft.linear import solve_linear
from ntkkit.dynamics.dmft.path import Path
from ntkkit.dynamics.dmft.problem import Lazy, Problem, check_memory, has_kink, make_problem
from ntkkit.dynamics.dmft.two_layer import draw_units, solve_two_layer
from ntkkit.engine.precision import in_x64
from ntkkit.engine.progress import Progress, reporting
from ntkkit.networks.activations import Identity
from ntkkit.networks.value import check_count

# How many times larger than at first an error must be to say that training diverged.
DIVERGED = 10.0
# What part of the first loss a step may add to it before a warning.
OVERSHOT = 0.01


@dataclass(frozen=True, eq=False)
class MeanField:
    """An infinitely wide network while it learns, see `solve`.

    Points are those of training, n, then those of X_test, m; times are steps from 0 to n_steps.

    Attributes
    ----------
    times : ndarray of shape (n_steps + 1,)
        learning_rate times steps.
    predictions : ndarray of shape (n_steps + 1, n + m)
        f, 0 at first.
    standard_errors : ndarray of shape (n_steps + 1, n + m)
        Of predictions, from the spread of populations; 0 for linear networks, whose equations close.
    ntk : ndarray of shape (n_steps + 1, n + m, n + m)
        The tangent kernel, which changes.
    features, gradients : list of ndarray of shape (n_steps + 1, n + m, n + m)
        Phi = E[phi(h) phi(h)] and G = E[g g] of each hidden layer.
    targets : ndarray of shape (n,)
    gamma0, learning_rate : float
    """

    times: np.ndarray
    predictions: np.ndarray
    standard_errors: np.ndarray
    ntk: np.ndarray
    features: list[np.ndarray]
    gradients: list[np.ndarray]
    targets: np.ndarray
    gamma0: float
    learning_rate: float

    @property
    def errors(self) -> np.ndarray:
        """Delta = y - f of the training points, (n_steps + 1, n)."""
        return self.targets - self.predictions[:, : len(self.targets)]

    @cached_property
    def lazy_predictions(self) -> np.ndarray:
        """Those of a kernel that stays as it was: gradient descent with the NTK, (n_steps + 1, n + m)."""
        n, kernel = len(self.targets), self.ntk[0]
        f = np.zeros_like(self.predictions)
        for t in range(len(f) - 1):
            f[t + 1] = f[t] + self.learning_rate / n * kernel[:, :n] @ (self.targets - f[t, :n])
        return f


def solve(
    network: Any,
    X: Any,
    y: Any,
    X_test: Any = None,
    *,
    gamma0: float = 1.0,
    learning_rate: float | None = None,
    n_steps: int = 100,
    n_units: int | None = None,
    n_populations: int = 4,
    random_state: Any = None,
    progress: Progress = False,
) -> MeanField:
    r"""Gradient descent of an infinitely wide network in the mean-field ("mup") parametrisation.

    The limit of `FiniteNetwork(network, width, "mup", gamma0)` as the width grows: outputs f(theta) / (gamma0 sqrt N),
    less those at the start, under full-batch gradient descent on (1 / 2n) sum (y - f)^2 at the rate
    learning_rate gamma0^2 N. (`NetworkTrainer` minimises the sum: its learning rate is learning_rate / n.)
    Preactivations h and gradients g = phi'(h) z of a unit follow, with c = gamma0 learning_rate / n and Delta = y - f,

        h_l(t) = u_l(t) + sum_(s < t) [A_(l-1)(t, s) + c (w Phi_(l-1)(t, s) + b) Delta(s)] g_l(s),
        z_l(t) = r_l(t) + sum_(s <= t) B_l(t, s) phi(h_l(s)) + sum_(s < t) c w G_(l+1)(t, s) Delta(s) phi(h_l(s)),

    with Gaussian u_l of covariance w Phi_(l-1) + b and r_l of covariance w G_(l+1), Phi = E[phi phi], G = E[g g], and
    responses A_l = w E[d phi(h_l) / d r_l], B_(l-1) = w E[d g_l / d u_l]. gamma0 is the strength of feature learning;
    as it goes to 0, f is that of the NTK, to 1e-6 from gamma0 = 1e-4 on.

    Equations of linear networks close, and are solved exactly. Otherwise expectations are means over populations of
    units, whose error falls like 1 / sqrt(n_units n_populations) or faster, and vanishes with gamma0. Nothing at a time
    depends on later times, so that one sweep solves them: there is no fixed point to converge to. Times are steps, not
    those of a flow.

    Parameters
    ----------
    network : FullyConnected
        With any variances, biases and frozen layers. Two hidden layers or more need an activation without kinks: "erf",
        "gelu", jax.numpy.tanh, or "identity"; one takes any that has a derivative.
    X : array-like of shape (n, d)
        Training points.
    y : array-like of shape (n,)
        Targets.
    X_test : array-like of shape (m, d), optional
        Other points; they change nothing for the rest.
    gamma0 : float, default=1.0
        In (0, inf).
    learning_rate : float, optional
        In (0, inf). None takes n / (4 lambda), lambda the largest eigenvalue of the NTK: an eighth of what is stable
        before the kernel grows. Where errors rise on the way, a `ConvergenceWarning` says so.
    n_steps : int, default=100
        >= 1.
    n_units : int, optional
        Units of a population, a power of 2; more than 2 (n + m), with one hidden layer than 2 (d + 2) if that is less.
        None takes 8192 with one hidden layer, 1024 with more.
    n_populations : int, default=4
        >= 2. Independent ones: their spread gives standard errors.
    random_state : int, RandomState instance or None, default=None
        Of units.
    progress : bool or callable, default=False
        A bar of populations.

    Returns
    -------
    MeanField

    Raises
    ------
    TypeError, ValueError
        For bad input, a network whose equations are not known, or training that diverges; the message says at which
        learning rate it would not.
    MemoryError
        If there is too little, before anything is computed.

    Notes
    -----
    One hidden layer costs n_units (n + m) d n_steps a population; more cost n_units ((n + m) n_steps)^3, and
    64 n_units ((n + m) n_steps)^2 bytes for each hidden layer but the first. Of two hidden layers, 3 points and 20
    steps take a second a population, 10 points and 20 steps nine seconds and 3 GB.

    References
    ----------
    Bordelon, Pehlevan (2022), Self-consistent dynamical field theory of kernel evolution in wide neural networks.

    Examples
    --------
    A linear network of one hidden layer on one point, whose kernel is 2 sqrt(1 + gamma0^2 f^2) in continuous time:

    >>> from ntkkit import FullyConnected
    >>> from ntkkit.dynamics import dmft
    >>> network = FullyConnected(depth=1, activation="identity", weight_var=1.0, bias_var=0.0)
    >>> theory = dmft.solve(network, [[1.0]], [1.0], gamma0=2.0, learning_rate=0.001, n_steps=500)
    >>> theory.ntk[-1].round(2), (2 * (1 + (2 * theory.predictions[-1]) ** 2) ** 0.5).round(2)
    (array([[3.57]]), array([3.57]))
    """
    check_count(n_steps, "n_steps", low=1)
    check_count(n_populations, "n_populations", low=2)
    problem, lazy = make_problem(network, X, y, X_test, gamma0=gamma0, learning_rate=learning_rate, n_steps=n_steps)
    sample = _choose(problem, lazy, n_units)
    if sample is None:
        with np.errstate(over="ignore", invalid="ignore"):  # of training that diverges, which is told below
            paths = [solve_linear(problem, lazy)]
    else:
        seeds = check_random_state(random_state).randint(2**31, size=n_populations)
        with reporting(progress, n_populations, unit="population") as done:
            paths = []
            for seed in seeds:
                paths.append(in_x64(sample, np.random.default_rng(seed)))
                done(1)
    mean: Path = jax.tree.map(lambda *parts: np.mean(parts, axis=0), *paths)
    n = len(problem.targets)
    check_stable(problem, problem.targets - mean.predictions[:, :n], mean.ntk[:, :n, :n])
    spread = np.std([path.predictions for path in paths], axis=0, ddof=1 if len(paths) > 1 else 0)
    return MeanField(
        times=problem.learning_rate * np.arange(problem.n_times),
        standard_errors=spread / np.sqrt(len(paths)),
        targets=problem.targets,
        gamma0=problem.gamma0,
        learning_rate=problem.learning_rate,
        **mean._asdict(),
    )


def _choose(problem: Problem, lazy: Lazy, n_units: int | None) -> Callable[[np.random.Generator], Path] | None:
    """What solves the equations from one draw of units; None where nothing must be drawn."""
    if problem.depth == 0 or isinstance(problem.activation, Identity):
        return None
    n_units = (8192 if problem.depth == 1 else 1024) if n_units is None else n_units
    check_units(problem, n_units)
    n_points, n_times = len(problem.features), problem.n_times
    check_memory(
        8.0 * (n_times * n_points**2 * (6 + 4 * problem.depth) + 6 * n_units * n_points),
        f"Kernels of {n_points} points at {n_times} times",
        "take fewer points or steps",
    )
    if problem.depth == 1:
        return lambda rng: solve_two_layer(problem, lazy, draw_units(problem, n_units, rng))
    if has_kink(problem.activation):
        raise ValueError(
            f"{problem.activation!r} has a kink, and the theory of {problem.depth} hidden layers needs phi'': take "
            "depth=1, or a smooth activation such as 'gelu', 'erf' or jax.numpy.tanh."
        )
    check_deep_memory(problem, n_units)
    return lambda rng: solve_deep(problem, lazy, n_units, rng)


def check_units(problem: Problem, n_units: Any) -> None:
    """Check how many units a population has.

    Raises
    ------
    ValueError
        If that is no power of 2, or too few for the points.
    """
    check_count(n_units, "n_units", low=2)
    n_points, size = problem.features.shape
    smallest = 2 * (min(n_points, size + 1) if problem.depth == 1 else n_points)
    if n_units & (n_units - 1) or n_units <= smallest:
        raise ValueError(
            f"n_units must be a power of 2, and above {smallest} for these points, found {n_units!r}: take "
            f"{2 ** max(10, int(smallest).bit_length())}."
        )


def check_stable(problem: Problem, errors: np.ndarray, ntk: np.ndarray) -> None:
    """Check that training did not diverge, and warn where its steps overshoot: populations then part from one another.

    Errors (n_times, n) and tangent kernels (n_times, n, n) are those of the training points.

    Raises
    ------
    ValueError
        If it did; with the learning rate at which it would not.
    """
    at = first_rise(errors)
    if at is None:
        return
    n, rate = len(problem.targets), problem.learning_rate
    eigenvalue = max(float(np.linalg.eigvalsh(ntk[t])[-1]) for t in {0, at - 1})
    found = (
        f"at step {at}: steps overshoot where learning_rate * lambda / n is above 2, lambda the largest eigenvalue of "
        f"the NTK; with learning_rate={rate:.3g} it has come to {rate * eigenvalue / n:.3g}. Take a learning_rate of "
        f"{min(rate / 2, n / (2 * eigenvalue)):.2g} or less, or a smaller gamma0."
    )
    if diverges(errors):
        raise ValueError(f"Training diverges {found}")
    warnings.warn(f"The training error rises {found}", ConvergenceWarning, stacklevel=3)


def diverges(errors: np.ndarray) -> bool:
    """Whether errors (n_times, n) leave all bounds."""
    largest = np.abs(errors).max(axis=1, initial=0)
    return bool((~(largest <= DIVERGED * max(largest[0], np.finfo(float).tiny))).any())


def first_rise(errors: np.ndarray) -> int | None:
    """The first step at which training errors, (n_times, n), rise, if there is one."""
    with np.errstate(over="ignore", invalid="ignore"):
        losses = (errors**2).sum(axis=1)
        rises = ~(np.diff(losses) <= OVERSHOT * losses[0])
    return int(rises.argmax()) + 1 if rises.any() else None
