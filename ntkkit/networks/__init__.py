"""Networks: what a network is, finite and infinitely wide."""

from ntkkit.networks.activations import Activation, Identity, resolve_activation
from ntkkit.networks.combinators import ProductOf, Residual, SumOf
from ntkkit.networks.convolution import Conv
from ntkkit.networks.convolutional_families import Convolutional, Myrtle, ResNet
from ntkkit.networks.dense import Dense
from ntkkit.networks.dropout import Dropout
from ntkkit.networks.exponentials import Exp, Gaussian, Rbf
from ntkkit.networks.families import FullyConnected
from ntkkit.networks.gelu import Gelu
from ntkkit.networks.global_pooling import Flatten, GlobalAvgPool, GlobalSumPool, LocalAvgPool
from ntkkit.networks.layer import Layer
from ntkkit.networks.network import Network, Serial
from ntkkit.networks.normalisation import LayerNorm
from ntkkit.networks.polynomial import OnePlus, PolynomialNetwork
from ntkkit.networks.pooling import AvgPool, SumPool
from ntkkit.networks.quadrature import Quadrature, QuadratureWarning
from ntkkit.networks.rectified_powers import RectifiedMonomial
from ntkkit.networks.rectifiers import ABRelu, Abs, LeakyRelu, Relu
from ntkkit.networks.recurrent import Recurrent
from ntkkit.networks.series import Hermite, Monomial, Polynomial
from ntkkit.networks.sigmoids import Erf, SigmoidLike
from ntkkit.networks.steps import Sign, Step
from ntkkit.networks.waves import Cos, Sin

__all__ = [
    "ABRelu",
    "Abs",
    "Activation",
    "AvgPool",
    "Conv",
    "Convolutional",
    "Cos",
    "Dense",
    "Dropout",
    "Erf",
    "Exp",
    "Flatten",
    "FullyConnected",
    "Gaussian",
    "Gelu",
    "GlobalAvgPool",
    "GlobalSumPool",
    "Hermite",
    "Identity",
    "Layer",
    "LayerNorm",
    "LeakyRelu",
    "LocalAvgPool",
    "Monomial",
    "Myrtle",
    "Network",
    "OnePlus",
    "Polynomial",
    "PolynomialNetwork",
    "ProductOf",
    "Quadrature",
    "QuadratureWarning",
    "Rbf",
    "RectifiedMonomial",
    "Recurrent",
    "Relu",
    "ResNet",
    "Residual",
    "Serial",
    "SigmoidLike",
    "Sign",
    "Sin",
    "Step",
    "SumOf",
    "SumPool",
    "resolve_activation",
]
