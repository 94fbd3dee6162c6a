"""What is printed: the table, the chosen hyperparameters, and one sentence on who won and by how much."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ntkkit.report.diagnosis import LEVEL, Diagnosis
from ntkkit.report.problem import Problem
from ntkkit.report.run import Result


def format_table(results: list[Result]) -> str:
    """The results as aligned columns, best first, and below them what each model chose."""
    ranked = rank(results)
    first = next(iter(ranked[0].scores))
    header = ["model", f"{first} (s.e.)", *list(ranked[0].scores)[1:], "search + fit", "predict", "settings tried"]
    rows = [header]
    for result in ranked:
        scores = [format_score(value) for value in list(result.scores.values())[1:]]
        rows.append(
            [
                result.name,
                f"{result.scores[first]:.3f} ({result.standard_error:.3f})",
                *scores,
                f"{result.search_seconds:.1f} s",
                f"{result.predict_seconds:.2f} s",
                str(result.n_settings),
            ]
        )
    return "\n".join(
        [
            *align(rows),
            "s.e.: standard error over test rows. Seconds: of this run, compilation included.",
            "",
            "Chosen hyperparameters",
            *format_choices([(result.name, result.chosen) for result in ranked]),
        ]
    )


def align(rows: list[list[str]]) -> list[str]:
    """Lines of columns that are aligned to the right, but for the first; a rule below the first line."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = ["  ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]).rstrip() for row in rows]
    return [lines[0], "-" * len(lines[0]), *lines[1:]]


def format_choices(choices: list[tuple[str, dict[str, Any]]]) -> list[str]:
    """A line a model, with what was chosen for it."""
    width = max(len(name) for name, _ in choices)
    return [f"{name.ljust(width)}  {format_chosen(chosen)}" for name, chosen in choices]


def format_chosen(chosen: dict[str, Any]) -> str:
    """``depth=3, alpha=0.00177``: the network's hyperparameters first."""
    order = ["depth", "weight_var", "bias_var"]
    names = sorted(chosen, key=lambda name: (order.index(name) if name in order else len(order), name))
    return ", ".join(f"{name}={format_number(chosen[name])}" for name in names) or "none"


def format_number(value: float | str) -> str:
    """Three significant digits without trailing zeros; integers and words as they are."""
    if isinstance(value, (int, np.integer, str)):
        return str(value)
    if 1e3 <= abs(value) < 1e7:
        return f"{value:.0f}"
    return f"{value:.3g}"


def format_score(value: float) -> str:
    """At least three significant digits, with their zeros, so that columns align."""
    return f"{value:.0f}" if 1e3 <= abs(value) < 1e7 else f"{value:#.3g}".rstrip(".")


def rank(results: list[Result]) -> list[Result]:
    """Best on the test rows first; equals in the order given."""
    return sorted(results, key=_score, reverse=True)


def format_verdict(results: list[Result], problem: Problem) -> str:
    """Who won, by how much, and whether the test rows can tell.

    The standard error is of the paired difference: of what each test row adds to the one score and not to the other.
    """
    first, second, *others = rank(results)
    score, n = next(iter(first.scores)), len(problem.y_test)
    lead, error = difference(first, second)
    if lead == 0:
        sentence = f"{first.name} and {second.name} share the first place with {score} {_score(first):.3f}"
        of = "their difference"
    else:
        sentence = f"{first.name} comes first with {score} {_score(first):.3f}, {lead:.3f} ahead of {second.name}"
        of = "that lead"
    sentence += f"; the standard error of {of} is {error:.3f} on these {n} test rows, so {judge(lead, error)}"
    wide = results[0]
    for result in others:
        if result is wide:
            behind, error = difference(first, result)
            sentence += f"; the {wide.name} is {behind:.3f} behind the first (standard error {error:.3f})"
    return sentence + "."


def format_diagnosis(diagnosis: Diagnosis, problem: Problem) -> str:
    """Where the leave-one-out path is lowest, and how often the bands hold."""
    best = int(diagnosis.errors.argmin())
    labels = problem.task == "classification"
    error = f"{diagnosis.errors[best]:.1%} wrong" if labels else f"RMSE {format_number(diagnosis.errors[best])}"
    path = (
        f"Leave-one-out over alpha with this network: {error} at best, at "
        f"alpha={format_number(diagnosis.alphas[best])}; the search chose {format_number(diagnosis.chosen)}."
    )
    error_of_share = math.sqrt(LEVEL * (1 - LEVEL) / len(problem.y_test))
    held = f"{diagnosis.covered:.1%} of the test rows (standard error {error_of_share:.1%})"
    if labels:
        return (
            f"{path}\nSets of labels that should hold the right one {LEVEL:.0%} of the time held it on {held}, "
            f"with {diagnosis.size:.2f} labels a set on average."
        )
    return (
        f"{path}\nThe {LEVEL:.0%} band of the Bayesian network held {held}; half its width is "
        f"{format_number(diagnosis.size)} on average."
    )


def difference(first: Result, second: Result) -> tuple[float, float]:
    """How far the first is ahead, and the standard error of that over test rows."""
    paired = first.credits - second.credits
    return float(paired.mean()), float(paired.std() / np.sqrt(len(paired)))


def judge(lead: float, error: float) -> str:
    """What a lead is worth, by its standard error."""
    ratio = lead / error if error > 0 else math.inf if lead > 0 else 0.0
    if ratio < 1:
        return "they cannot be told apart"
    if ratio < 2:
        return "it may well be chance"
    return "it is probably more than chance" if ratio < 3 else "it is more than chance"


def _score(result: Result) -> float:
    return next(iter(result.scores.values()))
