"""The two kernels of an infinitely wide network."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any

import numpy as np
from jax import Array

from ntkkit.kernels.base import Kernel, check_bounds
from ntkkit.kernels.inputs import result_dtype
from ntkkit.networks.network import Network
from ntkkit.networks.quadrature import warn_of_quadrature


class _LimitKernel(Kernel):
    """What NTK and NNGP share: they are views of `network.limits`."""

    network: Network

    def __init__(self, network: Network, bounds: dict[str, Any] | None = None) -> None:
        if not isinstance(network, Network):
            raise TypeError(f"network must be a network such as FullyConnected(depth=3), found {network!r}.")
        self.__dict__.update(network=network, bounds=bounds)  # the attribute .bounds is scikit-learn's: log bounds
        check_bounds(bounds, self.leaf_paths())

    @abstractmethod
    def tile_at_depths(self, X: Array, Y: Array, *, same: bool = False, depths: Sequence[int]) -> Array:
        """The tile at each depth of the network's family, stacked in front: one pass. Pure jax."""

    @property
    def input_kind(self) -> str:
        return self.network.input_kind

    @property
    def input_shape(self) -> tuple[int, ...] | None:
        return self.network.input_shape

    @property
    def reads_same(self) -> bool:  # type: ignore[override]
        return self.network.reads_same

    @property
    def tile_side(self) -> int | None:
        return self.network.tile_side

    def examine(self, X: np.ndarray, Y: np.ndarray | None = None) -> None:
        arrays = [X] if Y is None else [X, Y]
        self.network.check_together(arrays)
        warn_of_quadrature(self.network, arrays, result_dtype(*arrays))


class NTK(_LimitKernel):
    """Neural tangent kernel: E[<df(x)/dtheta, df(y)/dtheta>] of the infinitely wide network, over trainable parameters.

    The kernel machine with this kernel is the network trained by gradient descent on squared error, in the limit of
    infinite width. float32 results are right to 1e-6 of sqrt(K_ii K_jj) for ReLU networks of depth up to 10.

    Parameters
    ----------
    network : Network
        `FullyConnected`, or a `Serial` of layers.
    bounds : dict, optional
        From parameter path (``network__weight_var``) to (low, high) or "fixed": what scikit-learn's Gaussian processes
        may learn. Default (1e-5, 1e5); parameters that are None or 0 are fixed. Narrower ones for weight_var help an
        optimiser: entries grow like weight_var^(depth + 1), and far out the Gram matrix has no Cholesky factor.

    Raises
    ------
    ValueError
        If the network has trained parameters before an activation without a derivative (`Sign`, `Step`).

    References
    ----------
    Jacot, Gabriel, Hongler (2018), Neural Tangent Kernel: Convergence and Generalization in Neural Networks.

    Examples
    --------
    >>> from ntkkit import NTK, FullyConnected
    >>> NTK(FullyConnected(depth=0, weight_var=1.0, bias_var=0.0))([[1.0, 2.0]], [[3.0, 4.0]])
    array([[5.5]])
    """

    def __init__(self, network: Network, bounds: dict[str, Any] | None = None) -> None:
        super().__init__(network, bounds)
        blocking = network.without_ntk()
        if blocking is not None:
            raise ValueError(
                f"{network!r} has no NTK: no gradient reaches trained parameters through {blocking!r}. "
                "Use NNGP, or freeze the layers before it (n_frozen_layers=depth)."
            )

    def tile(self, X: Array, Y: Array, *, same: bool = False) -> Array:
        return self.network.limits(X, Y, same=same)[1]

    def tile_at_depths(self, X: Array, Y: Array, *, same: bool = False, depths: Sequence[int]) -> Array:
        return self.network.limits(X, Y, same=same, depths=depths)[1]

    def tile_diag(self, X: Array) -> Array:
        return self.network.limits_diag(X)[1]


class NNGP(_LimitKernel):
    """Neural-network Gaussian-process kernel: E[f(x) f(y)] of the infinitely wide network at random initialisation.

    The Gaussian process with this covariance is the prior of the infinitely wide Bayesian network; parameters as for
    `NTK`.

    References
    ----------
    Neal (1996), Bayesian Learning for Neural Networks; Lee et al. (2018), Deep Neural Networks as Gaussian Processes.

    Examples
    --------
    >>> from ntkkit import NNGP, FullyConnected
    >>> NNGP(FullyConnected(depth=1, weight_var=2.0, bias_var=0.0))([[1.0, 1.0]])
    array([[2.]])
    """

    def tile(self, X: Array, Y: Array, *, same: bool = False) -> Array:
        return self.network.limits(X, Y, same=same)[0]

    def tile_at_depths(self, X: Array, Y: Array, *, same: bool = False, depths: Sequence[int]) -> Array:
        return self.network.limits(X, Y, same=same, depths=depths)[0]

    def tile_diag(self, X: Array) -> Array:
        return self.network.limits_diag(X)[0]
