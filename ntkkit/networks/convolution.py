"""The convolution, finite and infinite."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

from ntkkit.networks.images import PADDINGS, border, output_size, padded
from ntkkit.networks.layer import Layer, Shape
from ntkkit.networks.offsets import Offsets, Sizes, kept, left, two
from ntkkit.networks.positions import apart, by_column, placed
from ntkkit.networks.propagation import Parts, Slabs, from_parts, parts_of
from ntkkit.networks.state import Positions, State, safe_ratio, safe_sqrt
from ntkkit.networks.value import check_count, check_real
from ntkkit.networks.windows import Windows

# How far the balance of two images may be from the ratio of their lengths: it costs that many times the rounding error.
FARTHEST = 8.0

_BY_PRODUCTS: ContextVar[bool] = ContextVar("by_products", default=False)


@contextmanager
def convolving_by_products() -> Iterator[None]:
    """Have finite convolutions, where they are traced in here for a CPU, gather patches and multiply.

    In compiled loops XLA's convolutions are more than ten times slower on a CPU; elsewhere they are faster than this.
    """
    token = _BY_PRODUCTS.set(jax.default_backend() == "cpu")
    try:
        yield
    finally:
        _BY_PRODUCTS.reset(token)


class Conv(Layer):
    """z[p] = sqrt(weight_var / fan_in) sum_o W[o] h[p + o] + sqrt(bias_var) b, fan_in = channels times filter size.

    With |f| positions of the filter, o over its offsets, and zero outside the image under "SAME",

        k[p, p'] <- weight_var / |f| sum_o k[p + o, p' + o] + bias_var,
        ntk[p, p'] <- weight_var / |f| sum_o ntk[p + o, p' + o], and the new k where the layer is trained.

    Parameters
    ----------
    filter_shape : tuple of int, default=(3, 3)
        One size for each axis of positions: 1 or 2 of them. Static.
    weight_var, bias_var : float, default=2.0 and 0.1
        Variances >= 0. Differentiable.
    strides : tuple of int, optional
        Steps between outputs; 1 by default. Static.
    padding : {"SAME", "VALID", "CIRCULAR"}, default="SAME"
        "SAME" and "CIRCULAR" leave ceil(n / stride) positions of n; the smaller half of padding comes first. Static.
    trainable : bool, default=True
        Static.

    References
    ----------
    Arora, Du, Hu, Li, Salakhutdinov, Wang (2019), On exact computation with an infinitely wide neural net;
    Garriga-Alonso, Rasmussen, Aitchison (2019), Deep convolutional networks as shallow Gaussian processes.

    Examples
    --------
    >>> import numpy as np
    >>> from ntkkit import NNGP
    >>> from ntkkit.networks import Conv, Dense, Flatten, Serial
    >>> network = Serial(
    ...     [Conv((2,), 1.0, 0.0, padding="VALID"), Flatten(), Dense(1.0, 0.0)], input_shape=(3, 1)
    ... )
    >>> NNGP(network)([[1.0, 2.0, 3.0]])  # ((1 + 4) / 2 + (4 + 9) / 2) / 2
    array([[4.5]])
    """

    filter_shape: tuple[int, ...]
    weight_var: Any
    bias_var: Any
    strides: tuple[int, ...] | None
    padding: str
    trainable: bool
    spatial: bool = True
    _leaves = ("weight_var", "bias_var")

    def __init__(
        self,
        filter_shape: Sequence[int] = (3, 3),
        weight_var: float = 2.0,
        bias_var: float = 0.1,
        strides: Sequence[int] | None = None,
        padding: str = "SAME",
        trainable: bool = True,
    ) -> None:
        filter_shape = check_window(filter_shape, "filter_shape")
        self.__dict__.update(
            filter_shape=filter_shape,
            weight_var=check_real(weight_var, "weight_var"),
            bias_var=check_real(bias_var, "bias_var"),
            strides=None if strides is None else check_window(strides, "strides", like=filter_shape),
            padding=check_padding(padding),
            trainable=bool(trainable),
        )

    @property
    def steps(self) -> tuple[int, ...]:
        return self.strides or (1,) * len(self.filter_shape)

    def initialize(self, key: Array, input_shape: Shape, *, width: int, n_outputs: int) -> tuple[Any, Shape]:
        *sizes, channels = check_axes(self, input_shape, len(self.filter_shape))
        weight_key, bias_key = jax.random.split(key)
        params = {
            "weight": jax.random.normal(weight_key, (*self.filter_shape, channels, n_outputs)),
            "bias": jax.random.normal(bias_key, (n_outputs,)),
        }
        windows = zip(sizes, self.filter_shape, self.steps, strict=True)
        return params, (*(output_size(*window, self.padding) for window in windows), n_outputs)

    def apply(self, params: dict[str, Array], inputs: Array) -> Array:
        if not self.trainable:
            params = jax.lax.stop_gradient(params)
        weight = params["weight"]
        windows = list(zip(inputs.shape[1:-1], self.filter_shape, self.steps, strict=True))
        borders = [(0, 0), *(border(*window, self.padding) for window in windows), (0, 0)]
        inputs = padded(inputs, borders, self.padding)
        if _BY_PRODUCTS.get():
            sizes = [output_size(*window, self.padding) for window in windows]
            sums = self._patches(inputs, sizes) @ weight.reshape(-1, weight.shape[-1])
        else:
            letters = "HW"[: len(self.filter_shape)]
            numbers = (f"N{letters}C", f"{letters}IO", f"N{letters}C")
            sums = jax.lax.conv_general_dilated(inputs, weight, self.steps, "VALID", dimension_numbers=numbers)
        scales = self.scales(params)
        return scales["weight"] * sums + scales["bias"] * params["bias"]

    def _patches(self, inputs: Array, sizes: Sequence[int]) -> Array:
        """What each of so many windows sees: (n, *sizes, filter size times channels)."""
        along = [
            [slice(start, start + (size - 1) * step + 1, step) for start in range(length)]
            for length, size, step in zip(self.filter_shape, sizes, self.steps, strict=True)
        ]
        return jnp.concatenate([inputs[:, *places] for places in itertools.product(*along)], axis=-1)

    def scales(self, params: dict[str, Array]) -> dict[str, Array]:
        fan_in = math.prod(self.filter_shape) * params["weight"].shape[-2]
        return {"weight": jnp.sqrt(self.weight_var / fan_in), "bias": jnp.sqrt(self.bias_var)}

    @property
    def mixes(self) -> bool:  # type: ignore[override]
        """Whether only some windows are kept, so that offsets of positions are others behind the layer."""
        return any(step > 1 for step in self.steps) or (self.padding == "VALID" and math.prod(self.filter_shape) > 1)

    def sizes_after(self, sizes: Sizes) -> Sizes:
        windows = zip(sizes, two(self.filter_shape), two(self.steps), strict=True)
        height, width = (output_size(*window, self.padding) for window in windows)
        return height, width

    def offsets_before(self, offsets: Offsets, sizes: Sizes) -> Offsets:
        return offsets.spread(sizes, two(self.steps), (1, 1))

    def propagate(self, state: State) -> State:
        """At one offset of rows, as many windows as there are positions.

        The squared distance is averaged, so that no digit of near duplicates is lost; with a one number a pair, so that
        images of different norm do not cancel either,

            D = (a q1 + q2 / a) / 2 - k,    D <- weight_var mean D + bias_var (sqrt a - 1 / sqrt a)^2 / 2.

        Where a window's position leaves one image only, k is 0 there, and D half the variance inside the other.
        """
        positions = state.positions
        n_axes = positions.n_axes if positions else 0
        check_axes(self, (*(positions.sizes[2 - n_axes :] if positions else ()), 1), len(self.filter_shape))
        assert positions is not None
        windows = Windows(self.filter_shape, self.steps, self.padding, positions)
        w, b = self.weight_var, self.bias_var
        var1, var2 = (w * windows.alone(q) + b for q in (state.var1, positions.var2))
        balance = jax.lax.stop_gradient(_balance(var1, var2, positions))  # sqrt a; the result does not depend on it
        inverse = 1 / balance

        def beside_roots(values: Array) -> Array:
            return placed(safe_sqrt(values), positions)

        def gap(root1: Array, root2: Array) -> Array:
            return (balance * root1 - inverse * root2) ** 2 / 2

        def start(delta: Array, root1: Array, root2: Array) -> Array:
            return windows.bordered(gap(root1, root2) + root1 * root2 * delta)

        root1, root2 = safe_sqrt(state.var1), apart(beside_roots, positions.var2)
        far = apart(start, state.delta, root1, root2)
        far_anti = None if state.anti is None else apart(start, state.anti, root1, root2)
        ntk = None if state.ntk is None else apart(windows.bordered, state.ntk)
        outside1 = apart(windows.outside_second, state.var1) if windows.masked else []
        outside2 = apart(windows.outside_first, positions.var2) if windows.masked else 0.0

        root1, root2 = safe_sqrt(var1), apart(beside_roots, var2)
        inverse1, inverse2 = safe_ratio(1, root1), apart(lambda x: safe_ratio(1, x), root2)

        def distance(far: Array, sign: int) -> Array:
            total = windows.pairs(far)
            if windows.masked:
                total = total + (balance**2 * windows.at_columns(outside1) + inverse**2 * outside2) / 2
            total = w * total + b * (balance - sign * inverse) ** 2 / 2
            return jnp.maximum((total - gap(root1, root2)) * (inverse1 * inverse2), 0)

        delta = apart(lambda far: distance(far, 1), far)
        anti = None if far_anti is None else apart(lambda far: distance(far, -1), far_anti)
        if ntk is not None:
            ntk = w * windows.pairs(ntk)
        if self.trainable:
            covariance = root1 * root2 * (1 - delta)
            ntk = covariance if ntk is None else ntk + covariance
        after_positions = positions._replace(var2=var2)
        return State(var1, apart(lambda x: placed(x, after_positions), var2), delta, anti, ntk, after_positions)

    def gather(self, slabs: Slabs) -> Slabs:
        """Every window, and then those that are kept."""
        positions, after = slabs.positions, self.sizes_after(slabs.positions.sizes)
        (height, width), (down, across) = positions.sizes, two(self.steps)

        def own(values: Array) -> Array:
            return values[:, ::down, ::across][:, : after[0], : after[1]]

        def along_columns(values: Array) -> Array:
            each = by_column(own(values), positions)
            each = kept(each, 2, positions.columns, width, after[1], across)
            return each.reshape(*each.shape[:3], -1)

        def part(state: State) -> Parts:
            parts = parts_of(self.propagate(state))
            pairs = jax.tree.map(along_columns, tuple(parts[2:]))
            return Parts(own(parts.var1), own(parts.var2), *pairs)

        def along_rows(values: Array) -> Array:
            return jnp.moveaxis(kept(jnp.moveaxis(values, 0, 2), 1, slabs.rows, height, after[0], down), 2, 0)

        parts = slabs.map(part)
        parts = Parts(parts.var1, parts.var2, *jax.tree.map(along_rows, tuple(parts[2:])))
        columns = left(positions.columns, width, after[1], across)
        within = None if slabs.within is None else (self.gather(slabs.within[0]), self.gather(slabs.within[1]))
        rows = left(slabs.rows, height, after[0], down)
        return from_parts(positions._replace(sizes=after, columns=columns), rows, parts, within)


def _balance(var1: Array, var2: Array, positions: Positions) -> Array:
    """sqrt a of a pair of images: no digit is lost at positions where a is the ratio of their standard deviations.

    It is that of the darkest positions, a background that both may have, and for scaled copies the scale; but not far
    from the ratio of the images' lengths.
    """

    def ratio(length1: Array, length2: Array) -> Array:
        positive = (length1 > 0) & (length2 > 0)
        return jnp.where(positive, jnp.sqrt(jnp.where(positive, length2, 1) / jnp.where(positive, length1, 1)), 1)

    of_lengths = ratio(*(jnp.mean(q, axis=(1, 2), keepdims=True) for q in (var1, var2)))
    of_least = ratio(*(jnp.min(q, axis=(1, 2), keepdims=True, where=q > 0, initial=jnp.inf) for q in (var1, var2)))
    of_least = jnp.where(jnp.isfinite(of_least) & (of_least > 0), of_least, of_lengths)
    a = jnp.clip(of_least, of_lengths / FARTHEST, of_lengths * FARTHEST)
    return jnp.tile(jnp.sqrt(a), len(positions.columns))


def check_window(value: Any, name: str, *, like: Sequence[int] | None = None) -> tuple[int, ...]:
    """Sizes along 1 or 2 axes of positions.

    Raises
    ------
    TypeError
        If it is no sequence of integers.
    ValueError
        If one is below 1, or there are not as many as in `like`.
    """
    if not isinstance(value, (list, tuple)):
        raise TypeError(f"{name} must be a tuple of integers, one for each axis of positions, found {value!r}.")
    if len(value) not in (1, 2) or (like is not None and len(value) != len(like)):
        raise ValueError(f"{name} must have {len(like) if like else '1 or 2'} entries, one an axis, found {value!r}.")
    return tuple(check_count(size, name, low=1) for size in value)


def check_padding(padding: Any) -> str:
    """One of `PADDINGS`.

    Raises
    ------
    ValueError
        If it is another.
    """
    if padding not in PADDINGS:
        raise ValueError(f"padding must be one of {PADDINGS}, found {padding!r}.")
    return padding


def check_axes(layer: Layer, shape: Shape, n_axes: int) -> Shape:
    """Check that inputs of the shape (*positions, channels) have the axes that a layer slides over.

    Raises
    ------
    ValueError
        If they have not.
    """
    if len(shape) != n_axes + 1:
        raise ValueError(
            f"{layer!r} slides over {n_axes} axes of positions, and its inputs have the shape {shape}: give the "
            "network the input_shape (H, W, C) of its images, and no such layer behind Flatten or a global pool."
        )
    return shape
