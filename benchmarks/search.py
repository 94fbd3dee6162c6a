"""Claim: KernelSearchCV finds what GridSearchCV finds, many times faster where kernels are expensive.

Both search the same grid of the same estimator on the same five folds, and both refit. The grids: depth 1 to 5, three
weight variances, ten ridge terms (150 points, 750 fits).

expensive   convolutions with global average pooling by neural-tangents, wrapped by `from_stax`: 15 kernels, of which
            none shares a pass with another. Small pictures of two kinds of clothes.
cheap       fully connected, n = 2000, d = 50: five depths in one pass; what is left are the solves.
svm         NeuralKernelSVC over C in place of the ridge terms, n = 500.

Compiling is left out: each search has run once before on one ridge term. Every decision value of every fit is compared
and, where none is within 1e-6 of a tie, every score; the script fails if they differ.

    python benchmarks/search.py                       # all three
    python benchmarks/search.py cheap --repeats 1     # one of them, quicker
"""

import argparse
import time

import numpy as np
from common import ratio, report
from scipy.linalg import eigh, lapack
from sklearn.metrics import r2_score
from sklearn.model_selection import GridSearchCV, KFold, StratifiedKFold

from ntkkit import NTK, FullyConnected, KernelSearchCV, NeuralKernelClassifier, NeuralKernelRegressor, NeuralKernelSVC
from ntkkit.datasets import load_fashion_mnist
from ntkkit.interop.neural_tangents import from_stax, import_neural_tangents

DEPTHS, WEIGHT_VARS = [1, 2, 3, 4, 5], [1.0, 1.5, 2.0]
NETWORKS = {"kernel__network__depth": DEPTHS, "kernel__network__weight_var": WEIGHT_VARS}
WELL_CONDITIONED, NEAR_TIE = 1e8, 1e-6


def expensive(n, size):
    """Small pictures of pullovers and shirts, means over squares of pixels; 15 networks, each a kernel of its own."""
    stax = import_neural_tangents().stax
    bunch = load_fashion_mnist()
    kinds = [2, 6]
    chosen = np.concatenate([np.flatnonzero(bunch.target == kind)[: n // 2] for kind in kinds])
    side = 28 // size
    cut = bunch.data[chosen, : side * size, : side * size, 0].astype(float) / 255
    X = cut.reshape(n, size, side, size, side).mean(axis=(2, 4))[..., None]

    def kernel(depth, weight_var):
        layers = []
        for _ in range(depth):
            layers += [stax.Conv(1, (3, 3), W_std=np.sqrt(weight_var), b_std=0.3, padding="SAME"), stax.Relu()]
        return from_stax(stax.serial(*layers, stax.GlobalAvgPool(), stax.Dense(1))[2], input_shape=X.shape[1:])

    kernels = [kernel(depth, weight_var) for depth in DEPTHS for weight_var in WEIGHT_VARS]
    grid = {"kernel": kernels, "alpha": kernels[-1].diag(X).mean() * np.logspace(-7, 0, 10)}
    return NeuralKernelClassifier(), grid, X, bunch.target[chosen], StratifiedKFold(5, shuffle=True, random_state=0)


def cheap(n):
    rng = np.random.default_rng(0)
    X = rng.standard_normal((n, 50))
    y = np.sin(X[:, 0]) + X[:, 1] * X[:, 2] / 2 + 0.3 * rng.standard_normal(n)
    return NeuralKernelRegressor(NTK(FullyConnected())), {**NETWORKS, "alpha": np.logspace(-3, 1, 10)}, X, y, KFold(5)


def svm(n):
    rng = np.random.default_rng(0)
    X = rng.standard_normal((n, 20))
    y = X[:, 0] * X[:, 1] + 0.3 * rng.standard_normal(n) > 0
    return NeuralKernelSVC(NTK(FullyConnected())), {**NETWORKS, "C": np.logspace(-2, 2.5, 10)}, X, y, StratifiedKFold(5)


def all_values(estimator, X, y):
    """The score, and every decision value or prediction as a score of its own: searches keep them all."""
    if y.dtype.kind == "f":
        values = estimator.predict(X)
        return {"score": r2_score(y, values), **{f"f{i}": value for i, value in enumerate(values)}}
    values = estimator.decision_function(X)
    correct = np.mean(estimator.classes_[(values > 0).astype(int)] == y)
    return {"score": correct, **{f"f{i}": value for i, value in enumerate(values)}}


def compare(problem, theirs, ours):
    """Check that both found the same; says by how much they differ."""
    estimator, _, X, y, cv = problem
    names = [f"split{s}_test_f{i}" for s, (_, test) in enumerate(cv.split(X, y)) for i in range(len(test))]
    f, g = (np.stack([search.cv_results_[name] for name in names], axis=1) for search in (theirs, ours))
    differences = np.abs(f - g).max(axis=1) / np.abs(f).max()
    well = np.array([condition(estimator, point, X) < WELL_CONDITIONED for point in theirs.cv_results_["params"]])
    clear = np.abs(f).min(axis=1) > NEAR_TIE if y.dtype.kind != "f" else well
    scores = [search.cv_results_["mean_test_score"] for search in (theirs, ours)]
    assert differences[well].max(initial=0) < 1e-8, differences[well].max()
    np.testing.assert_allclose(*(score[clear] for score in scores), rtol=0, atol=1e-10)
    return {
        "points": len(f),
        "points with cond(K + alpha) < 1e8": int(well.sum()),
        "largest difference of their decision values": float(differences[well].max(initial=0)),
        "points without a tie": int(clear.sum()),
        "largest difference of their scores": float(np.abs(scores[0] - scores[1])[clear].max(initial=0)),
        "largest difference of any score": float(np.abs(scores[0] - scores[1]).max()),
        "same best point": bool(theirs.best_index_ == ours.best_index_),
    }


def condition(estimator, point, X, spectra={}):  # noqa: B006, kept from call to call
    """Bound cond(K + alpha) of every fold by that of all rows; a support vector machine solves no such system: 1."""
    if "alpha" not in point:
        return 1.0
    kernel = point.get("kernel")
    if kernel is None:
        kernel = estimator.kernel.replace(
            **{name.removeprefix("kernel__"): value for name, value in point.items() if name != "alpha"}
        )
    if kernel not in spectra:
        spectra[kernel] = eigh(kernel(X), eigvals_only=True)[[0, -1]]
    low, high = spectra[kernel] + point["alpha"]
    return high / max(low, np.finfo(float).tiny)


def measure(problem, repeats, n_jobs):
    """Seconds of both searches in turn."""
    estimator, grid, X, y, cv = problem
    settings = {"cv": cv, "scoring": all_values, "refit": "score", "n_jobs": n_jobs}
    solver = next(name for name in ("alpha", "C") if name in grid)
    cold = {}
    for Search in (KernelSearchCV, GridSearchCV):
        start = time.perf_counter()
        Search(estimator, {**grid, solver: grid[solver][-1:]}, **settings).fit(X, y)
        cold[Search.__name__] = time.perf_counter() - start
    times = {"GridSearchCV": [], "KernelSearchCV": []}
    for _ in range(repeats):
        for Search in (GridSearchCV, KernelSearchCV):
            search = Search(estimator, grid, **settings)
            start = time.perf_counter()
            search.fit(X, y)
            times[Search.__name__].append(time.perf_counter() - start)
            if Search is GridSearchCV:
                theirs = search
    n_fits = search.n_splits_ * len(search.cv_results_["params"])
    fitting, scoring = (search.cv_results_[f"mean_{part}_time"].mean() * n_fits for part in ("fit", "score"))
    return {
        "n": len(X),
        "fits": n_fits,
        "GridSearchCV / KernelSearchCV": ratio(times["GridSearchCV"], times["KernelSearchCV"]),
        "seconds, median": {name: float(np.median(seconds)) for name, seconds in times.items()},
        "of KernelSearchCV: kernels, seconds": search.gram_time_,
        "of KernelSearchCV: fits besides, seconds": fitting - search.gram_time_,
        "of KernelSearchCV: scoring, seconds": scoring,
        f"first search, one {solver}, with compilation, seconds": cold,
        **compare(problem, theirs, search),
    }


def factorisations(n, count):
    """Seconds of ways to serve `count` ridge terms of one fold."""
    K = np.asfortranarray(NTK(FullyConnected())(np.random.default_rng(0).standard_normal((n, 50))))

    def seconds(function):
        start = time.perf_counter()
        function()
        return time.perf_counter() - start

    return {
        f"{count} Cholesky factorisations": min(
            seconds(lambda: [lapack.dpotrf(K, lower=1) for _ in range(count)]) for _ in range(3)
        ),
        "one tridiagonalisation": seconds(lambda: lapack.dsytrd(K, lower=1)),
        "one eigendecomposition": seconds(lambda: eigh(K)),
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", default=["expensive", "cheap", "svm"])
    parser.add_argument("--n", type=int, help="rows of the one part that is asked for")
    parser.add_argument("--size", type=int, default=4, help="pixels a side of the pictures")
    parser.add_argument("--repeats", type=int, default=3, help="of all parts but the expensive one, which runs once")
    parser.add_argument("--n-jobs", type=int)
    options = parser.parse_args()
    for part in options.parts:
        if part == "expensive":
            results = measure(expensive(options.n or 120, options.size), 1, options.n_jobs)
        elif part == "cheap":
            n = options.n or 2000
            results = measure(cheap(n), options.repeats, options.n_jobs)
            results["seconds for one fold"] = factorisations(n * 4 // 5, 10)
        else:
            results = measure(svm(options.n or 500), options.repeats, options.n_jobs)
        report(f"search_{part}", {"n_jobs": options.n_jobs, **results})


if __name__ == "__main__":
    main()
