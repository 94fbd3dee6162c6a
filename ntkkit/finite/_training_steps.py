"""Training an ensemble of finite networks, compiled: epochs of all networks at once."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from ntkkit.finite._langevin_steps import _normal
from ntkkit.finite.losses import Loss
from ntkkit.finite.parametrization import FiniteNetwork

# Epochs that one call trains for, at most: what it records has room for so many.
LEG = 64
MOMENTUM = 0.9
OPTIMIZERS = ("sgd", "momentum", "adam")


class Rows(NamedTuple):
    """Inputs, targets (n, k), and what is taken off the outputs: (n_networks, n, k), or 0."""

    X: Any
    y: Any
    offsets: Any


class Rates(NamedTuple):
    """Real-valued settings: what changes them does not recompile."""

    learning_rate: Any  # the scale of the parametrisation is in it
    weight_decay: Any
    temperature: Any
    patience: Any


class Settings(NamedTuple):
    """What does."""

    loss: Loss
    curvature: float | None  # the loss' second derivative, at most
    optimizer: Any
    batch_size: int | None
    noisy: bool


class Progressed(NamedTuple):
    """Where training is; each array has an axis of networks in front."""

    params: Any
    optimizer: Any
    best: Any = None  # parameters of the lowest held-out loss; None without held-out rows
    best_loss: Any = None
    best_epoch: Any = None
    since: Any = None  # epochs since then


def make_optimizer(optimizer: Any, learning_rate: Any) -> Any:
    """A name's optimizer of optax; a transformation of optax is taken as it is."""
    import optax

    if not isinstance(optimizer, str):
        return optimizer
    make: Callable[..., Any] = {
        "sgd": optax.sgd,
        "momentum": partial(optax.sgd, momentum=MOMENTUM),
        "adam": optax.adam,
    }[optimizer]
    return make(learning_rate)


@partial(jax.jit, static_argnames=("optimizer", "stopping"))
def start(params: Any, *, optimizer: Any, stopping: bool) -> Progressed:
    """Before the first epoch."""
    state = jax.vmap(make_optimizer(optimizer, 0.0).init)(params)
    if not stopping:
        return Progressed(params, state)
    n_networks = len(jax.tree.leaves(params)[0])
    none = jnp.zeros(n_networks, int)
    return Progressed(params, state, params, jnp.full(n_networks, jnp.inf), none, none)


@partial(jax.jit, static_argnames="settings")
def advance(
    network: FiniteNetwork,
    rows: Rows,
    held_out: Rows | None,
    at: Progressed,
    keys: Array,
    rates: Rates,
    first: Any,
    count: Any,
    *,
    settings: Settings,
) -> tuple[Progressed, Array, Array]:
    """Train for `count` epochs, `LEG` at most, from epoch `first` on, or until every network has stopped.

    Returns where it is then, and mean losses a row of the epochs (LEG, n_networks): of the batches as they were trained
    on, and of held-out rows behind each epoch. They are NaN where there are none.
    """
    n_networks = len(keys)
    axes = (0, 0, Rows(None, None, None if jnp.ndim(rows.offsets) == 0 else 0), None)
    train = jax.vmap(partial(_epoch, network, rates=rates, settings=settings), in_axes=axes)

    def going(state: Any) -> Array:
        index, at = state[0], state[1]
        return (index < count) & (True if held_out is None else jnp.any(at.since < rates.patience))

    def step(state: Any) -> Any:
        index, at, losses, outside = state
        params, optimizer, loss = train((at.params, at.optimizer), keys, rows, first + index)
        at = at._replace(params=params, optimizer=optimizer)
        losses = losses.at[index].set(loss)
        if held_out is None:
            return index + 1, at, losses, outside
        at, loss = _judged(network, held_out, at, first + index + 1, rates, settings)
        return index + 1, at, losses, outside.at[index].set(loss)

    nothing = jnp.full((LEG, n_networks), jnp.nan)
    _, at, losses, outside = jax.lax.while_loop(going, step, (0, at, nothing, nothing))
    return at, losses, outside


def _epoch(
    network: FiniteNetwork, state: tuple[Any, Any], key: Array, rows: Rows, epoch: Array, *, rates: Rates, settings: Any
) -> tuple[Any, Any, Array]:
    """One pass over the rows for one network: parameters, the optimizer's state, the mean loss a row."""
    n, size = len(rows.y), settings.batch_size
    key = jax.random.fold_in(key, epoch) if size or settings.noisy else key
    if size is None:
        return _step(network, *state, rows, key, rates=rates, settings=settings)
    order = jnp.argsort(jax.random.bits(key, (n,)))[: n // size * size].reshape(-1, size)

    def step(state: tuple[Any, Any], place: tuple[Array, Array]) -> tuple[tuple[Any, Any], Array]:
        number, part = place
        offsets = rows.offsets if jnp.ndim(rows.offsets) == 0 else rows.offsets[part]
        batch, step_key = Rows(rows.X[part], rows.y[part], offsets), jax.random.fold_in(key, number)
        params, optimizer, loss = _step(network, *state, batch, step_key, n / size, rates=rates, settings=settings)
        return (params, optimizer), loss

    state, losses = jax.lax.scan(step, state, (jnp.arange(len(order)), order))
    return *state, losses.mean()


def _step(
    network: FiniteNetwork,
    params: Any,
    optimizer: Any,
    rows: Rows,
    key: Array,
    weight: float = 1.0,
    *,
    rates: Rates,
    settings: Settings,
) -> tuple[Any, Any, Array]:
    """One step of one network on the loss of some rows, each counted `weight` times; the mean loss before it."""

    def energy(params: Any) -> Array:
        return weight * jnp.sum(settings.loss(network.apply(params, rows.X) - rows.offsets, rows.y))

    value, slopes = jax.value_and_grad(energy)(params)
    slopes = jax.tree.map(lambda slope, entry: slope + rates.weight_decay * entry, slopes, params)
    updates, optimizer = make_optimizer(settings.optimizer, rates.learning_rate).update(slopes, optimizer, params)
    if settings.noisy:
        spread = jnp.sqrt(2 * rates.temperature * rates.learning_rate)
        updates = jax.tree.map(lambda update, noise: update + spread * noise, updates, _normal(key, params))
    moved = jax.tree.map(
        lambda entry, update, trained: entry + update if trained else entry, params, updates, network.trained(params)
    )
    return moved, optimizer, value / weight / len(rows.y)


def _judged(
    network: FiniteNetwork, held_out: Rows, at: Progressed, epoch: Array, rates: Rates, settings: Settings
) -> tuple[Progressed, Array]:
    """The mean loss of held-out rows, and the parameters that have the lowest until a network has stopped."""

    def loss(params: Any, offsets: Array) -> Array:
        return jnp.mean(settings.loss(network.apply(params, held_out.X) - offsets, held_out.y))

    found = jax.vmap(loss, in_axes=(0, None if jnp.ndim(held_out.offsets) == 0 else 0))(at.params, held_out.offsets)
    active = at.since < rates.patience
    better = active & (found < at.best_loss)

    def chosen(new: Array, old: Array) -> Array:
        return jnp.where(better.reshape(-1, *(1,) * (new.ndim - 1)), new, old)

    return at._replace(
        best=jax.tree.map(chosen, at.params, at.best),
        best_loss=jnp.where(better, found, at.best_loss),
        best_epoch=jnp.where(better, epoch, at.best_epoch),
        since=jnp.where(active, jnp.where(better, 0, at.since + 1), at.since),
    ), found


@jax.jit
def outputs(network: FiniteNetwork, params: Any, X: Array) -> Array:
    """Outputs of all networks, (n_networks, n, k), one network at a time."""
    return jax.lax.map(lambda one: network.apply(one, X), params)
