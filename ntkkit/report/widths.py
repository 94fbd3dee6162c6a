"""Does the trained network do what the kernel says? The chosen network at a few widths, beside its limit."""

from __future__ import annotations

import io

import numpy as np

from ntkkit.finite import Comparison, compare
from ntkkit.report.models import prepared_rows, prepared_tests
from ntkkit.report.problem import Problem
from ntkkit.report.run import Result, subsample

N_ROWS, N_NETWORKS = 60, 8
WIDTHS = {"rows": (32, 128, 512), "images": (8, 32, 128), "sequences": (16, 64, 256)}
QUESTION = "Does the trained network do what the kernel says?"


def compare_widths(problem: Problem, wide: Result, *, random_state: int) -> Comparison:
    """Train the chosen network on some of the training rows, at a few widths; a hidden layer at least."""
    rows = subsample(problem.y_train, N_ROWS, task=problem.task, random_state=random_state)
    tests = subsample(problem.y_test, N_ROWS, task=problem.task, random_state=random_state)
    X, X_test = prepared_rows(problem, rows), prepared_tests(problem, rows)[tests]
    network = wide.kernel.network
    return compare(
        network.replace(depth=max(1, network.depth)),
        *(X, _targets(problem, rows), X_test),
        widths=WIDTHS[network.input_kind],
        n_networks=N_NETWORKS,
        random_state=random_state,
    )


def format_widths(comparison: Comparison) -> str:
    """The answer, in a few sentences."""
    n_networks = comparison.outputs.shape[1]
    return f"{QUESTION} {comparison.summary()} ({n_networks} networks of each width, on {N_ROWS} training rows.)"


def draw_widths(comparison: Comparison) -> bytes:
    """The picture of it, as a PNG file; matplotlib's global state is left alone."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    from ntkkit.display import ComparisonDisplay

    figure = Figure(figsize=(6.4, 4.8), dpi=110, layout="constrained", facecolor="white")
    FigureCanvasAgg(figure)
    ComparisonDisplay.from_comparison(comparison, ax=figure.subplots())
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    return buffer.getvalue()


def _targets(problem: Problem, rows: np.ndarray) -> np.ndarray:
    """Standardised numbers, or +1 and -1 with a column a class."""
    y = problem.y_train[rows]
    if problem.task == "regression":
        return (y - y.mean()) / (y.std() or 1.0)
    return np.where(y[:, None] == np.unique(y), 1.0, -1.0)
