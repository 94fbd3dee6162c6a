"""Pictures of kernels, of searches and of predictions, as scikit-learn's Display objects. They need matplotlib."""

from ntkkit.display.band import PredictionBandDisplay
from ntkkit.display.matrix import KernelMatrixDisplay
from ntkkit.display.path import RidgePathDisplay
from ntkkit.display.surface import SearchSurfaceDisplay

__all__ = ["KernelMatrixDisplay", "PredictionBandDisplay", "RidgePathDisplay", "SearchSurfaceDisplay"]
