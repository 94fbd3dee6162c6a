"""Networks: what a network is, finite and infinitely wide."""

from ntkkit.networks.activations import Activation, Identity
from ntkkit.networks.dense import Dense
from ntkkit.networks.families import FullyConnected
from ntkkit.networks.layer import Layer
from ntkkit.networks.network import Network, Serial
from ntkkit.networks.rectifiers import Relu
from ntkkit.networks.sigmoids import Erf

__all__ = ["Activation", "Dense", "Erf", "FullyConnected", "Identity", "Layer", "Network", "Relu", "Serial"]
