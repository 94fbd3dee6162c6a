"""Networks of a finite width, replaced by their tangents."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
from jax import Array

from ntkkit.finite.parametrization import FiniteNetwork
from ntkkit.finite.trained import TrainedNetworks
from ntkkit.networks.network import Network
from ntkkit.networks.value import FrozenValue


class LinearizedNetwork(FrozenValue):
    """A finite network to first order in its parameters: f(theta_0) + J(theta_0) (theta - theta_0).

    Its empirical NTK stays what it is at theta_0. `NetworkTrainer` trains it like the network itself, from theta_0 =
    the initial parameters, or from a time of a training (`at`).

    Parameters
    ----------
    finite : FiniteNetwork
        The network.

    Raises
    ------
    TypeError
        If it is no FiniteNetwork.

    References
    ----------
    Lee et al. (2019), Wide neural networks of any depth evolve as linear models under gradient descent; Fort et al.
    (2020), Deep learning versus kernel learning.

    Examples
    --------
    >>> import jax, numpy as np
    >>> from ntkkit import FullyConnected
    >>> from ntkkit.finite import FiniteNetwork, LinearizedNetwork
    >>> finite = FiniteNetwork(FullyConnected(depth=1), width=16)
    >>> tangent, X = LinearizedNetwork(finite), np.ones((2, 3), np.float32)
    >>> params = tangent.init(jax.random.key(0), 3)
    >>> said, network_said = jax.jit(tangent.apply)(params, X), jax.jit(finite.apply)(params["theta"], X)
    >>> bool(np.allclose(said, network_said))
    True
    """

    finite: FiniteNetwork

    def __init__(self, finite: FiniteNetwork) -> None:
        if not isinstance(finite, FiniteNetwork):
            raise TypeError(f"finite must be a FiniteNetwork(network, width), found {finite!r}.")
        self.__dict__.update(finite=finite)

    @property
    def network(self) -> Network:
        """The network of no particular width."""
        return self.finite.network

    @property
    def parametrization(self) -> str:
        """That of the network."""
        return self.finite.parametrization

    @property
    def learning_rate_scale(self) -> Any:
        """What a learning rate of gradient descent is multiplied by."""
        return self.finite.learning_rate_scale

    def init(self, random_state: Any, input_shape: int | Sequence[int], *, n_outputs: int = 1) -> Any:
        """The parameters at the start of training: "origin", where the tangent touches, and "theta".

        Parameters
        ----------
        random_state : int, RandomState instance, None, or jax key
        input_shape : int or tuple of int
        n_outputs : int, default=1

        Returns
        -------
        params : pytree of jax arrays
        """
        params = self.finite.init(random_state, input_shape, n_outputs=n_outputs)
        return {"origin": params, "theta": params}

    def at(self, trained: TrainedNetworks) -> TrainedNetworks:
        """The tangents of an ensemble, where its training is: what ``run(..., start=)`` takes.

        Parameters
        ----------
        trained : TrainedNetworks

        Returns
        -------
        TrainedNetworks
        """
        params = {"origin": trained.params, "theta": trained.params}
        initial = {"origin": trained.initial_params, "theta": trained.initial_params}
        names = {name: getattr(trained, name) for name in TrainedNetworks.__dataclass_fields__}
        return TrainedNetworks(**names | {"network": self, "params": params, "initial_params": initial})

    def apply(self, params: Any, X: Array) -> Array:
        """The outputs, (n, ...) -> (n, n_outputs). Pure jax.

        Parameters
        ----------
        params : pytree
            What `init` returned, trained or not. Nothing flows back to "origin".
        X : array of shape (n, ...)

        Returns
        -------
        Array of shape (n, n_outputs)
        """
        origin = jax.lax.stop_gradient(params["origin"])
        moved = jax.tree.map(lambda new, old: new - old, params["theta"], origin)
        outputs, change = jax.jvp(lambda theta: self.finite.apply(theta, X), (origin,), (moved,))
        return outputs + change

    def trained(self, params: Any) -> Any:
        """Whether each parameter is trained: those of "origin" are not."""
        frozen = jax.tree.map(lambda _: False, params["origin"])
        return {"origin": frozen, "theta": self.finite.trained(params["theta"])}
