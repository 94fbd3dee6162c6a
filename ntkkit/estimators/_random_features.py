"""Random features: finite networks whose empirical kernels average to the kernel."""

from __future__ import annotations

import functools
import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from numpy.random import RandomState

from ntkkit.engine.precision import as_leaves, in_x64
from ntkkit.kernels import NNGP, NTK

CHUNK_BYTES = 2**26  # for what is computed of the rows taken at a time


class RandomNetworks:
    """Random networks, and their features Z(X), (n, ...) -> (n, n_components), with E[Z Z'] = K up to O(1 / width).

    NNGP: the outputs of one network with `n_components` hidden units a layer and `n_components` readout units, which
    are independent given the hidden layers.

    NTK: networks of some width m = O(sqrt(n_components)) have gradients g(x) of the one output with respect to the
    trained parameters, and <g(x), g(y)> is their empirical NTK. Each g is sketched to m - 1 numbers: signs are flipped
    at random, and entries whose places are alike modulo m - 1 are added, which leaves inner products as they are on
    average. (A weight matrix has rows of m entries, so the sums run along its diagonals and are alike in size.)

    Parameters
    ----------
    kernel : NTK or NNGP
    X : ndarray
        Inputs of the shape of those whose features will be asked for; with sequences, the longest counts.
    n_components : int
        Columns of the features.
    rng : RandomState
    """

    def __init__(self, kernel: NTK | NNGP, X: np.ndarray, n_components: int, rng: RandomState) -> None:
        self.network, self.tangents = kernel.network, isinstance(kernel, NTK)
        self.network.check_together([X])
        self.example, lengths = X[:1].copy(), kernel.lengths(X)
        input_shape = X.shape[1:] if lengths is None else (int(lengths.max()), *X.shape[2:])
        size = min(n_components, math.ceil(8 * math.sqrt(n_components))) if self.tangents else n_components
        self.sizes = [len(part) for part in np.array_split(range(n_components), math.ceil(n_components / size))]
        width, n_outputs = (size + 1, 1) if self.tangents else (size, size)
        init = functools.partial(self.network.init, width=width, n_outputs=n_outputs)
        draws = [in_x64(lambda: init(rng, input_shape)) for _ in self.sizes]
        self.params = [jax.tree.map(np.asarray, draw) for draw in draws]
        n_params = sum(leaf.size for leaf in jax.tree.leaves(self.params[0]))
        self.signs = [rng.choice(np.array([-1, 1], np.int8), n_params) if self.tangents else None for _ in self.sizes]
        self.row_size = n_params if self.tangents else 8 * width

    def __call__(self, X: np.ndarray) -> np.ndarray:
        """The features, in the precision of X."""
        self.network.check_together([self.example, X], names=("what fit was given", "X"))
        leaves, structure = as_leaves(self.network, X.dtype)
        step = min(len(X), max(1, CHUNK_BYTES // (self.row_size * X.itemsize)))
        result = np.empty((len(X), sum(self.sizes)), X.dtype)
        stop = 0
        for params, signs, size in zip(self.params, self.signs, self.sizes, strict=True):
            start, stop = stop, stop + size
            cast = jax.tree.map(lambda leaf: leaf.astype(X.dtype), params)
            for i in range(0, len(X), step):
                rows = np.resize(X[i : i + step], (step, *X.shape[1:]))  # one shape, compiled once
                if self.tangents:
                    part = in_x64(_tangents, structure, size, leaves, cast, signs, rows)
                else:
                    part = in_x64(_outputs, structure, leaves, cast, rows)
                result[i : i + step, start:stop] = np.asarray(part)[: len(X) - i]
        return result / X.dtype.type(math.sqrt(len(self.sizes)))


@functools.partial(jax.jit, static_argnums=0)
def _outputs(structure: Any, leaves: Any, params: Any, X: Array) -> Array:
    outputs = jax.tree.unflatten(structure, leaves).apply(params, X)
    return outputs / math.sqrt(outputs.shape[1])


@functools.partial(jax.jit, static_argnums=(0, 1))
def _tangents(structure: Any, size: int, leaves: Any, params: Any, signs: Array, X: Array) -> Array:
    network = jax.tree.unflatten(structure, leaves)

    def sketch(x: Array) -> Array:
        gradient = jax.grad(lambda p: network.apply(p, x[None])[0, 0])(params)
        flat = jnp.concatenate([leaf.ravel() for leaf in jax.tree.leaves(gradient)]) * signs
        return jnp.pad(flat, (0, -flat.size % size)).reshape(-1, size).sum(axis=0)

    return jax.vmap(sketch)(X)
