"""Polynomial networks: products of layers that see the same input."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from jax import Array

from ntkkit.networks.activations import Activation, Dual, resolve_activation
from ntkkit.networks.combinators import ProductOf
from ntkkit.networks.dense import Dense
from ntkkit.networks.families import check_family, dense_readout
from ntkkit.networks.layer import Layer
from ntkkit.networks.network import Layered, Serial
from ntkkit.networks.state import State, safe_ratio, safe_sqrt
from ntkkit.networks.value import check_count, check_scales


class OnePlus(Activation):
    """1 + phi(z): what a factor becomes that is skipped, h phi + h = h (1 + phi).

    With v = E[phi^2], m = E[phi] = k sqrt(v), k the same at all variances, and a, b the roots of v on both sides,

        E[(1 + phi)(1 + phi)] = 1 + m1 + m2 + E[phi phi],
        s' delta' = (1 - k^2) (a - b)^2 / (s' + 1 + m1 + m2 + a b) + a b delta,

    s' = sqrt((1 + 2 m1 + a^2) (1 + 2 m2 + b^2)), without cancellation. phi' is that of phi.

    Parameters
    ----------
    activation : str, function or Activation
        "relu", "identity", or another whose mean is known as a part of its root mean square.

    Raises
    ------
    ValueError
        If it is not.

    Examples
    --------
    >>> from ntkkit import NNGP
    >>> from ntkkit.networks import Dense, OnePlus, Serial
    >>> NNGP(Serial([Dense(1.0, 0.0), OnePlus("identity"), Dense(1.0, 0.0)]))([[2.0]])  # 1 + 4
    array([[5.]])
    """

    activation: Any

    def __init__(self, activation: str | Callable[..., Any] | Activation) -> None:
        if resolve_activation(activation).mean_ratio is None:
            raise ValueError(
                f"The mean of {activation!r} is not known as a part of its root mean square: take 'relu' or 'identity'."
            )
        self.__dict__.update(activation=activation)

    def __call__(self, z: Array) -> Array:
        return 1 + resolve_activation(self.activation)(z)

    def variance(self, q: Array) -> Array:
        activation = resolve_activation(self.activation)
        root = safe_sqrt(activation.variance(q))
        return 1 + 2 * activation.mean_ratio * root + root * root

    def dual(self, state: State) -> Dual:
        activation = resolve_activation(self.activation)
        ratio = activation.mean_ratio
        delta, anti, derivative = activation.dual(state)
        a, b = (safe_sqrt(activation.variance(var)) for var in (state.var1, state.var2))
        both, means = a * b, ratio * (a + b)
        scale = safe_sqrt(1 + 2 * ratio * a + a * a) * safe_sqrt(1 + 2 * ratio * b + b * b)
        spread = safe_ratio((1 - ratio * ratio) * (a - b) ** 2, scale + 1 + means + both)
        after = safe_ratio(spread + both * delta, scale)
        if anti is None:
            return after, None, derivative
        # s' + 1 + m1 + m2 - a b + a b anti, with s' - a b as a quotient
        first, second = 1 + 2 * ratio * a, 1 + 2 * ratio * b
        beyond = safe_ratio(first * second + first * b * b + second * a * a, scale + both)
        return after, safe_ratio(beyond + 1 + means + both * anti, scale), derivative


class PolynomialNetwork(Layered):
    """A network whose hidden units multiply `degree` layers that all see the input.

    With z_n = sqrt(weight_var / d) W_n x + sqrt(bias_var) b_n and independent W_n,

        y_1 = phi(z_1),    y_n = y_(n-1) phi(z_n)                (skip=False: a product of layers),
        y_1 = phi(z_1),    y_n = y_(n-1) phi(z_n) + y_(n-1)      (skip=True: a coupled polynomial network, CCP),

    and a readout. With S the covariance of z, k1 = E[phi phi], k0 = E[phi' phi'], q = 1 + E[phi] + E[phi] + k1 of both
    sides, and a readout of variance 1 without bias, the NTK is

        k1^N + N S k0 k1^(N-1)    and    k1 q^(N-1) + S k0 q^(N-1) + (N-1) S k0 k1 q^(N-2)    for N = degree.

    Parameters
    ----------
    degree : int, default=2
        Layers that are multiplied, N >= 1. Static.
    activation : str, function or Activation, default="relu"
        phi, "identity" for polynomials proper; with skip=True one that `OnePlus` takes. Static in kind.
    skip : bool, default=True
        Whether each product is added to what was there before. Static.
    weight_var, bias_var : float, default=2.0 and 0.1
        Variances >= 0, differentiable.
    readout_weight_var, readout_bias_var : float, optional
        The readout's; None means those of the other layers. Differentiable.
    input_shape : tuple of int, optional
        For inputs that are images: the shape (H, W, C) of one. Images are read as flattened rows.
    input_scale : float or array-like of shape (n_features,), optional
        As of `FullyConnected`.

    Raises
    ------
    ValueError, TypeError
        For negative variances, a degree below 1, or an activation that is not known or cannot be skipped.

    References
    ----------
    Chrysos et al. (2020), Pi-nets: deep polynomial neural networks; Zhu et al. (2022), Controlling the complexity and
    Lipschitz constant improves polynomial nets; Choraria et al. (2022), The spectral bias of polynomial neural
    networks.

    Examples
    --------
    >>> from ntkkit import NTK, PolynomialNetwork
    >>> given = {"activation": "identity", "weight_var": 1.0, "bias_var": 0.0}
    >>> NTK(PolynomialNetwork(degree=2, **given))([[1.0]])  # 2 S (1 + S) + S^2
    array([[5.]])
    >>> NTK(PolynomialNetwork(degree=3, skip=False, **given))([[1.0]])  # S^3 + 3 S^3
    array([[4.]])
    """

    degree: int
    activation: str | Callable[..., Any] | Activation
    skip: bool
    weight_var: Any
    bias_var: Any
    readout_weight_var: Any
    readout_bias_var: Any
    _leaves = ("weight_var", "bias_var", "readout_weight_var", "readout_bias_var", "input_scale")

    def __init__(
        self,
        degree: int = 2,
        activation: str | Callable[..., Any] | Activation = "relu",
        skip: bool = True,
        weight_var: float = 2.0,
        bias_var: float = 0.1,
        readout_weight_var: float | None = None,
        readout_bias_var: float | None = None,
        input_shape: Sequence[int] | None = None,
        input_scale: Any = None,
    ) -> None:
        if not isinstance(skip, bool):
            raise TypeError(f"skip must be True or False, found {skip!r}.")
        if skip:
            OnePlus(activation)
        self.__dict__.update(
            check_family(activation, weight_var, bias_var, readout_weight_var, readout_bias_var, input_shape),
            degree=check_count(degree, "degree", low=1),
            skip=skip,
            input_scale=check_scales(input_scale, "input_scale"),
        )

    @property
    def sequence(self) -> tuple[Layer, ...]:
        dense, phi = Dense(self.weight_var, self.bias_var), resolve_activation(self.activation)
        further = Serial([dense, OnePlus(phi) if self.skip else phi])
        return ProductOf([Serial([dense, phi]), *[further] * (self.degree - 1)]), dense_readout(self)
