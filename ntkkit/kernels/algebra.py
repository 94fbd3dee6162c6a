"""Kernels made of kernels. Sums and products of positive semi-definite kernels are positive semi-definite."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
from jax import Array

from ntkkit.kernels.base import Kernel, check_bounds
from ntkkit.networks.state import safe_ratio, safe_sqrt
from ntkkit.networks.value import check_real


class Composite(Kernel):
    """A kernel that reads what a kernel inside it reads."""

    kernel: Kernel

    @property
    def _reader(self) -> Kernel:
        return self.kernel

    @property
    def input_kind(self) -> str:
        return self._reader.input_kind

    @property
    def input_shape(self) -> tuple[int, ...] | None:
        return self._reader.input_shape

    @property
    def tile_side(self) -> int | None:
        return self._reader.tile_side


class _Pair(Composite):
    """What Sum and Product share: two kernels of the same inputs."""

    def __init__(self, k1: Kernel, k2: Kernel) -> None:
        self.k1, self.k2 = check_operand(k1, "k1"), check_operand(k2, "k2")
        read = [(k.input_kind, k.input_shape) for k in (k1, k2) if not isinstance(k, Constant)]
        if len(set(read)) > 1:
            found = " and ".join(kind if shape is None else f"{kind} of shape {shape}" for kind, shape in read)
            raise ValueError(
                f"k1 and k2 must read the same inputs, found kernels of {found}: combine their matrices instead, for "
                "estimators with kernel='precomputed'."
            )

    @property
    def _reader(self) -> Kernel:
        return self.k2 if isinstance(self.k1, Constant) else self.k1

    @property
    def tile_side(self) -> int | None:
        sides = [kernel.tile_side for kernel in (self.k1, self.k2) if kernel.tile_side is not None]
        return min(sides, default=None)


class Sum(_Pair):
    """k1(x, y) + k2(x, y); written ``k1 + k2``."""

    def tile(self, X: Array, Y: Array, *, same: bool = False) -> Array:
        return self.k1.tile(X, Y, same=same) + self.k2.tile(X, Y, same=same)

    def tile_diag(self, X: Array) -> Array:
        return self.k1.tile_diag(X) + self.k2.tile_diag(X)


class Product(_Pair):
    """k1(x, y) k2(x, y); written ``k1 * k2``."""

    def tile(self, X: Array, Y: Array, *, same: bool = False) -> Array:
        return self.k1.tile(X, Y, same=same) * self.k2.tile(X, Y, same=same)

    def tile_diag(self, X: Array) -> Array:
        return self.k1.tile_diag(X) * self.k2.tile_diag(X)


class Scaled(Composite):
    """scale k(x, y); written ``2.0 * kernel``.

    Parameters
    ----------
    kernel : Kernel
    scale : float, default=1.0
        >= 0, differentiable.
    bounds : dict, optional
        ``{"scale": (low, high)}`` or ``{"scale": "fixed"}``.
    """

    scale: Any
    _leaves = ("scale",)

    def __init__(self, kernel: Kernel, scale: float = 1.0, bounds: dict[str, Any] | None = None) -> None:
        self.__dict__.update(kernel=check_operand(kernel, "kernel"), scale=scale, bounds=bounds)
        check_real(scale, "scale")
        check_bounds(bounds, {"scale": scale})

    def tile(self, X: Array, Y: Array, *, same: bool = False) -> Array:
        return self.scale * self.kernel.tile(X, Y, same=same)

    def tile_diag(self, X: Array) -> Array:
        return self.scale * self.kernel.tile_diag(X)


class Constant(Kernel):
    """k(x, y) = value: a prior on an offset; written ``kernel + 1.0``.

    Parameters
    ----------
    value : float, default=1.0
        >= 0, differentiable.
    bounds : dict, optional
        ``{"value": (low, high)}`` or ``{"value": "fixed"}``.
    """

    value: Any
    _leaves = ("value",)

    def __init__(self, value: float = 1.0, bounds: dict[str, Any] | None = None) -> None:
        self.__dict__.update(value=value, bounds=bounds)
        check_real(value, "value")
        check_bounds(bounds, {"value": value})

    def tile(self, X: Array, Y: Array, *, same: bool = False) -> Array:
        return jnp.full((len(X), len(Y)), self.value, dtype=jnp.result_type(X, Y))

    def tile_diag(self, X: Array) -> Array:
        return jnp.full((len(X),), self.value, dtype=X.dtype)


class Normalized(Composite):
    """k(x, y) / sqrt(k(x, x) k(y, y)): the cosine of the angle in feature space, 1 on the diagonal.

    Where k(x, x) is 0 (a zero row, no biases) the result is 0, on the diagonal too.

    Parameters
    ----------
    kernel : Kernel
    """

    def __init__(self, kernel: Kernel) -> None:
        self.kernel = check_operand(kernel, "kernel")

    def tile(self, X: Array, Y: Array, *, same: bool = False) -> Array:
        roots1, roots2 = safe_sqrt(self.kernel.tile_diag(X)), safe_sqrt(self.kernel.tile_diag(Y))
        normalized = safe_ratio(safe_ratio(self.kernel.tile(X, Y, same=same), roots1[:, None]), roots2[None, :])
        return jnp.where(jnp.eye(len(X), dtype=bool), self.tile_diag(X), normalized) if same else normalized

    def tile_diag(self, X: Array) -> Array:
        return (self.kernel.tile_diag(X) > 0).astype(X.dtype)


def check_operand(kernel: Any, name: str) -> Kernel:
    """Check that a kernel of kernels is given one of ours.

    Raises
    ------
    TypeError
        If it is something else.
    """
    if not isinstance(kernel, Kernel):
        raise TypeError(f"{name} must be a kernel of ntkkit such as NTK(FullyConnected()), found {kernel!r}.")
    return kernel
