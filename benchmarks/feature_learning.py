"""Claim: a kernel that learns features beats the NTK where few directions or rules matter.

`FeatureLearningRegressor` (one hidden layer of ReLU, gamma0 and alpha by 3-fold cross-validation) against
`NeuralKernelRegressor(NTK(...))` of the same network, and alpha by the same folds. Shipped tables: features and targets
standardised, half of at most 400 rows for training, R^2 on the other half; classes of two are targets +1 and -1. And a
single index, y = sin(2 x_1) in ten dimensions, where the NTK must fail.

    python benchmarks/feature_learning.py
    python benchmarks/feature_learning.py --sets concrete --splits 2
"""

import argparse
import warnings

import numpy as np
from common import report
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import GridSearchCV, KFold, train_test_split
from sklearn.preprocessing import StandardScaler, scale

import ntkkit.datasets
from ntkkit import NTK, FeatureLearningRegressor, FullyConnected, NeuralKernelRegressor

SETS = ["single index", "concrete", "sonar", "ionosphere", "wisconsin", "monk_2", "tic_tac_toe"]
ALPHAS = [0.1, 1.0, 10.0]
STRENGTHS = [0.1, 1.0, 5.0]
NETWORK = FullyConnected(depth=1)


def load(name, rng):
    if name == "single index":
        X = rng.standard_normal((400, 10))
        return X, np.sin(2 * X[:, 0])
    X, y = getattr(ntkkit.datasets, f"load_{name}")(return_X_y=True)
    X, y = np.asarray(X, dtype=float), np.asarray(y)
    y = y.astype(float) if name == "concrete" else np.where(y == np.unique(y)[0], -1.0, 1.0)
    kept = rng.permutation(len(X))[:400]
    return X[kept], y[kept]


def scores(name, split, n_units):
    rng = np.random.default_rng(split)
    X, y = load(name, rng)
    X_train, X_test, y_train, y_test = train_test_split(X, y, train_size=0.5, random_state=split)
    scaler = StandardScaler().fit(X_train)
    X_train, X_test = scaler.transform(X_train), scaler.transform(X_test)
    y_test, y_train = (y_test - y_train.mean()) / y_train.std(), scale(y_train)
    folds = KFold(3, shuffle=True, random_state=split)
    lazy = GridSearchCV(NeuralKernelRegressor(NTK(NETWORK)), {"alpha": ALPHAS}, cv=folds)
    rich = GridSearchCV(
        FeatureLearningRegressor(NETWORK, n_units=n_units, random_state=split),
        {"alpha": ALPHAS, "gamma0": STRENGTHS},
        cv=folds,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        found = [model.fit(X_train, y_train).score(X_test, y_test) for model in (lazy, rich)]
    return (*found, rich.best_params_["gamma0"])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sets", nargs="+", default=SETS)
    parser.add_argument("--splits", type=int, default=3)
    parser.add_argument("--units", type=int, default=1024)
    arguments = parser.parse_args()
    results = {}
    print(f"{'set':>14} {'NTK':>7} {'learned':>8} {'difference':>11} {'+-':>6}  gamma0")
    for name in arguments.sets:
        lazy, rich, strengths = np.transpose(
            [scores(name, split, arguments.units) for split in range(arguments.splits)]
        )
        gains = rich - lazy
        error = gains.std(ddof=1) / np.sqrt(len(gains)) if len(gains) > 1 else np.nan
        results[name] = {
            "ntk_r2": lazy.tolist(),
            "learned_r2": rich.tolist(),
            "gain": float(gains.mean()),
            "standard_error": float(error),
            "gamma0": strengths.tolist(),
        }
        print(
            f"{name:>14} {lazy.mean():7.3f} {rich.mean():8.3f} {gains.mean():11.3f} {error:6.3f}  {strengths.tolist()}",
            flush=True,
        )
    report("feature_learning", results)


if __name__ == "__main__":
    main()
