"""Jacobians of a function of parameters, row by row, and what is made of two of them. Pure jax."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from ntkkit.finite._taps import Equations

# A pair of inputs in factors takes so many times longer an operation than in products of whole Jacobians.
FACTORS_COST = 4.0


class Full(NamedTuple):
    """The Jacobian of n rows by one parameter array, (n, k, size)."""

    jacobian: Array

    def mean(self, other: Full) -> Array:
        """Mean over outputs, (n, m)."""
        n, k, _ = self.jacobian.shape
        return self.jacobian.reshape(n, -1) @ other.jacobian.reshape(len(other.jacobian), -1).T / k

    def pairs(self, other: Full) -> Array:
        """Every pair of outputs, (n, m, k, k)."""
        return jnp.einsum("iap,jbp->ijab", self.jacobian, other.jacobian)

    def diagonal(self) -> Array:
        """Mean over outputs of rows with themselves, (n,)."""
        return jnp.sum(self.jacobian**2, axis=(1, 2)) / self.jacobian.shape[1]


class Split(NamedTuple):
    """The Jacobian sum_p h_p delta_p' of n rows by one weight, h (n, positions, C) and delta (n, k, positions, units).

    Inner products of two are sum_pq (h_p . g_q) (delta_p . eps_q): of sizes C + units and not C units.
    """

    inputs: Array
    gradients: Array

    def mean(self, other: Split) -> Array:
        """Mean over outputs, (n, m)."""

        def add(total: Array, part: tuple[Array, Array]) -> tuple[Array, None]:
            h, delta = part
            pairs = jnp.einsum("ic,jqc->ijq", h, other.inputs) * jnp.einsum("iku,jkqu->ijq", delta, other.gradients)
            return total + jnp.sum(pairs, axis=-1), None

        return self._over_positions(add, (len(self.inputs), len(other.inputs))) / self.gradients.shape[1]

    def pairs(self, other: Split) -> Array:
        """Every pair of outputs, (n, m, k, k)."""

        def add(total: Array, part: tuple[Array, Array]) -> tuple[Array, None]:
            h, delta = part
            gram = jnp.einsum("ic,jqc->ijq", h, other.inputs)
            return total + jnp.einsum("ijq,iau,jbqu->ijab", gram, delta, other.gradients), None

        k = self.gradients.shape[1]
        return self._over_positions(add, (len(self.inputs), len(other.inputs), k, k))

    def _over_positions(self, add: Callable[..., Any], shape: tuple[int, ...]) -> Array:
        parts = jnp.moveaxis(self.inputs, 1, 0), jnp.moveaxis(self.gradients, 2, 0)
        zeros = jnp.zeros(shape, self.inputs.dtype)
        if len(parts[0]) == 1:
            return add(zeros, (parts[0][0], parts[1][0]))[0]
        return jax.lax.scan(add, zeros, parts)[0]

    def diagonal(self) -> Array:
        """Mean over outputs of rows with themselves, (n,)."""
        h = jnp.einsum("ipc,iqc->ipq", self.inputs, self.inputs)
        delta = jnp.einsum("ikpu,ikqu->ipq", self.gradients, self.gradients)
        return jnp.sum(h * delta, axis=(1, 2)) / self.gradients.shape[1]


Jacobians = list[Full | Split | None]  # one a parameter array; None where nothing depends on it


@functools.partial(jax.jit, static_argnames=("structured",))
def jacobians(function: Any, params: Any, X: Array, *, structured: bool = True) -> Jacobians:
    """The Jacobians of rows X, all at once.

    Parameters
    ----------
    function : callable and pytree
        ``function(params, X) -> outputs``, of which each row depends on its own row of X.
    params : pytree
    X : array of shape (n, ...)
    structured : bool
        Whether weights that are read once are taken by factors, where that is cheaper.
    """
    leaves = jax.tree.leaves(params)
    equations = _equations(function, params, X, structured=structured)
    return jax.vmap(functools.partial(_of_row, equations, leaves))(X)


class Sizes(NamedTuple):
    """What one row makes: how many outputs, bytes of Jacobians, and bytes between it and its outputs."""

    n_outputs: int
    jacobian_bytes: int
    bytes_between: int


def sizes_of(function: Any, params: Any, X: Array, *, structured: bool) -> Sizes:
    """The sizes for a row of X; found once for all parameters and hyperparameters alike in shape."""
    leaves, structure = jax.tree.flatten((function, params, X[:1]))
    shapes = (0.0 if np.ndim(leaf) == 0 else (leaf.shape, np.dtype(leaf.dtype)) for leaf in leaves)
    return _sizes(structure, tuple(shapes), structured)


@functools.lru_cache(maxsize=256)
def _sizes(structure: Any, shapes: tuple[Any, ...], structured: bool) -> Sizes:
    between = 0

    def probe(function: Any, params: Any, X: Array) -> tuple[Array, list[Jacobians]]:
        nonlocal between
        equations = _equations(function, params, X, structured=structured)
        between = equations.bytes_between
        return outputs_of(function, params, X), [_of_row(equations, jax.tree.leaves(params), X[0])]

    leaves = [0.0 if shape == 0.0 else jax.ShapeDtypeStruct(*shape) for shape in shapes]
    outputs, found = jax.eval_shape(probe, *jax.tree.unflatten(structure, leaves))
    jacobian_bytes = sum(int(leaf.size) * leaf.dtype.itemsize for leaf in jax.tree.leaves(found))
    return Sizes(outputs.shape[1], jacobian_bytes, between)


def _equations(function: Any, params: Any, X: Array, *, structured: bool) -> Equations:
    leaves, structure = jax.tree.flatten(params)

    def of_one(leaves: list[Array], x: Array) -> Array:
        return outputs_of(function, jax.tree.unflatten(structure, leaves), x[None])[0]

    equations = Equations(of_one, leaves, X[0])
    if not structured:
        equations.taps = []
    return equations


def _of_row(equations: Equations, leaves: list[Array], x: Array) -> Jacobians:
    tapped = {tap.leaf for tap in equations.taps}
    free = [i for i in range(len(leaves)) if i not in tapped and i not in equations.idle]

    def outputs(changes: list[Array], values: list[Array]) -> tuple[Array, list[Array]]:
        replaced = dict(zip(free, values, strict=True))
        return equations([replaced.get(i, leaf) for i, leaf in enumerate(leaves)], x, changes)

    output, pull, inputs = jax.vjp(outputs, equations.changes(), [leaves[i] for i in free], has_aux=True)
    gradients, rows = jax.vmap(pull)(jnp.eye(len(output), dtype=output.dtype))
    found: Jacobians = [None] * len(leaves)
    for i, row in zip(free, rows, strict=True):
        found[i] = Full(row.reshape(len(output), -1))
    for tap, h, gradient in zip(equations.taps, inputs, gradients, strict=True):
        found[tap.leaf] = _cheaper(tap.arrange_inputs(h), jax.vmap(tap.arrange_outputs)(gradient))
    return found


def _cheaper(h: Array, delta: Array) -> Full | Split:
    """Factors, or the Jacobian that they make: whichever a pair of inputs takes fewer operations with."""
    (n_positions, fan_in), (k, _, n_units) = h.shape, delta.shape
    by_factors = n_positions**2 * (fan_in + k * n_units)
    if (FACTORS_COST if n_positions > 1 else 1.0) * by_factors <= k * fan_in * n_units:
        return Split(h, delta)
    return Full(jnp.einsum("pc,kpu->kcu", h, delta).reshape(k, -1))


@functools.partial(jax.jit, static_argnames=("trace_outputs", "groups"))
def contracted(one: Jacobians, other: Jacobians, *, trace_outputs: bool, groups: tuple[tuple[int, ...], ...]) -> Array:
    """The sum of the kernels of each group of parameter arrays, (g, n, m) or (g, n, m, k, k)."""
    name = "mean" if trace_outputs else "pairs"
    parts = {i: getattr(a, name)(b) for i, (a, b) in enumerate(zip(one, other, strict=True)) if a is not None}
    zero = jnp.zeros_like(next(iter(parts.values())))
    return jnp.stack([sum((parts[i] for i in group if i in parts), start=zero) for group in groups])


def diagonal(found: Jacobians) -> Array:
    """The kernel of each row with itself, the mean over outputs, (n,)."""
    first, *others = (part.diagonal() for part in found if part is not None)
    return sum(others, start=first)


@functools.partial(jax.jit, static_argnames=("trace_outputs",))
def by_products(function: Any, params: Any, X: Array, Y: Array, *, trace_outputs: bool) -> Array:
    """The kernel J(X) J(Y)' by a product J(X) (J(y)' e) for each y and output e, all at once."""
    _, push = jax.linearize(lambda p: outputs_of(function, p, X), params)

    def column(y: Array) -> Array:
        output, pull = jax.vjp(lambda p: outputs_of(function, p, y[None])[0], params)
        products = jax.vmap(lambda e: push(*pull(e)))(jnp.eye(len(output), dtype=output.dtype))  # (k, n, k)
        return jnp.einsum("kik->i", products) / len(output) if trace_outputs else jnp.moveaxis(products, 0, -1)

    return jnp.moveaxis(jax.vmap(column)(Y), 0, 1)


def outputs_of(function: Any, params: Any, X: Array) -> Array:
    """Outputs as (n, k)."""
    outputs = function(params, X)
    if getattr(outputs, "ndim", 0) < 1 or len(outputs) != len(X):
        found = f"an array of shape {outputs.shape}" if hasattr(outputs, "shape") else f"a {type(outputs).__name__}"
        raise ValueError(
            f"apply(params, X) must return one row of outputs for each row of X, found {found} for {len(X)} rows."
        )
    return outputs.reshape(len(X), math.prod(outputs.shape[1:]))
