"""How accurate kernels that read pictures as pictures are, on few of them, beside their peers.

Fashion-MNIST, averaged over 2 x 2 pixels to 14 x 14, standardised by the mean and the standard deviation of the pixels
of training pictures. Stratified draws of the 1000 shipped training pictures; the 500 shipped test pictures. Settings of
a model are those with the best mean accuracy over 3 stratified folds of the draw, draws and folds the same for all:

- kernel ridge with the NTK of convolutional networks (global average pooling, or flattened) and of fully connected
  ones, weight_var 2, bias_var 0.1: over depth and the ridge term;
- scikit-learn's RBF SVC over C and gamma, and random forest over max_features and leaf size;
- the convolutional network itself, 64 channels, depth 3, trained with Adam and early stopping: over pooling and
  learning rate with one network, then the mean of three.

Every kernel is evaluated once, at all its depths in one pass; draws and folds are slices of it.

    python benchmarks/images.py
"""

import itertools
import time
from pathlib import Path

import numpy as np
from common import report
from sklearn.base import clone
from sklearn.ensemble import RandomForestClassifier
from sklearn.metrics.pairwise import rbf_kernel
from sklearn.model_selection import StratifiedKFold, train_test_split
from sklearn.svm import SVC

from ntkkit import (
    NTK,
    Convolutional,
    Engine,
    FiniteNetworkClassifier,
    FullyConnected,
    ImageStandardizer,
    NeuralKernelClassifier,
)
from ntkkit.datasets import load_fashion_mnist
from ntkkit.report.images import averaged

DRAWS = {100: 3, 300: 2, 1000: 1}  # pictures a draw: draws
N_FOLDS = 3
ALPHAS = np.logspace(-7, 0, 8)  # over the mean of the diagonal
SHAPE = (14, 14, 1)


class Pictures:
    """All pictures and labels; `train` and `test` are the rows that are used, of the official split."""

    def __init__(self, train=None, test=None):
        data = load_fashion_mnist()
        self.train = data.train_idx if train is None else train
        self.test = data.test_idx if test is None else test
        X = averaged(data.data, 2)
        self.X, self.y = ImageStandardizer().fit(X[self.train]).transform(X), data.target

    def draw(self, size, number):
        """Training rows, stratified; all of them where the size is theirs."""
        if size == len(self.train):
            return self.train
        y = self.y[self.train]
        return train_test_split(self.train, train_size=size, stratify=y, random_state=number)[0]


class Sliced:
    """A classifier on slices of a kernel matrix, (all rows, training rows)."""

    def __init__(self, model, K, columns):
        self.model, self.K = model, K
        self.places = {row: place for place, row in enumerate(columns)}

    def correct(self, y, train, test):
        columns = [self.places[row] for row in train]
        model = clone(self.model).fit(self.K[np.ix_(train, columns)], y[train])
        return model.predict(self.K[np.ix_(test, columns)]) == y[test]


class OnRows:
    """A classifier on the pictures; `final` are the parameters of the fit that is tested."""

    def __init__(self, model, X, **final):
        self.model, self.X, self.final = model, X, final

    def correct(self, y, train, test, **params):
        model = clone(self.model).set_params(**params).fit(self.X[train], y[train])
        return model.predict(self.X[test]) == y[test]


def wide(network, pictures, depths):
    """Settings of kernel ridge with the NTK of a family: {name: Sliced}."""
    engine, kernel, X = Engine(progress=True), NTK(network), pictures.X
    K = np.zeros((len(depths), len(X), len(pictures.train)), np.float32)
    K[:, pictures.train] = engine.gram_at_depths(kernel, X[pictures.train], depths=depths)
    K[:, pictures.test] = engine.gram_at_depths(kernel, X[pictures.test], X[pictures.train], depths=depths)
    found = {}
    for K_depth, depth in zip(K, depths, strict=True):
        scaled = K_depth / np.mean(K_depth[pictures.train].diagonal())
        for alpha in ALPHAS:
            model = NeuralKernelClassifier("precomputed", alpha=alpha)
            found[f"depth={depth}, alpha={alpha:.0e}"] = Sliced(model, scaled, pictures.train)
    return found


def rbf(pictures):
    X, found = pictures.X, {}
    for gamma in np.logspace(-2, 0.5, 6) / X.shape[1]:
        K = rbf_kernel(X, X[pictures.train], gamma=gamma)
        for C in np.logspace(-1, 3, 5):
            model = SVC(kernel="precomputed", C=C)
            found[f"gamma={gamma:.2g}, C={C:.2g}"] = Sliced(model, K, pictures.train)
    return found


def forest(pictures):
    settings = itertools.product(["sqrt", 0.2, 0.5], [1, 3])
    return {
        f"max_features={m}, min_samples_leaf={leaf}": OnRows(
            RandomForestClassifier(300, max_features=m, min_samples_leaf=leaf, n_jobs=-1, random_state=0), pictures.X
        )
        for m, leaf in settings
    }


def cnn(pictures, *, depth=3, width=64, n_epochs=40):
    found = {}
    for pooling, rate in itertools.product(["gap", "flatten"], [0.02, 0.06]):
        network = Convolutional(depth=depth, pooling=pooling, input_shape=SHAPE)
        model = FiniteNetworkClassifier(
            network,
            width=width,
            learning_rate=rate,
            n_epochs=n_epochs,
            batch_size=16,
            early_stopping=True,
            validation_fraction=0.2,
            n_iter_no_change=30,
            random_state=0,
        )
        found[f"pooling={pooling}, learning_rate={rate}"] = OnRows(model, pictures.X, n_networks=3)
    return found


def models(pictures, *, depths=(1, 3), dense_depths=(1, 2, 3, 5), **trained):
    """Functions that make the settings of each model."""
    return {
        "CNTK, gap": lambda: wide(Convolutional(pooling="gap", input_shape=SHAPE), pictures, depths),
        "CNTK, flatten": lambda: wide(Convolutional(pooling="flatten", input_shape=SHAPE), pictures, depths),
        "fully connected NTK": lambda: wide(FullyConnected(), pictures, dense_depths),
        "RBF SVC": lambda: rbf(pictures),
        "random forest": lambda: forest(pictures),
        "trained CNN": lambda: cnn(pictures, **trained),
    }


def accuracy_of_best(settings, pictures, train, number):
    """Choose by folds of the training rows; the accuracy on the test rows, and what was chosen."""
    y = pictures.y
    cv = StratifiedKFold(N_FOLDS, shuffle=True, random_state=number)
    folds = [(train[fit], train[validate]) for fit, validate in cv.split(train, y[train])]
    best = max(settings, key=lambda name: np.mean([settings[name].correct(y, *fold).mean() for fold in folds]))
    final = getattr(settings[best], "final", {})
    return float(settings[best].correct(y, train, pictures.test, **final).mean()), best


def measure(pictures, models, draws):
    """Results by model and size."""
    results = {}
    for name, make in models.items():
        start = time.perf_counter()
        settings = make()
        results[name] = {"settings": len(settings), "seconds, making kernels": time.perf_counter() - start}
        for size, n_draws in draws.items():
            start = time.perf_counter()
            found = [
                accuracy_of_best(settings, pictures, pictures.draw(size, number), number) for number in range(n_draws)
            ]
            accuracies, chosen = map(list, zip(*found, strict=True))
            results[name][f"n={size}"] = {
                "mean accuracy": float(np.mean(accuracies)),
                "standard deviation over draws": float(np.std(accuracies, ddof=1)) if n_draws > 1 else None,
                "accuracies": accuracies,
                "chosen": chosen,
                "seconds, tuning and test": time.perf_counter() - start,
            }
            print(f"{name}, {size} pictures: {np.mean(accuracies):.3f}", flush=True)
    return results


def draw_plot(results, draws, path):
    """Accuracy over the number of training pictures; bars are one standard deviation over draws."""
    from matplotlib.figure import Figure

    from ntkkit.display.style import BLUE, DARK, clean

    figure = Figure(figsize=(7.5, 5), dpi=110, layout="constrained", facecolor="white")
    axes = figure.subplots()
    sizes = np.array(list(draws))
    colours = [BLUE, "#2a9d8f", "#7a8ca5", "#d9822b", "#8e5ea2", "#b8433d"]
    for i, (colour, (name, result)) in enumerate(zip(colours, results.items(), strict=True)):
        of_sizes = [result[f"n={size}"] for size in sizes]
        means = [one["mean accuracy"] for one in of_sizes]
        spreads = [one["standard deviation over draws"] or 0.0 for one in of_sizes]
        aside = sizes * 1.015 ** (i - 2.5)  # so that bars do not cover each other
        axes.errorbar(aside, means, yerr=spreads, fmt="o-", color=colour, capsize=3, ms=6, lw=1.8, label=name)
    axes.set_xscale("log")
    axes.set_xticks(sizes, [str(size) for size in sizes])
    axes.minorticks_off()
    axes.set_xlabel("training pictures")
    axes.set_ylabel("accuracy on the test pictures")
    axes.set_title("Fashion-MNIST, 14 x 14 pixels; bars: one standard deviation over draws", loc="left", color=DARK)
    axes.legend(frameon=False, loc="lower right")
    clean(axes, grid="y")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path)


def main():
    pictures = Pictures()
    results = measure(pictures, models(pictures), DRAWS)
    draw_plot(results, DRAWS, Path(__file__).parent / "results" / "images.png")
    report("images", {"draws": {str(size): n for size, n in DRAWS.items()}, "models": results})


if __name__ == "__main__":
    main()
