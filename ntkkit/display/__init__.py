"""Pictures of kernels, searches, predictions, completions, learning: Display objects. They need matplotlib."""

from ntkkit.display.band import PredictionBandDisplay
from ntkkit.display.comparison import ComparisonDisplay
from ntkkit.display.completion import CompletionDisplay
from ntkkit.display.learning_curve import LearningCurveDisplay
from ntkkit.display.matrix import KernelMatrixDisplay
from ntkkit.display.path import RidgePathDisplay
from ntkkit.display.regime import RegimeDisplay
from ntkkit.display.spectrum import KernelSpectrumDisplay
from ntkkit.display.surface import SearchSurfaceDisplay
from ntkkit.display.tracking import KernelTrackingDisplay

__all__ = [
    "ComparisonDisplay",
    "CompletionDisplay",
    "KernelMatrixDisplay",
    "KernelSpectrumDisplay",
    "KernelTrackingDisplay",
    "LearningCurveDisplay",
    "PredictionBandDisplay",
    "RegimeDisplay",
    "RidgePathDisplay",
    "SearchSurfaceDisplay",
]
