"""The layer: a finite map of inputs, and the map of Gaussian statistics that it becomes at infinite width."""

from __future__ import annotations

import functools
from abc import abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import jax
from jax import Array

from ntkkit.networks.offsets import Offsets, Sizes
from ntkkit.networks.state import State
from ntkkit.networks.value import FrozenValue

if TYPE_CHECKING:
    from ntkkit.networks.propagation import Slabs

Shape = tuple[int, ...]


class Layer(FrozenValue):
    """One step of a network. A layer's file holds its finite map and its kernel map together."""

    trainable: bool = False  # whether it has parameters that are trained
    spatial: bool = False  # whether it reads images, positions and channels, rather than rows
    mixes: bool = False  # whether offsets of positions meet in it, or are others behind it: it has `gather`
    pools: bool = False  # whether variances behind it depend on covariances of positions
    redraws: bool = False  # whether it draws noise at each evaluation, so that k(x, x) is of two draws
    needs_variance: bool = False  # whether its kernel map depends on variances, not on covariances alone

    @abstractmethod
    def initialize(self, key: Array, input_shape: Shape, *, width: int, n_outputs: int) -> tuple[Any, Shape]:
        """Draw parameters for inputs of ``input_shape`` (without the batch): (parameters, output shape).

        The layer has ``n_outputs`` units (channels), and ``width`` inside if there is an inside; in the middle of a
        network the two are the same.
        """

    @abstractmethod
    def apply(self, params: Any, inputs: Array) -> Array:
        """The finite layer on a batch: (n, *input_shape) -> (n, *output_shape)."""

    def forward(self, params: Any, inputs: Array) -> Array:
        """`apply` inside a network, whose inputs have the shape that the layer before left."""
        return self.apply(params, inputs)

    def scales(self, params: Any) -> Any:
        """What `apply` multiplies each parameter by: sqrt(weight_var / fan_in), or sqrt(bias_var)."""
        return jax.tree.map(lambda _: 1.0, params)

    def trained(self, params: Any) -> Any:
        """Whether each parameter is trained; in their structure."""
        return jax.tree.map(lambda _: self.trainable, params)

    @abstractmethod
    def propagate(self, state: State) -> State:
        """The infinitely wide layer: statistics before -> statistics after."""

    # ---- of layers between images

    def gather(self, slabs: Slabs) -> Slabs | State:
        """`propagate` for a layer that mixes: it sees all offsets of positions."""
        raise TypeError(f"{type(self).__name__} does not mix positions.")

    def sizes_after(self, sizes: Sizes) -> Sizes:
        """The axes of positions behind the layer."""
        return sizes

    def offsets_before(self, offsets: Offsets, sizes: Sizes) -> Offsets:
        """The offsets of positions that are read for some offsets behind the layer; `sizes` are those before it."""
        return offsets

    def without_ntk(self, trained: bool) -> Layer | None:
        """The layer in here, if any, that leaves no NTK to trained parameters before it; `trained`: there are some."""
        return None


def _of_any(flag: str) -> Any:
    """The property of having a part of which the flag is true."""
    return property(lambda self: any(getattr(part, flag) for part in self.parts))


class Composite(Layer):
    """A layer made of layers: it is what any of them is."""

    @property
    @abstractmethod
    def parts(self) -> tuple[Layer, ...]:
        """The layers."""

    trainable = _of_any("trainable")
    spatial = _of_any("spatial")
    mixes = _of_any("mixes")
    pools = _of_any("pools")
    redraws = _of_any("redraws")
    needs_variance = _of_any("needs_variance")

    def scales(self, params: Any) -> Any:
        return [part.scales(param) for part, param in zip(self.parts, params, strict=True)]

    def trained(self, params: Any) -> Any:
        return [part.trained(param) for part, param in zip(self.parts, params, strict=True)]


class Chain(Composite):
    """A composite whose parts follow one another."""

    def sizes_after(self, sizes: Sizes) -> Sizes:
        return functools.reduce(lambda sizes, part: part.sizes_after(sizes), self.parts, sizes)

    def offsets_before(self, offsets: Offsets, sizes: Sizes) -> Offsets:
        for part, before in backwards(self.parts, sizes):
            offsets = part.offsets_before(offsets, before)
        return offsets


def backwards(layers: Sequence[Layer], sizes: Sizes) -> list[tuple[Layer, Sizes]]:
    """Layers that follow one another, the last first, each with the axes of positions before it."""
    found = []
    for layer in layers:
        found.append((layer, sizes))
        sizes = layer.sizes_after(sizes)
    return found[::-1]
