"""Gradient descent at its edge of stability: sharpness, and what large learning rates do to a kernel."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.flatten_util import ravel_pytree
from scipy.sparse.linalg import LinearOperator, eigsh
from sklearn.utils import check_array

from ntkkit.finite._functions import as_function, as_inputs, cast, check_params
from ntkkit.finite.empirical import empirical_ntk
from ntkkit.finite.metrics import target_alignment
from ntkkit.kernels.inputs import result_dtype
from ntkkit.linalg.symmetric import as_columns
from ntkkit.networks.value import check_count

# Times the first loss: what has grown so does not come back.
DIVERGED = 1e6


def sharpness(loss: Callable[[Any], Any], params: Any, *, tol: float = 1e-4) -> float:
    """The largest eigenvalue of a loss's Hessian. Gradient descent with steps eta is stable where it is < 2 / eta.

    By Lanczos' method on products of the Hessian with vectors, each of the price of a few gradients.

    Parameters
    ----------
    loss : callable
        ``loss(params) -> scalar`` of jax. It is traced once as long as it is the same object.
    params : pytree of floating-point arrays
        Where; float64 arrays are kept so.
    tol : float, default=1e-4
        Relative accuracy > 0.

    Returns
    -------
    float

    Raises
    ------
    ValueError
        If params hold no arrays, or are not finite. TypeError if one is not of real floating-point numbers.

    References
    ----------
    Cohen et al. (2021), Gradient descent on neural networks typically occurs at the edge of stability.

    Examples
    --------
    >>> import numpy as np
    >>> def loss(params):
    ...     return params["a"] ** 2 + 3 * params["b"] ** 2 / 2 - params["a"] * params["b"]
    >>> eigenvalue = sharpness(loss, {"a": np.array(1.0), "b": np.array(0.0)})
    >>> abs(eigenvalue - (5 + 5**0.5) / 2) < 1e-6
    True
    """
    params = check_params(params)
    dtype = np.result_type(*jax.tree.leaves(params))
    with jax.enable_x64(dtype == np.float64):
        n = sum(leaf.size for leaf in jax.tree.leaves(params))

        def product(vector: np.ndarray) -> np.ndarray:
            return np.asarray(_hessian_product(loss, params, vector.ravel().astype(dtype)), np.float64)

        if n < 3:  # than which Lanczos' method needs more
            return float(np.linalg.eigvalsh(np.stack([product(row) for row in np.eye(n)]))[-1])
        start = np.random.default_rng(0).standard_normal(n)
        operator = LinearOperator((n, n), matvec=product, dtype=np.float64)
        return float(eigsh(operator, k=1, which="LA", v0=start, tol=tol, return_eigenvectors=False)[0])


@partial(jax.jit, static_argnames="loss")
def _hessian_product(loss: Callable[[Any], Any], params: Any, vector: Array) -> Array:
    direction = ravel_pytree(params)[1](vector)
    return ravel_pytree(jax.jvp(jax.grad(loss), (params,), (direction,))[1])[0]


@dataclass(frozen=True)
class EdgeOfStability:
    """What `align_by_learning_rate` found: one entry a learning rate.

    Parameters
    ----------
    initial_ratios : ndarray of shape (n_rates,)
        eta lambda_1 of the first kernel: the edge of stability is at 2.
    learning_rates : ndarray of shape (n_rates,)
        eta.
    n_steps : ndarray of shape (n_rates,)
        Steps until the loss was reached.
    losses : ndarray of shape (n_rates,)
        The last losses.
    alignments : ndarray of shape (n_rates,)
        `target_alignment` of the last kernels.
    final_ratios : ndarray of shape (n_rates,)
        eta lambda_1 of the last kernels.
    initial_alignment : float
        That of the first kernel.
    """

    initial_ratios: np.ndarray
    learning_rates: np.ndarray
    n_steps: np.ndarray
    losses: np.ndarray
    alignments: np.ndarray
    final_ratios: np.ndarray
    initial_alignment: float

    def to_frame(self) -> Any:
        """The table, a row a learning rate; needs pandas."""
        import pandas as pd

        names = ("initial_ratios", "learning_rates", "n_steps", "losses", "alignments", "final_ratios")
        return pd.DataFrame({name: getattr(self, name) for name in names})


def align_by_learning_rate(
    apply: Any,
    params: Any,
    X: Any,
    y: Any,
    *,
    ratios: Sequence[float] = (0.4, 1.6, 2.1),
    loss: float = 1e-4,
    max_steps: int = 100_000,
) -> EdgeOfStability:
    """Alignment of a network's kernel with its targets, at equal loss, against the learning rate that led there.

    The network starts from the same parameters with each rate eta = ratio / lambda_1, lambda_1 the largest eigenvalue
    of its first empirical NTK, and takes full steps

        params <- params - eta grad L,    L = sum_i |f(x_i) - y_i|^2 / 2,

    until L is at most `loss`. Below the edge of stability, where the ratio stays below 2, alignment hardly depends on
    eta; beyond it, a network that does not diverge leaves for flatter parameters, whose kernels are better aligned.

    Parameters
    ----------
    apply : callable or Network
        ``apply(params, X) -> outputs`` of jax, (n,) or (n, k).
    params : pytree of floating-point arrays
        The first parameters.
    X : array-like of shape (n, ...)
        Inputs; the computation is in float32 if these are, else in float64.
    y : array-like of shape (n,) or (n, k)
        Targets.
    ratios : sequence of float, default=(0.4, 1.6, 2.1)
        eta lambda_1 > 0.
    loss : float, default=1e-4
        L at the end, > 0.
    max_steps : int, default=100_000
        After how many steps to give up.

    Returns
    -------
    EdgeOfStability

    Raises
    ------
    ValueError
        For bad input, or where a loss was not reached: it diverged, or needs more steps.

    References
    ----------
    arXiv 2507.12837: the NTK at the edge of stability.

    Examples
    --------
    >>> import numpy as np
    >>> def apply(params, X):
    ...     return (X @ params["first"]) @ params["second"]
    >>> random = np.random.default_rng(0)
    >>> params = {"first": random.standard_normal((3, 8)), "second": random.standard_normal(8)}
    >>> edge = align_by_learning_rate(apply, params, np.eye(3)[:2], [1.0, -1.0], ratios=[0.5, 1.0])
    >>> bool((edge.losses <= 1e-4).all()), bool(edge.n_steps[0] > edge.n_steps[1])
    (True, True)
    """
    params, X = check_params(params), as_inputs(apply, X)
    dtype, function = result_dtype(X), as_function(apply)
    columns = as_columns(y, len(X))
    first_ratios = check_array(ratios, dtype=np.float64, ensure_2d=False, input_name="ratios")
    check_count(max_steps, "max_steps", low=1)
    if first_ratios.ndim != 1 or (first_ratios <= 0).any():
        raise ValueError(f"ratios must be positive numbers, found {ratios!r}.")
    if not (np.isfinite(loss) and loss > 0):
        raise ValueError(f"loss must be finite and positive, found {loss!r}.")
    largest, initial_alignment = _measure(apply, params, X, columns)
    rates = first_ratios / largest
    with jax.enable_x64(dtype == np.float64):
        arguments = cast(params, dtype), X.astype(dtype), columns.astype(dtype)
        found, losses, n_steps = jax.tree.map(
            np.asarray, _descend(function, *arguments, rates.astype(dtype), float(loss), max_steps)
        )
    _check_reached(first_ratios, losses, n_steps, loss)
    ends = [jax.tree.map(lambda leaf, i=i: leaf[i], found) for i in range(len(rates))]
    eigenvalues, alignments = np.transpose([_measure(apply, end, X, columns) for end in ends])
    return EdgeOfStability(
        initial_ratios=first_ratios,
        learning_rates=rates,
        n_steps=n_steps,
        losses=losses.astype(np.float64),
        alignments=alignments,
        final_ratios=rates * eigenvalues,
        initial_alignment=initial_alignment,
    )


def _measure(apply: Any, params: Any, X: np.ndarray, columns: np.ndarray) -> tuple[float, float]:
    """The largest eigenvalue of J J' for all outputs, and the alignment of its mean over outputs."""
    K = empirical_ntk(apply, params, X, trace_outputs=False).astype(np.float64)
    n, _, k, _ = K.shape
    eigenvalues = np.linalg.eigvalsh(np.moveaxis(K, 2, 1).reshape(n * k, n * k))
    return float(eigenvalues[-1]), target_alignment(np.einsum("nmkk->nm", K), columns)


@jax.jit
def _descend(
    function: Any, params: Any, X: Array, y: Array, rates: Array, least: Any, max_steps: Any
) -> tuple[Any, Array, Array]:
    """Parameters, losses and numbers of steps at each learning rate when the loss is reached, or given up."""

    def loss(params: Any) -> Array:
        return jnp.sum((function(params, X).reshape(y.shape) - y) ** 2) / 2

    def one(rate: Array) -> tuple[Any, Array, Array]:
        def goes_on(state: tuple[Any, Array, Array]) -> Array:
            _, value, n_steps = state
            return (value > least) & (value < DIVERGED * first) & (n_steps < max_steps)

        def step(state: tuple[Any, Array, Array]) -> tuple[Any, Array, Array]:
            params, _, n_steps = state
            moved = jax.tree.map(lambda leaf, slope: leaf - rate * slope, params, jax.grad(loss)(params))
            return moved, loss(moved), n_steps + 1

        first = loss(params)
        return jax.lax.while_loop(goes_on, step, (params, first, jnp.zeros((), np.int32)))

    return jax.vmap(one)(rates)


def _check_reached(ratios: np.ndarray, losses: np.ndarray, n_steps: np.ndarray, loss: float) -> None:
    for ratio, value, count in zip(ratios, losses, n_steps, strict=True):
        if not value <= loss:
            raise ValueError(
                f"The loss {loss} was not reached at eta lambda_1 = {ratio:g}: it is {value:.2g} after {count} steps. "
                "Take smaller ratios where it diverges, more steps or a larger loss where it is slow."
            )
