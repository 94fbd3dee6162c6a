"""What one call of a compiled function computes: pure functions of a kernel and arrays."""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from ntkkit.kernels.base import Kernel
from ntkkit.kernels.limits import NNGP, NTK


def kernel_tile(kernel: Kernel, X: Array, Y: Array, *, same: bool) -> Array:
    """The kernel of every pair."""
    return kernel.tile(X, Y, same=same)


def tile_at_depths(kernel: NTK | NNGP, X: Array, Y: Array, *, same: bool, depths: tuple[int, ...]) -> Array:
    """The kernel of every pair at each depth."""
    return kernel.tile_at_depths(X, Y, same=same, depths=depths)


def tile_with_gradient(kernel: Kernel, X: Array, Y: Array, *, same: bool, paths: tuple[str, ...]) -> Array:
    """The tile, and below it its derivatives with respect to the logs of the hyperparameters at `paths`."""
    values, push = jax.linearize(*_by_log(kernel, X, Y, same=same, paths=paths))
    return jnp.concatenate([values[None], jax.vmap(push)(jnp.eye(_size(kernel, paths), dtype=X.dtype))])


def tile_pullback(kernel: Kernel, X: Array, Y: Array, weights: Array, *, same: bool, paths: tuple[str, ...]) -> Array:
    """The derivative of the tile's sum under weights with respect to the logs of the hyperparameters at `paths`."""
    function, start = _by_log(kernel, X, Y, same=same, paths=paths)
    return jax.vjp(function, start)[1](weights)[0]


def tile_input_gradient(kernel: Kernel, X: Array, Y: Array, weights: Array, *, same: bool) -> Array:
    """The derivative of the tile's sum under weights with respect to X, in the shape of X."""
    return jax.vjp(lambda rows: kernel.tile(rows, Y, same=same), X)[1](weights)[0]


def _by_log(
    kernel: Kernel, X: Array, Y: Array, *, same: bool, paths: tuple[str, ...]
) -> tuple[Callable[[Array], Array], Array]:
    """The tile as a function of one change to each log hyperparameter at `paths`, and the change 0."""
    leaves = kernel.leaf_paths()
    values = {path: jnp.asarray(leaves[path], X.dtype) for path in paths}
    ends = np.cumsum([0, *(value.size for value in values.values())])

    def at(log_change: Array) -> Array:
        changed = {
            path: value * jnp.exp(log_change[start:end].reshape(value.shape))
            for (path, value), start, end in zip(values.items(), ends[:-1], ends[1:], strict=True)
        }
        return kernel.replace(**changed).tile(X, Y, same=same)

    return at, jnp.zeros(int(ends[-1]), X.dtype)


def _size(kernel: Kernel, paths: tuple[str, ...]) -> int:
    leaves = kernel.leaf_paths()
    return sum(int(np.size(leaves[path])) for path in paths)


def free_hyperparameters(kernel: Kernel) -> tuple[tuple[str, ...], int]:
    """Paths of the free hyperparameters, and how many numbers they are."""
    paths = tuple(h.name for h in kernel.hyperparameters if not h.fixed)
    return paths, _size(kernel, paths)


def kernel_diagonal(kernel: Kernel, X: Array) -> Array:
    """The kernel of each input with itself."""
    return kernel.tile_diag(X)
