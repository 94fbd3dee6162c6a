"""Langevin dynamics of finite networks, compiled."""

from __future__ import annotations

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from ntkkit.networks import FullyConnected


class Steps(NamedTuple):
    """The steps to each time: of what length, the first's index, how many."""

    lengths: Any
    first: Any
    counts: Any


@partial(jax.jit, static_argnames=("width", "noisy"))
def train(
    network: FullyConnected,
    keys: Array,
    points: Array,
    y: Array,
    steps: Steps,
    kept: int | None,
    temperature: float,
    init_var: float,
    prior_var: float,
    *,
    width: int,
    noisy: bool,
) -> list[Array]:
    """Outputs of the networks of some keys, (network, time, point, output), and those through the kept readout."""

    def energy(params: Any) -> Array:
        return jnp.sum((network.apply(params, points[: len(y)]) - y) ** 2) / 2

    def step(params: Any, key: Array, length: Array) -> Any:
        moved = jax.tree.map(lambda leaf, slope: leaf - length * slope, params, jax.grad(energy)(params))
        if noisy:
            decay = temperature / prior_var * length
            spread = jnp.sqrt(-prior_var * jnp.expm1(-2 * decay))
            loss = jnp.expm1(-decay)  # exp(-decay) itself has too few digits in float32
            moved = jax.tree.map(lambda leaf, noise: leaf + loss * leaf + spread * noise, moved, _normal(key, moved))
        layers = zip(network.sequence, params, moved, strict=True)
        return [after if layer.trainable else before for layer, before, after in layers]

    init = partial(network.init, input_shape=points.shape[1:], width=width, n_outputs=y.shape[1])
    entries = jax.eval_shape(init, keys[0])  # all standard normal

    def one(key: Array) -> list[Array]:
        init_key, noise_key = jax.random.split(key)
        params = jax.tree.map(lambda leaf: jnp.sqrt(init_var) * leaf, _normal(init_key, entries))

        def leg(state: tuple[Any, Any], to: tuple[Array, Steps]) -> tuple[tuple[Any, Any], list[Array]]:
            index, (length, first, count) = to
            params, readout = state

            def numbered(i: Array, params: Any) -> Any:
                return step(params, jax.random.fold_in(noise_key, i), length)

            params = jax.lax.fori_loop(first, first + count, numbered, params)
            outputs = [network.apply(params, points)]
            if kept is not None:
                readout = jax.tree.map(lambda new, old: jnp.where(index <= kept, new, old), params[-1], readout)
                outputs.append(network.apply([*params[:-1], readout], points))
            return (params, readout), outputs

        return jax.lax.scan(leg, (params, params[-1]), (jnp.arange(len(steps.counts)), steps))[1]

    return jax.vmap(one)(keys)


def _normal(key: Array, like: Any) -> Any:
    """Standard normal numbers in the shape of parameters: drawn at once, which compiles fast, and in float32."""
    leaves, structure = jax.tree.flatten(like)
    ends = np.cumsum([leaf.size for leaf in leaves])
    even = ends[-1] + ends[-1] % 2  # an odd number of them takes a CPU 55 ns each, an even number 7
    drawn = jnp.split(jax.random.normal(key, (even,), np.float32), ends)
    entries = [part.reshape(leaf.shape).astype(leaf.dtype) for part, leaf in zip(drawn, leaves, strict=False)]
    return jax.tree.unflatten(structure, entries)


def steps_to(times: np.ndarray, longest: float) -> Steps:
    """Equal steps to each time, no longer than `longest`."""
    gaps = np.diff(times, prepend=0.0)
    # a multiple of the step, but for rounding, takes no step more
    counts = np.where(gaps > 0, np.maximum(1, np.ceil(gaps / longest - 1e-9)), 0).astype(np.int32)
    return Steps(gaps / np.maximum(counts, 1), np.cumsum(counts, dtype=np.int32) - counts, counts)
