"""What is shown of outputs over time: those of some points, or their errors."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.utils import check_array

from ntkkit.dynamics import LearningCurve

METRICS = {"output": "mean output", "mse": "mean squared error", "error_rate": "error rate"}
# Weights begin to diffuse at this part of prior_var / T, when they have lost a tenth of what they were.
DIFFUSION = 0.1
MOST_ROWS = 5


def check_metric(metric: str, y: Any, rows: Any, *, return_std: bool) -> None:
    """Raise a ValueError if the metric is unknown, lacks targets, or does not go with what else is asked for."""
    if metric not in METRICS:
        raise ValueError(f"metric must be one of {', '.join(METRICS)}; found {metric!r}.")
    if metric == "output":
        return
    if y is None:
        raise ValueError(f"metric={metric!r} needs the targets of the points shown: give y_test, or y for a curve.")
    if rows is not None:
        raise ValueError(f"metric={metric!r} is over all points: leave rows out, or take metric='output'.")
    if return_std:
        raise ValueError(f"There are no standard deviations of metric={metric!r}: leave return_std out.")


def choose_rows(rows: Any, n: int) -> np.ndarray:
    """Places of the points whose outputs are shown.

    Raises
    ------
    ValueError
        If there is no such point.
    """
    if rows is None:
        return np.arange(min(n, MOST_ROWS))
    chosen = np.atleast_1d(rows)
    if chosen.ndim != 1 or not chosen.size or chosen.dtype.kind not in "iu" or ((chosen < 0) | (chosen >= n)).any():
        raise ValueError(f"rows must be integers from 0 to {n - 1}, the points there are; found {rows!r}.")
    return chosen


def measure(outputs: np.ndarray, y: Any, metric: str, rows: Any) -> np.ndarray:
    """The lines that outputs (n_times, n) or (n_times, n, k) make, (n_times, n_lines).

    Raises
    ------
    ValueError
        If y does not fit.
    """
    if metric == "output":
        return outputs[:, choose_rows(rows, outputs.shape[1])].reshape(len(outputs), -1)
    y = check_array(y, dtype=np.float64, ensure_2d=False, input_name="y")
    if y.shape != outputs.shape[1:]:
        raise ValueError(f"Targets of the points shown have shape {y.shape}, outputs {outputs.shape[1:]}.")
    over = tuple(range(1, outputs.ndim))
    if metric == "mse":
        return ((outputs - y) ** 2).mean(axis=over)[:, None]
    if y.ndim == 1:
        return (np.sign(outputs) != np.sign(y)).mean(axis=1)[:, None]
    return (outputs.argmax(axis=2) != y.argmax(axis=1)).mean(axis=1)[:, None]


def measure_ensemble(values: np.ndarray, y: Any, metric: str, rows: Any) -> tuple[np.ndarray, np.ndarray]:
    """Lines of the mean of networks' outputs (n_times, n_networks, n[, k]), and standard errors by the jackknife."""
    n = values.shape[1]
    mean = values.mean(axis=1)
    without = [measure(mean + (mean - values[:, i]) / (n - 1), y, metric, rows) for i in range(n)]
    return measure(mean, y, metric, rows), np.sqrt((n - 1) * np.var(without, axis=0))


def find_lines(curve: LearningCurve, y: Any, metric: str, rows: Any, simulation: Any) -> dict[str, Any]:
    """The arguments of a display that a curve and a simulation make."""
    part = "train" if curve.test is None else "test"
    outputs, stds = getattr(curve, part), getattr(curve, f"{part}_std")
    found: dict[str, Any] = {"times": curve.times, "value_name": METRICS[metric]}
    found["values"] = measure(outputs, y, metric, rows)
    if metric == "output":
        n_targets = int(np.prod(outputs.shape[2:]))
        names = [f"point {row}" for row in choose_rows(rows, outputs.shape[1])]
        several = [f"{name}, {target}" for name in names for target in range(n_targets)]
        found["names"] = names if n_targets == 1 else several
        if stds is not None:
            found["stds"] = np.repeat(measure(stds, y, metric, rows), n_targets, axis=1)
    if simulation is not None:
        found["simulated_times"] = simulation.times
        ensemble = getattr(simulation, part).values
        found["simulated"], found["simulated_errors"] = measure_ensemble(ensemble, y, metric, rows)
    return found


def check_times(times: Any, name: str) -> np.ndarray:
    """Times as float64.

    Raises
    ------
    ValueError
        If they do not increase, or none is positive.
    """
    times = check_array(times, dtype=np.float64, ensure_2d=False, input_name=name)
    if times.ndim != 1 or times[0] < 0 or (np.diff(times) <= 0).any():
        raise ValueError(f"{name} must increase from a time >= 0, found {times!r}.")
    if times[-1] == 0:
        raise ValueError(f"{name} must have a time > 0 to be drawn on a logarithmic axis, found {times!r}.")
    return times


def check_lines(lines: Any, name: str, shape: tuple[int, int | None]) -> np.ndarray:
    """Lines as float64, (n_times, n_lines).

    Raises
    ------
    ValueError
        If they are not finite, or of another shape.
    """
    lines = check_array(lines, dtype=np.float64, ensure_2d=False, input_name=name)
    lines = lines[:, None] if lines.ndim == 1 else lines
    expected = (shape[0], lines.shape[1] if shape[1] is None else shape[1])
    if lines.shape != expected:
        raise ValueError(f"{name} must be of shape {expected}, (times, lines); found {lines.shape}.")
    return lines


def check_simulation(times: Any, values: Any, errors: Any, *, n_lines: int) -> tuple[Any, Any, Any]:
    """The three as float64, or None each.

    Raises
    ------
    ValueError
        If some are missing or do not fit.
    """
    if times is None and values is None and errors is None:
        return None, None, None
    if times is None or values is None:
        raise ValueError("simulated_times and simulated belong together, and simulated_errors to them: give both.")
    times = check_times(times, "simulated_times")
    values = check_lines(values, "simulated", (len(times), n_lines))
    return times, values, None if errors is None else check_lines(errors, "simulated_errors", values.shape)
