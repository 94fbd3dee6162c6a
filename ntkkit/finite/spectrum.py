"""The empirical NTK without its matrix: products with vectors, and the largest eigenvalues."""

from __future__ import annotations

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from scipy.sparse.linalg import LinearOperator, eigsh
from sklearn.utils import check_random_state

from ntkkit.engine.precision import in_x64
from ntkkit.engine.rows import filled, zero_filled
from ntkkit.finite._blocks import Evaluation, even_parts
from ntkkit.finite._jacobians import outputs_of
from ntkkit.networks.value import check_count


def empirical_ntk_matvec(
    apply: Any,
    params: Any,
    X: Any,
    v: Any,
    Y: Any = None,
    *,
    trace_outputs: bool = True,
    batch_size: int | None = None,
) -> np.ndarray:
    r"""Theta(X, Y) v = J(X) (J(Y)' v), without Theta and without a Jacobian.

    One backward pass over Y and one forward pass over X, for each output and column of v with `trace_outputs`.

    Parameters
    ----------
    apply, params, X, Y, trace_outputs
        As for `empirical_ntk`.
    v : array-like of shape (m,) or (m, r); without `trace_outputs` (m, k) or (m, k, r)
        One entry a row of Y, or a row and output.
    batch_size : int, optional
        How many rows are differentiated at once; by the available memory if None.

    Returns
    -------
    ndarray of the shape of v, with n in place of m
        In the precision of the inputs.

    Raises
    ------
    ValueError
        If v is not finite, or not of such a shape.

    Examples
    --------
    >>> import numpy as np
    >>> from ntkkit.finite import empirical_ntk_matvec
    >>> empirical_ntk_matvec(lambda w, X: X @ w, np.ones(2), np.eye(2), [1.0, 2.0])
    array([1., 2.])
    """
    return _Operator(Evaluation.of(apply, params, X, Y, trace_outputs, batch_size))(v)


def top_eigenpairs(
    apply: Any,
    params: Any,
    X: Any,
    n_eigenpairs: int = 1,
    *,
    trace_outputs: bool = True,
    batch_size: int | None = None,
    tol: float = 0.0,
    random_state: Any = None,
) -> tuple[np.ndarray, np.ndarray]:
    r"""The largest eigenvalues of an empirical NTK and their eigenvectors, by Lanczos' method on products with vectors.

    Parameters
    ----------
    apply, params, X, trace_outputs, batch_size
        As for `empirical_ntk_matvec`.
    n_eigenpairs : int, default=1
        How many: fewer than the matrix has rows.
    tol : float, default=0.0
        Relative accuracy of eigenvalues; 0 is that of the precision.
    random_state : int, RandomState instance or None, default=None
        Of the vector to start from.

    Returns
    -------
    eigenvalues : ndarray of shape (n_eigenpairs,)
        The largest first.
    eigenvectors : ndarray of shape (n, n_eigenpairs), or (n, k, n_eigenpairs) without `trace_outputs`
        Of length 1.

    Raises
    ------
    ValueError
        If there are not more rows than eigenpairs.

    References
    ----------
    Lehoucq, Sorensen, Yang (1998), ARPACK users' guide.

    Examples
    --------
    >>> import numpy as np
    >>> from ntkkit.finite import top_eigenpairs
    >>> values, vectors = top_eigenpairs(
    ...     lambda w, X: X @ w, np.ones(3), np.diag([1.0, 3.0, 2.0]), 2, random_state=0
    ... )
    >>> values.round(6), abs(vectors).round(6).argmax(axis=0)
    (array([9., 4.]), array([1, 2]))
    """
    operator = _Operator(Evaluation.of(apply, params, X, None, trace_outputs, batch_size))
    shape = operator.shape_of(len(operator.work.X))
    size = int(np.prod(shape))
    check_count(n_eigenpairs, "n_eigenpairs", low=1)
    if n_eigenpairs >= size:
        raise ValueError(
            f"n_eigenpairs must be less than the {size} rows of the matrix, found {n_eigenpairs}: use "
            "numpy.linalg.eigh(empirical_ntk(...)) for all of them."
        )
    dtype = operator.work.X.dtype
    linear = LinearOperator((size, size), matvec=lambda v: operator(v.reshape(shape)).ravel(), dtype=dtype)
    start = check_random_state(random_state).standard_normal(size).astype(dtype)
    values, vectors = eigsh(linear, k=n_eigenpairs, which="LA", v0=start, tol=tol)
    return values[::-1].copy(), vectors[:, ::-1].reshape(*shape, n_eigenpairs)


class _Operator:
    """v -> Theta(X, Y) v."""

    def __init__(self, work: Evaluation) -> None:
        self.work = work

    def shape_of(self, n_rows: int) -> tuple[int, ...]:
        """Of a vector."""
        return (n_rows,) if self.work.trace_outputs else (n_rows, self.work.n_outputs)

    def __call__(self, v: Any) -> np.ndarray:
        work = self.work
        Y = work.X if work.Y is None else work.Y
        v, shape = np.asarray(v, dtype=work.X.dtype), self.shape_of(len(Y))
        if v.shape[: len(shape)] != shape or v.ndim > len(shape) + 1 or not np.isfinite(v).all():
            raise ValueError(f"v must be finite and of shape {shape} or {(*shape, 'r')}, found shape {v.shape}.")
        columns = v.reshape(len(Y), -1, v[(0,) * len(shape)].size)  # (m, 1 or k, r)
        product = in_x64(self._product, Y, columns)
        return product.reshape(len(work.X), *v.shape[1:])

    def _product(self, Y: np.ndarray, v: np.ndarray) -> np.ndarray:
        """(m, 1 or k, r) -> (n, 1 or k, r)."""
        work, longest = self.work, self.work.rows_at_once
        if work.trace_outputs:  # each output by itself
            units = np.eye(work.n_outputs, dtype=v.dtype)[..., None]
            return np.mean([self._one(Y, v * e, longest)[:, [o]] for o, e in enumerate(units)], axis=0)
        return self._one(Y, v, longest)

    def _one(self, Y: np.ndarray, v: np.ndarray, longest: int) -> np.ndarray:
        function, params, X = self.work.function, self.work.params, self.work.X
        of_rows, of_columns = even_parts(len(X), longest), even_parts(len(Y), longest)
        height, width = of_rows[0].stop, of_columns[0].stop
        pulled = (_pull(function, params, filled(Y[part], width), zero_filled(v[part], width)) for part in of_columns)
        vectors = functools.reduce(lambda a, b: jax.tree.map(jnp.add, a, b), pulled)
        pushed = [np.asarray(_push(function, params, filled(X[part], height), vectors)) for part in of_rows]
        return np.concatenate(pushed)[: len(X)]


@jax.jit
def _pull(function: Any, params: Any, Y: Array, v: Array) -> Any:
    """J(Y)' v, with r in front of each parameter array."""
    _, pull = jax.vjp(lambda p: outputs_of(function, p, Y), params)
    return jax.vmap(lambda column: pull(column)[0], in_axes=-1)(v)


@jax.jit
def _push(function: Any, params: Any, X: Array, vectors: Any) -> Array:
    """J(X) w for each of r vectors w, (n, k, r)."""
    _, push = jax.linearize(lambda p: outputs_of(function, p, X), params)
    return jnp.moveaxis(jax.vmap(push)(vectors), 0, -1)
