"""The neural dynamical kernel: what an infinitely wide network remembers of its training."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np
from jax import Array

from ntkkit.dynamics.clock import Clock, clock
from ntkkit.engine.memory import check_available
from ntkkit.engine.precision import in_x64
from ntkkit.engine.rows import filled, rounded
from ntkkit.kernels.base import Kernel, check_bounds
from ntkkit.kernels.inputs import check_inputs
from ntkkit.networks.activations import Activation
from ntkkit.networks.dense import Dense
from ntkkit.networks.network import Layered
from ntkkit.networks.quadrature import warn_of_quadrature
from ntkkit.networks.state import State, tile_state
from ntkkit.networks.value import FrozenValue, check_real


class NDK(FrozenValue):
    """Neural dynamical kernel Kd(x, t; x', s) of an infinitely wide network under Langevin dynamics.

    All entries theta of W and b start as N(0, init_var) and follow, for half the sum E of squared errors,

        d theta = -dE/dtheta dt - (T / prior_var) theta dt + sqrt(2 T) dB.

    With e(t, s) = exp(-T |t - s| / prior_var) and m(t, s) = E[theta(t) theta(s)] in the absence of data, and layers
    z = sqrt(w / fan_in) W h + sqrt(b) B,

        B_0 = w x.x' / d + b,            Kd_0 = e B_0,
        B_l = w E[phi phi] + b,          Kd_l = w m E[phi' phi'] Kd_(l-1) + e B_l,

    with expectations under the covariance m B_(l-1), whose variances are those of each point at its own time. The mean
    of the network's output is f(x, t) = int_0^t ds sum_i Kd(x, t; x_i, s) (y_i - f(x_i, s)), see `learning_curve`.

    For T = 0 it is the NTK divided by init_var, at all times; at late times dynamics end in the posterior of the NNGP
    with noise of variance T. For init_var = prior_var it is d(m B_L)/ds = T Kd.

    Parameters
    ----------
    network : FullyConnected or Serial
        Of dense layers, all trained, and activations that have derivatives.
    temperature : float, default=0.1
        T >= 0. Differentiable.
    init_var, prior_var : float, default=1.0
        Variances of the entries of W and b at the start, >= 0, and under the prior that weight decay and noise would
        lead to, > 0. They multiply the network's weight_var and bias_var. Differentiable.

    Raises
    ------
    ValueError
        For a network with other layers, frozen ones, or activations without derivative; negative variances.

    References
    ----------
    Avidan, Li, Sompolinsky (2023), Connecting NTK and NNGP: a unified theoretical framework for neural network learning
    dynamics in the kernel regime.

    Examples
    --------
    >>> from ntkkit import FullyConnected
    >>> from ntkkit.dynamics import NDK
    >>> ndk = NDK(FullyConnected(depth=0, weight_var=1.0, bias_var=0.0), temperature=0.5)
    >>> ndk([[1.0, 1.0]], [[1.0, 3.0]], t=[0.0, 2.0], s=[0.0])[:, 0, 0, 0]  # 2 exp(-T |t - s|)
    array([2.        , 0.73575888])
    """

    network: Layered
    temperature: Any
    init_var: Any
    prior_var: Any
    _leaves = ("temperature", "init_var", "prior_var")

    def __init__(
        self, network: Layered, temperature: float = 0.1, init_var: float = 1.0, prior_var: float = 1.0
    ) -> None:
        _check_network(network)
        self.__dict__.update(
            network=network,
            temperature=check_real(temperature, "temperature"),
            init_var=check_real(init_var, "init_var"),
            prior_var=check_real(prior_var, "prior_var"),
        )
        if isinstance(self.prior_var, float) and self.prior_var == 0:
            raise ValueError("prior_var must be > 0: weights decay at the rate temperature / prior_var.")

    def __call__(self, X: Any, Y: Any = None, *, t: Any, s: Any = None) -> np.ndarray:
        """Evaluate at all pairs of times and of points.

        Parameters
        ----------
        X : array-like of shape (n, d)
        Y : array-like of shape (m, d), optional
            None means X.
        t : float or array-like of shape (n_t,)
            Times >= 0 of the points of X.
        s : float or array-like of shape (n_s,), optional
            Times of the points of Y; None means t. Times before or after t alike.

        Returns
        -------
        ndarray of shape (n_t, n_s, n, m)
            float64, n_t n_s n m numbers; relative error 1e-14 (1e-12 near kinks of phi).

        Raises
        ------
        ValueError
            For times that are negative or not finite, or bad inputs.
        MemoryError
            If the result does not fit.
        """
        return self._evaluate(X, Y, t, s, which=slice(0, 1))[0]

    def with_covariance(self, X: Any, Y: Any = None, *, t: Any, s: Any = None) -> tuple[np.ndarray, np.ndarray]:
        """Kd, and the covariance m(t, s) B_L of outputs without data; arguments and shapes as those of a call."""
        kernel, covariance = self._evaluate(X, Y, t, s, which=slice(0, 2))
        return kernel, covariance

    def _evaluate(self, X: Any, Y: Any, t: Any, s: Any, *, which: slice) -> np.ndarray:
        X = self.check_inputs(X)
        Y = X if Y is None else self.check_inputs(Y, name="Y")
        t, s = check_times(t, "t"), check_times(t if s is None else s, "s")
        shape = (len(range(2)[which]), len(t), len(s), len(X), len(Y))
        check_available(shape, np.dtype(np.float64))
        result = np.empty(shape)
        X, Y = (filled(rows, rounded(len(rows))) for rows in (X, Y))
        for i, time in enumerate(t):
            for part, found in enumerate(in_x64(_row, self, X, Y, float(time), s)[which]):
                result[part, i] = np.asarray(found)[:, : shape[3], : shape[4]]
        return result

    def check_inputs(self, X: Any, *, name: str = "X") -> np.ndarray:
        """Rows in float64, checked."""
        return check_inputs(X, kind="rows", input_shape=None, name=name).astype(np.float64)

    def at(self, t: float, s: float | None = None) -> NDKAt:
        """The kernel k(x, x') = Kd(x, t; x', s) at two times, one by default, for the engine and for estimators."""
        return NDKAt(self, t, t if s is None else s)

    def tiles(self, X: Array, Y: Array, t: Any, s: Any, *, same: bool = False) -> tuple[Array, Array]:
        """Kd(x, t; x', s), and the covariance m(t, s) B_L of outputs without data: (n, d), (m, d) -> (n, m) each.

        Pure jax; t and s are scalars.
        """
        at = clock(t, s, temperature=self.temperature, init_var=self.init_var, prior_var=self.prior_var)
        return self.tiles_at(X, Y, at, same=same)

    def tiles_at(self, X: Array, Y: Array, at: Clock, *, same: bool = False) -> tuple[Array, Array]:
        """The same under given statistics of the weights."""
        response, covariance = self.responses_at(X, Y, at, same=same)
        return at.decay * response, at.covariance * covariance

    def responses_at(self, X: Array, Y: Array, at: Clock, *, same: bool = False) -> tuple[Array, Array]:
        """Kd / e, through all weights, and B_L, the part of it that is through those of the readout."""
        state = tile_state(self.network._rows(X), self.network._rows(Y), same=same)
        *hidden, readout = self.network.sequence
        for layer in hidden:
            state = layer.propagate(state)
            if isinstance(layer, Dense):
                state = _under(at, state)
        state = readout.propagate(state)
        assert state.ntk is not None
        return state.ntk, state.covariance


class NDKAt(Kernel):
    """The neural dynamical kernel at two times, k(x, x') = Kd(x, t; x', s); made by `NDK.at`.

    Parameters
    ----------
    ndk : NDK
    t, s : float
        Times >= 0 of its two arguments. For t = s it is symmetric and positive semi-definite; else, in general, not.
    bounds : dict, optional
        As for `NTK`; times are fixed.
    """

    ndk: NDK
    t: float
    s: float

    def __init__(self, ndk: NDK, t: float, s: float, bounds: dict[str, Any] | None = None) -> None:
        if not isinstance(ndk, NDK):
            raise TypeError(f"ndk must be an NDK such as NDK(FullyConnected(depth=2)), found {ndk!r}.")
        for name, time in (("t", t), ("s", s)):
            if np.ndim(time):
                raise ValueError(f"{name} must be one time, found {time!r}.")
            check_times(time, name)
        self.__dict__.update(ndk=ndk, t=t, s=s, bounds=bounds)
        check_bounds(bounds, self.leaf_paths())

    @property
    def symmetric(self) -> bool:
        return self.t == self.s

    def tile(self, X: Array, Y: Array, *, same: bool = False) -> Array:
        return self.ndk.tiles(X, Y, self.t, self.s, same=same)[0]

    def tile_diag(self, X: Array) -> Array:
        return jax.vmap(lambda x: self.tile(x[None], x[None], same=True)[0, 0])(X)

    def examine(self, X: np.ndarray, Y: np.ndarray | None = None) -> None:
        warn_of_quadrature(self.ndk.network, [X] if Y is None else [X, Y], X.dtype)


def check_times(times: Any, name: str) -> np.ndarray:
    """Times as a 1-D float64 array.

    Raises
    ------
    ValueError
        If they are negative, not finite or not numbers.
    """
    try:
        found = np.atleast_1d(np.asarray(times, dtype=np.float64))
    except (TypeError, ValueError):
        raise ValueError(f"{name} must be times >= 0, found {times!r}.") from None
    if found.ndim != 1 or found.size == 0 or not (np.isfinite(found).all() and (found >= 0).all()):
        raise ValueError(f"{name} must be one or more finite times >= 0, found {times!r}.")
    return found


def _under(at: Clock, state: State) -> State:
    """Pre-activations with the weights' statistics of two times in place of unit variances."""
    correlation = 1 - at.gap
    anti = None if state.anti is None else at.gap + correlation * state.anti
    return state._replace(
        var1=at.var1 * state.var1,
        var2=at.var2 * state.var2,
        delta=at.gap + correlation * state.delta,
        anti=anti,
        ntk=None if state.ntk is None else at.covariance * state.ntk,
    )


def _check_network(network: Any) -> None:
    remedy = "Give FullyConnected(depth=2), or a Serial of dense layers and activations."
    if not isinstance(network, Layered) or network.spatial:
        raise ValueError(f"network must be of rows and made of layers, found {network!r}. {remedy}")
    for layer in network.sequence:
        if not isinstance(layer, Dense | Activation):
            raise ValueError(
                f"The neural dynamical kernel is known for dense layers and activations, not for {layer!r}."
            )
        if isinstance(layer, Dense) and not layer.trainable:
            raise ValueError("All layers must be trained: n_frozen_layers=0, trainable=True.")
        if isinstance(layer, Activation) and not layer.has_ntk:
            raise ValueError(f"{layer!r} has no derivative to train through.")
    if not isinstance(network.sequence[-1], Dense):
        raise ValueError(f"The last layer must be a dense readout, found {network.sequence[-1]!r}.")


@jax.jit
def _row(ndk: NDK, X: Array, Y: Array, t: Array, s: Array) -> tuple[Array, Array]:
    return jax.lax.map(lambda time: ndk.tiles(X, Y, t, time), s)
