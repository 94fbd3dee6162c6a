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
from ntkkit.networks.sequences import SEGMENT, Sequences, beside, distances
from ntkkit.networks.state import State, safe_ratio, safe_sqrt

# Numbers of an array that all fit in the cache of a CPU; see benchmarks/README.md.
IN_CACHE = 2**15

Total = tuple[Array, Array]  # of hidden units: E[h h], and the NTK


class Recurrence(NamedTuple):
    """Recurrent layers on top of each other: z_t = sqrt(w / width) W h_(t-1) + sqrt(u / fan_in) U x_t + sqrt(b) b."""

    recurrent_weight_var: Any
    input_weight_var: Any
    bias_var: Any
    initial_state_var: Any
    activation: Activation
    trainable: tuple[bool, ...]  # one a layer

    # ---- the limits, (layers, n, k): sums over what a readout averages

    def of_last_steps(self, X: Sequences, Y: Sequences, layers: Sequence[int]) -> list[Total]:
        """Statistics of the last hidden states, after some layers: (n, k) each."""
        tracks, n_steps = _ending_together(X, Y, self)
        moments, _ = self._along_the_ends(tracks, n_steps, layers)
        ends = [[track.final[layer] for track in tracks] for layer in layers]
        return [
            _total(State(one[:, None], other[None], *moments[layer]))
            for layer, (one, other) in zip(layers, ends, strict=True)
        ]

    def of_equal_steps(self, X: Sequences, Y: Sequences, layers: Sequence[int]) -> list[Total]:
        """Averages over pairs (t, t) of hidden states; NaN where lengths differ."""
        tracks, n_steps = _ending_together(X, Y, self)
        _, totals = self._along_the_ends(tracks, n_steps, layers, every=True)
        lengths = jnp.where(X.lengths[:, None] == Y.lengths[None], X.lengths[:, None], jnp.nan)
        return [(covariance / lengths, ntk / lengths) for covariance, ntk in totals]

    def of_all_steps(self, X: Sequences, Y: Sequences, layers: Sequence[int]) -> list[Total]:
        """Averages over all pairs (t, s) of hidden states."""
        one, other = Track.of(X, self), Track.of(Y, self)
        n, k, n_shifts = one.n_sequences, other.n_sequences, other.n_steps
        longest = jnp.max(Y.last)
        n_together = min(max(1, IN_CACHE // (n * k)), n_shifts)
        used = jnp.arange(one.n_steps) < jnp.max(X.last)

        def of_shifts(start: Array) -> list[Total]:
            """Sums over pairs (t, (t + shift) mod longest), whose recursions begin anew at step 0 of either side."""
            shifts = start + jnp.arange(n_together)

            def advance(carry: Any, step: tuple[Array, Here]) -> tuple[Any, None]:
                moments, totals = carry
                t, here = step
                s = (t + shifts) % longest
                fresh, together = (mask[None, :, None] for mask in ((s == 0) | (t == 0), (s == 0) & (t == 0)))
                states = self.advance(here, other.at(s), moments, fresh, together)
                counted = (t < X.last)[:, None, None] & (s[:, None] < Y.last) & (shifts < longest)[:, None]
                return (_moments(states), _added(totals, [states[i] for i in layers], counted)), None

            shape = (n, n_together, k)
            start_of = self.unborn(shape, one.dtype), _zeros(len(layers), shape, one.dtype)
            steps = (jnp.arange(one.n_steps), one.all)
            _, totals = _scan(advance, start_of, steps, used)
            return [(jnp.sum(covariance, axis=1), jnp.sum(ntk, axis=1)) for covariance, ntk in totals]

        def add(totals: list[Total], start: Array) -> tuple[list[Total], None]:
            more = lax.cond(start < longest, of_shifts, lambda _: _zeros(len(layers), (n, k), one.dtype), start)
            return jax.tree.map(jnp.add, totals, more), None

        zeros = _zeros(len(layers), (n, k), one.dtype)
        totals, _ = lax.scan(add, zeros, jnp.arange(0, n_shifts, n_together))
        count = (X.lengths[:, None] * Y.lengths[None]).astype(one.dtype)
        return [(covariance / count, ntk / count) for covariance, ntk in totals]

    def _along_the_ends(
        self, tracks: tuple[Track, Track], n_steps: int, layers: Sequence[int], *, every: bool = False
    ) -> tuple[list[Moments], list[Total]]:
        """Moments of all layers at the common end of sequences; with `every`, totals over the steps before."""
        one, other = tracks
        begins = jnp.maximum(one.first[:, None], other.first[None])
        together = one.first[:, None] == other.first[None]
        used = jnp.arange(n_steps) >= begins.min()

        def advance(carry: Any, step: tuple[Array, Here, Here]) -> tuple[Any, None]:
            moments, totals = carry
            t, here, there = step
            states = self.advance(here, there, moments, t == begins, together)
            if every:
                totals = _added(totals, [states[i] for i in layers], t >= begins)
            return (_moments(states), totals), None

        shape = (one.n_sequences, other.n_sequences)
        start = self.unborn(shape, one.dtype), _zeros(len(layers) * every, shape, one.dtype)
        moments, totals = _scan(advance, start, (jnp.arange(n_steps), one.all, other.all), used)
        return moments, totals

    # ---- one step

    def advance(self, one: Here, other: Here, moments: Sequence[Moments], fresh: Array, together: Array) -> list[State]:
        """States of pairs of hidden units after a step, a layer each.

        Parameters
        ----------
        one, other : Here
            The step of sequences (n,), and of others (k,) or (c, k).
        moments : list of Moments
            Before the step.
        fresh : Array
            Where one of a pair has no step before this: its hidden state is the initial one.
        together : Array
            Where neither has.
        """
        near, far = distances(one.units, other.units, one.var.dtype)
        state = State(beside(one.var, other.var), other.var[None], near, far)
        unequal = 1 - together.astype(near.dtype)
        states = []
        for var1, var2, before, trainable in zip(one.before, other.before, moments, self.trainable, strict=True):
            hidden = State(
                beside(var1, var2),
                var2[None],
                jnp.where(fresh, unequal, before.delta),
                None if before.anti is None else jnp.where(fresh, 2 - unequal, before.anti),
                None if before.ntk is None else jnp.where(fresh, 0, before.ntk),
            )
            state = self.activation.propagate(self.cell(state, hidden, trainable=trainable))
            states.append(state)
        return states

    def cell(self, below: State, before: State, *, trainable: bool) -> State:
        """Statistics of z from those of x_t (or of the layer below) and of h_(t-1).

        With s' = sqrt(q1' q2') of z and s_k = sqrt(q1_k q2_k) of its three terms, of which the bias has no distance,

            s' delta' = sum_k s_k delta_k + sum_(k<l) (sqrt(q1_k q2_l) - sqrt(q1_l q2_k))^2 / (s' + sum_k s_k),

        sums of non-negative terms in which nothing cancels.
        """
        w, u, b = self.recurrent_weight_var, self.input_weight_var, self.bias_var
        var1, var2 = (u * x + w * h + b for x, h in ((below.var1, before.var1), (below.var2, before.var2)))
        scale1, scale2 = safe_sqrt(var1), safe_sqrt(var2)
        input1, input2, hidden1, hidden2 = (
            safe_sqrt(q) for q in (u * below.var1, u * below.var2, w * before.var1, w * before.var2)
        )
        inputs, hidden = input1 * input2, hidden1 * hidden2
        crossed = (input1 * hidden2 - hidden1 * input2) ** 2
        unlike = b * ((input1 - input2) ** 2 + (hidden1 - hidden2) ** 2)
        spread = safe_ratio(crossed + unlike, scale1 * scale2 + inputs + hidden + b)
        inverse = safe_ratio(1, scale1) * safe_ratio(1, scale2)
        delta = (spread + inputs * below.delta + hidden * before.delta) * inverse
        anti = None
        if below.anti is not None or before.anti is not None:
            below_anti, before_anti = (2 - part.delta if part.anti is None else part.anti for part in (below, before))
            anti = (spread + inputs * below_anti + hidden * before_anti + 2 * b) * inverse
        terms = [variance * part.ntk for variance, part in ((u, below), (w, before)) if part.ntk is not None]
        if trainable:
            terms.append(inputs * (1 - below.delta) + hidden * (1 - before.delta) + b)
        ntk = sum(terms[1:], terms[0]) if terms else None
        return State(var1, var2, delta, anti, ntk)

    def variances(self, below: Array, before: Sequence[Array]) -> tuple[list[Array], list[Array]]:
        """Variances of z and of h after a step, a layer each, from those of x_t and of h_(t-1)."""
        units, hidden = [], []
        for variance in before:
            units.append(self.input_weight_var * below + self.recurrent_weight_var * variance + self.bias_var)
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


class Here(NamedTuple):
    """One step of sequences.

    Attributes
    ----------
    units : Array of shape (m, *n)
        Directions of the inputs.
    var : Array of shape n
        Their mean squares.
    before : list of Array of shape n
        Variances of the hidden states before the step, a layer each.
    """

    units: Array
    var: Array
    before: list[Array]


class Track(NamedTuple):
    """What each sequence has alone, along its steps.

    Attributes
    ----------
    all : Here
        Of all steps, in front.
    first : Array of shape (n,)
        Where sequences begin.
    final : list of Array of shape (n,)
        Variances of the hidden states behind the last of all steps.
    """

    all: Here
    first: Array
    final: list[Array]

    @classmethod
    def of(cls, X: Sequences, recurrence: Recurrence) -> Track:
        """Pass along the steps."""
        units, var = X.directions()
        start = jnp.broadcast_to(jnp.asarray(recurrence.initial_state_var, var.dtype), var[0].shape)

        def advance(before: list[Array], step: tuple[Array, Array]) -> tuple[list[Array], list[Array]]:
            t, below = step
            before = [jnp.where(t <= X.first, start, variance) for variance in before]
            return recurrence.variances(below, before)[1], before

        n_layers = len(recurrence.trainable)
        final, before = lax.scan(advance, [start] * n_layers, (jnp.arange(len(var)), var))
        return cls(Here(units, var, before), X.first, final)

    @property
    def dtype(self) -> Any:
        return self.all.var.dtype

    @property
    def n_steps(self) -> int:
        return self.all.var.shape[0]

    @property
    def n_sequences(self) -> int:
        return self.all.var.shape[1]

    def at(self, steps: Array) -> Here:
        """Some steps, (c,), side by side."""
        here: Here = jax.tree.map(lambda part: part[steps], self.all)
        return here._replace(units=jnp.moveaxis(here.units, 1, 0))

    def last(self, n_steps: int) -> Track:
        """The last steps alone."""
        left_out = self.n_steps - n_steps
        return self._replace(all=jax.tree.map(lambda part: part[left_out:], self.all), first=self.first - left_out)


def _ending_together(X: Sequences, Y: Sequences, recurrence: Recurrence) -> tuple[tuple[Track, Track], int]:
    """Both sides at as many steps as the shorter side has, aligned at their ends."""
    tracks = [Track.of(side.ending_together, recurrence) for side in (X, Y)]
    n_steps = min(track.n_steps for track in tracks)
    one, other = (track.last(n_steps) for track in tracks)
    return (one, other), n_steps


def _scan(advance: Callable[..., Any], start: Any, steps: Any, used: Array) -> Any:
    """The end of `lax.scan`, which skips segments of which no step is used.

    Derivatives keep what is between segments, and evaluate the rest again.
    """
    used, steps = jax.tree.map(lambda part: part.reshape(-1, SEGMENT, *part.shape[1:]), (used, steps))

    @functools.partial(jax.checkpoint, prevent_cse=False)
    def run(carry: Any, segment: Any) -> Any:
        return lax.scan(advance, carry, segment)[0]

    def pass_segment(carry: Any, part: Any) -> tuple[Any, None]:
        wanted, segment = part
        return lax.cond(jnp.any(wanted), run, lambda carry, _: carry, carry, segment), None

    return lax.scan(pass_segment, start, (used, steps))[0]


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
