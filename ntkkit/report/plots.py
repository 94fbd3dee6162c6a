"""The picture: who is how accurate, what depth does, and where the kernel machine errs."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
from sklearn.metrics import confusion_matrix

from ntkkit.display.style import BLUE, DARK, GREY, RED, clean
from ntkkit.report.diagnosis import LEVEL, LEVELS, Diagnosis
from ntkkit.report.problem import Problem
from ntkkit.report.run import Result
from ntkkit.report.text import format_number, rank

PEER_COLOURS = ("#d9822b", "#3d9970", "#8e5ea2", "#7f6a4f", "#c25b8f")
MOST_PICTURES = 12
# A confusion matrix of more classes cannot be read.
MOST_CLASSES = 16


def draw_report(results: list[Result], problem: Problem, diagnosis: Diagnosis) -> bytes:
    """The report's picture, as a PNG file; matplotlib's global state is left alone."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    images = problem.image_shape is not None
    layout = ConstrainedLayoutEngine(h_pad=0.12, w_pad=0.12, hspace=0.04, wspace=0.04)
    figure = Figure(figsize=(11, 12.2 if images else 13.4), dpi=110, layout=layout, facecolor="white")
    FigureCanvasAgg(figure)
    figure.suptitle(f"{problem.title}: an infinitely wide network and its peers", fontsize=15, color=DARK)
    ratios = (1.1, 1, 1) if images else (1.1, 1, 1.3)
    top, middle, bottom = np.asarray(figure.subfigures(3, 1, height_ratios=ratios))
    left, right = top.subplots(1, 2)
    _draw_scores(left, results, problem)
    _draw_depths(right, results, problem)
    left, right = middle.subplots(1, 2)
    _draw_path(left, diagnosis, problem)
    _draw_coverage(right, diagnosis, results[0], problem)
    if images:
        _draw_wrong_pictures(bottom, results[0], problem)
    elif problem.task == "regression":
        _draw_predictions(bottom.subplots(1, 1), results[0], problem)
    else:
        _draw_confusion(bottom.subplots(1, 1), results[0], problem)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    return buffer.getvalue()


def _draw_scores(axes: Any, results: list[Result], problem: Problem) -> None:
    """Test scores as points with one standard error to either side: bars would need to start at 0."""
    ranked = rank(results)[::-1]
    scores = [next(iter(result.scores.values())) for result in ranked]
    for place, (result, score) in enumerate(zip(ranked, scores, strict=True)):
        colour = BLUE if result is results[0] else DARK
        axes.errorbar(score, place, xerr=result.standard_error, fmt="o", color=colour, capsize=4, ms=8, lw=2)
        axes.annotate(f"{score:.3f}", (score, place), (0, 9), textcoords="offset points", ha="center", color=colour)
    axes.set_yticks(range(len(ranked)), [result.name for result in ranked])
    axes.set_ylim(-0.6, len(ranked) - 0.3)
    axes.set_xlabel(f"{_score_name(results)} on {len(problem.y_test)} test rows, with standard error")
    axes.set_title("Test rows", loc="left", color=DARK)
    clean(axes, grid="x")


def _draw_depths(axes: Any, results: list[Result], problem: Problem) -> None:
    wide, *peers = results
    for result, colour in zip([*peers, wide], [*PEER_COLOURS[: len(peers)], BLUE], strict=True):
        if not result.by_depth:
            axes.axhline(result.cv_score, color=colour, ls="--", lw=1.4, label=result.name)
            continue
        depths = sorted(result.by_depth)
        scores, errors = np.array([result.by_depth[depth] for depth in depths]).T
        axes.errorbar(depths, scores, yerr=errors, fmt="o-", color=colour, capsize=4, ms=7, lw=2, label=result.name)
    axes.set_xticks(sorted({depth for result in results for depth in result.by_depth}))
    axes.set_xlabel("hidden layers of the infinitely wide network")
    axes.set_ylabel(f"cross-validated {_score_name(results)}")
    axes.set_title("Training rows: best setting of each depth", loc="left", color=DARK)
    axes.legend(frameon=False, fontsize=9, loc="upper center", bbox_to_anchor=(0.5, -0.17), ncols=2)
    clean(axes, grid="y")


def _draw_path(axes: Any, diagnosis: Diagnosis, problem: Problem) -> None:
    """The leave-one-out error over the ridge term."""
    best = diagnosis.errors.argmin()
    axes.semilogx(diagnosis.alphas, diagnosis.errors, "o-", color=BLUE, ms=4, lw=2)
    axes.plot(diagnosis.alphas[best], diagnosis.errors[best], "o", color=RED, ms=8, label="lowest")
    axes.axvline(diagnosis.chosen, color=GREY, ls="--", lw=1.4, label="chosen in cross-validation")
    axes.set_xlabel("alpha")
    axes.set_ylabel("error rate" if problem.task == "classification" else "root mean squared error")
    axes.set_title("Training rows: leave-one-out, at the chosen network", loc="left", color=DARK)
    axes.legend(frameon=False, fontsize=9)
    clean(axes, grid="y")


def _draw_coverage(axes: Any, diagnosis: Diagnosis, wide: Result, problem: Problem) -> None:
    """How often the bands hold, against how often they should."""
    labels = problem.task == "classification"
    error = np.sqrt(LEVELS * (1 - LEVELS) / len(problem.y_test))
    axes.fill_between(LEVELS, LEVELS - 2 * error, LEVELS + 2 * error, color=GREY, alpha=0.4, lw=0, label="chance")
    axes.plot(LEVELS, diagnosis.coverage, "o-", color=BLUE, ms=5, lw=2, label="sets of labels" if labels else "bands")
    axes.plot(LEVEL, diagnosis.covered, "o", color=RED, ms=8)
    size = f"{diagnosis.size:.2f} labels a set" if labels else f"half width {format_number(diagnosis.size)}"
    axes.annotate(
        f"{diagnosis.covered:.1%} at {LEVEL:.0%}: {size}",
        (LEVEL, diagnosis.covered),
        (-10, 10),
        textcoords="offset points",
        ha="right",
        color=RED,
        fontsize=9,
    )
    axes.set_xlabel("how often they should hold the truth")
    axes.set_ylabel("how often they do, on the test rows")
    axes.set_title(
        f"Test rows: how sure the {wide.name} is" if labels else "Test rows: the Bayesian network's bands",
        loc="left",
        color=DARK,
    )
    axes.legend(frameon=False, fontsize=9, loc="lower right")
    clean(axes, grid="both")


def _draw_wrong_pictures(figure: Any, wide: Result, problem: Problem) -> None:
    wrong = np.flatnonzero(wide.predictions != problem.y_test)
    shown = wrong[np.linspace(0, len(wrong) - 1, min(MOST_PICTURES, len(wrong))).astype(int)] if len(wrong) else wrong
    title = f"What the {wide.name} took for something else: {len(shown)} of {len(wrong)} among {len(problem.y_test)}"
    figure.suptitle(title, x=0.015, ha="left", fontsize=12, color=DARK)
    for axes in figure.subplots(2, MOST_PICTURES // 2).flat:
        axes.set_axis_off()
    low, high = problem.X_test.min(), problem.X_test.max()
    for axes, row in zip(figure.axes, shown, strict=False):
        axes.imshow(problem.X_test[row].reshape(problem.image_shape), cmap="gray_r", vmin=low, vmax=high)
        axes.set_title(f"{problem.y_test[row]},\n", fontsize=9, color=DARK)
        axes.text(
            0.5,
            1.04,
            f"taken for {wide.predictions[row]}",
            fontsize=9,
            color=RED,
            ha="center",
            transform=axes.transAxes,
        )


def _draw_predictions(axes: Any, wide: Result, problem: Problem) -> None:
    y, predictions = problem.y_test, wide.predictions
    low, high = min(y.min(), predictions.min()), max(y.max(), predictions.max())
    axes.plot([low, high], [low, high], color=GREY, lw=1.5, zorder=0)
    axes.plot(y, predictions, "o", color=BLUE, ms=5, alpha=min(0.8, 30 / np.sqrt(len(y))), mec="none")
    axes.set_xlabel(f"{problem.target}, measured")
    axes.set_ylabel(f"{problem.target}, predicted")
    error = format_number(wide.scores["RMSE"])
    axes.set_title(f"{wide.name} on the test rows: root mean squared error {error}", loc="left", color=DARK)
    clean(axes, grid="both")


def _draw_confusion(axes: Any, wide: Result, problem: Problem) -> None:
    labels, counts = np.unique(problem.y_test, return_counts=True)
    title = f"{wide.name} on the test rows: counts"
    if len(labels) > MOST_CLASSES:
        title += f", {MOST_CLASSES} commonest of {len(labels)} classes"
        labels = labels[np.sort(np.argsort(-counts, kind="stable")[:MOST_CLASSES])]
    matrix = confusion_matrix(problem.y_test, wide.predictions, labels=labels)
    shares = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for (i, j), count in np.ndenumerate(matrix):
        if count:
            colour = "white" if shares[i, j] > 0.5 else DARK
            axes.text(j, i, str(count), ha="center", va="center", fontsize=9, color=colour)
    names = [_shortened(label) for label in labels]
    axes.set_xticks(range(len(labels)), names, rotation=90 if len(names) * max(map(len, names)) > 50 else 0)
    axes.set_yticks(range(len(labels)), names)
    axes.set_xlabel("predicted")
    axes.set_ylabel(f"{problem.target}, true")
    axes.set_title(title, loc="left", color=DARK)


def _score_name(results: list[Result]) -> str:
    name = next(iter(results[0].scores))
    return "R²" if name == "R2" else name


def _shortened(label: Any) -> str:
    text = str(label)
    return text if len(text) <= 14 else f"{text[:7]}…{text[-6:]}"
