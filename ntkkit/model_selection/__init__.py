"""Choosing hyperparameters: scikit-learn's searches with every Gram matrix evaluated once, and entries held out."""

from ntkkit.model_selection.completion import NeuralMatrixCompleterCV, hide_entries
from ntkkit.model_selection.search import KernelSearchCV

__all__ = ["KernelSearchCV", "NeuralMatrixCompleterCV", "hide_entries"]
