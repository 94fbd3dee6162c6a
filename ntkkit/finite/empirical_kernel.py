"""The kernel of a finite network, for the engine, scikit-learn and every estimator."""

from __future__ import annotations

import functools
import hashlib
import math
from collections.abc import Sequence
from typing import Any, Self

import jax
import numpy as np
from jax import Array

from ntkkit.finite._functions import as_function, cast, check_params, network_of, reader_of
from ntkkit.finite._jacobians import contracted, diagonal, jacobians
from ntkkit.kernels.base import Kernel
from ntkkit.networks.network import check_shape


class EmpiricalNTK(Kernel):
    """Neural tangent kernel of a network with the parameters that it has, trained or not: tr(J(x) J(y)') / k.

    `empirical_ntk` as a kernel: for the engine, scikit-learn's and ntkkit's estimators. Kernel machines with it are
    the network linearised at its parameters. It has no hyperparameters that a search or a Gaussian process could set.
    A matrix is evaluated in tiles, and each tile makes the Jacobians of its rows: `empirical_ntk` itself, and
    kernel="precomputed", save that for thousands of rows of a network whose Jacobians are expensive.

    Parameters
    ----------
    apply : callable or Network
        ``apply(params, X) -> outputs`` of jax, as for `empirical_ntk`; a function is static, and must have a hash. Of a
        network its method `apply` is meant. For pickles, and matrices that are stored or cached, it must be a
        network or have a name in a module.
    params : pytree of floating-point arrays
        Kept as arrays of numpy that cannot be written; copies of the kernel share them. Leaves of the kernel as a
        pytree, so that one computation is compiled for all parameters of a shape.
    input_shape : tuple of int, optional
        The shape of one input if `apply` is a function of more than rows: (H, W, C), or (T, d). A network knows it.
        Static.

    Raises
    ------
    TypeError
        If apply is no function with a hash, or a parameter is no real floating-point array.
    ValueError
        If there are no parameters, or they are not finite.

    References
    ----------
    Jacot, Gabriel, Hongler (2018), Neural Tangent Kernel; Fort et al. (2020), Deep learning versus kernel learning.

    Examples
    --------
    >>> from ntkkit import FullyConnected
    >>> from ntkkit.finite import EmpiricalNTK
    >>> net = FullyConnected(depth=1)
    >>> kernel = EmpiricalNTK(net, net.init(0, 2, width=64))
    >>> kernel
    EmpiricalNTK(apply=FullyConnected(depth=1), params=<257 numbers in 4 arrays>)
    >>> kernel([[1.0, 2.0], [3.0, 4.0]]).shape
    (2, 2)
    """

    _leaves = ("params",)
    apply: Any
    params: Any

    def __init__(self, apply: Any, params: Any, input_shape: Sequence[int] | None = None) -> None:
        apply = network_of(apply)
        as_function(apply)
        if reader_of(apply) is not None and input_shape is not None:
            raise ValueError(f"input_shape is for functions; {apply!r} knows its own.")
        self.__dict__.update(apply=apply, params=check_params(params), input_shape=check_shape(input_shape))

    @property
    def input_kind(self) -> str:
        network = reader_of(self.apply)
        if network is not None:
            return network.input_kind
        return "rows" if self.input_shape is None else "images"

    @property
    def input_shape(self) -> tuple[int, ...] | None:
        network = reader_of(self.apply)
        return self.__dict__["input_shape"] if network is None else network.input_shape

    @property
    def tile_side(self) -> int | None:
        return 256

    @property
    def works_in_cache(self) -> bool:
        return False

    def leaf_paths(self) -> dict[str, Any]:
        return {}  # nothing that a search could set: other parameters are another network's

    def tile(self, X: Array, Y: Array, *, same: bool = False) -> Array:
        one = self._jacobians(X)
        other = one if same else self._jacobians(Y)
        everything = (tuple(range(len(one))),)
        return contracted(one, other, trace_outputs=True, groups=everything)[0]

    def tile_diag(self, X: Array) -> Array:
        return diagonal(self._jacobians(X))

    def _jacobians(self, X: Array) -> Any:
        shape = self.__dict__["input_shape"]  # of a function; networks shape their inputs themselves
        rows = X if shape is None else X.reshape(len(X), *shape)
        return jacobians(as_function(self.apply), cast(self.params, X.dtype), rows)

    @functools.cached_property
    def _digest(self) -> str:
        """A name of the parameters' numbers, which do not change."""
        digest = hashlib.blake2b(digest_size=16)
        leaves, structure = jax.tree.flatten(self.params)
        digest.update(str((structure, [(leaf.shape, leaf.dtype.str) for leaf in leaves])).encode())
        for leaf in leaves:
            digest.update(np.ascontiguousarray(leaf).data)
        return digest.hexdigest()

    def _key(self) -> tuple[Any, ...]:
        return type(self), self.apply, self._digest, self.input_shape

    def __sklearn_clone__(self) -> Self:
        return self.replace()  # shares the function and the parameters, which scikit-learn would copy

    def __repr__(self) -> str:
        leaves = jax.tree.leaves(self.params)
        count = sum(math.prod(np.shape(leaf)) for leaf in leaves)
        apply = self.apply if reader_of(self.apply) is not None else getattr(self.apply, "__qualname__", self.apply)
        shape = "" if self.__dict__["input_shape"] is None else f", input_shape={self.input_shape}"
        return f"EmpiricalNTK(apply={apply}, params=<{count} numbers in {len(leaves)} arrays>{shape})"
