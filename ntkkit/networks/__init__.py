"""Networks: what a network is, finite and infinitely wide."""

from ntkkit.networks.activations import Activation, Identity, resolve_activation
from ntkkit.networks.dense import Dense
from ntkkit.networks.families import FullyConnected
from ntkkit.networks.layer import Layer
from ntkkit.networks.network import Network, Serial
from ntkkit.networks.rectifiers import ABRelu, Abs, LeakyRelu, Relu
from ntkkit.networks.sigmoids import Erf
from ntkkit.networks.steps import Sign, Step

__all__ = [
    "ABRelu",
    "Abs",
    "Activation",
    "Dense",
    "Erf",
    "FullyConnected",
    "Identity",
    "Layer",
    "LeakyRelu",
    "Network",
    "Relu",
    "Serial",
    "Sign",
    "Step",
    "resolve_activation",
]
