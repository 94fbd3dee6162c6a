"""Networks of flax and equinox as functions of their parameters, and kernels of PyTorch's modules."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from ntkkit.kernels.inputs import result_dtype
from ntkkit.networks.value import check_count


def from_flax(module: Any, variables: Any) -> tuple[Callable[..., Any], Any]:
    """A module of flax.linen as (apply, params), for `ntkkit.finite.empirical_ntk` and its like.

    Parameters
    ----------
    module : flax.linen.Module
        Called with one argument, X; bind others in a subclass. Without random numbers, and without batch statistics of
        its inputs (``use_running_average=True``).
    variables : dict
        What ``module.init`` returned, or the trained ones: "params" are differentiated, other collections are kept.

    Returns
    -------
    apply : callable
        ``apply(params, X) -> outputs``; keep it, since it is traced anew where it is another object.
    params : pytree of arrays

    Raises
    ------
    ValueError
        If variables have no "params".

    Examples
    --------
    >>> import flax.linen as nn, jax  # doctest: +SKIP
    >>> module = nn.Dense(1)  # doctest: +SKIP
    >>> apply, params = from_flax(module, module.init(jax.random.key(0), X))  # doctest: +SKIP
    >>> empirical_ntk(apply, params, X)  # doctest: +SKIP
    """
    if "params" not in variables:
        raise ValueError(f"variables must have 'params', as module.init returns them; found {sorted(variables)}.")
    others = {name: value for name, value in variables.items() if name != "params"}

    def apply(params: Any, X: Any) -> Any:
        return module.apply({"params": params, **others}, X)

    return apply, variables["params"]


def from_equinox(module: Any) -> tuple[Callable[..., Any], Any]:
    """A module of equinox as (apply, params), for `ntkkit.finite.empirical_ntk` and its like.

    Parameters
    ----------
    module : equinox.Module
        A function of one input, as equinox writes them, without random numbers; `apply` maps it over rows.

    Returns
    -------
    apply : callable
        ``apply(params, X) -> outputs``; keep it, since it is traced anew where it is another object.
    params : dict of arrays
        Floating-point arrays of the module, by path.

    Examples
    --------
    >>> import equinox as eqx, jax  # doctest: +SKIP
    >>> apply, params = from_equinox(eqx.nn.MLP(4, 1, 64, 2, key=jax.random.key(0)))  # doctest: +SKIP
    >>> empirical_ntk(apply, params, X)  # doctest: +SKIP
    """
    leaves, structure = jax.tree_util.tree_flatten_with_path(module)
    names = [jax.tree_util.keystr(path, simple=True, separator="/") for path, _ in leaves]
    values = dict(zip(names, (leaf for _, leaf in leaves), strict=True))
    params = {name: leaf for name, leaf in values.items() if _is_floating(leaf)}

    def apply(params: Any, X: Any) -> Any:
        return jax.vmap(jax.tree.unflatten(structure, [params.get(name, values[name]) for name in names]))(X)

    return apply, params


def _is_floating(leaf: Any) -> bool:
    return isinstance(leaf, (jax.Array, np.ndarray)) and jax.numpy.issubdtype(leaf.dtype, np.floating)


class TorchNTK:
    """The empirical NTK of a PyTorch module, tr(J(x) J(y)') / k, with the parameters that it has.

    Jacobians are PyTorch's own, of batches of rows; what comes out is numpy. A callable for scikit-learn's and ntkkit's
    estimators (``SVC(kernel=TorchNTK(module))``), and no kernel for the engine: jax cannot compile a module of PyTorch.
    Needs torch.

    Parameters
    ----------
    module : torch.nn.Module
        Called with a batch of inputs, in evaluation mode (``module.eval()``); parameters with ``requires_grad`` are
        differentiated. A layer that mixes rows has no such kernel. Trained further, the kernel is that of the new
        parameters.
    batch_size : int, default=32
        Rows whose Jacobians are made and kept at once.

    Raises
    ------
    TypeError
        If batch_size is no integer.
    ValueError
        If it is below 1.

    Examples
    --------
    >>> import torch  # doctest: +SKIP
    >>> TorchNTK(torch.nn.Linear(2, 1))([[1.0, 2.0]])  # doctest: +SKIP
    array([[6.]])
    """

    def __init__(self, module: Any, batch_size: int = 32) -> None:
        self.module, self.batch_size = module, check_count(batch_size, "batch_size", low=1)

    def __call__(self, X: Any, Y: Any = None) -> np.ndarray:
        """The kernel of every pair, (n, ...), (m, ...) -> (n, m); float32 if the inputs are, else float64.

        Raises
        ------
        ValueError
            If the module is in training mode, or nothing of it is trained.
        """
        if self.module.training:
            raise ValueError("The module is in training mode, in which rows may be mixed or dropped: call its .eval().")
        X = np.asarray(X)
        same = Y is None or Y is X
        Y = X if same else np.asarray(Y)
        dtype = result_dtype(X, Y)
        K = np.empty((len(X), len(Y)), dtype)
        for rows in self._parts(len(X)):
            one = self._jacobians(X[rows], dtype)
            for columns in self._parts(len(Y)):
                if same and columns.start < rows.start:
                    continue
                other = one if same and columns == rows else self._jacobians(Y[columns], dtype)
                K[rows, columns] = (
                    sum((a.flatten(1) @ b.flatten(1).T).numpy() for a, b in zip(one, other, strict=True))
                    / (one[0].shape[1])
                )
                if same:
                    K[columns, rows] = K[rows, columns].T
        return K

    def _parts(self, n: int) -> list[slice]:
        return [slice(start, min(start + self.batch_size, n)) for start in range(0, n, self.batch_size)]

    def _jacobians(self, X: np.ndarray, dtype: np.dtype) -> list[Any]:
        """(n, k, ...) of each parameter, on the CPU."""
        torch: Any = importlib.import_module("torch")

        kind = getattr(torch, dtype.name)
        state = {name: value.detach().to(kind) for name, value in self._state() if value.is_floating_point()}
        trained = {name: state.pop(name) for name, value in self.module.named_parameters() if value.requires_grad}
        if not trained:
            raise ValueError("No parameter of the module has requires_grad=True: nothing is differentiated.")
        device = next(iter(trained.values())).device

        def outputs(params: dict[str, Any], x: Any) -> Any:
            return torch.func.functional_call(self.module, {**state, **params}, (x[None],)).reshape(-1)

        rows = torch.as_tensor(np.array(X, dtype), device=device)
        found = torch.func.vmap(torch.func.jacrev(outputs), in_dims=(None, 0))(trained, rows)
        return [jacobian.detach().cpu().flatten(2) for jacobian in found.values()]

    def _state(self) -> list[tuple[str, Any]]:
        return [*self.module.named_parameters(), *self.module.named_buffers()]
