"""How the statistics of pairs of sequences pass through recurrent layers, step by step.

A pair of steps (t, s) depends on (t - 1, s - 1) only, so that each difference t - s of a pair of sequences is a
recursion of its own. The last states need one of them; averages over states need all.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array, lax

from ntkkit.networks.activations import Activation
from ntkkit.networks.sequences import SEGMENT, Distances, Sequences, apart, beside, inputs_apart
from ntkkit.networks.state import State
from ntkkit.networks.tracks import Here, Lengths, Track

# Numbers of an array that all fit in the cache of a CPU; see benchmarks/README.md.
IN_CACHE = 2**14

Total = tuple[Array, Array]  # of hidden units: E[h h], and the NTK


class Recurrence(NamedTuple):
    """Recurrent layers on top of each other: z_t = sqrt(w / width) W h_(t-1) + sqrt(u / fan_in) U x_t + sqrt(b) b.

    Pairs of steps that are no pair of any two sequences have finite numbers, which nothing counts or continues.
    """

    recurrent_weight_var: Any
    input_weight_var: Any
    bias_var: Any
    initial_state_var: Any
    activation: Activation
    trainable: tuple[bool, ...]  # one a layer

    # ---- the limits, (n, k), after some layers

    def of_last_steps(self, X: Sequences, Y: Sequences, layers: Sequence[int]) -> list[Total]:
        """Statistics of the last hidden states."""
        moments, finals, _ = self._along_the_ends(X, Y, ())
        ends = [[final[layer].astype(X.dtype) for final in finals] for layer in layers]
        return [
            _total(State(one[:, None], other[None], *moments[layer]))
            for layer, (one, other) in zip(layers, ends, strict=True)
        ]

    def of_equal_steps(self, X: Sequences, Y: Sequences, layers: Sequence[int]) -> list[Total]:
        """Averages over pairs (t, t) of hidden states; NaN where lengths differ."""
        *_, totals = self._along_the_ends(X, Y, layers)
        lengths = jnp.where(X.lengths[:, None] == Y.lengths[None], X.lengths[:, None], jnp.nan).astype(X.dtype)
        return [(covariance / lengths, ntk / lengths) for covariance, ntk in totals]

    def of_all_steps(self, X: Sequences, Y: Sequences, layers: Sequence[int]) -> list[Total]:
        """Averages over all pairs (t, s) of hidden states."""
        one, other = Track.of(X, self), Track.of(Y, self)
        n, k, longest = X.n_sequences, Y.n_sequences, jnp.max(Y.last)
        n_together = min(max(1, IN_CACHE // (n * k)), Y.n_steps)
        used = jnp.arange(X.n_steps) < jnp.max(X.last)

        def of_shifts(start: Array) -> list[Total]:
            """Sums over pairs (t, (t + shift) mod longest), whose recursions begin anew at step 0 of either side."""
            shifts = start + jnp.arange(n_together)

            def advance(carry: Any, step: tuple[Array, Here]) -> tuple[Any, None]:
                moments, totals = carry
                t, here = step
                s = (t + shifts) % longest
                states = self.advance(here, other.at(s), moments)
                counted = (t < X.last)[:, None, None] & (s[:, None] < Y.last) & (shifts < longest)[:, None]
                return (_moments(states), _added(totals, [states[i] for i in layers], counted)), None

            shape = (n, n_together, k)
            start_of = self.unborn(shape, X.dtype), _zeros(len(layers), shape, X.dtype)
            steps = (jnp.arange(X.n_steps), one.all)
            used_steps, steps = _in_segments((used, steps))

            def pass_segment(carry: Any, segment: tuple[Array, Any]) -> tuple[Any, None]:
                return _where_used(advance, carry, *segment), None

            (_, totals), _ = lax.scan(pass_segment, start_of, (used_steps, steps))
            return [(jnp.sum(covariance, axis=1), jnp.sum(ntk, axis=1)) for covariance, ntk in totals]

        def add(totals: list[Total], start: Array) -> tuple[list[Total], None]:
            more = lax.cond(start < longest, of_shifts, lambda _: _zeros(len(layers), (n, k), X.dtype), start)
            return jax.tree.map(jnp.add, totals, more), None

        zeros = _zeros(len(layers), (n, k), X.dtype)
        totals, _ = lax.scan(add, zeros, jnp.arange(0, Y.n_steps, n_together))
        count = (X.lengths[:, None] * Y.lengths[None]).astype(X.dtype)
        return [(covariance / count, ntk / count) for covariance, ntk in totals]

    def _along_the_ends(
        self, X: Sequences, Y: Sequences, layers: Sequence[int]
    ) -> tuple[list[Moments], list[list[Array]], list[Total]]:
        """Moments of pairs and variances of sequences at their common end; totals of some layers over the steps before.

        What sequences have alone is made a segment at a time, so that long ones need no more memory than their inputs.
        """
        n_steps = min(X.n_steps, Y.n_steps)
        sides, before = [], []
        for side in (X.ending_together, Y.ending_together):
            left_out = side.n_steps - n_steps
            before.append(Track.of(side.cut(0, left_out), self).final)
            sides.append(side.cut(left_out, n_steps))
        begins = jnp.maximum(sides[0].first[:, None], sides[1].first[None])

        def advance(carry: Any, step: tuple[Array, Here, Here]) -> tuple[Any, None]:
            moments, totals = carry
            t, here, there = step
            states = self.advance(here, there, moments)
            return (_moments(states), _added(totals, [states[i] for i in layers], t >= begins)), None

        @functools.partial(jax.checkpoint, prevent_cse=False)
        def pass_segment(carry: Any, start: Array) -> tuple[Any, None]:
            pairs, before = carry
            tracks = [Track.of(side.cut(start, SEGMENT), self, p) for side, p in zip(sides, before, strict=True)]
            steps = start + jnp.arange(SEGMENT)
            pairs = _where_used(advance, pairs, steps >= begins.min(), (steps, *(track.all for track in tracks)))
            return (pairs, [track.final for track in tracks]), None

        shape = (X.n_sequences, Y.n_sequences)
        start = (self.unborn(shape, X.dtype), _zeros(len(layers), shape, X.dtype)), before
        ((moments, totals), finals), _ = lax.scan(pass_segment, start, jnp.arange(0, n_steps, SEGMENT))
        return moments, finals, totals

    # ---- one step

    def advance(self, one: Here, other: Here, moments: Sequence[Moments]) -> list[State]:
        """States of pairs of hidden units after a step of sequences (n,) and others (k,) or (c, k), a layer each."""
        states: list[State] = []
        for rows, columns, before, trainable in zip(one.layers, other.layers, moments, self.trainable, strict=True):
            left, right = Lengths(*(beside(row, columns.scale) for row in rows)), Lengths(*(c[None] for c in columns))
            if states:
                inputs, below = apart(left.input, right.input, states[-1].delta, states[-1].anti), states[-1].ntk
            else:
                inputs, below = inputs_apart(one.inputs, other.inputs, left.input, right.input), None
            signed = not states or states[-1].anti is not None or before.anti is not None
            z = self.cell(left, right, inputs, before, below, signed=signed, trainable=trainable)
            states.append(self.activation.propagate(z))
        return states

    def cell(
        self,
        left: Lengths,
        right: Lengths,
        inputs: Distances,
        before: Moments,
        below: Array | None,
        *,
        signed: bool,
        trainable: bool,
    ) -> State:
        """Statistics of z from those of x_t (or of the layer below, with its NTK) and of h_(t-1).

        With v_k the variance of the weights of a term of z, r_k its length and delta_k its distance,

            delta = sum_k v_k [(r_k(x) - r_k(y))^2 / 2 + r_k(x) r_k(y) delta_k],

        where nothing cancels.
        """
        w, u, b = self.recurrent_weight_var, self.input_weight_var, self.bias_var
        h = w * self.initial_state_var
        hidden = apart(left.hidden, right.hidden, before.delta, before.anti)
        near = b * (left.bias - right.bias) ** 2 + h * (left.first - right.first) ** 2
        delta = u * inputs.near + w * hidden.near + near / 2
        anti = None
        if signed:
            far = b * (left.bias + right.bias) ** 2 + h * (left.first + right.first) ** 2
            anti = u * inputs.far + w * hidden.far + far / 2
        terms = [] if below is None else [u * below]
        if before.ntk is not None:
            terms.append(w * left.lives * right.lives * before.ntk)
        if trainable:
            terms.append(left.scale * right.scale * (1 - delta))
        return State(left.scale**2, right.scale**2, delta, anti, sum(terms[1:], terms[0]) if terms else None)

    def variances(self, below: Array, before: Sequence[Array], first: Array) -> tuple[list[Array], list[Array]]:
        """Variances of z and of h after a step, a layer each, from those of x_t and of h_(t-1); `first` is 1 or 0."""
        w, u, b = self.recurrent_weight_var, self.input_weight_var, self.bias_var
        units, hidden = [], []
        for variance in before:
            units.append(u * below + w * (variance + first * self.initial_state_var) + b)
            below = self.activation.variance(units[-1])
            hidden.append(below)
        return units, hidden

    def unborn(self, shape: tuple[int, ...], dtype: Any) -> list[Moments]:
        """Moments before the first step, of a structure that no step changes; their numbers do not matter."""
        ones = jnp.ones(shape, dtype)
        probe = jax.ShapeDtypeStruct((1,), dtype)
        no_anti = jax.eval_shape(lambda q: self.activation.propagate(State(q, q, q, q)).anti, probe) is None
        trained = [any(self.trainable[: i + 1]) for i in range(len(self.trainable))]
        return [Moments(ones, None if no_anti else ones, ones if has_ntk else None) for has_ntk in trained]


class Moments(NamedTuple):
    """What a step needs of the hidden states of pairs before it."""

    delta: Array
    anti: Array | None
    ntk: Array | None


def _where_used(advance: Callable[..., Any], carry: Any, used: Array, steps: Any) -> Any:
    """The end of `lax.scan` over a segment, or its start where no step is used; derivatives evaluate it again."""
    run = jax.checkpoint(lambda carry, steps: lax.scan(advance, carry, steps)[0], prevent_cse=False)
    return lax.cond(jnp.any(used), run, lambda carry, _: carry, carry, steps)


def _in_segments(steps: Any) -> Any:
    return jax.tree.map(lambda part: part.reshape(-1, SEGMENT, *part.shape[1:]), steps)


def _moments(states: Sequence[State]) -> list[Moments]:
    return [Moments(state.delta, state.anti, state.ntk) for state in states]


def _zeros(count: int, shape: tuple[int, ...], dtype: Any) -> list[Total]:
    return [(jnp.zeros(shape, dtype), jnp.zeros(shape, dtype)) for _ in range(count)]


def _total(state: State) -> Total:
    covariance = state.covariance
    return covariance, jnp.zeros_like(covariance) if state.ntk is None else state.ntk


def _added(totals: Sequence[Total], states: Sequence[State], counted: Array) -> list[Total]:
    more = [_total(state) for state in states]
    return jax.tree.map(lambda total, part: total + jnp.where(counted, part, 0), list(totals), more)
