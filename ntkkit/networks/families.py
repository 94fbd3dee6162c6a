"""Families: networks made from a few scalar hyperparameters, for grids and searches."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Sequence
from typing import Any

import jax.numpy as jnp

from ntkkit.networks.activations import Activation, resolve_activation
from ntkkit.networks.dense import Dense
from ntkkit.networks.layer import Layer
from ntkkit.networks.network import Layered, Limits, check_shape, kernels_of
from ntkkit.networks.propagation import Slabs, through
from ntkkit.networks.state import State
from ntkkit.networks.value import check_count, check_real, check_scales


class Homogeneous(Layered):
    """A network of `depth` blocks and a readout, whose shallower versions are its own beginnings."""

    nested = True
    depth: int
    n_frozen_layers: int

    @abstractmethod
    def block(self, index: int) -> tuple[Layer, ...]:
        """The layers of hidden block `index`, counted from 0."""

    @abstractmethod
    def readout(self) -> tuple[Layer, ...]:
        """What follows the last block."""

    @property
    def sequence(self) -> tuple[Layer, ...]:
        return self._at_depth(self.depth)

    def _at_depth(self, depth: int) -> tuple[Layer, ...]:
        return (*(layer for index in range(depth) for layer in self.block(index)), *self.readout())

    def _sequences(self, depths: Sequence[int] | None) -> list[tuple[Layer, ...]]:
        return [self._at_depth(depth) for depth in ([self.depth] if depths is None else depths)]

    def _limits(self, state: State | Slabs, depths: Sequence[int] | None) -> Limits:
        if depths is None:
            return kernels_of(through(self.sequence, state))
        wanted = [check_count(depth, "depths", low=self.n_frozen_layers) for depth in depths]
        if not wanted:
            raise ValueError("depths must not be empty.")
        found = {}
        for depth in range(max(wanted) + 1):
            if depth in wanted:
                found[depth] = kernels_of(through(self.readout(), state))
            if depth < max(wanted):
                state = through(self.block(depth), state)
                if isinstance(state, Slabs) and depth + 1 in wanted:
                    state = state.stored()  # what follows begins there
        nngps, ntks = zip(*(found[depth] for depth in wanted), strict=True)
        return jnp.stack(nngps), jnp.stack(ntks)


class FullyConnected(Homogeneous):
    """Fully connected network: `depth` times [Dense, activation], then a Dense readout.

    z = sqrt(weight_var / fan_in) W h + sqrt(bias_var) b in every layer, all entries of W and b standard normal (the NTK
    parametrisation). For a depth-1 ReLU network without biases, weight_var = w and t the angle between x and y,

        nngp = w^2 |x||y| (sin t + (pi - t) cos t) / (2 pi d),    ntk = nngp + w^2 x.y (pi - t) / (2 pi d).

    Parameters
    ----------
    depth : int, default=3
        Hidden layers, >= 0; 0 is a linear model. Static.
    activation : str, function or Activation, default="relu"
        "relu", "erf", "gelu", "leaky_relu", "sin" and others in closed form, "tanh", "silu" and any function of jax by
        quadrature (`ntkkit.networks.Quadrature`), or an object such as `ntkkit.networks.LeakyRelu(0.2)`, whose own
        hyperparameters are differentiable. Static in kind.
    weight_var, bias_var : float, default=2.0 and 0.1
        Variances >= 0, differentiable.
    readout_weight_var, readout_bias_var : float, optional
        The readout's variances; None means those of the other layers. Differentiable.
    n_frozen_layers : int, default=0
        The first so many hidden layers are not trained: they add nothing to the NTK. At most `depth`, where only the
        readout is trained and the NTK is the NNGP. Static.
    input_shape : tuple of int, optional
        For inputs that are images: the shape (H, W, C) of one. Images are read as flattened rows.
    input_scale : float or array-like of shape (n_features,), optional
        Scales >= 0 that features are multiplied by before the first layer: one for all, or one each, as automatic
        relevance determination learns them; 0 leaves a feature out. Differentiable.

    Raises
    ------
    ValueError, TypeError
        For negative variances or depth, more frozen layers than hidden ones, or an unknown activation.

    References
    ----------
    Jacot, Gabriel, Hongler (2018), Neural Tangent Kernel; Lee et al. (2018), Deep Neural Networks as Gaussian
    Processes.

    Examples
    --------
    >>> import numpy as np
    >>> from ntkkit import NTK, FullyConnected
    >>> network = FullyConnected(depth=1, weight_var=1.0, bias_var=0.0)
    >>> x, y = [[1.0, 0.0]], [[0.0, 1.0]]  # t = pi / 2: the kernel is 1 / (4 pi)
    >>> bool(np.isclose(NTK(network)(x, y)[0, 0], 1 / (4 * np.pi), rtol=1e-15))
    True
    """

    activation: str | Callable[..., Any] | Activation
    weight_var: Any
    bias_var: Any
    readout_weight_var: Any
    readout_bias_var: Any
    _leaves = ("weight_var", "bias_var", "readout_weight_var", "readout_bias_var", "input_scale")

    def __init__(
        self,
        depth: int = 3,
        activation: str | Callable[..., Any] | Activation = "relu",
        weight_var: float = 2.0,
        bias_var: float = 0.1,
        readout_weight_var: float | None = None,
        readout_bias_var: float | None = None,
        n_frozen_layers: int = 0,
        input_shape: Sequence[int] | None = None,
        input_scale: Any = None,
    ) -> None:
        self.__dict__.update(
            check_family(activation, weight_var, bias_var, readout_weight_var, readout_bias_var, input_shape),
            **check_depth(depth, n_frozen_layers),
            input_scale=check_scales(input_scale, "input_scale"),
        )

    def block(self, index: int) -> tuple[Layer, ...]:
        dense = Dense(self.weight_var, self.bias_var, trainable=index >= self.n_frozen_layers)
        return dense, resolve_activation(self.activation)

    def readout(self) -> tuple[Layer, ...]:
        return (dense_readout(self),)


def dense_readout(network: Any) -> Dense:
    """The readout of a family: with the variances of its own, or those of the other layers where they are None."""
    own = network.readout_weight_var, network.readout_bias_var
    common = network.weight_var, network.bias_var
    return Dense(*(there if here is None else here for here, there in zip(own, common, strict=True)))


def check_family(
    activation: Any, weight_var: Any, bias_var: Any, readout_weight_var: Any, readout_bias_var: Any, input_shape: Any
) -> dict[str, Any]:
    """Check what all families have, by name. The activation stays what it was, to be shown and compared as such."""
    resolve_activation(activation)
    return {
        "activation": activation,
        "weight_var": check_real(weight_var, "weight_var"),
        "bias_var": check_real(bias_var, "bias_var"),
        "readout_weight_var": check_real(readout_weight_var, "readout_weight_var", optional=True),
        "readout_bias_var": check_real(readout_bias_var, "readout_bias_var", optional=True),
        "input_shape": check_shape(input_shape),
    }


def check_depth(depth: Any, n_frozen_layers: Any) -> dict[str, int]:
    """Check how many layers there are, and how many of them are not trained.

    Raises
    ------
    ValueError
        If more are frozen than there are.
    """
    depth, n_frozen_layers = check_count(depth, "depth"), check_count(n_frozen_layers, "n_frozen_layers")
    if n_frozen_layers > depth:
        raise ValueError(f"n_frozen_layers must be at most depth={depth}, found {n_frozen_layers}.")
    return {"depth": depth, "n_frozen_layers": n_frozen_layers}
