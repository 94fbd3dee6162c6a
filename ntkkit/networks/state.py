"""What travels through the layers: the Gaussian statistics of a tile of pairs, and how a tile begins.

A pair (x, y) is carried by its *distance* delta = 1 - correlation rather than by its covariance. arccos turns a
rounding error e of a correlation near 1 into sqrt(2 e); the distance has all its digits where they matter, and every
layer maps it by sums of non-negative terms.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array


class Positions(NamedTuple):
    """What the entries of a state of images are: position (h, w) of one beside (h + row, w + column) of the other.

    Beyond the edges rows and columns go on at the other end, so that all pairs of positions are H W offsets of H W
    entries each. A state has one offset of rows; along its last axis are the offsets of columns, and for each of them
    the images of the other side: (n, H, W, columns m). Images with one axis of positions have one row.

    Attributes
    ----------
    sizes : (H, W)
    n_axes : int
        Axes of positions that the images have, 1 or 2.
    row : int or Array
        In 0, ..., H - 1.
    columns : tuple of int
        In 0, ..., W - 1.
    var2 : Array of shape (1, H, W, m), or (n, H, W, 1) where aligned
        Variances of the other side's images at positions of their own; `State.var2` has them beside the first's.
    aligned : bool
        Whether image i meets image i only, (n, H, W, columns).
    own : bool
        Whether it describes one draw of what is random in an image's outputs: its covariances with itself.
    same : bool
        Whether the images of both sides are the same, so that pair (i, i) at equal positions has distance 0.
    """

    sizes: tuple[int, int]
    n_axes: int
    row: int | Array
    columns: tuple[int, ...]
    var2: Array
    aligned: bool = False
    own: bool = False
    same: bool = False


class State(NamedTuple):
    """Statistics of a unit's values h(x), h(y) over random parameters, for a tile of pairs, and the NTK so far.

    ``var1`` and ``var2`` broadcast against ``delta``: (n, 1), (1, m) and (n, m) on a tile of rows; (n,), (n,) and (n,)
    on a diagonal.
    """

    var1: Array  # E[h(x)^2]
    var2: Array  # E[h(y)^2]
    delta: Array  # 1 - E[h(x) h(y)] / sqrt(var1 var2), in [0, 2]; anything there where a variance is 0
    anti: Array | None = None  # 2 - delta with its own digits, for antipodes; None once delta <= 1 is known
    ntk: Array | None = None  # None means zero: nothing trainable yet
    positions: Positions | None = None  # of images: what the axes behind those of the pairs are

    @property
    def scale(self) -> Array:
        """sqrt(var1 var2)."""
        return safe_sqrt(self.var1) * safe_sqrt(self.var2)

    @property
    def covariance(self) -> Array:
        """E[h(x) h(y)] = sqrt(var1 var2) (1 - delta)."""
        return self.scale * (1 - self.delta)

    @property
    def gap(self) -> Array:
        """E[(h(x) - h(y))^2] / 2, by terms that are not negative."""
        return (safe_sqrt(self.var1) - safe_sqrt(self.var2)) ** 2 / 2 + self.scale * self.delta

    @property
    def opposite_gap(self) -> Array:
        """E[(h(x) + h(y))^2] / 2, by terms that are not negative."""
        anti = 2 - self.delta if self.anti is None else self.anti
        return (safe_sqrt(self.var1) - safe_sqrt(self.var2)) ** 2 / 2 + self.scale * anti


@jax.custom_jvp
def safe_sqrt(x: Array) -> Array:
    """sqrt with derivative 0, not infinity, at 0; 0 for what rounding has left below 0."""
    return jnp.sqrt(jnp.maximum(x, 0))


@safe_sqrt.defjvp
def _safe_sqrt_jvp(primals: tuple[Array], tangents: tuple[Array]) -> tuple[Array, Array]:
    root = safe_sqrt(primals[0])
    return root, safe_ratio(tangents[0], 2 * root)


def safe_ratio(numerator: Array | float, denominator: Array) -> Array:
    """numerator / denominator, and 0 where the denominator is 0; its derivative squares no denominator."""
    return _ratio(jnp.asarray(numerator, jnp.result_type(numerator, denominator)), denominator)


@jax.custom_jvp
def _ratio(numerator: Array, denominator: Array) -> Array:
    positive = denominator > 0
    return jnp.where(positive, numerator / jnp.where(positive, denominator, 1), 0)


@_ratio.defjvp
def _ratio_jvp(primals: tuple[Array, Array], tangents: tuple[Array, Array]) -> tuple[Array, Array]:
    ratio = _ratio(*primals)
    return ratio, _ratio(tangents[0] - ratio * tangents[1], primals[1])


def kept(x: Array) -> Array:
    """x, for finite x, evaluated once: XLA evaluates what is cheap anew in everything that reads it, but no quotient.

    Measured on a CPU: a layer of `Erf` is twice as fast with it.
    """
    return x / (1 + 0 * x)


def nearest(state: State) -> tuple[Array, Array]:
    """The smaller one of delta and anti, and whether that is delta; both evaluated once."""
    anti = 2 - state.delta if state.anti is None else state.anti
    signed = kept(jnp.where(state.delta <= anti, state.delta, -anti))  # zero has a sign, too
    acute = ~jnp.signbit(signed)
    return jnp.where(acute, signed, -signed), acute


def tile_state(X: Array, Y: Array, *, same: bool) -> State:
    """State of the inputs: (n, d), (m, d) -> tile of (n, m), with E[h(x) h(y)] = x.y / d.

    The angle is computed in float64 (where jax has it enabled), the rest in the inputs' dtype. With ``same`` (X is Y)
    the diagonal's distances are exact zeros; so are those within the rounding error of the product, which is what
    duplicates and scaled copies come to. Other pairs closer than 1e-7 (relative) have an angle that is right to 5e-8.
    """
    dtype = jnp.result_type(X, Y)
    (unit1, var1), (unit2, var2) = _directions(X), _directions(Y)
    correlation = jnp.matmul(unit1, unit2.T, precision=jax.lax.Precision.HIGHEST)
    if same:
        correlation = jnp.where(jnp.eye(len(X), dtype=bool), 1, correlation)
    rounding = 4 * jnp.finfo(correlation.dtype).eps
    delta, anti = (jnp.where(distance <= rounding, 0, distance) for distance in (1 - correlation, 1 + correlation))
    return State(var1[:, None].astype(dtype), var2[None, :].astype(dtype), delta.astype(dtype), anti=anti.astype(dtype))


def diagonal_state(X: Array) -> State:
    """State of each input with itself: (n, d) -> (n,)."""
    var = _directions(X)[1].astype(X.dtype)
    return State(var1=var, var2=var, delta=jnp.zeros_like(var))


def _directions(X: Array) -> tuple[Array, Array]:
    """x / |x| (zero for a zero row) and |x|^2 / d, in the widest dtype that is enabled."""
    wide = X.astype(jax.dtypes.canonicalize_dtype(np.float64))
    squares = jnp.sum(wide * wide, axis=-1)
    return safe_ratio(wide, safe_sqrt(squares)[:, None]), squares / X.shape[-1]
