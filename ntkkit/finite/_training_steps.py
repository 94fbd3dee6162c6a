"""Training an ensemble of finite networks, compiled: epochs of all networks at once."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from ntkkit.finite._langevin_steps import _normal
from ntkkit.finite.losses import Loss
from ntkkit.finite.parametrization import FiniteNetwork
from ntkkit.networks.convolution import convolving_by_products

# Epochs that one call trains for, at most: what it records has room for so many.
LEG = 64
MOMENTUM = 0.9
OPTIMIZERS = ("sgd", "momentum", "adam")


class Rows(NamedTuple):
    """Inputs, targets (n, k), what is taken off the outputs, (n_networks, n, k) or 0, and how often each row counts.

    Some at the end count 0: rows are filled up, so that few numbers of them are compiled.
    """

    X: Any
    y: Any
    offsets: Any
    weights: Any

    def part(self, places: Any) -> Rows:
        """Some rows, of one network."""
        offsets = self.offsets if jnp.ndim(self.offsets) == 0 else self.offsets[places]
        return Rows(self.X[places], self.y[places], offsets, self.weights[places])

    @property
    def axes(self) -> Rows:
        """Where networks are."""
        return Rows(None, None, None if jnp.ndim(self.offsets) == 0 else 0, None)


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
    return optax.flatten(make(learning_rate))  # one operation for all parameters is compiled faster than one for each


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
) -> tuple[Any, Progressed, Array, Array]:
    """Train for `count` epochs, `LEG` at most, from epoch `first` on, or until every network has stopped.

    Returns how many they were, where it is then, and mean losses a row of the epochs (LEG, n_networks): of the batches
    as they were trained on, and of held-out rows behind each epoch.
    """
    n_networks = len(keys)
    train = jax.vmap(partial(_epoch, network, rates=rates, settings=settings), in_axes=(0, 0, rows.axes, None))

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
    with convolving_by_products():
        return jax.lax.while_loop(going, step, (0, at, nothing, nothing))


def _epoch(
    network: FiniteNetwork, state: tuple[Any, Any], key: Array, rows: Rows, epoch: Array, *, rates: Rates, settings: Any
) -> tuple[Any, Any, Array]:
    """One pass over the rows for one network: parameters, the optimizer's state, the mean loss a row."""
    size, n = settings.batch_size, jnp.sum(rows.weights)
    key = jax.random.fold_in(key, epoch) if size or settings.noisy else key
    if size is None:
        return _step(network, *state, rows, key, n, rates=rates, settings=settings)
    order = jnp.argsort(jnp.where(rows.weights > 0, jax.random.uniform(key, rows.weights.shape, np.float32), 1))

    def step(number: Array, state: tuple[Any, Any, Array]) -> tuple[Any, Any, Array]:
        params, optimizer, total = state
        batch = rows.part(jax.lax.dynamic_slice_in_dim(order, number * size, size))
        step_key = jax.random.fold_in(key, number)
        params, optimizer, loss = _step(network, params, optimizer, batch, step_key, n, rates=rates, settings=settings)
        return params, optimizer, total + loss

    n_batches = n.astype(int) // size
    params, optimizer, total = jax.lax.fori_loop(0, n_batches, step, (*state, jnp.zeros(())))
    return params, optimizer, total / n_batches


def _step(
    network: FiniteNetwork,
    params: Any,
    optimizer: Any,
    rows: Rows,
    key: Array,
    n: Array,
    *,
    rates: Rates,
    settings: Settings,
) -> tuple[Any, Any, Array]:
    """One step of one network on the loss of some rows, which stand for `n`; the mean loss before it."""

    def energy(params: Any) -> Array:
        return n * _mean_loss(network, params, rows, settings.loss)

    value, slopes = jax.value_and_grad(energy)(params)
    slopes = jax.tree.map(lambda slope, entry: slope + rates.weight_decay * entry, slopes, params)
    updates, optimizer = make_optimizer(settings.optimizer, rates.learning_rate).update(slopes, optimizer, params)
    if settings.noisy:
        spread = jnp.sqrt(2 * rates.temperature * rates.learning_rate)
        updates = jax.tree.map(lambda update, noise: update + spread * noise, updates, _normal(key, params))
    moved = jax.tree.map(
        lambda entry, update, trained: entry + update if trained else entry, params, updates, network.trained(params)
    )
    return moved, optimizer, value / n


def _mean_loss(network: FiniteNetwork, params: Any, rows: Rows, loss: Loss) -> Array:
    losses = loss(network.apply(params, rows.X) - rows.offsets, rows.y)
    return jnp.sum(rows.weights * losses) / jnp.sum(rows.weights)


def _judged(
    network: FiniteNetwork, held_out: Rows, at: Progressed, epoch: Array, rates: Rates, settings: Settings
) -> tuple[Progressed, Array]:
    """The mean loss of held-out rows, and the parameters that have the lowest until a network has stopped."""
    mean_loss = partial(_mean_loss, network, loss=settings.loss)
    found = jax.vmap(mean_loss, in_axes=(0, held_out.axes))(at.params, held_out)
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
    with convolving_by_products():
        return jax.lax.map(lambda one: network.apply(one, X), params)
