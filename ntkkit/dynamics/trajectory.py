"""What training leaves behind: the errors over time, from which outputs at all times follow, for any points."""

from __future__ import annotations

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from threadpoolctl import threadpool_limits

from ntkkit.dynamics.clock import Clock, clock
from ntkkit.dynamics.learning_curve import make_memory
from ntkkit.dynamics.memory import ROWS_AT_ONCE, as_blocks
from ntkkit.dynamics.modes import make_nodes, make_powers, separate
from ntkkit.dynamics.ndk import NDK
from ntkkit.engine.precision import in_x64
from ntkkit.engine.progress import Progress, reporting
from ntkkit.engine.rows import filled, rounded, zero_filled


@dataclass(frozen=True)
class Trajectory:
    """The errors y - f at the training points over a grid of times.

    Attributes
    ----------
    ndk : NDK
    X : ndarray of shape (n, d)
        The training points.
    grid : ndarray of shape (n_t,)
        From 0 on.
    errors : ndarray of shape (n_t, n, k)
    """

    ndk: NDK
    X: np.ndarray
    grid: np.ndarray
    errors: np.ndarray

    def outputs(self, points: np.ndarray, i: int) -> np.ndarray:
        """f(x, t) = int_0^t ds sum_i Kd(x, t; x_i, s) e_i(s) at some points and the time i of the grid, (m, k)."""
        times = self.grid[: i + 1]
        forces = _trapezoid(times) * self._decay(times[-1], times)
        return self._expand(points, times, forces, forces)

    def drifted(self, points: np.ndarray, i: int, readout: int) -> np.ndarray:
        """The outputs at time i through the readout of a time no later, (m, k); see `drift`."""
        times = self.grid[: i + 1]
        before = slice(readout + 1)
        decay = self._decay(times[readout], times)
        variances = self._clock(times, times)[1]
        ratio = np.ones(len(times))
        np.divide(variances[readout], variances, out=ratio, where=(times > times[readout]) & (variances > 0))
        through_readout = np.zeros(len(times))
        through_readout[before] = _trapezoid(times[before]) * decay[before]
        return self._expand(points, times, _trapezoid(times) * decay * ratio, through_readout)

    def _decay(self, t: float, times: np.ndarray) -> np.ndarray:
        return np.exp(-self.ndk.temperature / self.ndk.prior_var * np.abs(t - times))

    def _clock(self, t: np.ndarray, s: np.ndarray) -> list[np.ndarray]:
        """The clock of times t with times s, of one length: decay, variances at t and s, gap."""
        return [np.asarray(part)[: len(s)] for part in in_x64(_clock, self.ndk, _fill(t), _fill(s))]

    def _expand(self, points: np.ndarray, times: np.ndarray, hidden: np.ndarray, readout: np.ndarray) -> np.ndarray:
        """sum_s (h_s R_s + r_s B_s) e(s), with Kd / e = R + B between the points at the last time and X at the time s.

        Where the kernel is separable it is evaluated at the nodes that its modes are fitted to, in place of all times.
        """
        hidden, readout = (part[:, None, None] * self.errors[: len(times)] for part in (hidden, readout))
        separation, (gaps, fit) = separate(self.ndk, times), make_nodes()
        if separation is None or len(times) <= len(gaps):
            clocks = self._clock(np.full(len(times), times[-1]), times)
        else:
            ages = separation.age[-1] - separation.age
            nodes = fit.T @ np.exp(-np.outer(make_powers(), ages))
            nodes[:, -1] = gaps == 0
            nodes *= separation.size[-1] * separation.size
            hidden, readout = (np.tensordot(nodes, part, axes=1) for part in (hidden, readout))
            one = np.ones(len(gaps))
            clocks = [one, separation.variance * one, separation.variance * one, -np.expm1(-gaps)]
        X = filled(self.X, rounded(len(self.X)))
        clocks = [_fill(part) for part in clocks]
        forces = [np.pad(_fill(part), ((0, 0), (0, len(X) - len(self.X)), (0, 0))) for part in (hidden, readout)]
        blocks = as_blocks(points, ROWS_AT_ONCE)
        parts = [in_x64(_sum, self.ndk, rows, X, clocks, *forces, len(hidden)) for rows in blocks]
        return np.concatenate(parts)[: len(points)]


def find_trajectory(
    ndk: NDK, X: np.ndarray, targets: np.ndarray, grid: np.ndarray, *, progress: Progress = False
) -> Trajectory:
    """Train: solve for the errors at all times of a grid, targets (n, k)."""
    with reporting(progress, len(grid) - 1, unit="step") as done, threadpool_limits(1, "blas"):  # as learning_curve
        memory = make_memory(ndk, X, X, targets, grid)
        for i in range(1, len(grid)):
            memory.step(i)
            done(1)
    return Trajectory(ndk, X, grid, memory.errors)


def _trapezoid(times: np.ndarray) -> np.ndarray:
    """Weights of the integral over all of the times."""
    steps = np.diff(times)
    return (np.append(steps, 0) + np.append(0, steps)) / 2


def _fill(part: np.ndarray) -> np.ndarray:
    """Zeros behind, so that few lengths are compiled."""
    return zero_filled(part, rounded(len(part), 128))


@jax.jit
def _clock(ndk: NDK, t: Array, s: Array) -> Clock:
    return clock(t, s, temperature=ndk.temperature, init_var=ndk.init_var, prior_var=ndk.prior_var)


@jax.jit
def _sum(ndk: NDK, rows: Array, X: Array, clocks: list[Array], hidden: Array, readout: Array, count: Array) -> Array:
    def add(j: Array, total: Array) -> Array:
        response, covariance = ndk.responses_at(rows, X, Clock(*(part[j] for part in clocks)))
        return total + (response - covariance) @ hidden[j] + covariance @ readout[j]

    return jax.lax.fori_loop(0, count, add, jnp.zeros((len(rows), hidden.shape[2])))
