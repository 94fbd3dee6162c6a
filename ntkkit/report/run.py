"""The job: tune every model on the same folds of the training rows, fit, and score it on the test rows, once."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import joblib
import numpy as np
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import accuracy_score, log_loss, mean_absolute_error, r2_score, root_mean_squared_error
from sklearn.model_selection import GridSearchCV, KFold, ParameterGrid, StratifiedKFold
from threadpoolctl import threadpool_limits
from tqdm.auto import tqdm

from ntkkit.report.images import convolutional_machine, trained_cnn
from ntkkit.report.models import Candidate, forest, ntk_machine, prepared_rows, support_vectors, trained_network
from ntkkit.report.problem import Problem, Task
from ntkkit.report.sequences import has_dtw, nearest_neighbour, padded_support_vectors, recurrent_machine, trained_rnn

N_FOLDS = 3
# Rows that a search may use: its time grows with their cube.
N_TUNING_ROWS = 2000
MOST_THREADS = 8
# How the parameter of a kernel machine that is its network's depth ends.
DEPTH = "__depth"

Say = Callable[[str], None]
Maker = Callable[..., Candidate]


@dataclass(frozen=True)
class Result:
    """What one model did.

    Attributes
    ----------
    name : str
    scores : dict
        On the test rows: accuracy and log-loss, or R2, RMSE and MAE. The first is what the models are ranked by.
    standard_error : float
        Of the first score, over test rows.
    credits : ndarray of shape (n_test,)
        What each test row adds to the first score: its mean is the score.
    predictions : ndarray of shape (n_test,)
    cv_score : float
        Of the chosen setting, over the folds.
    chosen : dict
        The chosen hyperparameters.
    n_settings : int
        How many were tried.
    search_seconds, predict_seconds : float
        The search and the fit with the chosen setting; the prediction of the test rows.
    by_depth : dict
        Where networks of several depths were tried: depth -> (best score, its standard error over folds).
    kernel : object
        The kernel with the chosen hyperparameters, of models that have one.
    """

    name: str
    scores: dict[str, float]
    standard_error: float
    credits: np.ndarray
    predictions: np.ndarray
    cv_score: float
    chosen: dict[str, Any]
    n_settings: int
    search_seconds: float
    predict_seconds: float
    by_depth: dict[int, tuple[float, float]]
    kernel: Any = None


def compare_models(problem: Problem, *, random_state: int, say: Say) -> list[Result]:
    """Tune, fit and test all models.

    Parameters
    ----------
    problem : Problem
    random_state : int
        Of the folds, the tuning rows, the forest and the trained network.
    say : callable
        Takes lines of progress.

    Returns
    -------
    list of Result
        The kernel machine that the report is about first, then its peers.
    """
    rows = tuning_rows(problem, random_state=random_state)
    folds = make_folds(problem, rows, random_state=random_state)
    if len(rows) < len(problem.y_train):
        say(f"To save time, settings are searched on {len(rows)} of the training rows; models are then fitted to all.")
    say(
        f"Tuning each model by cross-validation on the training rows ({folds.get_n_splits()} folds, the same for all); "
        "then one look at the test rows."
    )
    X = prepared_rows(problem, rows)

    models, (kind, train) = lineup(problem, random_state=random_state)
    results: list[Result] = []

    def run(name: str, make: Maker, **settings: Any) -> None:
        say(f"  {len(results) + 1}/{len(models) + 1}  {name} ...")
        result = evaluate(lambda: make(problem, X, **settings), problem, rows, folds)
        score, seconds = next(iter(result.scores)), result.search_seconds
        say(f"       {score} {result.cv_score:.3f} in cross-validation, best of {result.n_settings}; {seconds:.1f} s")
        results.append(result)

    for model in models:
        run(*model)
    chosen = results[0].chosen
    run(f"trained {kind} of depth {chosen['depth']}", train, chosen=chosen, random_state=random_state)
    return results


def lineup(problem: Problem, *, random_state: int) -> tuple[list[tuple[str, Maker]], tuple[str, Maker]]:
    """The models that are compared, the one that the report is about first; and the network that is trained at last."""
    if problem.grids.readouts:
        models: list[tuple[str, Maker]] = [
            ("NTK machine: an infinitely wide recurrent network", recurrent_machine),
            ("SVM with RBF kernel, on sequences filled up with zeros", padded_support_vectors),
        ]
        if has_dtw():
            models.append(("nearest neighbour by dynamic time warping", nearest_neighbour))
        return models, ("recurrent network", trained_rnn)
    models = [
        ("NTK machine: an infinitely wide network", ntk_machine),
        ("SVM with RBF kernel", support_vectors),
        ("random forest", partial(forest, random_state=random_state)),
    ]
    if not problem.grids.conv_depths:
        return models, ("network", trained_network)
    pictures: list[tuple[str, Maker]] = [
        (
            "NTK machine: infinitely many channels, averaged over positions",
            partial(convolutional_machine, pooling="gap"),
        ),
        (
            "NTK machine: infinitely many channels, positions flattened",
            partial(convolutional_machine, pooling="flatten"),
        ),
    ]
    return [*pictures, *models], ("convolutional network", trained_cnn)


def baseline(problem: Problem) -> str:
    """What one would reach on the test rows without looking at a row, in a sentence."""
    if problem.task == "regression":
        error = np.sqrt(np.mean((problem.y_test - problem.y_train.mean()) ** 2))
        return f"Always answering the mean of the training rows has R2 about 0 and RMSE {error:.4g} on the test rows."
    classes, counts = np.unique(problem.y_train, return_counts=True)
    share = np.mean(problem.y_test == classes[counts.argmax()])
    return f"Always answering the commonest of the {len(classes)} classes is right on {share:.1%} of the test rows."


def tuning_rows(problem: Problem, *, random_state: int) -> np.ndarray:
    """Indices of the training rows that are searched on: all, or `N_TUNING_ROWS` with classes in proportion."""
    return subsample(problem.y_train, N_TUNING_ROWS, task=problem.task, random_state=random_state)


def subsample(y: np.ndarray, size: int, *, task: Task, random_state: int) -> np.ndarray:
    """Indices, ascending, of `size` random rows (or all); every class in proportion, but three of each at least."""
    rng = np.random.default_rng(random_state)
    order = rng.permutation(len(y))
    if task == "classification":
        _, codes, counts = np.unique(y[order], return_inverse=True, return_counts=True)
        rank = np.empty(len(y), dtype=int)
        for code in range(len(counts)):
            rank[codes == code] = np.arange(counts[code])
        order = order[np.argsort(np.where(rank < N_FOLDS, -1, rank / counts[codes]), kind="stable")]
    return np.sort(order[:size])


def make_folds(problem: Problem, rows: np.ndarray, *, random_state: int) -> Any:
    """Shuffled folds, stratified for classes; fewer if a class has fewer members."""
    if problem.task == "regression":
        return KFold(N_FOLDS, shuffle=True, random_state=random_state)
    smallest = int(np.unique(problem.y_train[rows], return_counts=True)[1].min())
    return StratifiedKFold(max(2, min(N_FOLDS, smallest)), shuffle=True, random_state=random_state)


def evaluate(make: Callable[[], Candidate], problem: Problem, rows: np.ndarray, folds: Any) -> Result:
    """Search on the tuning rows, fit to all training rows, predict the test rows."""
    X_tune = problem.X_train.iloc[rows] if hasattr(problem.X_train, "iloc") else problem.X_train[rows]
    start = time.perf_counter()
    with busy_cores():
        candidate = make()
        search = _search(candidate, X_tune, problem.y_train[rows], problem.task, folds)
        estimator = clone(candidate.estimator).set_params(**search.best_params_)
        estimator.fit(problem.X_train, problem.y_train)
        fitted = time.perf_counter()
        predictions = estimator.predict(problem.X_test)
        predicted = time.perf_counter()
        scores, credits = _scores(estimator, problem, predictions, folds)
    return Result(
        name=candidate.name,
        scores=scores,
        standard_error=float(np.std(credits) / np.sqrt(len(credits))),
        credits=credits,
        predictions=predictions,
        cv_score=float(search.best_score_),
        chosen={key.removeprefix(candidate.prefix).split("__")[-1]: v for key, v in search.best_params_.items()},
        n_settings=len(search.cv_results_["params"]),
        search_seconds=fitted - start,
        predict_seconds=predicted - fitted,
        by_depth=_by_depth(search),
        kernel=_kernel(estimator.named_steps["model"]),
    )


@contextmanager
def busy_cores() -> Iterator[None]:
    """Share the cores among fits by threads, with a BLAS that does not start its own besides.

    A network that is stopped after a set number of epochs warns that it has not converged, which is meant. Threads that
    change the filters of warnings at the same time can leave none for a moment, which scikit-learn takes for a mistake.
    """
    n_jobs = min(joblib.cpu_count(), MOST_THREADS)
    with warnings.catch_warnings(), threadpool_limits(1):
        warnings.filterwarnings("ignore", category=ConvergenceWarning, module=r"sklearn\.neural_network")
        warnings.filterwarnings("ignore", message=r"`sklearn\.utils\.parallel\.delayed` should", category=UserWarning)
        with joblib.parallel_config(backend="threading", n_jobs=n_jobs):
            yield


def _search(candidate: Candidate, X: Any, y: np.ndarray, task: Task, folds: Any) -> GridSearchCV:
    measure = r2_score if task == "regression" else accuracy_score
    n_fits = len(ParameterGrid(candidate.grid)) * folds.get_n_splits()
    with tqdm(total=n_fits, desc=candidate.name, unit="fit", leave=False, disable=None) as bar:

        def score(estimator: Any, X: Any, y: np.ndarray) -> float:
            bar.update()
            return float(measure(y, estimator.predict(X)))

        search = candidate.search(candidate.estimator, candidate.grid, scoring=score, cv=folds, refit=False)
        return search.fit(X, y)


def _scores(
    estimator: Any, problem: Problem, predictions: np.ndarray, folds: Any
) -> tuple[dict[str, float], np.ndarray]:
    """Scores on the test rows, and what each row adds to the first of them."""
    y = problem.y_test
    if problem.task == "regression":
        squared = (y - predictions) ** 2
        scores = {
            "R2": r2_score(y, predictions),
            "RMSE": root_mean_squared_error(y, predictions),
            "MAE": mean_absolute_error(y, predictions),
        }
        return scores, 1 - squared / np.var(y)
    # probabilities from decisions out of fold, on training rows only
    calibrated = CalibratedClassifierCV(clone(estimator), cv=folds, ensemble=False)
    calibrated.fit(problem.X_train, problem.y_train)
    probabilities = calibrated.predict_proba(problem.X_test)
    scores = {
        "accuracy": accuracy_score(y, predictions),
        "log-loss": log_loss(y, probabilities, labels=calibrated.classes_),
    }
    return scores, (y == predictions).astype(float)


def _kernel(model: Any) -> Any:
    return getattr(getattr(model, "regressor", model), "kernel", None)


def _by_depth(search: GridSearchCV) -> dict[int, tuple[float, float]]:
    """The best score of each depth, and its standard error over folds."""
    results = search.cv_results_
    depths = next((values for name, values in results.items() if name.endswith(DEPTH)), None)
    if depths is None:
        return {}
    best: dict[int, tuple[float, float]] = {}
    errors = results["std_test_score"] / np.sqrt(search.n_splits_)
    for depth, score, error in zip(depths, results["mean_test_score"], errors, strict=True):
        if int(depth) not in best or score > best[int(depth)][0]:
            best[int(depth)] = (float(score), float(error))
    return best
