"""Choosing hyperparameters: scikit-learn's searches, with every Gram matrix evaluated once."""

from ntkkit.model_selection.search import KernelSearchCV

__all__ = ["KernelSearchCV"]
