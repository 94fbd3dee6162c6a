"""Kernels of a finite network, with the parameters that it has: J J' and f f'."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np

from ntkkit.finite._blocks import Evaluation

IMPLEMENTATIONS = ("auto", "structured", "jacobian_contraction", "ntk_vector_products")


def empirical_ntk(
    apply: Any,
    params: Any,
    X: Any,
    Y: Any = None,
    *,
    trace_outputs: bool = True,
    batch_size: int | None = None,
    implementation: str = "auto",
) -> np.ndarray:
    r"""Neural tangent kernel of a network with the parameters that it has.

    With J(x) = df(x)/dparams, of shape (k, P) for k outputs,

        Theta(x, y) = tr(J(x) J(y)') / k,    or the k x k matrices J(x) J(y)' themselves.

    The mean over outputs is what `ntkkit.NTK` is the limit of, and neural-tangents' default.

    Parameters
    ----------
    apply : callable or Network
        ``apply(params, X) -> outputs`` of jax, of shape (n,) or (n, ...): one row for each row of X, and independent of
        the others (no batch statistics). A network of ntkkit stands for its method `apply`. A function is traced once
        as long as it is the same object.
    params : pytree of floating-point arrays
        What is differentiated.
    X : array-like of shape (n, ...)
        Inputs, as `apply` takes them; given to it in the result's dtype.
    Y : array-like of shape (m, ...), optional
        None (or X itself) means X.
    trace_outputs : bool, default=True
        Whether to take the mean over outputs.
    batch_size : int, optional
        How many rows are differentiated at once; by the available memory if None.
    implementation : {"auto", "structured", "jacobian_contraction", "ntk_vector_products"}
        How. They differ by rounding, in time and in memory:

        - "jacobian_contraction": whole Jacobians of blocks of rows, array by array.
        - "structured": the same, but the gradient of a weight that is read once, by a product or a convolution
          z_p = h_p W, is sum_p h_p delta_p', whose factors are contracted where that is cheaper:
          (h . h')(delta . delta') for a dense layer, without any Jacobian.
        - "ntk_vector_products": J(x) (J(y)' e), a backward and a forward derivative for each y and output e. Without
          Jacobians; for many outputs with trace_outputs=False, or where the Jacobian of one row is too large.
        - "auto": "structured", unless Jacobians of one row do not fit the memory.

    Returns
    -------
    ndarray of shape (n, m), or (n, m, k, k) without `trace_outputs`
        float32 if the inputs are, else float64, whatever jax's global flag.

    Raises
    ------
    ValueError
        For an unknown implementation, inputs or parameters that are not finite, or outputs that are not one row an
        input.
    TypeError
        If apply is no function with a hash, or a parameter is no real floating-point array.
    MemoryError
        If the result, or the Jacobians of one row (not with "ntk_vector_products"), do not fit the machine.

    References
    ----------
    Jacot, Gabriel, Hongler (2018), Neural Tangent Kernel; Novak, Sohl-Dickstein, Schoenholz (2022), Fast Finite Width
    Neural Tangent Kernel.

    Examples
    --------
    >>> import numpy as np
    >>> from ntkkit.finite import empirical_ntk
    >>> def apply(params, X):
    ...     return params["scale"] * X @ params["weight"]
    >>> params = {"scale": np.array(2.0), "weight": np.array([1.0, 3.0])}
    >>> empirical_ntk(apply, params, [[1.0, 1.0]])  # (x . w)^2 + scale^2 x . x
    array([[24.]])
    """
    if implementation not in IMPLEMENTATIONS:
        raise ValueError(f"implementation must be one of {IMPLEMENTATIONS}, found {implementation!r}.")
    work = Evaluation.of(apply, params, X, Y, trace_outputs, batch_size)
    if implementation == "auto":
        implementation = "structured" if work.jacobians_fit else "ntk_vector_products"
    if implementation == "ntk_vector_products":
        return work.by_products()
    everything = (tuple(range(len(jax.tree.leaves(work.params)))),)
    return work.by_jacobians(everything, structured=implementation == "structured")[0]


def empirical_nngp(apply: Any, params: Any, X: Any, Y: Any = None, *, trace_outputs: bool = True) -> np.ndarray:
    r"""Products of a finite network's outputs, sum_o f_o(x) f_o(y) / k, or the matrices f_a(x) f_b(y) themselves.

    The average over random parameters is, at large width, `ntkkit.NNGP`; one network with k outputs is k draws.

    Parameters
    ----------
    apply, params, X, Y, trace_outputs
        As for `empirical_ntk`.

    Returns
    -------
    ndarray of shape (n, m), or (n, m, k, k) without `trace_outputs`

    References
    ----------
    Lee et al. (2018), Deep Neural Networks as Gaussian Processes.

    Examples
    --------
    >>> import numpy as np
    >>> from ntkkit.finite import empirical_nngp
    >>> empirical_nngp(lambda params, X: X @ params, np.array([[1.0, 2.0]]), [[1.0], [3.0]])
    array([[ 2.5,  7.5],
           [ 7.5, 22.5]])
    """
    work = Evaluation.of(apply, params, X, Y, trace_outputs, None)
    one = work.outputs(work.X)
    other = one if work.Y is None else work.outputs(work.Y)
    if trace_outputs:
        return one @ other.T / one.dtype.type(work.n_outputs)
    return np.einsum("ia,jb->ijab", one, other)


def empirical_ntk_by_layer(
    apply: Any, params: Any, X: Any, Y: Any = None, *, trace_outputs: bool = True, batch_size: int | None = None
) -> dict[str, np.ndarray]:
    r"""What each layer's parameters add to the empirical NTK, J_l(x) J_l(y)'; they sum to `empirical_ntk`.

    Parameters
    ----------
    apply, params, X, Y, trace_outputs, batch_size
        As for `empirical_ntk`.

    Returns
    -------
    dict of ndarrays of shape (n, m), or (n, m, k, k) without `trace_outputs`
        By layer: the path in `params` of what holds its arrays, such as "2" for ``params[2]["weight"]`` and
        ``params[2]["bias"]``, "Dense_0" of flax; "" for arrays that nothing else holds.

    Raises
    ------
    MemoryError
        If the results, or the Jacobians of two rows, do not fit the machine.

    Examples
    --------
    >>> import numpy as np
    >>> from ntkkit.finite import empirical_ntk_by_layer
    >>> def apply(params, X):
    ...     return params["top"]["scale"] * (X @ params["bottom"]["weight"])
    >>> params = {"bottom": {"weight": np.array([1.0, 3.0])}, "top": {"scale": np.array(2.0)}}
    >>> empirical_ntk_by_layer(apply, params, [[1.0, 1.0]])
    {'bottom': array([[8.]]), 'top': array([[16.]])}
    """
    work = Evaluation.of(apply, params, X, Y, trace_outputs, batch_size)
    layers: dict[str, list[int]] = {}
    for i, (path, _) in enumerate(jax.tree_util.tree_leaves_with_path(work.params)):
        layer, _, _ = jax.tree_util.keystr(path, simple=True, separator="/").rpartition("/")
        layers.setdefault(layer, []).append(i)
    groups = tuple(map(tuple, layers.values()))
    return dict(zip(layers, work.by_jacobians(groups, structured=True), strict=True))
