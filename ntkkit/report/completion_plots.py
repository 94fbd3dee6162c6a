"""The picture of a completion: hidden cells and what became of them, errors by method and by column."""

from __future__ import annotations

import io
from typing import Any

import numpy as np

from ntkkit.display import CompletionDisplay
from ntkkit.display.style import BLUE, DARK, GREY, clean, set_title
from ntkkit.report.completion_text import FEWEST_HIDDEN, best_peer, errors_by_column, rank
from ntkkit.report.imputers import Trial

# Names of more columns have no room.
MOST_NAMES = 24


def draw_completion(trial: Trial, names: list[str], title: str) -> bytes:
    """The picture, as a PNG file; matplotlib's global state is left alone."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    layout = ConstrainedLayoutEngine(h_pad=0.12, w_pad=0.12, hspace=0.04, wspace=0.04)
    figure = Figure(figsize=(15, 9.5), dpi=100, layout=layout, facecolor="white")
    FigureCanvasAgg(figure)
    network = trial.results[0]
    figure.suptitle(f"{title}: hidden cells, and who fills them best", fontsize=15, color=DARK)
    top, bottom = np.asarray(figure.subfigures(2, 1, height_ratios=(1.25, 1)))
    top.suptitle(f"What the {network.name} makes of hidden cells", x=0.012, ha="left", fontsize=12, color=DARK)
    observed = np.where(trial.hidden[0], np.nan, trial.truth)
    known = np.flatnonzero(~np.isnan(observed).all(axis=0))
    CompletionDisplay(
        observed=observed[:, known],
        completed=network.completed[:, known],
        truth=trial.truth[:, known],
        feature_names=[names[i] for i in known],
    ).plot(top.subplots())
    left, right = bottom.subplots(1, 2, width_ratios=(1, 1.6))
    _draw_methods(left, trial)
    _draw_columns(right, trial, names)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    return buffer.getvalue()


def _draw_methods(axes: Any, trial: Trial) -> None:
    """Errors as points with one standard error to either side."""
    ranked = rank(trial.results)[::-1]
    for place, result in enumerate(ranked):
        colour = BLUE if result is trial.results[0] else DARK
        axes.errorbar(result.rmse, place, xerr=result.standard_error, fmt="o", color=colour, capsize=4, ms=8, lw=2)
        text = f"{result.rmse:.3f}"
        axes.annotate(text, (result.rmse, place), (0, 9), textcoords="offset points", ha="center", color=colour)
    axes.set_yticks(range(len(ranked)), [result.name for result in ranked])
    axes.set_ylim(-0.6, len(ranked) - 0.3)
    axes.set_xlabel("RMSE in standard deviations of the column, with standard error")
    set_title(axes, f"By method: {len(trial.columns):,} hidden cells")
    clean(axes, grid="x")


def _draw_columns(axes: Any, trial: Trial, names: list[str]) -> None:
    """Each column's error by the network and by the best peer, in the network's order."""
    network, peer = trial.results[0], best_peer(trial)
    counts, errors = errors_by_column(trial, len(names))
    told = np.flatnonzero(counts >= FEWEST_HIDDEN)
    order = told[np.argsort(errors[0, told], kind="stable")]
    places = np.arange(len(order))
    ours, theirs = errors[0, order], errors[trial.results.index(peer), order]
    axes.vlines(places, np.minimum(ours, theirs), np.maximum(ours, theirs), color=GREY, lw=1.5, zorder=0)
    size = 6 if len(order) <= 100 else 3
    for values, colour, name in ((theirs, DARK, peer.name), (ours, BLUE, network.name)):
        axes.plot(places, values, "o", color=colour, ms=size, mec="none", label=name)
    if len(order) <= MOST_NAMES:
        axes.set_xticks(places, [names[i] if len(names[i]) <= 20 else f"{names[i][:19]}…" for i in order], rotation=90)
    else:
        axes.set_xlabel(f"{len(order)} columns, from the best of the {network.name} to the worst")
        axes.set_xticks([])
    axes.set_ylabel("RMSE in standard deviations")
    axes.set_ylim(bottom=0)
    axes.legend(frameon=False, fontsize=9)
    set_title(axes, f"By column, of {FEWEST_HIDDEN} hidden cells or more")
    clean(axes, grid="y")
