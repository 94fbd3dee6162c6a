"""The layer: a finite map of inputs, and the map of Gaussian statistics that it becomes at infinite width."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

from jax import Array

from ntkkit.networks.state import State
from ntkkit.networks.value import FrozenValue

Shape = tuple[int, ...]


class Layer(FrozenValue):
    """One step of a network. A layer's file holds its finite map and its kernel map together."""

    trainable: bool = False  # whether it has parameters that are trained
    spatial: bool = False  # whether it reads images, positions and channels, rather than rows
    mixes: bool = False  # whether it averages over positions, so that what two positions share matters
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

    @abstractmethod
    def propagate(self, state: State) -> State:
        """The infinitely wide layer: statistics before -> statistics after."""

    def without_ntk(self, trained: bool) -> Layer | None:
        """The layer in here, if any, that leaves no NTK to trained parameters before it; `trained`: there are some."""
        return None


class Composite(Layer):
    """A layer made of layers: it is what any of them is."""

    @property
    @abstractmethod
    def parts(self) -> tuple[Layer, ...]:
        """The layers."""

    @property
    def trainable(self) -> bool:  # type: ignore[override]
        return any(part.trainable for part in self.parts)

    @property
    def spatial(self) -> bool:  # type: ignore[override]
        return any(part.spatial for part in self.parts)

    @property
    def mixes(self) -> bool:  # type: ignore[override]
        return any(part.mixes for part in self.parts)

    @property
    def needs_variance(self) -> bool:  # type: ignore[override]
        return any(part.needs_variance for part in self.parts)
