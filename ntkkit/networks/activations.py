"""Activations: each phi with the maps that it becomes at infinite width, its duals."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

from ntkkit.networks.layer import Layer, Shape
from ntkkit.networks.state import State

# delta', anti' (None: delta' <= 1), and E[phi' phi'] (None: there is none)
Dual = tuple[Array, Array | None, Array | None]


class Activation(Layer):
    """phi, applied to each unit.

    For (u, v) Gaussian with variances q1, q2 and correlation 1 - delta, a subclass gives E[phi(u)^2] as `variance` and,
    as `dual`, how far apart phi(u) and phi(v) are and E[phi'(u) phi'(v)]:

        nngp <- E[phi(u) phi(v)],    ntk <- ntk E[phi'(u) phi'(v)].

    Subclasses say how right they are in float32, on rows that differ in size by up to 1e6, with and without biases. Of
    gradients by the log of a hyperparameter h, the error is that of the values times the growth of the kernel: at most
    1e-6 sqrt(K_ii K_jj) max(1, max_i d log K_ii / d log h). A layer in float64 is right to 1e-14, and for pairs at a
    relative distance of 1e-4, where phi has a kink, to 1e-12. `Quadrature` has limits of its own.

    Where phi has no derivative to speak of (`Sign`, `Step`), `has_ntk` is False and the last of the dual is None: a
    network with trained parameters before it has an NNGP but no NTK.
    """

    has_ntk: bool = True
    needs_variance: bool = True

    def __init__(self) -> None:
        pass

    @abstractmethod
    def __call__(self, z: Array) -> Array:
        """Phi, elementwise."""

    @abstractmethod
    def variance(self, q: Array) -> Array:
        """E[phi(u)^2] for u of variance q."""

    @abstractmethod
    def dual(self, state: State) -> Dual:
        """Distance and antipodal distance of (phi(u), phi(v)), and E[phi'(u) phi'(v)]."""

    @property
    def mean_ratio(self) -> Any:
        """E[phi(u)] / sqrt(E[phi(u)^2]) where that is the same at all variances, else None."""
        return None

    def initialize(self, key: Array, input_shape: Shape, *, width: int, n_outputs: int) -> tuple[Any, Shape]:
        return (), input_shape

    def apply(self, params: Any, inputs: Array) -> Array:
        return self(inputs)

    def without_ntk(self, trained: bool) -> Layer | None:
        return self if trained and not self.has_ntk else None

    def propagate(self, state: State) -> State:
        delta, anti, derivative = self.dual(state)
        ntk = None if state.ntk is None else state.ntk * (jnp.nan if derivative is None else derivative)
        var1, var2 = self.variance(state.var1), self.variance(state.var2)
        return state._replace(var1=var1, var2=var2, delta=delta, anti=anti, ntk=ntk)


class Identity(Activation):
    """phi(z) = z: E[phi phi] = k, E[phi' phi'] = 1."""

    @property
    def mean_ratio(self) -> float:
        return 0.0

    def __call__(self, z: Array) -> Array:
        return z

    def variance(self, q: Array) -> Array:
        return q

    def dual(self, state: State) -> Dual:
        return state.delta, state.anti, jnp.ones_like(state.delta)


_REGISTERED: dict[str | Callable[..., Any], Activation] = {}


def register(name: str, activation: Activation, *functions: Callable[..., Any]) -> None:
    """Let a name, and functions that compute the same, stand for an activation."""
    _REGISTERED.update(dict.fromkeys((name, *functions), activation))


def resolve_activation(activation: str | Callable[..., Any] | Activation) -> Activation:
    """Return the `Activation` that a name, a function of jax or an Activation stands for.

    Functions without a closed form of their own are integrated by `Quadrature`.

    Raises
    ------
    ValueError
        If the name is not known.
    TypeError
        If jax cannot trace the function, or it is not elementwise.
    """
    if isinstance(activation, Activation):
        return activation
    try:
        return _REGISTERED[activation]
    except (KeyError, TypeError):
        if callable(activation) and not isinstance(activation, type):
            from ntkkit.networks.quadrature import Quadrature  # built on this module

            return Quadrature(activation)
        known = ", ".join(repr(key) for key in _REGISTERED if isinstance(key, str))
        raise ValueError(
            f"activation must be an Activation, a function of jax, or one of {known}; found {activation!r}."
        ) from None


register("identity", Identity(), jax.nn.identity)
