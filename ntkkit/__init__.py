"""Kernel machines whose kernels are exact limits of infinitely wide neural networks."""

from ntkkit.engine import Cache, Engine, gram
from ntkkit.estimators import (
    FiniteNetworkClassifier,
    FiniteNetworkRegressor,
    ImageStandardizer,
    NeuralDynamicsClassifier,
    NeuralDynamicsClassifierCV,
    NeuralDynamicsRegressor,
    NeuralDynamicsRegressorCV,
    NeuralInpainter,
    NeuralKernelClassifier,
    NeuralKernelClassifierCV,
    NeuralKernelFeatures,
    NeuralKernelRegressor,
    NeuralKernelRegressorCV,
    NeuralKernelSVC,
    NeuralKernelSVR,
    NeuralMatrixCompleter,
    ZCAWhitener,
    adversarial_examples,
    certified_radius,
    eigenvector_part,
)
from ntkkit.estimators._trusted import TRUSTED_TYPES
from ntkkit.kernels import NNGP, NTK, Augmented, Constant, Kernel, Normalized, Product, Scaled, Sum
from ntkkit.model_selection import KernelSearchCV, NeuralMatrixCompleterCV
from ntkkit.networks import Convolutional, FullyConnected, Myrtle, Recurrent, ResNet

__version__ = "0.1.0"

__all__ = [
    "NNGP",
    "NTK",
    "TRUSTED_TYPES",
    "Augmented",
    "Cache",
    "Constant",
    "Convolutional",
    "Engine",
    "FiniteNetworkClassifier",
    "FiniteNetworkRegressor",
    "FullyConnected",
    "ImageStandardizer",
    "Kernel",
    "KernelSearchCV",
    "Myrtle",
    "NeuralDynamicsClassifier",
    "NeuralDynamicsClassifierCV",
    "NeuralDynamicsRegressor",
    "NeuralDynamicsRegressorCV",
    "NeuralInpainter",
    "NeuralKernelClassifier",
    "NeuralKernelClassifierCV",
    "NeuralKernelFeatures",
    "NeuralKernelRegressor",
    "NeuralKernelRegressorCV",
    "NeuralKernelSVC",
    "NeuralKernelSVR",
    "NeuralMatrixCompleter",
    "NeuralMatrixCompleterCV",
    "Normalized",
    "Product",
    "Recurrent",
    "ResNet",
    "Scaled",
    "Sum",
    "ZCAWhitener",
    "adversarial_examples",
    "certified_radius",
    "eigenvector_part",
    "gram",
]
