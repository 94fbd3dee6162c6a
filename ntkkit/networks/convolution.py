"""The convolution, finite and infinite."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

from ntkkit.networks.images import PADDINGS, border, output_size, padded, window_sum
from ntkkit.networks.layer import Layer, Shape
from ntkkit.networks.state import Positions, State, safe_ratio, safe_sqrt
from ntkkit.networks.value import check_count, check_real


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
        windows = zip(inputs.shape[1:-1], self.filter_shape, self.steps, strict=True)
        borders = [(0, 0), *(border(*window, self.padding) for window in windows), (0, 0)]
        letters = "HW"[: len(self.filter_shape)]
        numbers = (f"N{letters}C", f"{letters}IO", f"N{letters}C")
        sums = jax.lax.conv_general_dilated(
            padded(inputs, borders, self.padding), weight, self.steps, "VALID", dimension_numbers=numbers
        )
        scale = jnp.sqrt(self.weight_var / math.prod(weight.shape[:-1]))
        return scale * sums + jnp.sqrt(self.bias_var) * params["bias"]

    def propagate(self, state: State) -> State:
        sizes = state.delta.shape[-len(self.filter_shape) :]
        check_axes(self, (*sizes, 1), state.positions.n_axes if state.positions else 0)

        def mean(values: Array, axes_of: Sequence[Sequence[int]]) -> Array:
            for axes, window, step in zip(axes_of, self.filter_shape, self.steps, strict=True):
                values = window_sum(values, axes, window, step, self.padding)
            return values / math.prod(self.filter_shape)

        bordered = self.padding == "SAME"
        return averaged(state, mean, self.weight_var, self.bias_var, trainable=self.trainable, bordered=bordered)


def averaged(
    state: State,
    mean: Callable[[Array, Sequence[Sequence[int]]], Array],
    weight_var: Any,
    bias_var: Any,
    *,
    trainable: bool,
    bordered: bool = False,
) -> State:
    """The state behind weights that read averages over the same offsets in both images.

    The squared distance is averaged, so that no digit of near duplicates is lost; with a one number a pair, so that
    images of different norm do not cancel either,

        D = (a q1 + q2 / a) / 2 - k,    D <- weight_var mean D + bias_var (sqrt a - 1 / sqrt a)^2 / 2.

    Where an offset leaves one image only (`bordered`), k is 0 there, and D half the variance inside the other.
    """
    positions = state.positions
    assert positions is not None
    n_axes, w, b = positions.n_axes, weight_var, bias_var
    state = state._replace(delta=written(state.delta))
    last = [[-n_axes + i] for i in range(n_axes)]
    first = [[-2 * n_axes + i] for i in range(n_axes)] if positions.crossed else last
    both = [[*x, *y] for x, y in zip(first, last, strict=True)] if positions.crossed else last
    mean1, mean2 = mean(state.var1, first), mean(state.var2, last)
    var1, var2 = w * mean1 + b, w * mean2 + b
    scale = safe_sqrt(var1) * safe_sqrt(var2)
    root_a = jax.lax.stop_gradient(_balance(var1, var2, positions))  # the result does not depend on it
    outside: Array | float = 0.0
    if bordered and positions.crossed:
        shape1, shape2 = state.delta.shape[-n_axes:], state.delta.shape[-2 * n_axes : -n_axes]
        inside1 = mean(jnp.broadcast_to(state.var1, (*state.var1.shape[:-n_axes], *shape1)), both)
        inside2 = mean(
            jnp.broadcast_to(state.var2, (*state.var2.shape[: -2 * n_axes], *shape2, *state.var2.shape[-n_axes:])), both
        )
        outside = (root_a**2 * (mean1 - inside1) + (mean2 - inside2) / root_a**2) / 2

    def distance(delta: Array, sign: int) -> Array:
        far = (root_a * safe_sqrt(state.var1) - safe_sqrt(state.var2) / root_a) ** 2 / 2 + state.scale * delta
        far = w * (mean(far, both) + outside) + b * (root_a - sign / root_a) ** 2 / 2
        near = (root_a * safe_sqrt(var1) - safe_sqrt(var2) / root_a) ** 2 / 2
        return jnp.maximum(safe_ratio(far - near, scale), 0)

    ntk = None if state.ntk is None else w * mean(written(state.ntk), both)
    if trainable:
        covariance = w * mean(state.covariance, both) + b
        ntk = covariance if ntk is None else ntk + covariance
    anti = None if state.anti is None else distance(state.anti, -1)
    return state._replace(var1=var1, var2=var2, delta=distance(state.delta, 1), anti=anti, ntk=ntk)


def written(x: Array) -> Array:
    """x, as an array of its own: XLA would evaluate it anew in each of the shifted windows that read it.

    The condition always holds, which XLA does not see.
    """
    return jax.lax.cond(jnp.nan_to_num(x.ravel()[0]) < jnp.inf, lambda x: x, lambda x: 2 * x, x)


def _balance(var1: Array, var2: Array, positions: Positions) -> Array:
    """sqrt a, a the ratio of the lengths of the two images behind the layer; 1 where one has none."""
    axes = tuple(range(-positions.n_axes * (2 if positions.crossed else 1), 0))
    length1, length2 = (jnp.mean(q, axis=axes, keepdims=True) ** 0.25 for q in (var1, var2))
    positive = (length1 > 0) & (length2 > 0)
    return jnp.where(positive, length2, 1) / jnp.where(positive, length1, 1)


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
