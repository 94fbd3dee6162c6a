"""Functions of parameters and inputs, as users have them."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import Partial
from sklearn.utils import check_array

from ntkkit.finite.parametrization import FiniteNetwork
from ntkkit.kernels.inputs import check_inputs
from ntkkit.networks.network import Network


def network_of(apply: Any) -> Any:
    """The network, where `apply` is its method: networks are equal by value, methods only by whose they are."""
    owner = getattr(apply, "__self__", None)
    if isinstance(owner, Network | FiniteNetwork) and getattr(apply, "__name__", "") == "apply":
        return owner
    return apply


def reader_of(apply: Any) -> Network | None:
    """The network that says what inputs are, if there is one."""
    apply = network_of(apply)
    if isinstance(apply, FiniteNetwork):
        return apply.network
    return apply if isinstance(apply, Network) else None


def as_function(apply: Any) -> Any:
    """``function(params, X)`` that is a pytree: hyperparameters of a network are its leaves.

    Raises
    ------
    TypeError
        If it is no function or network, or one without a hash.
    """
    apply = network_of(apply)
    if isinstance(apply, Network | FiniteNetwork):
        return Partial(_apply, jax.tree.map(float_or_array, apply))
    if not callable(apply):
        raise TypeError(f"apply must be a function of (params, X), or a network, found {apply!r}.")
    try:
        hash(apply)
    except TypeError:
        raise TypeError(f"apply must have a hash, by which jax knows a function again; {apply!r} has none.") from None
    return Partial(apply)


def float_or_array(leaf: Any) -> Any:
    """A hyperparameter as jax traces it once for all types of numbers."""
    return float(leaf) if np.ndim(leaf) == 0 and not isinstance(leaf, jax.Array) else leaf


def _apply(network: Network | FiniteNetwork, params: Any, X: Any) -> Any:
    return network.apply(params, X)


def check_params(params: Any) -> Any:
    """Parameters with every array one of numpy that cannot be written.

    Raises
    ------
    ValueError
        If there are none, or they are not finite.
    TypeError
        If one is no real floating-point array.
    """
    leaves, structure = jax.tree.flatten(params)
    if not leaves:
        raise ValueError(f"params must hold at least one array, found {params!r}.")
    return jax.tree.unflatten(structure, [_frozen(leaf) for leaf in leaves])


def _frozen(leaf: Any) -> Any:
    if isinstance(leaf, jax.core.Tracer):
        return leaf
    array = np.asarray(leaf)
    if not jnp.issubdtype(array.dtype, np.floating):
        raise TypeError(
            f"params must be arrays of real floating-point numbers, found dtype {array.dtype}: what is not "
            "differentiated belongs into apply."
        )
    if not np.isfinite(array).all():
        raise ValueError("params must be finite, found NaN or infinity: has training diverged?")
    if array.flags.writeable:
        array = array.copy()
        array.flags.writeable = False
    return array


def as_inputs(apply: Any, X: Any, name: str = "X") -> np.ndarray:
    """X as an array that the function takes: what a network reads, or any finite numbers of shape (n, ...)."""
    network = reader_of(apply)
    if network is not None:
        return check_inputs(X, kind=network.input_kind, input_shape=network.input_shape, name=name)
    return check_array(X, dtype="numeric", ensure_2d=False, allow_nd=True, input_name=name)


def cast(params: Any, dtype: Any) -> Any:
    """Parameters in a dtype."""
    return jax.tree.map(lambda leaf: jnp.asarray(leaf, dtype), params)
