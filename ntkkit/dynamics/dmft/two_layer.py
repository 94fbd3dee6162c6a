"""One hidden layer: its units are independent of one another given the errors, and each follows gradient descent."""

from __future__ import annotations

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from scipy.stats import qmc

from ntkkit.dynamics.dmft.path import Path
from ntkkit.dynamics.dmft.problem import Lazy, Problem, Variances, slopes
from ntkkit.networks.activations import Activation


class Units(NamedTuple):
    """A population of hidden units, which stand for the distribution of all.

    Attributes
    ----------
    weights : array of shape (n_units, r)
        What features of a point are multiplied by: h = weights . features.
    readout : array of shape (n_units,)
        z, the weight that phi(h) has in the output times the root of the width; of variance `readout_weight_var`.
    """

    weights: Any
    readout: Any


def draw_units(problem: Problem, n_units: int, random_state: np.random.Generator) -> Units:
    """Units before training: Gaussian, spread by a scrambled Sobol sequence, with second moments that are exact.

    They come in pairs z and -z, so that outputs are 0 and errors even in gamma0. Fewer than four a weight keep the
    second moments of the sequence.
    """
    size = problem.features.shape[1] + 1
    # scipy 1.13 knows no `rng`
    entries = qmc.MultivariateNormalQMC(np.zeros(size), seed=random_state).random(n_units // 2)
    if len(entries) >= 2 * size:
        root = np.linalg.cholesky(entries.T @ entries / len(entries))
        entries = np.linalg.solve(root, entries.T).T
    readout = np.sqrt(problem.variances.readout_weight) * entries[:, -1]
    return Units(np.concatenate([entries[:, :-1], entries[:, :-1]]), np.concatenate([readout, -readout]))


def unit_outputs(activation: Activation, units: Units, features: Array) -> tuple[Array, Array, Array]:
    """phi(h), g = phi'(h) z and z phi(h) of each unit and point, (n_units, n_points)."""
    phi, slope = slopes(activation, units.weights @ features.T)
    return phi, slope * units.readout[:, None], units.readout[:, None] * phi


def learn(problem: Problem, units: Units, features: Any, errors: Any) -> Units:
    """Units after a step, from the errors (n,) at the training points, whose features these are."""
    phi, gradient, _ = unit_outputs(problem.activation, units, features)
    return Units(
        units.weights + problem.variances.trained[0] * problem.pace * (gradient * errors) @ features,
        units.readout + problem.variances.readout_weight * problem.pace * phi @ errors,
    )


def unit_kernels(activation: Activation, units: Units, first: Array, second: Array) -> tuple[Array, Array]:
    """E[phi phi] and E[g g] over units: features (n, r), (m, r) -> (n, m)."""
    one, other = unit_outputs(activation, units, first), unit_outputs(activation, units, second)
    return one[0].T @ other[0] / len(units.readout), one[1].T @ other[1] / len(units.readout)


def ntk_of(variances: Variances, first: Array, phi: Array, gradient: Array) -> Array:
    """The NTK from the covariance of the first layer and E[phi phi], E[g g]."""
    return variances.trained[0] * gradient * first + variances.readout_weight * phi + variances.readout_bias


@functools.partial(jax.jit, static_argnames=("with_kernels",))
def train_units(problem: Problem, lazy_ntk: Array, units: Units, *, with_kernels: bool) -> tuple[Units, Array, Any]:
    r"""Units after training, predictions (n_times, n_points), and E[phi phi] and E[g g] at each time.

    f(t) = E[z phi(h)] / gamma0 at t, minus the same at 0, plus (learning_rate / n) (Theta - Theta_units) sum_(s < t)
    Delta(s): what the population's NTK before training lacks. It contains the readout's bias.
    """
    n, activation = len(problem.targets), problem.activation
    features = jnp.asarray(problem.features)
    known = features[:n]
    kernels = unit_kernels(activation, units, features, known)
    lacking = lazy_ntk[:, :n] - ntk_of(problem.variances, features @ known.T, *kernels) + problem.variances.readout_bias
    start = unit_outputs(activation, units, features)[2].mean(axis=0)

    def step(carry: tuple[Units, Array], _: None) -> tuple[tuple[Units, Array], tuple[Array, Any]]:
        units, learned = carry
        moved = unit_outputs(activation, units, features)[2].mean(axis=0) - start
        f = moved / problem.gamma0 + problem.learning_rate / n * lacking @ learned
        errors = problem.targets - f[:n]
        kernels = unit_kernels(activation, units, features, features) if with_kernels else ()
        return (learn(problem, units, known, errors), learned + errors), (f, kernels)

    steps = problem.n_steps  # the last units are those before the step that is not taken
    carry, (f, kernels) = jax.lax.scan(step, (units, jnp.zeros(n)), None, length=steps)
    _, (last, last_kernels) = step(carry, None)
    joined = jax.tree.map(lambda path, end: jnp.concatenate([path, end[None]]), (f, kernels), (last, last_kernels))
    return carry[0], *joined


def solve_two_layer(problem: Problem, lazy: Lazy, units: Units) -> Path:
    """The path of one population, its kernels relative to the exact ones before training."""
    _, predictions, kernels = train_units(problem, lazy.ntk, units, with_kernels=True)
    phi, gradient = (np.array(kernel) for kernel in kernels)
    phi = lazy.features[0] + (phi - phi[0])
    gradient = lazy.gradients[0] + (gradient - gradient[0])
    return Path.of_kernels(problem.variances, np.array(predictions), lazy.preactivations[0], [phi], [gradient])
