"""The layer: a finite map of inputs, and the map of Gaussian statistics that it becomes at infinite width."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

from jax import Array

from ntkkit.networks.state import State
from ntkkit.networks.value import FrozenValue


class Layer(FrozenValue):
    """One step of a network. A layer's file holds its finite map and its kernel map together."""

    @abstractmethod
    def initialize(self, key: Array, input_shape: tuple[int, ...], width: int) -> tuple[Any, tuple[int, ...]]:
        """Draw parameters for inputs of ``input_shape`` (without the batch): (parameters, output shape)."""

    @abstractmethod
    def apply(self, params: Any, inputs: Array) -> Array:
        """The finite layer on a batch: (n, *input_shape) -> (n, *output_shape)."""

    @abstractmethod
    def propagate(self, state: State) -> State:
        """The infinitely wide layer: statistics before -> statistics after."""
