"""Exponentials: activations whose duals are exponentials of distances, or powers of sums of them."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
from jax import Array

from ntkkit.networks.activations import Activation, Dual, register
from ntkkit.networks.state import State, safe_sqrt
from ntkkit.networks.value import check_real


class Exp(Activation):
    """phi(z) = exp(z).

    With D = E[(u - v)^2] / 2 = (sqrt q1 - sqrt q2)^2 / 2 + s delta,

        E[phi phi] = E[phi' phi'] = exp(q1 + q2 - D),    E[phi^2] = exp(2 q),    delta' = 1 - exp(-D).

    exp(2 q) overflows for q > 44 in float32 and q > 354 in float64; and since a rounded q is relatively wrong by as
    much as it is large, float32 is right to 1e-7 (1 + q) of sqrt(K_ii K_jj), a layer.

    Examples
    --------
    >>> import math
    >>> from ntkkit import NNGP, FullyConnected
    >>> network = FullyConnected(depth=1, activation="exp", weight_var=1.0, bias_var=0.0)
    >>> math.isclose(NNGP(network)([[1.0]])[0, 0], math.exp(2.0))
    True
    """

    def __call__(self, z: Array) -> Array:
        return jnp.exp(z)

    def variance(self, q: Array) -> Array:
        return jnp.exp(2 * q)

    def dual(self, state: State) -> Dual:
        gap = state.gap
        return -jnp.expm1(-gap), None, jnp.exp(state.var1 + state.var2 - gap)


class Rbf(Activation):
    """phi(z) = sqrt 2 sin(sqrt(2 gamma) z + pi / 4), a random Fourier feature of the Gaussian kernel.

    With D = E[(u - v)^2] / 2 = (sqrt q1 - sqrt q2)^2 / 2 + s delta,

        E[phi phi] = exp(-2 gamma D),    E[phi' phi'] = 2 gamma exp(-2 gamma D),    E[phi^2] = 1.

    In float32 right to 5e-7 of sqrt(K_ii K_jj); rounding of large variances adds up to 1e-7 sqrt(gamma q).

    Parameters
    ----------
    gamma : float, default=1.0
        Inverse squared length, >= 0. Differentiable.

    References
    ----------
    Rahimi, Recht (2007), Random features for large-scale kernel machines.

    Examples
    --------
    >>> import math
    >>> from ntkkit import NNGP, FullyConnected
    >>> from ntkkit.networks import Rbf
    >>> network = FullyConnected(depth=1, activation=Rbf(0.5), weight_var=1.0, bias_var=0.0)
    >>> math.isclose(NNGP(network)([[1.0]], [[3.0]])[0, 0], math.exp(-0.5 * 2.0**2))
    True
    """

    gamma: Any
    _leaves = ("gamma",)

    def __init__(self, gamma: float = 1.0) -> None:
        self.__dict__.update(gamma=check_real(gamma, "gamma"))

    def __call__(self, z: Array) -> Array:
        return jnp.sqrt(2.0) * jnp.sin(safe_sqrt(2 * jnp.asarray(self.gamma, z.dtype)) * z + jnp.pi / 4)

    def variance(self, q: Array) -> Array:
        return jnp.ones_like(q)

    def dual(self, state: State) -> Dual:
        exponent = -2 * self.gamma * state.gap
        return -jnp.expm1(exponent), None, 2 * self.gamma * jnp.exp(exponent)


class Gaussian(Activation):
    """phi(z) = exp(-z^2).

    With R = (1 + 2 q1)(1 + 2 q2) - 4 k^2 = 1 + 2 (q1 + q2) + 4 q1 q2 delta (2 - delta), free of cancellation,

        E[phi phi] = R^(-1/2),    E[phi' phi'] = 4 k R^(-3/2),

    and with P = (1 + 4 q1)(1 + 4 q2), R^2 = P + 4 (q1 - q2)^2 + 8 q1 q2 delta (2 - delta) (1 + 2 q1 + 2 q2) + (4 q1
    q2 delta (2 - delta))^2, the distance is delta' = 1 - (P / R^2)^(1/4). In float32 right to 5e-7 of
    sqrt(K_ii K_jj).

    References
    ----------
    Williams (1997), Computing with infinite networks.

    Examples
    --------
    >>> from ntkkit.networks import Gaussian
    >>> round(float(Gaussian().variance(2.0)), 6)  # 1 / sqrt(1 + 4 q)
    0.333333
    """

    def __call__(self, z: Array) -> Array:
        return jnp.exp(-z * z)

    def variance(self, q: Array) -> Array:
        return 1 / jnp.sqrt(1 + 4 * q)

    def dual(self, state: State) -> Dual:
        q1, q2 = state.var1, state.var2
        anti = 2 - state.delta if state.anti is None else state.anti
        turned = 4 * q1 * q2 * state.delta * anti
        base = 1 + 2 * (q1 + q2)
        inverse1, inverse2 = 1 / (1 + 4 * q1), 1 / (1 + 4 * q2)  # by factors: squares of large variances overflow
        excess = (2 * (q1 - q2)) ** 2 * inverse1 * inverse2 + (turned * inverse1) * ((2 * base + turned) * inverse2)
        delta = -jnp.expm1(-jnp.log1p(excess) / 4)
        determinant = base + turned
        return delta, None, 4 * (state.covariance / jnp.sqrt(determinant)) / determinant


register("exp", Exp(), jnp.exp)
register("gaussian", Gaussian())
register("rbf", Rbf())
