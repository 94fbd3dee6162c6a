"""Claim: NeuralMatrixCompleter fills tables better than imputers do, and uses what is known of rows and columns.

(1) The shipped covid_serology table, 438 serum samples by 66 measurements (6 antigens x 11 receptors), with 10, 30 and
50% of the entries hidden at random, two draws each; columns are standardised by what is observed. (2) A synthetic table
like ratings: rank 5, features of rows and columns that are the factors plus noise (factors are 80% of their variance),
noise of a tenth of the signal's variance in entries, 8% observed; and rows and columns of which nothing is observed,
known by their features alone (cold start). Every method's hyperparameters are chosen by the RMSE on another tenth of
the entries, hidden from what is observed, on the same draw. RMSE is in standard deviations of the columns, or of all
entries without noise. soft-impute (Mazumder, Hastie, Tibshirani 2010) is written here on scipy's singular values:
fancyimpute, which has it, had its last release in 2021.

    python benchmarks/completion.py
"""

import itertools
import resource
import time
import warnings

import numpy as np
from common import report
from scipy.linalg import svd
from sklearn.exceptions import ConvergenceWarning
from sklearn.experimental import enable_iterative_imputer  # noqa: F401
from sklearn.impute import IterativeImputer, KNNImputer, SimpleImputer
from sklearn.linear_model import Ridge

from ntkkit import NTK, FullyConnected, NeuralMatrixCompleter
from ntkkit.datasets import load_covid_serology
from ntkkit.model_selection import hide_entries


def soft_impute(Y, shrinkage, n_iter=100):
    """Minimise half the squared error of what is observed + shrinkage (sum of singular values), by iteration."""
    missing, filled = np.isnan(Y), np.nan_to_num(Y)
    for _ in range(n_iter):
        U, s, V = svd(filled, full_matrices=False, check_finite=False)
        low = (U * np.maximum(s - shrinkage * s[0], 0)) @ V
        change = np.linalg.norm(low[missing] - filled[missing])
        filled[missing] = low[missing]
        if change <= 1e-4 * np.linalg.norm(filled):
            break
    return filled


def row_means(Y):
    means = np.nanmean(Y, axis=1, keepdims=True)
    return np.where(np.isnan(Y), np.where(np.isnan(means), 0, means), Y)


def grid(function, **lists):
    """Functions of Y alone, with all settings."""
    return [
        (dict(zip(lists, values, strict=True)), lambda Y, v=values: function(Y, **dict(zip(lists, v, strict=True))))
        for values in itertools.product(*lists.values())
    ]


def ours(Y, *, row_features=None, **settings):
    completer = NeuralMatrixCompleter(tol=1e-4, random_state=0, **settings)
    return completer.fit_transform(Y, row_features=row_features)


def peers(large=False):
    found = {
        "column means": grid(lambda Y: SimpleImputer(keep_empty_features=True).fit_transform(Y)),
        "row means": grid(row_means),
        "soft-impute": grid(soft_impute, shrinkage=[0.003, 0.01, 0.03, 0.1, 0.3]),
        "KNNImputer": grid(
            lambda Y, n: KNNImputer(n_neighbors=n, keep_empty_features=True).fit_transform(Y), n=[3, 5, 10, 20]
        ),
    }
    if not large:
        found["IterativeImputer"] = grid(
            lambda Y, n: IterativeImputer(n_nearest_features=n, random_state=0).fit_transform(Y), n=[10, 30, None]
        )
    return found


def rmse(filled, truth, places):
    return float(np.sqrt(np.mean((filled - truth)[places] ** 2)))


def compare(methods, Y, truth):
    """RMSE where Y lacks what truth has, with the setting chosen on a tenth of Y; seconds of one completion."""
    hidden, inner = np.isnan(Y), hide_entries(Y, 0.1, random_state=1)
    validated = np.isnan(inner) & ~hidden
    found = {}
    for name, settings in methods.items():
        best = settings[0]
        if len(settings) > 1:
            best = min(settings, key=lambda setting: rmse(setting[1](inner), Y, validated))
        start = time.perf_counter()
        filled = best[1](Y)
        seconds = time.perf_counter() - start
        chosen = {key: value for key, value in best[0].items() if value is None or np.isscalar(value)}
        found[name] = {"rmse": rmse(filled, truth, hidden), "seconds": seconds, "chosen": chosen}
        print(f"  {name}: {found[name]}", flush=True)
    return found


def serology():
    data = load_covid_serology()
    X = data.data.reshape(len(data.data), -1).astype(float)
    antigen, receptor = np.divmod(np.arange(66), 11)
    side = np.hstack([np.eye(6)[antigen], np.eye(11)[receptor]])
    alphas, weights = [1e-3, 1e-2, 1e-1, 1.0], [0.3, 1.0, 3.0]
    methods = {
        **peers(),
        "ours, no features": grid(ours, alpha=alphas),
        "ours, antigen and receptor": grid(ours, alpha=alphas, identity_weight=weights, column_features=[side]),
        "ours, features learned": grid(ours, alpha=alphas, identity_weight=[0.0, 0.3], column_features=["data"]),
    }
    found = {}
    for share in (0.1, 0.3, 0.5):
        draws = []
        for seed in (0, 1):
            print(f"covid_serology, {share:.0%} hidden, draw {seed}", flush=True)
            known = hide_entries(X, share, random_state=seed)
            mean, scale = np.nanmean(known, axis=0), np.nanstd(known, axis=0)
            draws.append(compare(methods, (known - mean) / scale, (X - mean) / scale))
        found[f"{share:.0%}"] = {
            name: {
                "rmse": float(np.mean([draw[name]["rmse"] for draw in draws])),
                "seconds": min(draw[name]["seconds"] for draw in draws),
                "chosen": [draw[name]["chosen"] for draw in draws],
            }
            for name in methods
        }
    return found


def ratings(n_rows, n_columns, *, observed, n_cold, large):
    """The synthetic table; its last n_cold rows and columns have no entry."""
    rng = np.random.default_rng(0)
    rows, columns = rng.standard_normal((n_rows, 5)), rng.standard_normal((n_columns, 5))
    truth = rows @ columns.T / np.sqrt(5)
    known = truth + np.sqrt(0.1) * rng.standard_normal(truth.shape)
    row_features, column_features = (z + 0.5 * rng.standard_normal(z.shape) for z in (rows, columns))  # 1 / 1.25
    warm = n_rows - n_cold, n_columns - n_cold
    Y = np.where(rng.random(truth.shape) < observed, known, np.nan)[: warm[0], : warm[1]]
    print(f"ratings, {n_rows} x {n_columns}, {np.isfinite(Y).sum()} entries", flush=True)
    kernel = NTK(FullyConnected(depth=1, weight_var=1.0, bias_var=0.1))
    both = {"row_features": [row_features[: warm[0]]], "column_features": [column_features[: warm[1]]]}
    weighted = {"alpha": [0.03, 0.3, 3.0], "identity_weight": [0.3, 1.0]}
    methods = {
        **peers(large),
        "ours, column features only": grid(ours, alpha=[0.03, 0.3, 3.0], column_features=both["column_features"]),
        "ours, both, product": grid(ours, row_kernel=[kernel], kernel=[kernel], **weighted, **both),
    }
    if not large:
        methods["ours, both, put together"] = grid(ours, **weighted, **both)
    found = {"entries": int(np.isfinite(Y).sum()), "warm": compare(methods, Y, truth[: warm[0], : warm[1]])}
    settings = found["warm"]["ours, both, product"]["chosen"]
    found["cold"] = cold_start(settings, Y, truth, row_features, column_features, warm)
    return found


def cold_start(settings, Y, truth, row_features, column_features, warm):
    """RMSE for rows, for columns, and for pairs without any entry, from their features alone."""
    kernel = NTK(FullyConnected(depth=1, weight_var=1.0, bias_var=0.1))
    model = NeuralMatrixCompleter(
        kernel, row_kernel=kernel, column_features=column_features[: warm[1]], tol=1e-4, random_state=0, **settings
    ).fit(Y, row_features=row_features[: warm[0]])
    r, c = np.nonzero(np.isfinite(Y))

    def bilinear(rows, columns):
        products = np.einsum("ni,nj->nij", rows, columns).reshape(len(rows), -1)
        return np.hstack([rows, columns, products])

    ridge = Ridge(1.0).fit(bilinear(row_features[r], column_features[c]), Y[r, c])
    result = {}
    parts = {
        "new rows": (slice(warm[0], None), slice(None, warm[1])),
        "new columns": (slice(None, warm[0]), slice(warm[1], None)),
        "both new": (slice(warm[0], None), slice(warm[1], None)),
    }
    for name, (rows, columns) in parts.items():
        target, R, C = truth[rows, columns], row_features[rows], column_features[columns]
        i, j = (index.ravel() for index in np.indices(target.shape))
        new = {"row_features": R if rows.start else None, "column_features": C if columns.start else None}
        predicted = model.predict_entries(i, j, **new)
        linear = ridge.predict(bilinear(R[i], C[j]))
        result[name] = {
            "ours": rmse(predicted, target.ravel(), slice(None)),
            "ridge on products of features": rmse(linear, target.ravel(), slice(None)),
            "mean": rmse(np.full(target.size, Y[r, c].mean()), target.ravel(), slice(None)),
        }
    print(f"  cold: {result}", flush=True)
    return result


def main():
    warnings.simplefilter("ignore", ConvergenceWarning)
    results = {"serology": serology(), "small ratings": ratings(300, 150, observed=0.08, n_cold=30, large=False)}
    results["ratings"] = ratings(2000, 500, observed=0.08, n_cold=100, large=True)
    results["peak memory in GB"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    report("completion", results)


if __name__ == "__main__":
    main()
