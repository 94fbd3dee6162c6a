"""scikit-learn estimators: validation, one solve, one predict."""

from ntkkit.estimators.adversarial import adversarial_examples, eigenvector_part
from ntkkit.estimators.certificate import certified_radius
from ntkkit.estimators.classification import NeuralKernelClassifier
from ntkkit.estimators.completion import NeuralMatrixCompleter
from ntkkit.estimators.dynamics import NeuralDynamicsClassifier, NeuralDynamicsRegressor
from ntkkit.estimators.dynamics_cv import NeuralDynamicsClassifierCV, NeuralDynamicsRegressorCV
from ntkkit.estimators.feature_learning import FeatureLearningRegressor
from ntkkit.estimators.features import NeuralKernelFeatures
from ntkkit.estimators.finite import FiniteNetworkClassifier, FiniteNetworkRegressor
from ntkkit.estimators.images import ImageStandardizer, ZCAWhitener
from ntkkit.estimators.inpainting import NeuralInpainter
from ntkkit.estimators.regression import NeuralKernelRegressor
from ntkkit.estimators.ridge_cv import NeuralKernelClassifierCV, NeuralKernelRegressorCV
from ntkkit.estimators.svc import NeuralKernelSVC
from ntkkit.estimators.svr import NeuralKernelSVR

__all__ = [
    "FeatureLearningRegressor",
    "FiniteNetworkClassifier",
    "FiniteNetworkRegressor",
    "ImageStandardizer",
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
    "ZCAWhitener",
    "adversarial_examples",
    "certified_radius",
    "eigenvector_part",
]
