"""Pictures of kernels, searches, predictions and completions: scikit-learn's Display objects. They need matplotlib."""

from ntkkit.display.band import PredictionBandDisplay
from ntkkit.display.completion import CompletionDisplay
from ntkkit.display.matrix import KernelMatrixDisplay
from ntkkit.display.path import RidgePathDisplay
from ntkkit.display.surface import SearchSurfaceDisplay

__all__ = [
    "CompletionDisplay",
    "KernelMatrixDisplay",
    "PredictionBandDisplay",
    "RidgePathDisplay",
    "SearchSurfaceDisplay",
]
