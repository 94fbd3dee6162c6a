"""Networks: what a network is, finite and infinitely wide."""

from ntkkit.networks.activations import Activation, Identity, resolve_activation
from ntkkit.networks.dense import Dense
from ntkkit.networks.exponentials import Exp, Gaussian, Rbf
from ntkkit.networks.families import FullyConnected
from ntkkit.networks.gelu import Gelu
from ntkkit.networks.layer import Layer
from ntkkit.networks.network import Network, Serial
from ntkkit.networks.rectifiers import ABRelu, Abs, LeakyRelu, Relu
from ntkkit.networks.sigmoids import Erf, SigmoidLike
from ntkkit.networks.steps import Sign, Step
from ntkkit.networks.waves import Cos, Sin

__all__ = [
    "ABRelu",
    "Abs",
    "Activation",
    "Cos",
    "Dense",
    "Erf",
    "Exp",
    "FullyConnected",
    "Gaussian",
    "Gelu",
    "Identity",
    "Layer",
    "LeakyRelu",
    "Network",
    "Rbf",
    "Relu",
    "Serial",
    "SigmoidLike",
    "Sign",
    "Sin",
    "Step",
    "resolve_activation",
]
