"""A user's table: which task, which columns and rows, and what the models are given."""

import numpy as np
import pandas as pd
import pytest

from ntkkit.report.columns import choose_columns
from ntkkit.report.problem import ReportError
from ntkkit.report.run import subsample
from ntkkit.report.table import MISSING, MOST_CATEGORIES, choose_target, table_problem


def write(tmp_path, **columns):
    path = tmp_path / "table.csv"
    pd.DataFrame(columns).to_csv(path, index=False)
    return path


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.mark.parametrize(
    ("values", "task"),
    [
        (["a", "b"] * 20, "classification"),
        ([True, False] * 20, "classification"),
        ([True, None] * 10 + [False] * 20, "classification"),
        ([1, 2, 3, 4] * 10, "classification"),
        ([1.0, 2.0, np.nan, 4.0] * 10, "classification"),
        ([0.5, 1.5, 2.5, 3.5] * 10, "regression"),
        (list(range(40)), "regression"),
        ([3, 5, 8, 9, 11, 12, 14, 15, 17, 20] * 4, "regression"),  # four rows a value: rather counts than codes
        (np.random.default_rng(0).normal(size=40), "regression"),
    ],
)
def test_task_by_what_the_target_looks_like(values, task):
    found = choose_target(pd.Series(values), "y", None)
    assert found.task == task
    assert len(found.values) == len(found.rows) == pd.Series(values).notna().sum()


def test_task_can_be_forced():
    numbers = pd.Series([1, 2, 3, 4] * 10)
    assert choose_target(numbers, "y", "regression").values.dtype == float
    assert choose_target(numbers / 2, "y", "classification").values.tolist()[:2] == ["0.5", "1.0"]
    with pytest.raises(ReportError, match="not numeric"):
        choose_target(pd.Series(["a", "b"] * 20), "y", "regression")


@pytest.mark.parametrize("values", [["a"] * 30, [1.5] * 30, [1.5] * 29 + [np.inf]])
def test_constant_target(values):
    with pytest.raises(ReportError, match="has only one value"):
        choose_target(pd.Series(values), "y", None)


def test_target_without_values():
    with pytest.raises(ReportError, match="has no values"):
        choose_target(pd.Series([np.nan] * 30), "y", None)


def test_kinds_of_columns(rng):
    n = 60
    frame = pd.DataFrame(
        {
            "row": np.arange(1, n + 1),
            "name": [f"person {i}" for i in range(n)],
            "constant": 7,
            "same": "yes",
            "empty": np.nan,
            "number": rng.normal(size=n),
            "infinite": [np.inf, *rng.normal(size=n - 1)],
            "year": np.arange(1950, 1950 + n),
            "city": rng.choice(["Ulm", "Bonn"], n),
            "flag": rng.random(n) < 0.5,
            "answered": ["yes", None] * (n // 2),
            "day": pd.date_range("2024-01-01", periods=n).strftime("%d.%m.%Y"),
            "typed": [*map(str, range(1, n)), "unknown"],
        }
    )
    columns = choose_columns(frame)
    assert columns.numeric == ["number", "infinite", "year", "day", "typed"]
    assert columns.categorical == ["city", "flag", "answered"]
    assert list(columns.frame) == ["number", "infinite", "year", "city", "flag", "answered", "day", "typed"]
    assert np.isnan(columns.frame["infinite"][0])
    assert np.isnan(columns.frame["typed"][n - 1])
    assert np.diff(columns.frame["day"]).tolist() == [1.0] * (n - 1)
    assert columns.frame["answered"].isna().sum() == n // 2
    said = " ".join(columns.notes)
    for name in ["row", "name", "constant", "same", "empty", "day", "typed"]:
        assert name in said


@pytest.mark.parametrize(
    ("dates", "days"),
    [
        (["2024-01-31", "2024-02-01"], 1.0),
        (["2024-01-31 12:00", "2024-02-01T00:00:00"], 0.5),
        (["31/01/2024", "01/02/2024"], 1.0),
        (["01/31/2024", "02/01/2024"], 1.0),
    ],
)
def test_dates_become_days(dates, days):
    columns = choose_columns(pd.DataFrame({"when": dates}))
    assert columns.numeric == ["when"]
    assert np.diff(columns.frame["when"]).tolist() == [days]


def test_what_the_models_are_given(tmp_path, rng):
    n = 80
    path = write(
        tmp_path,
        x=np.where(rng.random(n) < 0.2, np.nan, rng.normal(5, 3, n)),
        city=np.where(rng.random(n) < 0.2, None, rng.choice(["Ulm", "Bonn"], n)),
        y=rng.normal(size=n),
    )
    problem = table_problem(path, "y")
    rows = problem.prepare.fit_transform(problem.X_train)
    assert rows.shape == (60, 1 + 3 + 1)  # the number, two cities and none, whether the number is missing
    assert rows.dtype == np.float32
    assert abs(rows[:, 0].mean()) < 1e-6
    assert abs(rows[:, 0].std() - 1) < 1e-6
    assert (rows[:, 1:4].sum(axis=1) == 1).all()
    assert (rows[:, 4] == problem.X_train["x"].isna()).all()
    unseen = problem.X_test.assign(city="Paris")
    assert (problem.prepare.transform(unseen)[:, 1:4] == 0).all()
    some = problem.prepare.fit(problem.X_train.iloc[:10]).transform(problem.X_test)
    assert some.shape == (20, 5), "every fold must have the same columns"


def test_only_the_commonest_categories_get_columns(tmp_path, rng):
    path = write(tmp_path, code=rng.choice([f"k{i}" for i in range(100)], 1000), y=rng.normal(size=1000))
    problem = table_problem(path, "y")
    assert problem.prepare.fit_transform(problem.X_train).shape[1] == MOST_CATEGORIES
    assert MISSING not in problem.X_train["code"].to_list()


def test_rows_without_target_and_rare_classes_are_left_out_and_said(tmp_path, rng):
    y = np.array(["a", "b"] * 30, dtype=object)
    y[:2], y[2:5] = "rare", None
    path = write(tmp_path, x=rng.normal(size=60), y=y)
    problem = table_problem(path, "y")
    assert len(problem.y_train) + len(problem.y_test) == 55
    assert set(problem.y_train) == set(problem.y_test) == {"a", "b"}
    assert "Rows without a value of 'y' are left out: 3." in problem.facts
    assert any("rare" in fact and "2 rows" in fact for fact in problem.facts)


@pytest.mark.parametrize("test_size", [0.1, 0.25, 0.6])
def test_every_class_is_on_both_sides_where_it_can_be(tmp_path, rng, test_size):
    y = np.repeat(["a", "b", "c"], [40, 30, 10])
    problem = table_problem(write(tmp_path, x=rng.normal(size=80), y=y), "y", test_size=test_size)
    assert np.unique(problem.y_train, return_counts=True)[1].min() >= 2
    assert len(problem.y_test) == pytest.approx(80 * test_size, abs=1)


def test_split_follows_the_random_state(tmp_path, rng):
    path = write(tmp_path, x=rng.normal(size=60), y=rng.normal(size=60))
    first, again, other = (table_problem(path, "y", random_state=seed).y_test for seed in (0, 0, 1))
    assert (first == again).all()
    assert (first != other).any()


def test_large_tables_are_cut_and_it_is_said(tmp_path, rng):
    n = 24000
    path = write(tmp_path, x=rng.normal(size=n), y=np.where(rng.random(n) < 0.9, "a", "b"))
    problem = table_problem(path, "y")
    assert (len(problem.y_train), len(problem.y_test)) == (5000, 5000)
    assert any("18000 training rows" in fact and "5000" in fact for fact in problem.facts)
    assert np.mean(problem.y_train == "a") == pytest.approx(0.9, abs=0.01)


def test_subsample_keeps_classes_in_proportion_and_three_of_each():
    y = np.repeat(["a", "b", "c"], [900, 97, 3])
    rows = subsample(y, 100, task="classification", random_state=0)
    counts = dict(zip(*np.unique(y[rows], return_counts=True), strict=True))
    assert counts["c"] == 3
    assert counts["b"] == pytest.approx(10, abs=2)
    assert len(set(rows)) == 100
    assert (np.diff(rows) > 0).all()
    assert subsample(y, 5000, task="classification", random_state=0).tolist() == list(range(1000))
