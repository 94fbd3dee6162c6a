r"""Two hidden layers and more: a population of units for each layer, in one sweep through time.

With c = gamma0 learning_rate / n, errors Delta, and in each layer Gaussian fields u of covariance
S_l = w E[phi_(l-1) phi_(l-1)] + b and r of covariance R_l = w E[g_(l+1) g_(l+1)], a unit follows

    h(t) = u(t) + sum_(s < t) [A_(l-1)(t, s) + c S_l(t, s) Delta(s)] g(s),
    z(t) = r(t) + sum_(s <= t) B_l(t, s) phi(h(s)) + sum_(s < t) c R_l(t, s) Delta(s) phi(h(s)),    g = phi'(h) z,
    A_l(t, s) = w E[d phi(h_l(t)) / d r_l(s)],    B_(l-1)(t, s) = w E[d g_l(t) / d u_l(s)],

sums over training points understood. Outputs are what h of the readout would be with g = 1, over gamma0. No time
depends on a later one: a sweep that goes up the layers and down again at each step finds all, without a fixed point to
iterate for, and its dynamics are those of steps, not of a flow.

u of a layer is made from the units below by a random orthogonal matrix, so that it has their covariance. A triangular
matrix makes that exact before training, where it is known: what is left of sampling goes to 0 with gamma0.
"""

from __future__ import annotations

from typing import Any, NamedTuple, Self

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from scipy.linalg import cholesky, hadamard, solve_triangular

from ntkkit.dynamics.dmft.path import Path
from ntkkit.dynamics.dmft.problem import Lazy, Problem, check_memory, curvatures

# Of a covariance's diagonal: what is added before it, or that of a sample, is factored.
RIDGE = 1e-10


class Layer(NamedTuple):
    """What is drawn for a hidden layer before the sweep. Arrays of units have them along the last axis.

    Attributes
    ----------
    source : array of shape (n_points, n_units)
        u before training; in the first layer it stays so.
    readout : array of shape (n_units,)
        r of the last layer, the same at all times and points.
    bias : array of shape (n_units,)
    mix, mix_back : (permutation, signs, signs)
        The orthogonal matrices that make u from the layer below, and r from the one above.
    fit, fit_back : array of shape (n_points, n_points)
        What makes right, before training, the covariances of u, and of r.
    slopes : array of shape (n_points, n_points)
        E[phi' phi'] before training, less that of the units.
    offset : array of shape (n_points,)
        E[phi'' r] of the units before training, 0 in truth.
    """

    source: Any
    readout: Any
    bias: Any
    mix: Any
    mix_back: Any
    fit: Any
    fit_back: Any
    slopes: Any
    offset: Any


class History(NamedTuple):
    """A layer up to now; times come first, later ones hold 0.

    Columns of derivatives are by u of all (time, point), but in the first layer, then by r of all (time, point), in the
    last layer by the one r.

    Attributes
    ----------
    source, back : array of shape (n_times, n_points, n_units)
        u and r.
    phi, gradient : array of shape (n_times, n_points, n_units)
        phi(h) and g.
    phi_by, gradient_by : array of shape (n_times, n_points, n_columns, n_units)
        Their derivatives.
    """

    source: Array
    back: Array
    phi: Array
    gradient: Array
    phi_by: Array
    gradient_by: Array

    @classmethod
    def empty(cls, index: int, problem: Problem, n_points: int, n_units: int) -> Self:
        """Of a hidden layer, counted from 0."""
        size = problem.n_times * n_points
        n_columns = (size if index else 0) + (size if index < problem.depth - 1 else 1)
        units = jnp.zeros((problem.n_times, n_points, n_units))
        by = jnp.zeros((problem.n_times, n_points, n_columns, n_units))
        return cls(units, units, units, units, by, by)


def solve_deep(problem: Problem, lazy: Lazy, n_units: int, random_state: np.random.Generator) -> Path:
    """The path of one population, its kernels relative to the exact ones before training."""
    layers, readout_fit = _draw_layers(problem, lazy, n_units, random_state)
    mixing = hadamard(n_units, dtype=np.float64) / np.sqrt(n_units)
    predictions, phis, gradients = jax.tree.map(np.array, _sweep(problem, layers, readout_fit, mixing))
    return Path.of_kernels(
        problem.variances,
        predictions,
        lazy.preactivations[0],
        [exact + (units - units[0]) for exact, units in zip(lazy.features, phis, strict=True)],
        [exact + (units - units[0]) for exact, units in zip(lazy.gradients, gradients, strict=True)],
    )


def check_deep_memory(problem: Problem, n_units: int) -> None:
    """Say what a sweep takes before it is taken.

    Raises
    ------
    MemoryError
        If there is less.
    """
    n_points, n_times = len(problem.features), problem.n_times
    size, depth = n_points * n_times, problem.depth
    columns = 2 * (depth - 1) * size + 1
    check_memory(
        16.0 * n_units * size * (2 * columns + 6 * depth),
        f"Mean-field theory of {n_points} points, {problem.n_steps} steps, {depth} hidden layers and {n_units} units",
        "take fewer points, steps or n_units, or a network with depth=1, whose units need no derivatives",
    )


def _draw_layers(
    problem: Problem, lazy: Lazy, n_units: int, random_state: np.random.Generator
) -> tuple[list[Layer], np.ndarray]:
    """The layers, and what makes E[phi phi] of the last one right."""
    variances, depth = problem.variances, problem.depth
    mixes = [(_draw_mix(n_units, random_state), _draw_mix(n_units, random_state)) for _ in range(depth)]
    normal = random_state.standard_normal((depth + 1, n_units))
    normal /= np.sqrt((normal**2).mean(axis=1, keepdims=True))
    readout, biases = np.sqrt(variances.readout_weight) * normal[-1], np.sqrt(variances.bias) * normal[:-1]
    mixing = hadamard(n_units, dtype=np.float64) / np.sqrt(n_units)
    below, ups = random_state.standard_normal((len(problem.features), n_units)), []
    for index, exact in enumerate(lazy.preactivations[:-1]):
        if index:
            below = np.sqrt(variances.weight) * mixed(below, mixes[index][0], mixing) + biases[index]
        fit = _fit(below, exact)
        source = fit @ below
        below, slope, curvature = (np.array(part) for part in _curvatures(problem.activation, source))
        ups.append((source, fit, slope, curvature))
    readout_fit = _fit(below, lazy.features[-1])
    back = np.broadcast_to(readout, below.shape)
    layers: list[Layer] = []
    for index in reversed(range(depth)):
        source, fit, slope, curvature = ups[index]
        fit_back = np.eye(len(source))
        if index < depth - 1:
            back = np.sqrt(variances.weight) * mixed(back, mixes[index][1], mixing)
            fit_back = _fit(back, variances.weight * lazy.gradients[index + 1])
            back = fit_back @ back
        slopes = lazy.derivatives[index] - slope @ slope.T / n_units
        offset = (curvature * back).mean(axis=1)
        layers.insert(0, Layer(source, readout, biases[index], *mixes[index], fit, fit_back, slopes, offset))
        back = slope * back
    return layers, readout_fit


def _draw_mix(n_units: int, random_state: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    signs = random_state.integers(2, size=(2, n_units)) * 2.0 - 1
    return random_state.permutation(n_units), signs[0], signs[1]


def mixed(units: Any, mix: Any, mixing: Any) -> Any:
    """A random orthogonal matrix times units, (n_points, n_units): signs, a Hadamard matrix, signs."""
    permutation, before, after = mix
    return (units[:, permutation] * before) @ mixing * after


def _fit(sample: np.ndarray, exact: np.ndarray) -> np.ndarray:
    """The triangular matrix that gives a sample, (n_points, n_units), this covariance. Later points change no row."""
    found = sample @ sample.T / sample.shape[1]
    wanted, had = (
        cholesky(matrix + np.diag(RIDGE * matrix.diagonal() + np.finfo(float).tiny), lower=True)
        for matrix in (exact, found)
    )
    return solve_triangular(had, wanted.T, lower=True, trans="T").T


_curvatures = jax.jit(curvatures)


class _Now(NamedTuple):
    """What a step needs of its time.

    Attributes
    ----------
    t : Array
    errors : array of shape (n_times, n_points)
        Delta at earlier times, 0 from now on and at points that are not trained on.
    unit : array of shape (n_points, n_times n_points)
        1 at (now, the point).
    mixing : array of shape (n_units, n_units)
        A Hadamard matrix, normalised.
    """

    t: Array
    errors: Array
    unit: Array
    mixing: Array

    def learned(self, problem: Problem, covariance: Array) -> Array:
        """c S(t, s) Delta(s): (n_points, n_times, n_points) -> (n_points, n_times n_points)."""
        return problem.pace * (covariance * self.errors).reshape(len(covariance), -1)


class _Up(NamedTuple):
    """A layer on the way up: phi' and phi'' of its units, and h by u and r."""

    slope: Array
    curvature: Array
    h_by: Array


@jax.jit
def _sweep(
    problem: Problem, layers: list[Layer], readout_fit: Array, mixing: Array
) -> tuple[Array, list[Array], list[Array]]:
    """Predictions at all times, and E[phi phi] and E[g g] of the units of each layer."""
    n_points, n_units = layers[0].source.shape
    n_times, n = problem.n_times, len(problem.targets)
    targets = jnp.concatenate([jnp.asarray(problem.targets), jnp.zeros(n_points - n)])
    trained_on = jnp.arange(n_points) < n
    first = jnp.asarray(problem.features) @ jnp.asarray(problem.features).T

    def step(carry: tuple[list[History], Array], t: Array) -> tuple[Any, Array]:
        histories, errors = carry
        unit = (jax.nn.one_hot(t, n_times)[:, None] * jnp.eye(n_points)[:, None]).reshape(n_points, -1)
        now = _Now(t, errors, unit, mixing)
        histories, ups, response = _go_up(problem, now, layers, histories, first)
        phi = histories[-1].phi
        covariance = jnp.einsum("ab,btc,dc->atd", readout_fit, _covariances(phi[t], phi), readout_fit)
        covariance = problem.variances.readout_weight * covariance + problem.variances.readout_bias
        f = (response[:, 0] + now.learned(problem, covariance).sum(axis=1)) / problem.gamma0
        histories = _go_down(problem, now, layers, histories, ups)
        return (histories, errors.at[t].set(jnp.where(trained_on, targets - f, 0))), f

    start = [History.empty(index, problem, n_points, n_units) for index in range(len(layers))]
    (histories, _), predictions = jax.lax.scan(step, (start, jnp.zeros((n_times, n_points))), jnp.arange(n_times))
    return (
        predictions,
        [_at_equal_times(history.phi) for history in histories],
        [_at_equal_times(history.gradient) for history in histories],
    )


def _go_up(
    problem: Problem, now: _Now, layers: list[Layer], histories: list[History], first: Array
) -> tuple[list[History], list[_Up], Array]:
    """Features of all layers at a time, and A of the readout, with E[r r] for a factor."""
    weight, depth = problem.variances.weight, len(layers)
    n_points, n_times = now.errors.shape[1], len(now.errors)
    after: list[History] = []
    ups: list[_Up] = []
    source, covariance = layers[0].source, jnp.broadcast_to(first[:, None], (n_points, n_times, n_points))
    response = jnp.zeros_like(now.unit)
    for index, (layer, history) in enumerate(zip(layers, histories, strict=True)):
        if index:
            below = jnp.sqrt(weight) * mixed(after[-1].phi[now.t], layer.mix, now.mixing) + layer.bias
            source = layer.fit @ below
            history = history._replace(source=history.source.at[now.t].set(source))
            covariance = _covariances(source, history.source)
        pull = response + problem.variances.trained[index] * now.learned(problem, covariance)
        n_of_u = pull.shape[1] if index else 0
        h = source + jnp.tensordot(pull, _flat(history.gradient), 1)
        h_by = jnp.tensordot(pull, _flat(history.gradient_by), 1).at[:, :n_of_u].add(now.unit[:, :n_of_u, None])
        phi, slope, curvature = curvatures(problem.activation, h)
        phi_by = slope[:, None] * h_by
        missed = jnp.tile(layer.slopes, n_times) * pull
        is_last = index == depth - 1
        response = phi_by[:, n_of_u:].mean(axis=2) + (missed.sum(axis=1, keepdims=True) if is_last else missed)
        response = response * (problem.variances.readout_weight if is_last else weight)
        after.append(history._replace(phi=history.phi.at[now.t].set(phi), phi_by=history.phi_by.at[now.t].set(phi_by)))
        ups.append(_Up(slope, curvature, h_by))
    return after, ups, response


def _go_down(
    problem: Problem, now: _Now, layers: list[Layer], histories: list[History], ups: list[_Up]
) -> list[History]:
    """Gradients of all layers at a time."""
    weight, readout_weight = problem.variances.weight, problem.variances.readout_weight
    n_times, n_points = now.errors.shape
    back, back_by = jnp.broadcast_to(layers[-1].readout, layers[-1].source.shape), jnp.ones((n_points, 1))
    covariance = readout_weight * jnp.ones((n_points, n_times, n_points))
    response, rate, after = jnp.zeros_like(now.unit), 1.0, list(histories)
    for index in reversed(range(len(layers))):
        layer, history, up = layers[index], histories[index], ups[index]
        if index < len(layers) - 1:
            above = mixed(after[index + 1].gradient[now.t], layer.mix_back, now.mixing)
            back, back_by = layer.fit_back @ (jnp.sqrt(weight) * above), now.unit
            history = history._replace(back=history.back.at[now.t].set(back))
            covariance = _covariances(back, history.back)
        pull = response + rate * now.learned(problem, covariance)
        n_of_u = pull.shape[1] if index else 0
        z = back + jnp.tensordot(pull, _flat(history.phi), 1)
        z_by = jnp.tensordot(pull, _flat(history.phi_by), 1).at[:, n_of_u:].add(back_by[:, :, None])
        gradient = up.slope * z
        gradient_by = (up.curvature * z)[:, None] * up.h_by + up.slope[:, None] * z_by
        after[index] = history._replace(
            gradient=history.gradient.at[now.t].set(gradient),
            gradient_by=history.gradient_by.at[now.t].set(gradient_by),
        )
        if index:
            response = weight * (gradient_by[:, :n_of_u].mean(axis=2) - layer.offset[:, None] * now.unit)
        rate = problem.variances.trained[index]
    return after


def _flat(history: Array) -> Array:
    """(n_times, n_points, ...) -> (n_times n_points, ...)."""
    return history.reshape(-1, *history.shape[2:])


def _covariances(units: Array, history: Array) -> Array:
    """Of units now, (n_points, n_units), with all times: (n_points, n_times, n_points)."""
    return jnp.einsum("ns,tms->ntm", units, history) / units.shape[1]


def _at_equal_times(history: Array) -> Array:
    """(n_times, n_points, n_units) -> (n_times, n_points, n_points)."""
    return jnp.einsum("tns,tms->tnm", history, history) / history.shape[2]
