"""The integral over the past by a few modes that decay, where the kernel is a sum of such."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from scipy.linalg import eigh, pinv

from ntkkit.dynamics.clock import Clock
from ntkkit.dynamics.memory import as_blocks, start_errors
from ntkkit.dynamics.ndk import NDK
from ntkkit.engine.memory import available_memory
from ntkkit.engine.precision import in_x64
from ntkkit.engine.rows import filled, rounded
from ntkkit.linalg import matmul
from ntkkit.networks.activations import Identity
from ntkkit.networks.dense import Dense
from ntkkit.networks.rectifiers import ABRelu, Abs, LeakyRelu, Relu

# Powers grow by this factor up to the largest. Where the kernel is smooth its error is then 1e-7; at correlations
# closer to 1 than 1e-6 that of E[phi' phi'] of a kink is 4e-5.
FACTOR, LARGEST = 1.7, 1e6
# Rows of a kernel at all nodes that are evaluated together.
ROWS_AT_ONCE = 32
HOMOGENEOUS = (Relu, LeakyRelu, ABRelu, Abs, Identity)


class Separation(NamedTuple):
    """Kd(t, s) = e(t, s) c_t c_s F(rho), rho = exp(tau_s - tau_t) for t >= s, with matrices F of data alone.

    Attributes
    ----------
    variance : float
        Of the weights, at which F is evaluated.
    size : ndarray of shape (n_t,)
        c at the times of the grid.
    age : ndarray of shape (n_t,)
        tau, which increases.
    """

    variance: float
    size: np.ndarray
    age: np.ndarray


def separate(ndk: NDK, grid: np.ndarray) -> Separation | None:
    """How the kernel depends on time by correlations rho = m(t, s) / sqrt(m(t, t) m(s, s)) alone, if it does.

    It does if the weights' variance is constant, init_var = prior_var; and without biases if phi(a z) = a phi(z) for
    a > 0, as every layer then passes on the standard deviations of the weights as a factor.
    """
    rate = ndk.temperature / ndk.prior_var
    if ndk.init_var == ndk.prior_var:
        return Separation(ndk.prior_var, np.ones(len(grid)), rate * grid)
    layers = ndk.network.sequence
    biased = any(isinstance(layer, Dense) and layer.bias_var > 0 for layer in layers)
    hidden = [layer for layer in layers if not isinstance(layer, Dense)]
    stages = sum(isinstance(layer, Dense) for layer in layers) - 1
    if biased or ndk.init_var == 0 or not all(isinstance(layer, HOMOGENEOUS) for layer in hidden):
        return None
    variance = ndk.prior_var + (ndk.init_var - ndk.prior_var) * np.exp(-2 * rate * grid)
    return Separation(1.0, variance ** (stages / 2), rate * grid + np.log(variance) / 2)


def make_powers() -> np.ndarray:
    """0, 1, 2 ..., then geometrically up to the largest."""
    powers = [0.0]
    while powers[-1] < LARGEST:
        powers.append(max(powers[-1] + 1, round(FACTOR * powers[-1])))
    return np.array(powers)


def make_nodes() -> tuple[np.ndarray, np.ndarray]:
    """Places -log rho from 0 on, (g,), and the matrix (p, g) that makes coefficients of powers from values there."""
    powers = make_powers()
    gaps = np.append(0, np.geomspace(0.1 / LARGEST, 20, 3 * len(powers)))
    return gaps, pinv(np.exp(-np.outer(gaps, powers)), rtol=1e-12)


class Modes:
    """`Memory` for separable kernels: F(rho) = sum_p A_p rho^p, so that each power p needs one vector of the past.

    The A_p are fitted to F at correlations from 1 to 0, geometrically spaced towards 1. Expanding the expectations of
    phi shows that every entry of F is a power series in rho; sums of some 30 powers come near any such.

    Memory for 30 n (n + m) numbers, as many operations a step and target, and one eigendecomposition (n x n).
    """

    def __init__(
        self,
        ndk: NDK,
        points: np.ndarray,
        X: np.ndarray,
        targets: np.ndarray,
        grid: np.ndarray,
        separation: Separation,
    ) -> None:
        powers, gaps, fit = make_powers(), *make_nodes()
        rate = ndk.temperature / ndk.prior_var
        n, self.targets, self.grid, self.separation = len(X), targets, grid, separation
        arguments = filled(X, rounded(n, ROWS_AT_ONCE)), fit, -np.expm1(-gaps), separation.variance
        blocks = as_blocks(points, ROWS_AT_ONCE)
        parts = [[part[..., :n] for part in in_x64(_expand, ndk, rows, *arguments)] for rows in blocks]
        A, self.F_1 = (np.concatenate(part)[: len(points)] for part in zip(*parts, strict=True))
        self.A = A.reshape(len(points), -1)
        self.values, self.vectors = eigh(self.F_1[:n])
        self.decays = np.exp(-rate * np.diff(grid)[:, None] - np.diff(separation.age)[:, None] * powers)
        self.past = np.zeros((len(powers), *targets.shape))
        self.errors = start_errors(targets, grid)
        self.steps = np.append(0, np.diff(grid))

    @staticmethod
    def size(n: int, n_points: int) -> int:
        """Bytes of the A_p."""
        return 8 * len(make_powers()) * n * n_points

    @classmethod
    def fits(cls, n: int, n_points: int) -> bool:
        """Whether they take no more than half of the memory that the machine has available."""
        return cls.size(n, n_points) <= available_memory() // 2

    def step(self, i: int) -> np.ndarray:
        """As `Memory.step`; steps are taken in order."""
        size, n = self.separation.size, self.errors.shape[1]
        weight = (self.steps[i] + self.steps[i - 1]) / 2
        self.past += size[i - 1] * weight * self.errors[i - 1]
        self.past *= self.decays[i - 1][:, None, None]
        past = size[i] * matmul(self.A, self.past.reshape(-1, self.targets.shape[1]))
        now = size[i] ** 2 * self.steps[i] / 2
        projected = self.vectors.T @ (self.targets - past[:n])
        self.errors[i] = self.vectors @ (projected / (1 + now * self.values)[:, None])
        return past + now * matmul(self.F_1, self.errors[i])


@jax.jit
def _expand(ndk: NDK, rows: Array, X: Array, fit: Array, gaps: Array, variance: Array) -> tuple[Array, Array]:
    """Coefficients of powers, (rows, p, n), and F at correlation 1, (rows, n)."""
    one = jnp.ones(())

    def at(gap: Array) -> Array:
        return ndk.tiles_at(rows, X, Clock(one, variance * one, variance * one, gap))[0]

    values = jax.lax.map(at, gaps)  # (g, rows, n)
    coefficients = fit @ values.reshape(len(gaps), -1)
    return coefficients.reshape(len(fit), *values.shape[1:]).swapaxes(0, 1), at(jnp.zeros(()))
