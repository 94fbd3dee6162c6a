"""The integral over the past, step by step in time, without a kernel of all times in memory."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from scipy.linalg import lu_factor, lu_solve

from ntkkit.dynamics.ndk import NDK
from ntkkit.engine.precision import in_x64
from ntkkit.engine.rows import filled, rounded, zero_filled

# Rows of a kernel that are evaluated together: with some hundred columns they stay in a CPU's cache.
ROWS_AT_ONCE = 128


class Memory:
    """int_0^t ds sum_i Kd(x, t; x_i, s) e_i(s) at some points x, of errors e known at earlier times of a grid.

    Parameters
    ----------
    ndk : NDK
    points : ndarray of shape (m, d)
        Where outputs are wanted; if errors are to be found, they begin with the training points.
    X : ndarray of shape (n, d)
        The training points.
    targets : ndarray of shape (n, k)
    grid : ndarray of shape (n_t,)
        Times from 0 on.
    """

    def __init__(self, ndk: NDK, points: np.ndarray, X: np.ndarray, targets: np.ndarray, grid: np.ndarray) -> None:
        self.ndk, self.X, self.targets, self.grid, self.n_points = ndk, X, targets, grid, len(points)
        self.blocks = as_blocks(points, ROWS_AT_ONCE)
        self.rows = filled(X, rounded(len(X)))
        self.times = zero_filled(grid, rounded(len(grid)))
        self.errors = start_errors(targets, grid)
        steps = np.diff(grid)
        self.weights = (np.append(steps, 0) + np.append(0, steps)) / 2
        self.last = np.append(0, steps) / 2

    def step(self, i: int) -> np.ndarray:
        """Outputs at the points at time i, (m, k), and the errors of the first of them, by the implicit rule."""
        n = len(self.X)
        past, now = self._recall(i)
        now = self.last[i] * now
        factor = lu_factor(np.eye(n) + now[:n], overwrite_a=True, check_finite=False)
        self.errors[i] = lu_solve(factor, self.targets - past[:n], check_finite=False)
        return past + now @ self.errors[i]

    def _recall(self, i: int) -> tuple[np.ndarray, np.ndarray]:
        """The integral up to time i without the errors at time i, (m, k), and Kd of that time with itself, (m, n)."""
        n, k = self.targets.shape
        weighted = np.zeros((len(self.times), len(self.rows), k))
        weighted[:i, :n] = self.errors[:i] * self.weights[:i, None, None]
        parts = [in_x64(_recall, self.ndk, block, self.rows, self.times, weighted, i) for block in self.blocks]
        past, now = (np.concatenate(part)[: self.n_points] for part in zip(*parts, strict=True))
        return past, now[:, :n]


def start_errors(targets: np.ndarray, grid: np.ndarray) -> np.ndarray:
    """Errors (n_t, n, k), known at time 0, where outputs are 0."""
    errors = np.zeros((len(grid), *targets.shape))
    errors[0] = targets
    return errors


def as_blocks(points: np.ndarray, longest: int) -> np.ndarray:
    """Rows in blocks of equal length, a power of 2 or the longest, (blocks, rows, d), the last one filled up."""
    n_rows = min(longest, 1 << (len(points) - 1).bit_length())
    return filled(points, -(-len(points) // n_rows) * n_rows).reshape(-1, n_rows, points.shape[1])


@jax.jit
def _recall(ndk: NDK, rows: Array, X: Array, grid: Array, weighted: Array, i: Array) -> tuple[Array, Array]:
    def add(j: Array, total: Array) -> Array:
        return total + ndk.tiles(rows, X, grid[i], grid[j])[0] @ weighted[j]

    nothing = jnp.zeros((len(rows), weighted.shape[2]))
    return jax.lax.fori_loop(0, i, add, nothing), ndk.tiles(rows, X, grid[i], grid[i])[0]
