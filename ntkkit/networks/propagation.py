"""How statistics pass through layers: directly, or for images one offset of positions after another.

A convolution with stride 1 maps covariances k[p, p + d] of each offset d to themselves: offsets meet only in pools. So
layers between pools are evaluated for one offset of rows at a time, whose numbers stay in the cache of a CPU, and what
is larger than that is never written.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from ntkkit.networks.layer import Chain, Composite, Layer, backwards
from ntkkit.networks.offsets import ITSELF, Offsets, Sizes
from ntkkit.networks.positions import apart, by_column, itself, placed
from ntkkit.networks.state import Positions, State


class Slabs:
    """States of a tile of pairs of images, one an offset of rows; evaluated when asked for.

    Parameters
    ----------
    positions : Positions
        What all of them have in common; its row and variances are of none.
    rows : tuple of int
        Offsets, ascending, around the edge.
    at : callable
        The state at an offset, which may be traced.
    within : tuple of Slabs, optional
        Of each side's images with themselves, where variances behind a pool depend on them.
    """

    def __init__(
        self,
        positions: Positions,
        rows: tuple[int, ...],
        at: Callable[[int | Array], State],
        within: tuple[Slabs, Slabs] | None = None,
    ) -> None:
        self.positions, self.rows, self.at, self.within = positions, rows, at, within

    def map(self, function: Callable[[State], Any]) -> Any:
        """Arrays of every state, stacked in front."""
        if len(self.rows) == 1:
            return jax.tree.map(lambda part: part[None], function(self.at(self.rows[0])))
        at_row = jax.checkpoint(lambda row: function(self.at(row)), prevent_cse=False)
        return jax.lax.map(at_row, jnp.array(self.rows))

    def then(self, function: Callable[[State], State]) -> Slabs:
        """What a function makes of each state, and of those within."""
        within = None if self.within is None else (self.within[0].then(function), self.within[1].then(function))
        return Slabs(self.positions, self.rows, lambda row: function(self.at(row)), within)

    def index(self, row: int | Array) -> int | Array:
        """The place of an offset among the rows."""
        return self.rows.index(row) if isinstance(row, int) else jnp.searchsorted(jnp.array(self.rows), row)

    def stored(self) -> Slabs:
        """The same, evaluated once."""
        within = None if self.within is None else (self.within[0].stored(), self.within[1].stored())
        return from_parts(self.positions, self.rows, self.map(parts_of), within)


class Parts(NamedTuple):
    """The arrays of a state of images."""

    var1: Array
    var2: Array  # at positions of their own
    delta: Array
    anti: Array | None
    ntk: Array | None


def parts_of(state: State) -> Parts:
    """The arrays of a state."""
    assert state.positions is not None
    return Parts(state.var1, state.positions.var2, state.delta, state.anti, state.ntk)


def from_parts(
    positions: Positions, rows: tuple[int, ...], parts: Parts, within: tuple[Slabs, Slabs] | None = None
) -> Slabs:
    """Slabs of stacked arrays; variances are those in front, the same for all offsets."""
    var1, var2 = parts.var1[0], parts.var2[0]

    def at(row: int | Array) -> State:
        here = positions._replace(row=row, var2=var2)
        index = slabs.index(row)
        delta, anti, ntk = jax.tree.map(lambda part: part[index], tuple(parts[2:]))
        return State(var1, apart(lambda x: placed(x, here), var2), delta, anti, ntk, here)

    slabs = Slabs(positions, rows, at, within)
    return slabs


def step(layer: Layer, state: State | Slabs) -> State | Slabs:
    """The state behind a layer."""
    if isinstance(state, Slabs):
        after = layer.gather(state) if layer.mixes else state.then(lambda slab: _known(step(layer, slab)))
        if isinstance(after, Slabs) and layer.redraws:
            after.positions = after.positions._replace(same=False)
        return after
    if state.positions is None or layer.spatial or isinstance(layer, Composite):
        return layer.propagate(state)
    after = at_positions(layer.propagate, state)
    return _redrawn(state, after) if layer.redraws else after


def _redrawn(before: State, after: State) -> State:
    """The state behind a layer that draws noise: of one draw, a position is still as far from itself."""
    positions = after.positions
    assert positions is not None
    if positions.own and (here := itself(before)) is not None:
        after = after._replace(delta=jnp.where(here, before.delta, after.delta))
    return after._replace(positions=positions._replace(same=False))


def through(layers: Iterable[Layer], state: State | Slabs) -> State | Slabs:
    """The state behind some layers."""
    return functools.reduce(lambda state, layer: step(layer, state), layers, state)


def at_positions(function: Callable[..., State], *states: State) -> State:
    """A map of statistics, at each pair of positions."""
    positions = states[0].positions
    if positions is None:
        return function(*states)
    after = function(*(state._replace(positions=None) for state in states))
    alone = (state.positions.var2 for state in states if state.positions is not None)
    var2 = function(*(State(q, q, jnp.zeros_like(q)) for q in alone)).var2
    return after._replace(positions=positions._replace(var2=var2))


def merged(function: Callable[..., State], states: Sequence[State | Slabs]) -> State | Slabs:
    """What a map of several statistics makes of states."""
    if not isinstance(states[0], Slabs):
        return at_positions(function, *map(_known, states))
    slabs = [state for state in states if isinstance(state, Slabs)]
    rows = tuple(sorted(set.intersection(*(set(slab.rows) for slab in slabs))))
    pairs = [slab.within for slab in slabs]
    within = None
    if all(pair is not None for pair in pairs):
        one, other = (merged(function, [pair[i] for pair in pairs if pair is not None]) for i in (0, 1))
        assert isinstance(one, Slabs)
        assert isinstance(other, Slabs)
        within = one, other
    columns = tuple(sorted(set.intersection(*(set(slab.positions.columns) for slab in slabs))))

    def at(row: int | Array) -> State:
        return at_positions(function, *(_with_columns(slab.at(row), columns) for slab in slabs))

    return Slabs(slabs[0].positions._replace(columns=columns), rows, at, within)


def _with_columns(state: State, columns: tuple[int, ...]) -> State:
    positions = state.positions
    assert positions is not None
    if positions.columns == columns:
        return state
    index = jnp.array([positions.columns.index(column) for column in columns])

    def taken(part: Array) -> Array:
        return jnp.take(by_column(part, positions), index, axis=-2).reshape(*part.shape[:-1], -1)

    var2, delta, anti, ntk = jax.tree.map(taken, (state.var2, state.delta, state.anti, state.ntk))
    return State(state.var1, var2, delta, anti, ntk, positions._replace(columns=columns))


def _known(state: State | Slabs) -> State:
    assert isinstance(state, State)
    return state


def needed(layers: Sequence[Layer], sizes: Sizes) -> tuple[Offsets, Offsets]:
    """The offsets that layers need of pairs of images, and of images with themselves for variances behind pools."""
    pairs, own, variances = Offsets(), Offsets(), False
    for layer, here in backwards(list(_flat(layers)), sizes):
        pairs = layer.offsets_before(pairs, here)
        if layer.pools and (variances or (isinstance(layer, Composite) and layer.needs_variance)):
            own = Offsets.all(here) if isinstance(layer, Composite) else layer.offsets_before(ITSELF.union(own), here)
        elif own.rows:
            own = layer.offsets_before(own, here)
        variances = variances or layer.needs_variance
    return pairs, own


def _flat(layers: Iterable[Layer]) -> Iterable[Layer]:
    for layer in layers:
        if isinstance(layer, Chain):
            yield from _flat(layer.parts)
        else:
            yield layer
