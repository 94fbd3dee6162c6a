"""scikit-learn estimators: validation, one solve, one predict."""

from ntkkit.estimators.classification import NeuralKernelClassifier
from ntkkit.estimators.regression import NeuralKernelRegressor

__all__ = ["NeuralKernelClassifier", "NeuralKernelRegressor"]
