"""Learning rates that are stable and not slow, measured on a network before it is trained."""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from ntkkit.finite._training_steps import Rows, Settings
from ntkkit.finite.losses import Loss
from ntkkit.finite.parametrization import FiniteNetwork
from ntkkit.networks.convolution import convolving_by_products

# Steps of the power method: the largest eigenvalue is then right to a few per cent, from below.
ITERATIONS = 30
# How many batches are looked at, where there is more than one.
BATCHES = 4
# How far the first step of Adam moves outputs, as a part of how far they are from their targets.
FIRST_STEP = 0.5
# Of how many rows, at most.
SEEN = 256
# Learning rates, as a part of 1 / the fastest rate: they are stable up to 2 and 3.8, but kernels grow in training.
STEPS = {"sgd": 0.5, "momentum": 0.2}
# The learning rate of noisy gradient descent, as a part of 1 / the fastest rate: variances are off by half of that.
NOISY_STEP = 0.1


def default_rate(network: FiniteNetwork, params: Any, rows: Rows, settings: Settings, weight_decay: float) -> float:
    """A learning rate for an optimizer by name, before the scale of the parametrisation."""
    if settings.optimizer == "adam":
        return _adaptive_rate(network, params, rows, settings.loss) / rate_scale(network, settings.optimizer)
    if settings.curvature is None:
        raise ValueError("learning_rate=None needs a loss by name, whose second derivative is known: give one.")
    fastest = fastest_rate(network, params, rows, settings, weight_decay)
    return (NOISY_STEP if settings.noisy else STEPS[settings.optimizer]) / fastest if fastest > 0 else 1.0


def rate_scale(network: FiniteNetwork, optimizer: Any) -> float:
    """What the parametrisation multiplies learning rates by: where steps do not grow with gradients, by the root."""
    if not isinstance(optimizer, str):
        return 1.0
    scale = float(network.learning_rate_scale)
    return math.sqrt(scale) if optimizer == "adam" else scale


def fastest_rate(network: FiniteNetwork, params: Any, rows: Rows, settings: Settings, weight_decay: float) -> float:
    """How fast gradient descent on one network learns at most: from 2 / this on, learning rates are not stable."""
    assert settings.curvature is not None  # whoever asks has looked
    largest = largest_eigenvalue(network, params, rows, settings.batch_size)
    return float(network.learning_rate_scale) * (settings.curvature * largest + weight_decay)


def largest_eigenvalue(network: FiniteNetwork, params: Any, rows: Rows, batch_size: int | None) -> float:
    """The largest eigenvalue of one network's empirical NTK, J J', between the rows.

    Of batches it is the largest of a few, times n / batch_size: what bounds a learning rate there.
    """
    n, rng = int(np.sum(rows.weights)), np.random.default_rng(0)
    if batch_size is None:
        return float(_top_eigenvalue(network, params, rows.X, rows.weights, rng.standard_normal(rows.y.shape)))
    found = []
    for _ in range(BATCHES):
        places = rng.choice(n, batch_size, replace=False)
        v = rng.standard_normal((batch_size, rows.y.shape[1]))
        found.append(float(_top_eigenvalue(network, params, rows.X[places], rows.weights[places], v)))
    return max(found) * n / batch_size


@jax.jit
def _top_eigenvalue(network: FiniteNetwork, params: Any, X: Array, weights: Array, v: Array) -> Array:
    v = v.astype(X.dtype)

    def apply(params: Any) -> Array:
        return network.apply(params, X)

    with convolving_by_products():
        _, push = jax.linearize(apply, params)
    pull = jax.linear_transpose(push, params)

    def step(_: Any, state: tuple[Array, Array]) -> tuple[Array, Array]:
        w = weights[:, None] * push(pull(state[0])[0])
        norm = jnp.linalg.norm(w)
        return w / jnp.where(norm > 0, norm, 1), norm

    v = weights[:, None] * v
    return jax.lax.fori_loop(0, ITERATIONS, step, (v / jnp.linalg.norm(v), jnp.zeros((), v.dtype)))[1]


def _adaptive_rate(network: FiniteNetwork, params: Any, rows: Rows, loss: Loss) -> float:
    """The learning rate at which the first step of Adam moves outputs on average by `FIRST_STEP` of the targets.

    That step moves each parameter by the learning rate against the sign of its slope.
    """
    first = rows._replace(offsets=rows.offsets if np.ndim(rows.offsets) == 0 else rows.offsets[0]).part(slice(SEEN))
    moved, scale = (float(value) for value in _first_step(network, params, first, loss=loss))
    return FIRST_STEP * scale / moved if moved > 0 and scale > 0 else 1.0


@partial(jax.jit, static_argnames="loss")
def _first_step(network: FiniteNetwork, params: Any, rows: Rows, *, loss: Loss) -> tuple[Array, Array]:
    """How far outputs of one network move for a learning rate of 1, to first order; and how large targets are."""

    def apply(params: Any) -> Array:
        return network.apply(params, rows.X) - rows.offsets

    def size(outputs: Array) -> Array:
        return jnp.sqrt(jnp.sum(rows.weights[:, None] * outputs**2) / jnp.sum(rows.weights) / rows.y.shape[1])

    slopes = jax.grad(lambda params: jnp.sum(rows.weights * loss(apply(params), rows.y)))(params)
    return size(jax.jvp(apply, (params,), (jax.tree.map(jnp.sign, slopes),))[1]), size(rows.y)
