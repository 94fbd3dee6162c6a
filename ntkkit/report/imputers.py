"""Who fills empty cells best: the infinitely wide network and its peers, tuned and tested on the same hidden cells."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.impute import KNNImputer, SimpleImputer
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits
from tqdm.auto import tqdm

from ntkkit.estimators import NeuralMatrixCompleter
from ntkkit.kernels import NTK
from ntkkit.networks import FullyConnected
from ntkkit.report.problem import ReportError
from ntkkit.report.run import Say

SHARE = 0.1
# Of tables with fewer hidden cells others are hidden, too, so often at most.
HIDDEN_CELLS = 300
MOST_REPEATS = 5
# Columns that IterativeImputer predicts each from: all, unless there are more than the second; so many are tried, too.
NEAREST = 30
WIDE = 100

Fill = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Method:
    """An imputer of standardised columns, one a setting, by what is chosen there."""

    name: str
    settings: list[tuple[dict[str, Any], Any]]


@dataclass(frozen=True)
class Filled:
    """What a method made of hidden cells.

    Attributes
    ----------
    name : str
    errors : ndarray of shape (n_hidden,)
        Filled less true, in standard deviations of what was left of the columns.
    completed : ndarray of shape (n_rows, n_columns)
        The table whose cells were hidden first.
    chosen : dict
        The best setting.
    imputer : estimator
        With that, not fitted.
    n_settings : int
    seconds : float
        For searches and completions.
    """

    name: str
    errors: np.ndarray
    completed: np.ndarray
    chosen: dict[str, Any]
    imputer: Any
    n_settings: int
    seconds: float

    @property
    def rmse(self) -> float:
        """Root mean square of the errors."""
        return float(np.sqrt(np.mean(self.errors**2)))

    @property
    def standard_error(self) -> float:
        """Of that, over hidden cells."""
        error = np.std(self.errors**2) / np.sqrt(len(self.errors))
        return float(error / (2 * self.rmse)) if self.rmse else 0.0


@dataclass(frozen=True)
class Trial:
    """A comparison on hidden cells.

    Attributes
    ----------
    results : list of Filled
        The network first.
    truth : ndarray of shape (n_rows, n_columns)
        The rows compared on; NaN where nobody knows.
    hidden : list of ndarray of bool, each of that shape
        Cells hidden at a time; errors are in this order.
    """

    results: list[Filled]
    truth: np.ndarray
    hidden: list[np.ndarray]

    @property
    def columns(self) -> np.ndarray:
        """The column of each error."""
        return np.concatenate([np.nonzero(mask)[1] for mask in self.hidden])


def make_methods(n_columns: int, *, random_state: int) -> list[Method]:
    """The network and its peers.

    An odd activation (erf) takes columns that have nothing in common for independent; the smaller weight_var, the more
    linear is the network. Ridge terms are multiples of the kernel's diagonal.
    """
    from sklearn.experimental import enable_iterative_imputer  # noqa: F401
    from sklearn.impute import IterativeImputer

    networks = [FullyConnected(depth=1, activation="erf", weight_var=w, bias_var=0.0) for w in (0.1, 1.0)]
    networks.append(FullyConnected(depth=1, activation="relu", weight_var=1.0, bias_var=0.0))
    completers = []
    for network in networks:
        diagonal = float(NTK(network).diag(np.ones((1, 1)))[0])
        for alpha in (0.003, 0.03, 0.3, 3.0):
            chosen = {"activation": network.activation, "weight_var": network.weight_var, "alpha": alpha * diagonal}
            model = NeuralMatrixCompleter(NTK(network), alpha=chosen["alpha"], column_features="data")
            completers.append((chosen, model))
    nearest = ([None] if n_columns <= WIDE else []) + ([NEAREST] if n_columns > NEAREST else [])
    keep = {"keep_empty_features": True}
    return [
        Method("NTK completer", completers),
        Method("KNNImputer", [({"n_neighbors": n}, KNNImputer(n_neighbors=n, **keep)) for n in (2, 5, 10, 20, 40)]),
        Method(
            "IterativeImputer",
            [
                (
                    {"columns": n or "all"},
                    IterativeImputer(n_nearest_features=n, random_state=random_state, **keep),
                )
                for n in nearest
            ],
        ),
        Method("column mean", [({}, SimpleImputer(**keep))]),
    ]


def compare_methods(truth: np.ndarray, finish: Fill, *, random_state: int, say: Say) -> Trial:
    """Hide cells, fill them by each method, and see.

    Settings are chosen by cells hidden from what is left, the same for all methods.

    Parameters
    ----------
    truth : ndarray of shape (n_rows, n_columns)
        NaN where missing.
    finish : callable
        Makes of filled tables what may be written.
    random_state : int
    say : callable
        Takes lines of progress.

    Returns
    -------
    Trial

    Raises
    ------
    ReportError
        If there are no cells that can be hidden.
    """
    rng = np.random.default_rng(random_state)
    hidden = [hide(truth, rng)]
    while sum(mask.sum() for mask in hidden) < HIDDEN_CELLS and len(hidden) < MOST_REPEATS:
        hidden.append(hide(truth, rng))
    for_search = [hide(np.where(mask, np.nan, truth), rng) for mask in hidden]
    say(
        f"Hiding {SHARE:.0%} of the observed cells, {sum(mask.sum() for mask in hidden):,} in {len(hidden)} "
        f"{'turn' if len(hidden) == 1 else 'turns'}; settings are chosen by others hidden from the rest, the same for "
        "all."
    )
    results: list[Filled] = []
    methods = make_methods(truth.shape[1], random_state=random_state)
    for place, method in enumerate(methods, 1):
        say(f"  {place}/{len(methods)}  {method.name} ...")
        result = try_method(method, truth, hidden, for_search, finish)
        say(f"       RMSE {result.rmse:.3f}, best of {result.n_settings}; {result.seconds:.1f} s")
        results.append(result)
    return Trial(results, truth, hidden)


def hide(values: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Random cells to hide, a share of those observed; each row keeps one, each column two, constant columns all.

    Raises
    ------
    ReportError
        If nothing is left to hide.
    """
    observed = ~np.isnan(values)
    keys = np.where(observed, rng.random(values.shape), -1.0)
    candidates = observed & (np.where(observed, values, -np.inf).max(0) > np.where(observed, values, np.inf).min(0))
    candidates[np.arange(len(keys)), keys.argmax(axis=1)] = False
    for place in np.argsort(-keys, axis=0, kind="stable")[:2]:
        candidates[place, np.arange(keys.shape[1])] = False
    places = np.flatnonzero(candidates)
    if len(places) == 0:
        raise ReportError("too few cells are observed to hide some: no two in a row, or all alike in their columns")
    mask = np.zeros(values.size, dtype=bool)
    mask[rng.permutation(places)[: max(1, round(SHARE * observed.sum()))]] = True
    return mask.reshape(values.shape)


def try_method(
    method: Method, truth: np.ndarray, hidden: list[np.ndarray], for_search: list[np.ndarray], finish: Fill
) -> Filled:
    """Search, complete, and compare with the truth; for each of the masks, and the best setting over all."""
    start = time.perf_counter()
    losses, errors, tables = np.zeros(len(method.settings)), [], []
    total = len(hidden) * (len(losses) + 1)
    with quiet(), tqdm(total=total, desc=method.name, unit="fit", leave=False, disable=None) as bar:

        def complete(place: int, values: np.ndarray) -> np.ndarray:
            bar.update()
            imputer = method.settings[place][1]
            return fill(values, lambda Z: imputer.fit_transform(Z), finish)

        for mask, inner in zip(hidden, for_search, strict=True):
            training = np.where(mask, np.nan, truth)
            units = StandardScaler().fit(training).scale_
            found = np.zeros(len(losses))
            if len(losses) > 1:
                tables_tried = (complete(place, np.where(inner, np.nan, training)) for place in range(len(losses)))
                found = np.array([np.mean((((table - truth) / units)[inner]) ** 2) for table in tables_tried])
            losses += found
            tables.append(complete(int(found.argmin()), training))
            errors.append(((tables[-1] - truth) / units)[mask])
    chosen, imputer = method.settings[int(losses.argmin())]
    seconds = time.perf_counter() - start
    return Filled(method.name, np.concatenate(errors), tables[0], chosen, imputer, len(losses), seconds)


def fill(values: np.ndarray, impute: Fill, finish: Fill) -> np.ndarray:
    """Impute standardised columns, and take the filled table back to their units."""
    scaler = StandardScaler().fit(values)
    return finish(scaler.inverse_transform(impute(scaler.transform(values))))


@contextmanager
def quiet() -> Iterator[None]:
    """Small matrices are solved fastest by one thread; what warnings tell of rows without cells is told elsewhere."""
    with warnings.catch_warnings(), threadpool_limits(1):
        warnings.simplefilter("ignore")
        yield
