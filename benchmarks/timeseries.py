"""How accurate the kernels of recurrent networks are on shipped sequences, beside their peers.

Japanese Vowels (9 speakers, 7 to 29 steps of 12 features), GunPoint and ItalyPowerDemand (2 classes, 150 and 24 steps
of one feature), official splits; features standardised by the steps of the training sequences. Settings of a model are
those with the best mean accuracy over 10 stratified folds of the training sequences, the same for all. Where several
share it, the result is their mean accuracy on the test sequences, with the least and the greatest.

- RNTK: support vectors with the NTK of a recurrent ReLU network, the grid of Alemohammad et al. (2021) with the
  readouts last and mean; standard deviations there are variances here;
- NTK of fully connected networks, and RBF kernel: support vectors on sequences filled up with zeros;
- the nearest neighbour by dynamic time warping, over windows;
- the recurrent network itself, 128 wide, trained with Adam and early stopping: over readouts, activations and learning
  rates with one network, then the mean of three.

Kernels are divided by the mean of their diagonal, so that C means the same for all of them.

    pip install "ntkkit[benchmark]"
    python benchmarks/timeseries.py
"""

import functools
import itertools
import time
from pathlib import Path

import numpy as np
from common import report
from sklearn.base import clone
from sklearn.metrics.pairwise import rbf_kernel
from sklearn.model_selection import StratifiedKFold
from sklearn.neighbors import KNeighborsClassifier
from sklearn.svm import SVC
from tqdm import tqdm

from ntkkit import NTK, Engine, FiniteNetworkClassifier, FullyConnected, Recurrent
from ntkkit.datasets import load_gun_point, load_italy_power_demand, load_japanese_vowels
from ntkkit.report.sequences import dtw, standardised, zero_padded

SETS = {
    "Japanese Vowels": load_japanese_vowels,
    "GunPoint": load_gun_point,
    "ItalyPowerDemand": load_italy_power_demand,
}
N_FOLDS = 10
CS = (0.01, 0.1, 1, 10, 100)
# Standard deviations.
SIGMA_W = (1.34, 1.37, 1.4, 1.44, 1.47)
SIGMA_B = (0, 0.01, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.7, 0.9, 1, 2)
SIGMA_H = (0, 0.01, 0.1, 0.5, 1)
WINDOWS = (0, 0.02, 0.05, 0.1, 0.2, 0.4, 1)  # over the number of steps
ACTIVATIONS = {"relu": 1.0, "erf": 2.0}  # and the recurrent_weight_var at which it could be trained


class Sliced:
    """A classifier on slices of a matrix of training sequences; `cross` makes that of test and training sequences."""

    def __init__(self, model, square, cross):
        self.model, self.square, self.cross = model, square, cross

    def validate(self, y, fit, validate):
        model = self.model.fit(self.square[np.ix_(fit, fit)], y[fit])
        return model.score(self.square[np.ix_(validate, fit)], y[validate])

    def predict(self, y):
        return self.model.fit(self.square, y).predict(self.cross())


class OnSequences:
    """A classifier on sequences; `final` are the parameters of the fit that is tested."""

    def __init__(self, model, X, X_test, **final):
        self.model, self.X, self.X_test, self.final = model, X, X_test, final

    def validate(self, y, fit, validate):
        return clone(self.model).fit(self.X[fit], y[fit]).score(self.X[validate], y[validate])

    def predict(self, y):
        return clone(self.model).set_params(**self.final).fit(self.X, y).predict(self.X_test)


def support_vectors(kernel, X, X_test):
    """Settings of an SVC with a kernel, a function of one set of inputs or of two: over C."""
    square = kernel(X)
    scale = square.diagonal().mean()
    cross = functools.cache(lambda: kernel(X_test, X) / scale)
    for C in CS:
        yield f"C={C}", Sliced(SVC(kernel="precomputed", C=C), square / scale, cross)


def limits(networks, X, X_test):
    for network in networks:
        kernel = functools.partial(Engine().gram, NTK(network))
        for name, setting in support_vectors(kernel, X, X_test):
            yield f"{network}, {name}", setting


def rntk(X, X_test):
    grid = itertools.product(("last", "mean"), SIGMA_W, SIGMA_B, SIGMA_H)
    networks = [
        Recurrent(
            recurrent_weight_var=w**2, input_weight_var=1.0, bias_var=b**2, initial_state_var=h**2, readout=readout
        )
        for readout, w, b, h in grid
    ]
    return limits(networks, X, X_test)


def ntk(X, X_test):
    grid = itertools.product((1, 2, 3, 5), SIGMA_B)
    networks = [FullyConnected(depth=depth, bias_var=b**2) for depth, b in grid]
    return limits(networks, zero_padded(X), zero_padded(X_test))


def rbf(X, X_test):
    X, X_test = zero_padded(X), zero_padded(X_test)
    for gamma in np.logspace(-2.5, 1, 8) / X.shape[1]:
        for name, setting in support_vectors(functools.partial(rbf_kernel, gamma=gamma), X, X_test):
            yield f"gamma={gamma:.2g}, {name}", setting


def nearest(X, X_test):
    for share in WINDOWS:
        window = {"global_constraint": "sakoe_chiba", "sakoe_chiba_radius": round(share * X.shape[1])}
        model = KNeighborsClassifier(1, metric="precomputed")
        yield f"window={share}", Sliced(model, dtw(X, X, **window), functools.partial(dtw, X_test, X, **window))


def rnn(X, X_test):
    grid = itertools.product(("last", "mean"), ACTIVATIONS.items(), (0.001, 0.003, 0.01, 0.03, 0.1))
    for readout, (activation, w), rate in grid:
        network = Recurrent(activation=activation, recurrent_weight_var=w, readout=readout)
        model = FiniteNetworkClassifier(
            network,
            width=128,
            learning_rate=rate,
            n_epochs=120,
            batch_size=16,
            early_stopping=True,
            validation_fraction=0.2,
            n_iter_no_change=30,
            random_state=0,
        )
        yield f"{network}, learning_rate={rate}", OnSequences(model, X, X_test, n_networks=3)


MODELS = {"RNTK": rntk, "NTK, padded": ntk, "RBF SVC, padded": rbf, "1-NN, DTW": nearest, "trained RNN": rnn}


def search(settings, y):
    """The best mean accuracy over folds, those that have it, and how many there were."""
    cv = StratifiedKFold(N_FOLDS, shuffle=True, random_state=0)
    folds = list(cv.split(y, y))
    best, shared, n_settings = -1.0, [], 0
    for name, setting in settings:
        score = np.mean([setting.validate(y, *fold) for fold in folds])
        if score > best + 1e-9:
            best, shared = score, []
        if score > best - 1e-9:
            shared.append((name, setting))
        n_settings += 1
    return float(best), shared, n_settings


def measure(make, X, y, X_test, y_test):
    start = time.perf_counter()
    validated, shared, n_settings = search(make(X, X_test), y)
    accuracies = [float(np.mean(setting.predict(y) == y_test)) for _, setting in shared]
    return {
        "accuracy": float(np.mean(accuracies)),
        "least": min(accuracies),
        "greatest": max(accuracies),
        "validated": validated,
        "settings": n_settings,
        "sharing the best": len(shared),
        "first of them": shared[0][0],
        "seconds": time.perf_counter() - start,
    }


def draw_plot(results, path):
    """Accuracy of each set and model; bars from the least to the greatest of what validation does not tell apart."""
    from matplotlib.figure import Figure

    from ntkkit.display.style import BLUE, DARK, GREY, clean

    figure = Figure(figsize=(10, 3.9), dpi=110, layout="constrained", facecolor="white")
    figure.suptitle("Mean over the settings that validate best; grey: from the least to the greatest", color=DARK)
    for axes, (title, result) in zip(figure.subplots(1, len(results), sharey=True), results.items(), strict=True):
        for place, (name, found) in enumerate(reversed(result["models"].items())):
            colour = BLUE if name == "RNTK" else DARK
            axes.plot([found["least"], found["greatest"]], [place, place], color=GREY, lw=7, solid_capstyle="round")
            axes.plot(found["accuracy"], place, "o", color=colour, ms=8)
            axes.annotate(
                f"{found['accuracy']:.3f}",
                (found["accuracy"], place),
                (0, 9),
                textcoords="offset points",
                ha="center",
                color=colour,
            )
        axes.set_yticks(range(len(result["models"])), list(reversed(result["models"])))
        axes.set_ylim(-0.5, len(result["models"]) - 0.3)
        axes.margins(x=0.12)
        axes.set_title(title, loc="left", color=DARK)
        axes.set_xlabel(f"accuracy on {result['test']} test sequences")
        clean(axes, grid="x")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path)


def main():
    results = {}
    for title, load in SETS.items():
        data = load()
        X, y, train, test = standardised(data.data, data.train_idx), data.target, data.train_idx, data.test_idx
        models = {}
        for name, make in tqdm(MODELS.items(), desc=title):
            models[name] = measure(make, X[train], y[train], X[test], y[test])
            print(f"{title}, {name}: {models[name]['accuracy']:.3f}", flush=True)
        results[title] = {"training": len(train), "test": len(test), "models": models}
    draw_plot(results, Path(__file__).parent / "results" / "timeseries.png")
    report("timeseries", {"folds": N_FOLDS, "sets": results})


if __name__ == "__main__":
    main()
