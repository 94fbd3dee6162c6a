"""Interval bound propagation: what a finite network can output over a box of inputs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from ntkkit.engine.precision import in_x64
from ntkkit.kernels.inputs import check_inputs
from ntkkit.networks import (
    ABRelu,
    Abs,
    Dense,
    Erf,
    Exp,
    Gaussian,
    Identity,
    Layer,
    LeakyRelu,
    Monomial,
    Network,
    Quadrature,
    RectifiedMonomial,
    Relu,
    SigmoidLike,
    Sign,
    Step,
)
from ntkkit.networks.network import Layered

# Activations that rise or fall throughout on either side of 0: extremes are at the ends of an interval, or at 0.
_SPLIT_AT_ZERO = (
    *(Identity, Relu, LeakyRelu, ABRelu, Abs, Sign, Step),
    *(Erf, SigmoidLike, Exp, Gaussian, Monomial, RectifiedMonomial),
)
_RISING = (jnp.tanh, jax.nn.sigmoid, jax.nn.softplus, jax.nn.elu, jax.nn.selu)
_HALVINGS = 40
_DOUBLINGS = 60


def interval_bounds(network: Network, params: Any, X: Any, radius: Any) -> tuple[np.ndarray, np.ndarray]:
    """Bounds of a finite network's outputs over the boxes |x - X_i|_inf <= radius_i.

    A dense layer takes a box of centre c and half-widths h to one of centre z(c) and half-widths
    sqrt(weight_var / fan_in) |W|' h; an activation takes each interval to its image. Sound, but not tight: a layer
    forgets how its units depend on each other. Evaluated in float64, without directed rounding.

    Parameters
    ----------
    network : Network
        `FullyConnected`, or a `Serial` of `Dense`, such networks, and activations that are monotone on either side of
        0: identity, relu, leaky_relu, abs, erf, tanh, sigmoid, softplus, elu, selu, exp, Gaussian, Sign, Step,
        `ABRelu`, `SigmoidLike`, `Monomial`, `RectifiedMonomial`.
    params : pytree
        What ``network.init`` returned, trained or not.
    X : array-like of shape (n, d)
        Centres of the boxes; images too, where the network has an `input_shape`.
    radius : float or array-like of shape (n,)
        Half the boxes' side, >= 0.

    Returns
    -------
    low, high : ndarray of shape (n, n_outputs)
        low <= network.apply(params, x) <= high, up to rounding.

    Raises
    ------
    TypeError
        For a layer or activation that is not in the list.
    ValueError
        If a radius is negative or not finite, or X is not what the network reads.

    References
    ----------
    Gowal et al. (2018), On the effectiveness of interval bound propagation for training verifiably robust models.

    Examples
    --------
    >>> import numpy as np
    >>> from ntkkit.finite.interval_bounds import interval_bounds
    >>> from ntkkit.networks import Abs, Dense, Serial
    >>> network = Serial([Abs(), Dense(weight_var=2.0, bias_var=0.0)])  # |x| - |y| with these weights
    >>> params = [(), {"weight": np.array([[1.0], [-1.0]]), "bias": np.zeros(1)}]
    >>> low, high = interval_bounds(network, params, [[3.0, 0.5]], 1.0)
    >>> float(low[0, 0]), float(high[0, 0])
    (0.5, 4.0)
    """
    X = _checked(network, X)
    radii = np.asarray(radius, dtype=np.float64)
    if radii.shape not in ((), (len(X),)) or not np.isfinite(radii).all() or (radii < 0).any():
        raise ValueError(f"radius must be one finite number >= 0, or one a row of X ({len(X)},), found {radius!r}.")
    low, high = in_x64(_propagate, network, params, X, np.broadcast_to(radii, len(X)))
    return np.array(low), np.array(high)


def interval_certified_radius(network: Network, params: Any, X: Any) -> np.ndarray:
    """The l-infinity radius around each input within which interval bounds keep the sign of the network's output.

    Parameters
    ----------
    network : Network
        As for `interval_bounds`, of one output.
    params : pytree
        What ``network.init`` returned, trained or not.
    X : array-like of shape (n, d)
        Inputs; images too, where the network has an `input_shape`.

    Returns
    -------
    ndarray of shape (n,)
        Radii, from below; 0 where the output is 0, inf where it keeps its sign everywhere.

    Raises
    ------
    ValueError
        If the network has several outputs. And as `interval_bounds` does.

    Examples
    --------
    >>> import numpy as np
    >>> from ntkkit.finite.interval_bounds import interval_certified_radius
    >>> from ntkkit.networks import Dense, Serial
    >>> params = [{"weight": np.array([[3.0], [-4.0]]), "bias": np.zeros(1)}]  # 3 x - 4 y = 0 is 2 / 7 away
    >>> interval_certified_radius(Serial([Dense()]), params, [[2.0, 1.0]]).round(6)
    array([0.285714])
    """
    X = _checked(network, X)

    def certified(radii: np.ndarray) -> np.ndarray:
        low, high = interval_bounds(network, params, X, radii)
        if low.shape[1] != 1:
            raise ValueError(f"The network must have one output, whose sign is the prediction; found {low.shape[1]}.")
        return ((low > 0) | (high < 0))[:, 0]

    return largest_radius(certified, np.abs(X).max(axis=1) + 1.0)


def largest_radius(certified: Callable[[np.ndarray], np.ndarray], start: np.ndarray) -> np.ndarray:
    """The largest radii at which a property holds that no larger radius regains, by bisection, from below.

    Parameters
    ----------
    certified : callable
        From radii (n,) to whether each holds (n,).
    start : ndarray of shape (n,)
        Radii > 0 to begin with.

    Returns
    -------
    ndarray of shape (n,)
        Radii that hold, right to 1e-12 of `start` or of themselves; 0 if none does, inf if one holds at 1e18 `start`.
    """
    unbounded = certified(start * 2.0**_DOUBLINGS)
    low, high = np.zeros(len(start)), start.astype(np.float64)
    while True:
        holds = certified(high) & ~unbounded
        if not holds.any():
            break
        low, high = np.where(holds, high, low), np.where(holds, 2 * high, high)
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        holds = certified(middle)
        low, high = np.where(holds, middle, low), np.where(holds, high, middle)
    return np.where(unbounded, np.inf, low)


def _checked(network: Network, X: Any) -> np.ndarray:
    if not isinstance(network, Layered):
        raise TypeError(f"Interval bounds are for layers one after another, such as FullyConnected; found {network!r}.")
    return check_inputs(X, kind=network.input_kind, input_shape=network.input_shape).astype(np.float64)


def _propagate(network: Network, params: Any, X: np.ndarray, radii: np.ndarray) -> tuple[Array, Array]:
    params = jax.tree.map(lambda leaf: jnp.asarray(leaf, np.float64), params)
    return _through(network, params, X - radii[:, None], X + radii[:, None])


def _through(layer: Network | Layer, params: Any, low: Array, high: Array) -> tuple[Array, Array]:
    """The intervals after a layer."""
    if isinstance(layer, Layered):
        low, high = layer._rows(low), layer._rows(high)
        for inner, param in zip(layer.sequence, params, strict=True):
            low, high = _through(inner, param, low, high)
        return low, high
    if isinstance(layer, Dense):
        centre = layer.apply(params, (low + high) / 2)
        magnitudes = {"weight": jnp.abs(params["weight"]), "bias": jnp.zeros_like(params["bias"])}
        half = layer.apply(magnitudes, (high - low) / 2)
        return centre - half, centre + half
    if isinstance(layer, _SPLIT_AT_ZERO) or (isinstance(layer, Quadrature) and layer.function in _RISING):
        at_low, at_high = layer(low), layer(high)
        at_zero = jnp.where((low < 0) & (high > 0), layer(jnp.zeros_like(low)), at_low)
        return (
            jnp.minimum(jnp.minimum(at_low, at_high), at_zero),
            jnp.maximum(jnp.maximum(at_low, at_high), at_zero),
        )
    raise TypeError(
        f"Interval bounds are for Dense layers and activations that are monotone on either side of 0, found {layer!r}."
    )
