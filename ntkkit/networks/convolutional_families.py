"""Families of convolutional networks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from ntkkit.networks.activations import Activation, resolve_activation
from ntkkit.networks.combinators import Residual, SumOf
from ntkkit.networks.convolution import Conv, check_padding, check_window
from ntkkit.networks.families import Homogeneous, check_depth, check_family, dense_readout
from ntkkit.networks.global_pooling import Flatten, GlobalAvgPool, LocalAvgPool
from ntkkit.networks.layer import Layer
from ntkkit.networks.network import Layered, Serial
from ntkkit.networks.pooling import AvgPool
from ntkkit.networks.value import check_count

POOLINGS = ("flatten", "gap", "lap")
# Convolutions before each pool of Myrtle networks.
MYRTLE = {5: (2, 1, 1), 7: (2, 2, 2), 10: (3, 3, 3)}


class Convolutional(Homogeneous):
    """Convolutional network: `depth` times [Conv, activation], then from images to rows, then a Dense readout.

    Parameters
    ----------
    depth : int, default=3
        Convolutions, >= 0. Static, as all that is no variance.
    filter_shape : tuple of int, default=(3, 3)
        Of every convolution; one entry for sequences of positions.
    activation : str, function or Activation, default="relu"
        As of `FullyConnected`.
    pooling : {"gap", "flatten", "lap"}, default="gap"
        "gap": the average over all positions, whose kernel compares every position of one image with every one of the
        other, (H W)^2 numbers a pair. "flatten": all positions side by side; H W numbers a pair. "lap": averages
        over windows of `pool_shape` around each position, side by side; between the two.
    weight_var, bias_var : float, default=2.0 and 0.1
        Variances >= 0, differentiable.
    readout_weight_var, readout_bias_var : float, optional
        The readout's variances; None means those of the other layers. Differentiable.
    padding : {"SAME", "VALID", "CIRCULAR"}, default="SAME"
        As of `Conv`.
    pool_shape : tuple of int, optional
        Windows of "lap"; by default 5 positions along each axis.
    n_frozen_layers : int, default=0
        The first so many convolutions are not trained.
    input_shape : tuple of int
        The shape (H, W, C) of one image, or (L, C). Needed before the first kernel.

    Raises
    ------
    ValueError, TypeError
        For negative variances or depth, more frozen layers than convolutions, or unknown names.

    References
    ----------
    Arora, Du, Hu, Li, Salakhutdinov, Wang (2019), On exact computation with an infinitely wide neural net; Novak et al.
    (2019), Bayesian deep convolutional networks with many channels are Gaussian processes.

    Examples
    --------
    >>> import numpy as np
    >>> from ntkkit import NTK, Convolutional
    >>> images = np.random.default_rng(0).random((3, 5, 5, 1))
    >>> NTK(Convolutional(depth=1, pooling="flatten", input_shape=(5, 5, 1)))(images).shape
    (3, 3)
    """

    filter_shape: tuple[int, ...]
    pooling: str
    padding: str
    pool_shape: tuple[int, ...] | None
    activation: str | Callable[..., Any] | Activation
    weight_var: Any
    bias_var: Any
    readout_weight_var: Any
    readout_bias_var: Any
    _leaves = ("weight_var", "bias_var", "readout_weight_var", "readout_bias_var")

    def __init__(
        self,
        depth: int = 3,
        filter_shape: Sequence[int] = (3, 3),
        activation: str | Callable[..., Any] | Activation = "relu",
        pooling: str = "gap",
        weight_var: float = 2.0,
        bias_var: float = 0.1,
        readout_weight_var: float | None = None,
        readout_bias_var: float | None = None,
        padding: str = "SAME",
        pool_shape: Sequence[int] | None = None,
        n_frozen_layers: int = 0,
        input_shape: Sequence[int] | None = None,
    ) -> None:
        if pooling not in POOLINGS:
            raise ValueError(f"pooling must be one of {sorted(POOLINGS)}, found {pooling!r}.")
        filter_shape = check_window(filter_shape, "filter_shape")
        if pool_shape is not None and pooling != "lap":
            raise ValueError(f'pool_shape={pool_shape!r} is for pooling="lap", found pooling={pooling!r}.')
        self.__dict__.update(
            check_family(activation, weight_var, bias_var, readout_weight_var, readout_bias_var, input_shape),
            **check_depth(depth, n_frozen_layers),
            filter_shape=filter_shape,
            pool_shape=None if pool_shape is None else check_window(pool_shape, "pool_shape", like=filter_shape),
            pooling=pooling,
            padding=check_padding(padding),
        )

    def block(self, index: int) -> tuple[Layer, ...]:
        trainable = index >= self.n_frozen_layers
        conv = Conv(self.filter_shape, self.weight_var, self.bias_var, None, self.padding, trainable)
        return conv, resolve_activation(self.activation)

    def readout(self) -> tuple[Layer, ...]:
        pool: Layer = {"gap": GlobalAvgPool, "flatten": Flatten}.get(self.pooling, self._local_pool)()
        return pool, dense_readout(self)

    def _local_pool(self) -> Layer:
        return LocalAvgPool(self.pool_shape or (5,) * len(self.filter_shape))


class _Fixed(Layered):
    """What families of a fixed architecture share."""

    activation: str | Callable[..., Any] | Activation
    weight_var: Any
    bias_var: Any
    readout_weight_var: Any
    readout_bias_var: Any
    _leaves = ("weight_var", "bias_var", "readout_weight_var", "readout_bias_var")


class Myrtle(_Fixed):
    """The Myrtle networks: 3 x 3 convolutions with activations, average pools of 2, 2 and the rest, a Dense readout.

    Depth 5 is c c p c p c p, 7 is c c p c c p c c p, 10 has three convolutions before each pool; c is a convolution and
    an activation, and the last pool averages over all positions that are left (8 x 8 of 32 x 32).

    Parameters
    ----------
    depth : {5, 7, 10}, default=5
        Static.
    activation, weight_var, bias_var, readout_weight_var, readout_bias_var, input_shape
        As of `Convolutional`.

    References
    ----------
    Shankar, Fang, Guo, Fridovich-Keil, Schmidt, Ragan-Kelley, Recht (2020), Neural kernels without tangents.
    """

    depth: int

    def __init__(
        self,
        depth: int = 5,
        activation: str | Callable[..., Any] | Activation = "relu",
        weight_var: float = 2.0,
        bias_var: float = 0.1,
        readout_weight_var: float | None = None,
        readout_bias_var: float | None = None,
        input_shape: Sequence[int] | None = None,
    ) -> None:
        if depth not in MYRTLE:
            raise ValueError(f"depth must be one of {sorted(MYRTLE)}, found {depth!r}.")
        self.__dict__.update(
            check_family(activation, weight_var, bias_var, readout_weight_var, readout_bias_var, input_shape),
            depth=depth,
        )

    @property
    def sequence(self) -> tuple[Layer, ...]:
        stage = [Conv((3, 3), self.weight_var, self.bias_var), resolve_activation(self.activation)]
        first, second, third = MYRTLE[self.depth]
        pool = AvgPool((2, 2))
        return (*stage * first, pool, *stage * second, pool, *stage * third, GlobalAvgPool(), dense_readout(self))


class ResNet(_Fixed):
    """Wide residual network: a 3 x 3 convolution, three groups of residual blocks, global average, a Dense readout.

    A block adds [activation, convolution] twice to its input; the first block of a group adds them to a convolution of
    its input instead, and the first of the second and third groups have strides of 2.

    Parameters
    ----------
    n_blocks : int, default=1
        Blocks of each group, >= 1; the network has 6 n_blocks + 2 layers one after another. Static.
    activation, weight_var, bias_var, readout_weight_var, readout_bias_var, input_shape
        As of `Convolutional`.

    References
    ----------
    Zagoruyko, Komodakis (2016), Wide residual networks; Novak et al. (2020), Neural tangents.
    """

    n_blocks: int

    def __init__(
        self,
        n_blocks: int = 1,
        activation: str | Callable[..., Any] | Activation = "relu",
        weight_var: float = 2.0,
        bias_var: float = 0.1,
        readout_weight_var: float | None = None,
        readout_bias_var: float | None = None,
        input_shape: Sequence[int] | None = None,
    ) -> None:
        self.__dict__.update(
            check_family(activation, weight_var, bias_var, readout_weight_var, readout_bias_var, input_shape),
            n_blocks=check_count(n_blocks, "n_blocks", low=1),
        )

    def _conv(self, strides: Sequence[int] | None = None) -> Conv:
        return Conv((3, 3), self.weight_var, self.bias_var, strides)

    def _block(self, strides: Sequence[int] | None = None) -> Serial:
        activation = resolve_activation(self.activation)
        return Serial([activation, self._conv(strides), activation, self._conv()])

    @property
    def sequence(self) -> tuple[Layer, ...]:
        layers: list[Layer] = [self._conv()]
        for strides in (None, (2, 2), (2, 2)):
            layers.append(SumOf([self._block(strides), self._conv(strides)]))
            layers.extend(Residual(self._block()) for _ in range(self.n_blocks - 1))
        return (*layers, GlobalAvgPool(), dense_readout(self))
