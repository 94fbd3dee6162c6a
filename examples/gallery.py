"""Pictures of kernels, searches and predictions: all Displays, on shipped data, in gallery.png.

Like scikit-learn's Displays: made from a fitted estimator, drawn on given axes, with the numbers and the artists kept.
"""

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from ntkkit import (
    NNGP,
    NTK,
    FullyConnected,
    KernelSearchCV,
    NeuralKernelClassifier,
    NeuralKernelRegressor,
    NeuralKernelRegressorCV,
)
from ntkkit.datasets import load_concrete, load_italy_power_demand, load_segment
from ntkkit.display import KernelMatrixDisplay, PredictionBandDisplay, RidgePathDisplay, SearchSurfaceDisplay


def split_concrete():
    X, y = load_concrete(return_X_y=True)
    X, y = StandardScaler().fit_transform(X.astype(float)), (y - y.mean()) / y.std()
    return train_test_split(X, y, train_size=400, test_size=300, random_state=0)


def draw_kernel(ax):
    X, y = load_segment(return_X_y=True)
    model = make_pipeline(StandardScaler(), NeuralKernelClassifier(NTK(FullyConnected(depth=3)))).fit(X[::5], y[::5])
    KernelMatrixDisplay.from_estimator(model, X, y, ax=ax)


def draw_search(ax):
    X, y = (part[:300] for part in split_concrete()[::2])
    grid = {"kernel__network__bias_var": [0.01, 0.1, 1.0, 10.0], "alpha": np.logspace(-3, 2, 6)}
    search = KernelSearchCV(NeuralKernelRegressor(NTK(FullyConnected(depth=2))), grid, cv=3, scoring="r2").fit(X, y)
    SearchSurfaceDisplay.from_estimator(search, params=("alpha", "kernel__network__bias_var"), ax=ax)


def draw_regression(path, truth):
    X_train, X_test, y_train, y_test = split_concrete()
    kernel = NNGP(FullyConnected(depth=2))
    RidgePathDisplay.from_estimator(NeuralKernelRegressorCV(kernel).fit(X_train, y_train), ax=path)
    model = NeuralKernelRegressor(kernel, alpha=0.05, optimizer="marginal_likelihood").fit(X_train, y_train)
    return PredictionBandDisplay.from_estimator(model, X_test, y_test, ax=truth)


def draw_curve(ax):
    days, season = load_italy_power_demand(return_X_y=True)
    hours = np.r_[0:10, 15:24]  # the band widens where there are no observations
    demand = days[season == season[0]][:8, hours, 0]
    X, y = np.tile(hours, len(demand))[:, None], demand.ravel()
    model = NeuralKernelRegressor(NNGP(FullyConnected(depth=2)), alpha=0.15, optimizer="marginal_likelihood")
    display = PredictionBandDisplay.from_estimator(make_pipeline(StandardScaler(), model).fit(X, y), X, y, ax=ax)
    display.ax_.set(xlabel="hour of the day", ylabel="power demand, standardised")


def main(path=None):
    figure, axes = plt.subplot_mosaic(
        [["kernel", "kernel", "path"], ["search", "curve", "truth"]], figsize=(17, 10), layout="constrained"
    )
    figure.get_layout_engine().set(h_pad=0.12, w_pad=0.12)
    draw_kernel(axes["kernel"])
    draw_search(axes["search"])
    draw_curve(axes["curve"])
    band = draw_regression(axes["path"], axes["truth"])
    path = path or Path(__file__).with_name("gallery.png")
    figure.savefig(path, dpi=80)
    plt.close(figure)
    print(f"wrote {path}; the band covers {band.coverage:.0%} of the held-out values")
    return band.coverage


if __name__ == "__main__":
    main()
