"""What every Display does alike: axes, matplotlib when it is missing, estimators that are not fitted."""

import sys

import matplotlib.pyplot as plt
import numpy as np
import pytest
from sklearn.exceptions import NotFittedError
from sklearn.gaussian_process.kernels import RBF
from sklearn.impute import SimpleImputer
from sklearn.model_selection import GridSearchCV

from ntkkit import FullyConnected, NeuralKernelClassifier, NeuralKernelRegressor, NeuralKernelRegressorCV
from ntkkit.display import (
    ComparisonDisplay,
    CompletionDisplay,
    KernelMatrixDisplay,
    KernelSpectrumDisplay,
    KernelTrackingDisplay,
    LearningCurveDisplay,
    PredictionBandDisplay,
    RegimeDisplay,
    RidgePathDisplay,
    SearchSurfaceDisplay,
)
from ntkkit.dynamics import NDK, LearningCurve
from ntkkit.dynamics.dmft import MeanField
from ntkkit.finite import Comparison, KernelTracker, RegimeReport
from ntkkit.finite._limit import TrainedLimit

X, Y = np.random.default_rng(0).standard_normal((12, 2)), np.repeat([0, 1], 6)
CURVE = LearningCurve(np.array([0.0, 1.0, 10.0]), np.arange(6.0).reshape(3, 2))
HOLES = np.where(np.arange(24).reshape(12, 2) % 5, X, np.nan)
LIMIT = TrainedLimit(np.ones((2, 1)), np.zeros((2, 1)), np.ones(2), 0.1, 10)
SOME = 0.1 + np.random.default_rng(0).random((2, 3)) / [[1.0], [2.0]]
COMPARISON = Comparison((4, 16), LIMIT, *2 * [SOME.reshape(2, 3, 1, 1) * np.ones((2, 1))], SOME, SOME, SOME)
TRACKER = KernelTracker(X)
TRACKER.add([X @ X.T], epoch=0)
TRACKER.add([2 * X @ X.T], epoch=1)
PATH = np.linspace(0, 1, 3)[:, None] * [1.0, -1.0]
THEORY = MeanField(np.arange(3.0), PATH, 0 * PATH, np.ones((3, 2, 2)), [], [], np.array([1.0, -1.0]), 2.0, 1.0)
REPORT = RegimeReport((4, 8), THEORY, np.array([0, 2]), PATH[::2] * np.ones((2, 3, 1, 1)))
SEARCH = GridSearchCV(NeuralKernelRegressor(RBF()), {"alpha": [0.1, 1.0]}, cv=2)

MAKE = {
    "matrix": lambda **at: KernelMatrixDisplay.from_kernel(RBF(), X, Y, **at),
    "path": lambda **at: RidgePathDisplay.from_estimator(NeuralKernelRegressorCV(RBF()).fit(X, Y), **at),
    "surface": lambda **at: SearchSurfaceDisplay.from_estimator(SEARCH.fit(X, Y), **at),
    "band": lambda **at: PredictionBandDisplay.from_predictions(Y, X[:, 0], y_std=abs(X[:, 1]), **at),
    "comparison": lambda **at: ComparisonDisplay.from_comparison(COMPARISON, **at),
    "completion": lambda **at: CompletionDisplay.from_estimator(SimpleImputer().fit(HOLES), HOLES, truth=X, **at),
    "curve": lambda **at: LearningCurveDisplay.from_curve(CURVE, **at),
    "spectrum": lambda **at: KernelSpectrumDisplay.from_kernels(
        {"cubic": lambda X, Y: (X @ Y.T) ** 3}, dimension=3, **at
    ),
    "regime": lambda **at: RegimeDisplay.from_report(REPORT, **at),
    "tracking": lambda **at: KernelTrackingDisplay.from_tracker(TRACKER, "largest_eigenvalue", **at),
    "ndk": lambda **at: LearningCurveDisplay.from_ndk(NDK(FullyConnected(depth=1)), X, Y, n_steps=10, **at),
}
FROM_ESTIMATOR = {
    "matrix": lambda: KernelMatrixDisplay.from_estimator(NeuralKernelClassifier(), X, Y),
    "path": lambda: RidgePathDisplay.from_estimator(NeuralKernelRegressorCV()),
    "surface": lambda: SearchSurfaceDisplay.from_estimator(GridSearchCV(NeuralKernelRegressor(), {"alpha": [1]})),
    "band": lambda: PredictionBandDisplay.from_estimator(NeuralKernelRegressor(), X, Y),
    "completion": lambda: CompletionDisplay.from_estimator(SimpleImputer(), HOLES),
}


@pytest.mark.parametrize("name", MAKE)
def test_draws_on_new_or_on_given_axes_and_again(name):
    display = MAKE[name]()
    assert display.ax_.figure is display.figure_
    figure, axes = plt.subplots(1, 2)
    assert MAKE[name](ax=axes[1]).figure_ is figure
    assert display.plot(axes[0]) is display
    assert display.figure_ is figure
    assert display.ax_.get_title(loc="left")
    figure.canvas.draw()


@pytest.mark.parametrize("make", [*MAKE.values(), *FROM_ESTIMATOR.values()])
def test_says_that_matplotlib_is_missing(make, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(ImportError, match=r"Display\.\w+ requires matplotlib"):
        make()


@pytest.mark.parametrize("name", FROM_ESTIMATOR)
def test_asks_for_a_fitted_estimator(name):
    with pytest.raises(NotFittedError):
        FROM_ESTIMATOR[name]()
