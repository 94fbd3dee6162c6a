"""Claim: on small tables the NTK machine keeps up with the best of classical learners.

The protocol of Arora et al. (2020), Harnessing the power of infinitely wide deep nets on small-data tasks: features are
standardised; hyperparameters are chosen by accuracy on one random half of the samples, trained on the other; with them
the mean accuracy of 4-fold cross-validation is the result. The NTK's: depth 0 to 4, frozen layers 0 to depth,
weight_var 1, bias_var 0, C from 1e-2 to 1e4, by libsvm. Its peers of scikit-learn are tuned alike: the RBF SVC over C
and gamma, a random forest over max_features and leaf size, gradient boosting over learning rate and leaves. P90 and P95
are the shares of data sets on which a model reaches 90% or 95% of the best accuracy there.

    python benchmarks/tabular.py               # 11 data sets
    python benchmarks/tabular.py --sets sonar tae
"""

import argparse
import itertools
import time

import numpy as np
from common import report
from scipy.stats import rankdata
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.metrics.pairwise import rbf_kernel
from sklearn.model_selection import StratifiedKFold, train_test_split
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

import ntkkit.datasets
from ntkkit import NTK, FullyConnected

SETS = [
    "contraceptive",
    "hayes_roth",
    "ionosphere",
    "monk_2",
    "segment",
    "sonar",
    "tae",
    "tic_tac_toe",
    "vehicle",
    "vowel",
    "wisconsin",
]
CS = np.logspace(-2, 4, 7)


def kernel_candidates(Gram, CS):
    """A function (train, test) -> accuracies for every C, of an SVC on slices of a Gram matrix."""

    def accuracy(C, y, train, test):
        model = SVC(kernel="precomputed", C=C).fit(Gram[np.ix_(train, train)], y[train])
        return model.score(Gram[np.ix_(test, train)], y[test])

    return [lambda y, train, test, C=C: accuracy(C, y, train, test) for C in CS]


def ntk(X):
    found = []
    for depth in range(5):
        for frozen in range(depth + 1):
            network = FullyConnected(depth=depth, weight_var=1.0, bias_var=0.0, n_frozen_layers=frozen)
            Gram = NTK(network)(X)
            found += kernel_candidates(Gram / Gram.diagonal().mean(), CS)  # C then means the same at every depth
    return found


def rbf(X):
    gammas = np.logspace(-2, 1, 7) / X.shape[1]
    return list(itertools.chain(*(kernel_candidates(rbf_kernel(X, gamma=gamma), CS) for gamma in gammas)))


def of_estimators(X, estimators):
    def accuracy(model, y, train, test):
        return model.fit(X[train], y[train]).score(X[test], y[test])

    return [lambda y, train, test, model=model: accuracy(model, y, train, test) for model in estimators]


def forest(X):
    settings = itertools.product(sorted({"sqrt", 0.25, 0.5, 1.0}, key=str), [1, 3])
    return of_estimators(
        X,
        [
            RandomForestClassifier(300, max_features=m, min_samples_leaf=leaf, n_jobs=-1, random_state=0)
            for m, leaf in settings
        ],
    )


def boosting(X):
    settings = itertools.product([0.03, 0.1, 0.3], [7, 31])
    return of_estimators(
        X,
        [
            HistGradientBoostingClassifier(
                learning_rate=rate, max_leaf_nodes=leaves, max_iter=150, min_samples_leaf=5, random_state=0
            )
            for rate, leaves in settings
        ],
    )


MODELS = {"NTK SVC": ntk, "RBF SVC": rbf, "random forest": forest, "gradient boosting": boosting}


def result(candidates, y):
    """The mean 4-fold accuracy of the candidate that is best on a random half."""
    everything = np.arange(len(y))
    train, validate = train_test_split(everything, test_size=0.5, stratify=y, random_state=0)
    best = max(candidates, key=lambda candidate: candidate(y, train, validate))
    folds = StratifiedKFold(4, shuffle=True, random_state=1).split(everything, y)
    return float(np.mean([best(y, train, test) for train, test in folds]))


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sets", nargs="+", default=SETS, choices=SETS)
    options = parser.parse_args()
    accuracies, seconds = {}, dict.fromkeys(MODELS, 0.0)
    for name in options.sets:
        data = getattr(ntkkit.datasets, f"load_{name}")()
        X, y = StandardScaler().fit_transform(data.data.astype(float)), data.target
        accuracies[name] = {}
        for model, candidates in MODELS.items():
            start = time.perf_counter()
            accuracies[name][model] = result(candidates(X), y)
            seconds[model] += time.perf_counter() - start
    table = np.array([[accuracies[name][model] for model in MODELS] for name in options.sets])
    share = table / table.max(axis=1, keepdims=True)
    ranks = np.stack([rankdata(-row) for row in table])
    summary = {
        model: {
            "mean accuracy": float(table[:, i].mean()),
            "mean rank": float(ranks[:, i].mean()),
            "P90": float((share[:, i] >= 0.90).mean()),
            "P95": float((share[:, i] >= 0.95).mean()),
            "seconds, tuning and folds": seconds[model],
        }
        for i, model in enumerate(MODELS)
    }
    report("tabular", {"data sets": len(options.sets), "summary": summary, "accuracy": accuracies})


if __name__ == "__main__":
    main()
