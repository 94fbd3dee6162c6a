"""What a mean-field equation starts from: points, targets, a network's variances, its kernels before training."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from sklearn.utils import check_array, check_consistent_length

from ntkkit.engine.memory import available_memory
from ntkkit.engine.precision import in_x64
from ntkkit.kernels.inputs import check_inputs
from ntkkit.networks.activations import Activation, resolve_activation
from ntkkit.networks.dense import Dense
from ntkkit.networks.families import FullyConnected
from ntkkit.networks.quadrature import warn_of_quadrature
from ntkkit.networks.state import State, tile_state
from ntkkit.networks.value import check_real

# What a derivative may change by between neighbouring numbers without a kink: that of relu changes by 1.
JUMP = 1e-3


class Variances(NamedTuple):
    """Those of a network's layers, and whether its hidden ones are trained (0 or 1 a layer)."""

    weight: Any
    bias: Any
    readout_weight: Any
    readout_bias: Any
    trained: tuple[float, ...]


@functools.partial(
    jax.tree_util.register_dataclass,
    data_fields=["features", "targets", "activation", "variances", "gamma0", "learning_rate"],
    meta_fields=["n_steps"],
)
@dataclass(frozen=True)
class Problem:
    """Full-batch gradient descent on (1 / 2n) sum (y - f)^2, at the rate learning_rate gamma0^2 width.

    Attributes
    ----------
    features : ndarray of shape (n + m, r)
        Of training points, then others: features features' is the covariance of the first layer.
    targets : ndarray of shape (n,)
    activation : Activation
    variances : Variances
    gamma0, learning_rate : float
    n_steps : int
        Static.
    """

    features: np.ndarray
    targets: np.ndarray
    activation: Activation
    variances: Variances
    gamma0: float
    learning_rate: float
    n_steps: int

    @property
    def depth(self) -> int:
        """Hidden layers."""
        return len(self.variances.trained)

    @property
    def n_times(self) -> int:
        """Times of steps, and the one before."""
        return self.n_steps + 1

    @property
    def pace(self) -> float:
        """Gamma0 learning_rate / n: how far a step moves a unit, for each training point's error."""
        return self.gamma0 * self.learning_rate / len(self.targets)


class Lazy(NamedTuple):
    """Kernels of the infinitely wide network before training, (n + m, n + m) each.

    Attributes
    ----------
    preactivations : list of ndarray
        E[h h] of each hidden layer, and of the readout behind them.
    derivatives, features, gradients : list of ndarray
        E[phi'(h) phi'(h)], E[phi(h) phi(h)] and E[g g] of each hidden layer.
    ntk : ndarray
    """

    preactivations: list[np.ndarray]
    derivatives: list[np.ndarray]
    features: list[np.ndarray]
    gradients: list[np.ndarray]
    ntk: np.ndarray


def make_problem(
    network: Any, X: Any, y: Any, X_test: Any, *, gamma0: Any, learning_rate: Any, n_steps: int
) -> tuple[Problem, Lazy]:
    """Check what a user gave.

    Raises
    ------
    ValueError
        For bad input, or parameters out of range. And TypeError for another network.
    """
    variances = check_network(network)
    points = [check_inputs(X, kind=network.input_kind, input_shape=network.input_shape).astype(np.float64)]
    if X_test is not None:
        test = check_inputs(X_test, kind=network.input_kind, input_shape=network.input_shape, name="X_test")
        if test.shape[1] != points[0].shape[1]:
            raise ValueError(f"X_test must have the {points[0].shape[1]} columns of X, found {test.shape[1]}.")
        points.append(test.astype(np.float64))
    targets = check_array(y, dtype=np.float64, ensure_2d=False, input_name="y")
    check_consistent_length(points[0], targets)
    if targets.ndim != 1:
        raise ValueError(f"y must be one number a row, of shape (n,), found shape {targets.shape}.")
    if check_real(gamma0, "gamma0") == 0:
        raise ValueError("gamma0 must be positive, found 0: as it goes to 0, learning is that of the NTK.")
    if check_real(learning_rate, "learning_rate", optional=True) == 0:
        raise ValueError("learning_rate must be positive, found 0.")
    rows = np.concatenate(points)
    warn_of_quadrature(network, [rows], np.dtype(np.float64))
    lazy: Lazy = in_x64(_lazy, network, rows)
    n = len(targets)
    if learning_rate is None:
        largest = float(np.linalg.eigvalsh(lazy.ntk[:n, :n])[-1])
        if not largest > 0:
            raise ValueError("The NTK of X is zero: the network does not learn from X.")
        learning_rate = n / (4 * largest)
    return Problem(
        first_features(network, rows),
        targets,
        resolve_activation(network.activation),
        variances,
        float(gamma0),
        float(learning_rate),
        n_steps,
    ), lazy


def check_network(network: Any) -> Variances:
    """The variances of a network whose mean-field equations are known.

    Raises
    ------
    TypeError
        If it is no FullyConnected.
    ValueError
        If its activation has no derivative.
    """
    if not isinstance(network, FullyConnected):
        raise TypeError(f"network must be a FullyConnected(...), whose mean-field theory is known, found {network!r}.")
    activation = resolve_activation(network.activation)
    if not activation.has_ntk:
        raise ValueError(f"{activation!r} has no derivative to train through: take 'relu', 'erf' or 'gelu'.")
    (readout,) = network.readout()
    assert isinstance(readout, Dense)
    return Variances(
        weight=network.weight_var,
        bias=network.bias_var,
        readout_weight=readout.weight_var,
        readout_bias=readout.bias_var,
        trained=tuple(float(index >= network.n_frozen_layers) for index in range(network.depth)),
    )


def first_features(network: FullyConnected, X: np.ndarray) -> np.ndarray:
    """Features whose products are w x.x' / d + b, (n, d) -> (n, d + 1)."""
    weights = np.sqrt(float(network.weight_var) / X.shape[1]) * _scaled(network, X)
    return np.column_stack([weights, np.full(len(X), np.sqrt(float(network.bias_var)))])


def _scaled(network: FullyConnected, X: np.ndarray) -> np.ndarray:
    return X if network.input_scale is None else X * np.asarray(network.input_scale)


def _lazy(network: FullyConnected, X: np.ndarray) -> Lazy:
    state = _start(_scaled(network, X))
    preactivations: list[np.ndarray] = []
    derivatives: list[np.ndarray] = []
    features: list[np.ndarray] = []
    for index in range(network.depth):
        dense, activation = network.block(index)
        assert isinstance(activation, Activation)
        state, *kernels = _block(dense, activation, state)
        for found, kernel in zip((preactivations, derivatives, features), kernels, strict=True):
            found.append(np.array(kernel))
    readout = network.readout()[0]
    assert isinstance(readout, Dense)
    covariance, ntk = _end(readout, state)
    gradients: list[np.ndarray] = []
    for derivative in reversed(derivatives):
        above = network.weight_var * gradients[0] if gradients else readout.weight_var
        gradients.insert(0, above * derivative)
    return Lazy([*preactivations, np.array(covariance)], derivatives, features, gradients, np.array(ntk))


@jax.jit
def _start(X: Array) -> State:
    return tile_state(X, X, same=True)


@jax.jit
def _block(dense: Dense, activation: Activation, state: State) -> tuple[State, Array, Array, Array]:
    """A hidden layer, compiled once for all of a network: E[h h], E[phi' phi'] and E[phi phi]."""
    state = dense.propagate(state)
    after = activation.propagate(state._replace(ntk=jnp.zeros_like(state.delta) if state.ntk is None else state.ntk))
    derivative = activation.dual(state)[2]
    assert derivative is not None
    return after, state.covariance, derivative, after.covariance


@jax.jit
def _end(readout: Dense, state: State) -> tuple[Array, Array]:
    state = readout.propagate(state)
    assert state.ntk is not None
    return state.covariance, state.ntk


def slopes(activation: Activation, h: Array) -> tuple[Array, Array]:
    """phi(h) and phi'(h)."""
    return jax.jvp(activation, (h,), (jnp.ones_like(h),))


def curvatures(activation: Activation, h: Array) -> tuple[Array, Array, Array]:
    """phi(h), phi'(h) and phi''(h)."""
    (phi, slope), (_, curvature) = jax.jvp(lambda h: slopes(activation, h), (h,), (jnp.ones_like(h),))
    return phi, slope, curvature


def has_kink(activation: Activation) -> bool:
    """Whether phi' jumps somewhere within [-8, 8]: the interval in which it changes most is halved, down to nothing."""
    with jax.enable_x64(True):
        grid = np.linspace(-8.0, 8.0, 2**12 + 1) + 1e-9
        for _ in range(4):
            slope = np.asarray(_slopes(activation, grid)[1])
            index = int(np.abs(np.diff(slope)).argmax())
            grid = np.linspace(grid[index], grid[index + 1], len(grid))
        return bool(abs(slope[index + 1] - slope[index]) > JUMP)


_slopes = jax.jit(slopes)


def check_memory(n_bytes: float, what: str, remedy: str) -> None:
    """Check that memory is there before it is taken.

    Raises
    ------
    MemoryError
        If it is not.
    """
    available = available_memory()
    if n_bytes > available:
        raise MemoryError(f"{what} needs {n_bytes / 1e9:.1f} GB, and {available / 1e9:.1f} GB are available: {remedy}.")
