"""The sentence on who won, and numbers as they are printed."""

from types import SimpleNamespace

import numpy as np
import pytest

from ntkkit.report.run import Result
from ntkkit.report.text import format_chosen, format_number, format_score, format_verdict


def result(name, credits):
    credits = np.asarray(credits, dtype=float)
    return Result(
        name=name,
        scores={"accuracy": credits.mean()},
        standard_error=credits.std() / np.sqrt(len(credits)),
        credits=credits,
        predictions=credits,
        cv_score=0.5,
        chosen={},
        n_settings=1,
        search_seconds=1.0,
        predict_seconds=1.0,
        by_depth={},
    )


def verdict(*results):
    return format_verdict(list(results), SimpleNamespace(y_test=results[0].credits))


def right(n_right, n=100):
    return [1] * n_right + [0] * (n - n_right)


def test_winner_by_more_than_chance():
    text = verdict(result("NTK machine", right(90)), result("Other", right(60)))
    # thirty rows of a hundred differ: sqrt(0.3 * 0.7 / 100)
    assert "NTK machine comes first with accuracy 0.900, 0.300 ahead of Other" in text
    assert "standard error of that lead is 0.046 on these 100 test rows" in text
    assert text.endswith("so it is more than chance.")


@pytest.mark.parametrize(
    ("shared", "only_first", "only_second", "judged"),
    [
        (50, 10, 9, "they cannot be told apart"),
        (50, 10, 4, "it may well be chance"),
        (50, 10, 2, "it is probably more than chance"),
    ],
)
def test_difference_is_paired(shared, only_first, only_second, judged):
    first = [1] * (shared + only_first) + [0] * (100 - shared - only_first)
    second = [1] * shared + [0] * only_first + [1] * only_second + [0] * (100 - shared - only_first - only_second)
    assert judged in verdict(result("A", first), result("B", second))


def test_tie():
    text = verdict(result("A", right(50)), result("B", right(50)))
    assert "A and B share the first place with accuracy 0.500" in text
    assert "the standard error of their difference is 0.000" in text
    assert "cannot be told apart" in text


def test_kernel_machine_far_behind_is_said():
    text = verdict(result("NTK machine", right(20)), result("B", right(50)), result("C", right(60)))
    assert text.startswith("C comes first")
    assert "the NTK machine is 0.400 behind the first (standard error 0.049)" in text


@pytest.mark.parametrize(
    ("value", "text"),
    [(3, "3"), (np.int64(3), "3"), (0.000123456, "0.000123"), (2.0, "2"), (56.78, "56.8"), (123456.0, "123456"),
     (1e-7, "1e-07"), (1.5e9, "1.5e+09")],
)  # fmt: skip
def test_numbers(value, text):
    assert format_number(value) == text


@pytest.mark.parametrize(
    ("value", "text"), [(0.5, "0.500"), (0.07645, "0.0765"), (16.05, "16.1"), (123456.7, "123457")]
)
def test_scores(value, text):
    assert format_score(value) == text


def test_chosen_hyperparameters_of_the_network_come_first():
    chosen = {"alpha": 0.5, "weight_var": 2.0, "bias_var": 0.1, "depth": 3}
    assert format_chosen(chosen) == "depth=3, weight_var=2, bias_var=0.1, alpha=0.5"
    assert format_chosen({"readout": "mean", "depth": 1}) == "depth=1, readout=mean"
    assert format_chosen({}) == "none"
