"""Rectifiers: piecewise linear activations."""

from __future__ import annotations

import math
from abc import abstractmethod
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from ntkkit.networks.activations import Activation, Dual, register
from ntkkit.networks.angle import acute_angle, angle
from ntkkit.networks.state import State, safe_ratio
from ntkkit.networks.value import check_real


class Relu(Activation):
    """phi(z) = max(z, 0), without a factor sqrt 2.

    With t = arccos(1 - delta) and g = delta / 2 - (sin t - t cos t) / 2 pi,

        E[phi phi] = s (1/2 - g),    E[phi' phi'] = (pi - t) / 2 pi,

    (arc-cosine kernels of order 1 and 0, Cho and Saul 2009), in float32 right to 3e-7 of sqrt(K_ii K_jj).
    """

    @property
    def mean_ratio(self) -> float:
        return 1 / math.sqrt(math.pi)

    def __call__(self, z: Array) -> Array:
        return jnp.maximum(z, 0)

    def variance(self, q: Array) -> Array:
        return q / 2

    def dual(self, state: State) -> Dual:
        if state.anti is None:  # an activation of non-negative values came before: the correlation is not negative
            t, gap = acute_angle(state.delta)
            return state.delta - gap / np.pi, None, 0.5 - t / (2 * np.pi)
        # beyond 90 degrees, with r = pi - t: E[phi phi] = s (sin r - r cos r) / 2 pi, E[phi' phi'] = r / 2 pi
        _, rest, gap = angle(state.delta, state.anti)
        return jnp.where(state.delta <= state.anti, state.delta, 1) - gap / np.pi, None, rest / (2 * np.pi)


class _TwoSlopes(Activation):
    """phi(z) = a z for z < 0, b z for z > 0.

    With m = (a^2 + b^2) / 2, t = arccos(1 - delta) and G = m delta - (a - b)^2 (sin t - t cos t) / 2 pi,

        E[phi phi] = s (m - G),    E[phi' phi'] = m - (a - b)^2 t / 2 pi;

    beyond 90 degrees, with r = pi - t, E[phi phi] = s [(a - b)^2 (sin r - r cos r) / 2 pi - a b cos r].
    """

    _nonnegative: ClassVar[bool] = False

    @property
    @abstractmethod
    def slopes(self) -> tuple[Any, Any]:
        """The slopes (a, b) left and right of 0."""

    @property
    def mean_ratio(self) -> Any:
        """E[phi(u)] / sqrt(E[phi(u)^2])."""
        a, b = self.slopes
        return (b - a) / (math.sqrt(math.pi) * jnp.sqrt(a * a + b * b))

    def __call__(self, z: Array) -> Array:
        a, b = self.slopes
        return jnp.where(z < 0, a, b) * z

    def variance(self, q: Array) -> Array:
        a, b = self.slopes
        return (a * a + b * b) / 2 * q

    def dual(self, state: State) -> Dual:
        anti = 2 - state.delta if state.anti is None else state.anti
        a, b = self.slopes
        m, kink = (a * a + b * b) / 2, (a - b) ** 2 / (2 * np.pi)
        acute = state.delta <= anti
        t, rest, gap = angle(state.delta, anti)
        gap = kink * gap
        # the distance 1 - E / s m below 90 degrees, and E / s from where it may be small or negative
        near = safe_ratio(m * state.delta - gap, m)
        delta = jnp.where(acute, near, safe_ratio((a + b) ** 2 / 2 - a * b * anti - gap, m))
        after = jnp.where(acute, 2 - near, safe_ratio((a - b) ** 2 / 2 + a * b * anti + gap, m))
        nonnegative = self._nonnegative or state.anti is None
        return delta, None if nonnegative else after, (m * rest + a * b * t) / np.pi


class ABRelu(_TwoSlopes):
    """phi(z) = a z for z < 0, b z for z > 0.

    With m = (a^2 + b^2) / 2, t = arccos(1 - delta) and G = m delta - (a - b)^2 (sin t - t cos t) / 2 pi,

        E[phi phi] = s (m - G),    E[phi' phi'] = m - (a - b)^2 t / 2 pi,

    in float32 right to 5e-7 of sqrt(K_ii K_jj).

    Parameters
    ----------
    a, b : float
        Slopes left and right of 0, of any sign. Differentiable.

    References
    ----------
    Tsuchida, Roosta, Gallagher (2018), Invariance of weight distributions in rectified MLPs.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> from ntkkit.networks import ABRelu
    >>> ABRelu(a=0.25, b=2.0)(jnp.array([-1.0, 1.0])).tolist()
    [-0.25, 2.0]
    >>> ABRelu(a=1.0, b=2.0).variance(1.0)
    2.5
    """

    a: Any
    b: Any
    _leaves = ("a", "b")

    def __init__(self, a: float, b: float) -> None:
        self.__dict__.update(a=check_real(a, "a", signed=True), b=check_real(b, "b", signed=True))

    @property
    def slopes(self) -> tuple[Any, Any]:
        return self.a, self.b


class LeakyRelu(_TwoSlopes):
    """phi(z) = slope z for z < 0, z for z > 0.

    `ABRelu` with a = slope and b = 1: E[phi phi] = s (m - G), E[phi' phi'] = m - (1 - slope)^2 t / 2 pi, in float32
    right to 5e-7 of sqrt(K_ii K_jj).

    Parameters
    ----------
    slope : float, default=0.01
        The slope left of 0, of any sign. Differentiable.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> from ntkkit.networks import LeakyRelu
    >>> LeakyRelu(0.25)(jnp.array([-1.0, 1.0])).tolist()
    [-0.25, 1.0]
    """

    slope: Any
    _leaves = ("slope",)

    def __init__(self, slope: float = 0.01) -> None:
        self.__dict__.update(slope=check_real(slope, "slope", signed=True))

    @property
    def slopes(self) -> tuple[Any, Any]:
        return self.slope, 1.0


class Abs(_TwoSlopes):
    """phi(z) = |z|.

    E[phi phi] = s (1 - delta + 2 (sin t - t cos t) / pi), E[phi' phi'] = 1 - 2 t / pi, even in the correlation: near
    antipodes the distance is that of the antipode. In float32 right to 5e-7 of sqrt(K_ii K_jj).

    Examples
    --------
    >>> from ntkkit import NNGP, FullyConnected
    >>> network = FullyConnected(depth=1, activation="abs", weight_var=1.0, bias_var=0.0)
    >>> NNGP(network)([[1.0]], [[-1.0]])  # E[|u| |-u|]
    array([[1.]])
    """

    _nonnegative: ClassVar[bool] = True

    @property
    def slopes(self) -> tuple[Any, Any]:
        return -1.0, 1.0


register("relu", Relu(), jax.nn.relu)
register("leaky_relu", LeakyRelu(), jax.nn.leaky_relu)
register("abs", Abs(), jnp.abs)
