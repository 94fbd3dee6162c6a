"""What is said of hidden cells: by method, who came first, and by column."""

from __future__ import annotations

import csv
import io

import numpy as np

from ntkkit.report.imputers import Filled, Trial
from ntkkit.report.text import align, format_choices, judge

# Columns that are named, of the best and of the worst; all, if there are no more than both. Fewer hidden cells do not
# tell.
SHOWN = 4
FEWEST_HIDDEN = 5


def rank(results: list[Filled]) -> list[Filled]:
    """Least error first; equals in the order given."""
    return sorted(results, key=lambda result: result.rmse)


def best_peer(trial: Trial) -> Filled:
    """The best of the others than the network."""
    return rank(trial.results[1:])[0]


def format_results(trial: Trial) -> str:
    """The methods, best first, and what each chose."""
    ranked = rank(trial.results)
    rows = [["method", "RMSE (s.e.)", "search + fit", "settings tried"]]
    rows += [
        [
            result.name,
            f"{result.rmse:.3f} ({result.standard_error:.3f})",
            f"{result.seconds:.1f} s",
            str(result.n_settings),
        ]
        for result in ranked
    ]
    said = (
        f"RMSE: of {len(trial.columns):,} hidden cells, in standard deviations of their columns. s.e.: standard error."
    )
    chosen = format_choices([(result.name, result.chosen) for result in ranked])
    return "\n".join([*align(rows), said, "", "Chosen settings", *chosen])


def format_verdict(trial: Trial) -> str:
    """Who came first, whether hidden cells can tell, and whose values are written."""
    network, peer = trial.results[0], best_peer(trial)
    first, second = rank([network, peer])
    paired = second.errors**2 - first.errors**2
    judged = judge(float(paired.mean()), float(paired.std() / np.sqrt(len(paired))))
    if first.rmse == second.rmse:
        sentence = f"{first.name} and {second.name} share the first place with RMSE {first.rmse:.3f}"
    else:
        sentence = f"{first.name} comes first with RMSE {first.rmse:.3f}, before {second.name} with {second.rmse:.3f}"
    advice = ""
    if first is not network and "than chance" in judged:
        advice = f" For tables like this one, {first.name} is the better choice."
    return f"{sentence}; by the hidden cells, {judged}. The table is filled by the {network.name}.{advice}"


def errors_by_column(trial: Trial, n_columns: int) -> tuple[np.ndarray, np.ndarray]:
    """How many cells were hidden in each column, and each method's RMSE there: (n_columns,), (n_methods, n_columns)."""
    counts = np.bincount(trial.columns, minlength=n_columns)
    squares = [np.bincount(trial.columns, result.errors**2, minlength=n_columns) for result in trial.results]
    with np.errstate(invalid="ignore"):
        return counts, np.sqrt(np.array(squares) / counts)


def format_columns(trial: Trial, names: list[str], empty: np.ndarray) -> str:
    """The columns that are filled best and worst."""
    peer = best_peer(trial)
    counts, errors = errors_by_column(trial, len(names))
    ours, theirs = errors[0], errors[trial.results.index(peer)]
    order = np.argsort(ours, kind="stable")
    told = order[(counts >= FEWEST_HIDDEN)[order]]
    if len(told) == 0:
        return f"No column has {FEWEST_HIDDEN} hidden cells: {errors.shape[1]} columns are not told apart."
    shown = told if len(told) <= 2 * SHOWN else np.concatenate([told[:SHOWN], told[-SHOWN:]])
    rows = [["column", "empty cells", "hidden cells", f"RMSE {trial.results[0].name}", peer.name]]
    rows += [
        [_shortened(names[i]), f"{empty[:, i].sum():,}", f"{counts[i]:,}", f"{ours[i]:.3f}", f"{theirs[i]:.3f}"]
        for i in shown
    ]
    lines = align(rows)
    if len(shown) < len(told):
        lines.insert(2 + SHOWN, f"... {len(told) - len(shown)} others")
    return "\n".join(lines)


def errors_as_csv(trial: Trial, names: list[str], empty: np.ndarray) -> str:
    """All columns, in the table's order; no RMSE where no cell was hidden."""
    counts, errors = errors_by_column(trial, len(names))
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    keys = [result.name.lower().replace(" ", "_") for result in trial.results]
    writer.writerow(["column", "empty_cells", "hidden_cells", *(f"rmse_{key}" for key in keys)])
    for name, n_empty, n_hidden, values in zip(names, empty.sum(axis=0), counts, errors.T, strict=True):
        writer.writerow([name, n_empty, n_hidden, *(value if n_hidden else "" for value in values.tolist())])
    return text.getvalue()


def _shortened(name: str) -> str:
    return name if len(name) <= 30 else f"{name[:15]}…{name[-14:]}"
