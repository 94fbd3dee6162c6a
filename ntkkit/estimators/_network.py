"""Estimators of networks: parameters inside the network."""

from __future__ import annotations

from typing import Any, Self

from sklearn.base import BaseEstimator

from ntkkit.networks.network import Network


class NetworkEstimator(BaseEstimator):
    """An estimator with a `network`, whose parameters are set as ``network__depth=5``."""

    network: Any

    def set_params(self, **params: Any) -> Self:
        """Set parameters; those of the network as ``network__depth=5``.

        The network itself is a value that never changes: another one takes its place.

        Parameters
        ----------
        **params
            Parameters by name.

        Returns
        -------
        self
            The estimator.

        Raises
        ------
        ValueError
            For an unknown name, or parameters of a network that is None.
        """
        inner = {name: params.pop(name) for name in list(params) if name.startswith("network__")}
        if inner:
            network = params.get("network", self.network)
            if not isinstance(network, Network):
                raise ValueError(
                    f"network is {network!r}, which has no parameters to set by {', '.join(inner)}: "
                    "pass network=FullyConnected()."
                )
            changes = {name.removeprefix("network__"): value for name, value in inner.items()}
            params["network"] = network.replace(**changes)
        return super().set_params(**params)
