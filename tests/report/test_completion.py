"""A table with empty cells: what is filled and what stays as it is, who fills best, and one line for every error."""

import csv

import numpy as np
import pandas as pd
import pytest
from matplotlib.image import imread
from sklearn.impute import KNNImputer, SimpleImputer

import ntkkit.__main__ as command
from ntkkit import NeuralMatrixCompleter
from ntkkit.datasets import load_concrete
from ntkkit.report import completion, imputers
from ntkkit.report.cells import read_cells
from ntkkit.report.completion_text import errors_by_column, format_columns, format_verdict
from ntkkit.report.imputers import Filled, Method, Trial, compare_methods, hide, make_methods
from ntkkit.report.problem import ReportError


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.fixture
def few_methods(monkeypatch):
    """The network with one setting, and the column mean."""

    def make(n_columns, *, random_state):
        network, *_, mean = make_methods(n_columns, random_state=random_state)
        return [Method(network.name, network.settings[:1]), mean]

    monkeypatch.setattr(imputers, "make_methods", make)


def rows_of(path, **settings):
    with path.open(newline="", **settings) as file:
        return list(csv.reader(file, delimiter=";" if settings else ","))


# ---- reading and writing

TABLE = """\
name;height;weight;smoker;"a ""quoted""; name";none;none
Köln;1,750;70,5;True;a;;x
Ulm;;80;False;"b ""c"" d";;
Bonn;1,5;;NA;?;;"y; z"
Ulm;1,60;60;True;a;;
"""


@pytest.fixture
def odd_table(tmp_path):
    path = tmp_path / "odd.csv"
    with path.open("w", encoding="cp1252", newline="") as file:
        file.write((TABLE + "Ulm;1,7;75;False;a;;\n" * 6).replace("\n", "\r\n"))
    return path


def test_filled_cells_alone_differ_from_the_text(odd_table):
    cells = read_cells(odd_table)
    assert [column.name for column in cells.columns] == ["height", "weight", "smoker"]
    filled = cells.finish(np.where(np.isnan(cells.values), 0.6, cells.values))
    (odd_table.parent / "filled.csv").write_bytes(cells.as_csv(filled))
    before, after = (rows_of(odd_table.parent / name, encoding="cp1252") for name in ("odd.csv", "filled.csv"))
    assert b"\r\n" in (odd_table.parent / "filled.csv").read_bytes()
    changed = {(i, j): cell for i, row in enumerate(after) for j, cell in enumerate(row) if cell != before[i][j]}
    # the least height with three decimals, the least weight with one, the likelier truth value
    assert changed == {(2, 1): "1,500", (3, 2): "60,0", (3, 3): "True"}
    said = " ".join(cells.notes)
    assert "semicolons" in said
    assert "decimal commas" in said
    assert "Windows-1252" in said


def test_numbers_are_kept_in_range_and_whole_and_as_precise_as_their_column(tmp_path, rng):
    n = 12
    frame = pd.DataFrame(
        {"count": [1.0, 5.0, None] * 4, "price": ["1.25", "9.5", ""] * 4, "tiny": ["1e-7", "", "3e-7"] * 4}
    )
    frame["row"], frame["inf"] = range(n), ["inf", "", *map(str, range(1, n - 1))]
    frame["typed"] = ["unknown", *map(str, range(n - 1))] if n > 20 else range(1, n + 1)
    path = tmp_path / "table.csv"
    frame.to_csv(path, index=False)
    cells = read_cells(path)
    assert [column.name for column in cells.columns] == ["count", "price", "tiny", "inf"]  # no counts of the rows
    assert cells.empty.sum(axis=0).tolist() == [4, 4, 4, 1]
    assert "Column inf: infinite numbers are left as they are." in cells.notes
    filled = cells.finish(np.where(np.isnan(cells.values), [-3.0, 2.34567, 1.23456789e-7, 2.5], cells.values))
    (tmp_path / "filled.csv").write_bytes(cells.as_csv(filled))
    _, *rows = rows_of(tmp_path / "filled.csv")
    assert rows[2][:2] == ["1.0", "2.35"]
    assert rows[1][2] == "1.23457e-07"
    assert [row[4] for row in rows[:3]] == ["inf", "2", "1"]


def test_words_among_numbers_are_filled_and_columns_without_numbers_are_not(tmp_path, rng):
    frame = pd.DataFrame({"x": rng.normal(size=40), "city": ["Ulm", None] * 20, "empty": np.nan, "same": 1})
    frame["typed"] = ["unknown", *map(str, rng.integers(100, size=39))]
    path = tmp_path / "table.csv"
    frame.to_csv(path, index=False)
    cells = read_cells(path)
    assert [column.name for column in cells.columns] == ["x", "typed"]
    assert cells.empty.sum(axis=0).tolist() == [0, 1]
    assert "Column typed: words in it are taken for empty cells." in cells.notes
    assert "Column city: no numbers, left with 20 empty cells." in cells.notes
    assert "Column empty: without any value, left with 40 empty cells." in cells.notes


def test_names_of_rows_and_equal_names_of_columns_stay(tmp_path):
    path = tmp_path / "table.csv"
    path.write_text("x,,x\n" + "".join(f"00{i},{i},{i}.5,{i}\n" for i in range(7)) + "a,1,,2\n" * 3)
    cells = read_cells(path)
    assert cells.format.n_row_names == 1
    out = cells.as_csv(np.where(np.isnan(cells.values), 3.5, cells.values)).decode()
    assert out == path.read_text().replace("a,1,,2", "a,1,3.5,2")


# ---- hidden cells


def test_hidden_cells_leave_every_row_one_and_every_column_two(rng):
    values = np.where(rng.random((30, 6)) < 0.7, np.nan, rng.standard_normal((30, 6)))
    values[:, 5] = 1.0
    for _ in range(20):
        mask = hide(values, rng)
        left = ~np.isnan(np.where(mask, np.nan, values))
        assert mask.sum() == round(0.1 * np.isfinite(values).sum())
        assert not mask[:, 5].any()  # constant
        assert not (mask & np.isnan(values)).any()
        assert left.any(axis=1).all()
        assert (left.sum(axis=0) >= 2).all()
    counts = sum(hide(rng.standard_normal((40, 5)), rng) for _ in range(300))
    assert counts.min() > 8  # of 30 expected: nowhere is spared
    with pytest.raises(ReportError, match="too few cells"):
        hide(np.diag(np.arange(4.0)) + np.where(np.eye(4), 0, np.nan), rng)


def test_methods_are_tuned_on_other_cells_and_scored_in_standard_deviations(rng, monkeypatch):
    u = rng.standard_normal((60, 1))
    truth = np.hstack([u + 0.1 * rng.standard_normal((60, 1)) for _ in range(5)]) * [1, 1, 10, 100, 1000]
    truth[3, 3] = np.nan
    neighbours = [({"n_neighbors": n}, KNNImputer(n_neighbors=n)) for n in (59, 3)]
    monkeypatch.setattr(
        imputers, "make_methods", lambda *a, **k: [Method("near", neighbours), Method("mean", [({}, SimpleImputer())])]
    )
    said = []
    trial = compare_methods(truth, lambda table: table, random_state=0, say=said.append)
    near, mean = trial.results
    assert near.chosen == {"n_neighbors": 3}
    assert near.n_settings == 2
    assert len(trial.hidden) == 5  # thirty cells a time
    assert len(trial.columns) == len(near.errors) == 150
    assert near.rmse < 0.3
    assert mean.rmse == pytest.approx(1, abs=0.3)
    training = np.where(trial.hidden[0], np.nan, truth)
    expected = (np.nanmean(training, axis=0) - truth) / np.nanstd(training, axis=0)
    assert mean.errors[:30] == pytest.approx(expected[trial.hidden[0]])
    assert "150 in 5 turns" in said[0]
    counts, errors = errors_by_column(trial, 5)
    assert np.sqrt((counts * errors[1] ** 2).sum() / 150) == pytest.approx(mean.rmse)


def test_the_network_is_compared_tuned_with_its_peers():
    methods = make_methods(120, random_state=0)
    assert [method.name for method in methods] == ["NTK completer", "KNNImputer", "IterativeImputer", "column mean"]
    assert all(isinstance(imputer, NeuralMatrixCompleter) for _, imputer in methods[0].settings)
    for n_columns, nearest in ((20, ["all"]), (66, ["all", 30]), (120, [30])):
        settings = make_methods(n_columns, random_state=0)[2].settings
        assert [chosen["columns"] for chosen, _ in settings] == nearest


def trial_of(*errors):
    """Methods with these errors on two columns of cells."""
    n = len(errors[0])
    names = ["network", "peer", "mean"]
    results = [
        Filled(name, np.asarray(e), np.zeros((n, 1)), {}, None, 1, 0.0) for name, e in zip(names, errors, strict=False)
    ]
    hidden = np.zeros((n, 2), dtype=bool)
    hidden[np.arange(n), np.arange(n) % 2] = True
    return Trial(results, np.zeros((n, 2)), [hidden])


def test_verdict():
    ones = np.ones(40)
    assert format_verdict(trial_of(ones, 2 * ones)).startswith(
        "network comes first with RMSE 1.000, before peer with 2.000; by the hidden cells, it is more than chance."
    )
    text = format_verdict(trial_of(2 * ones, ones, 3 * ones))
    assert text.startswith("peer comes first with RMSE 1.000, before network")
    assert text.endswith("The table is filled by the network. For tables like this one, peer is the better choice.")
    text = format_verdict(trial_of(np.r_[ones, 2], np.r_[2, ones]))
    assert "share the first place" in text
    assert text.endswith("The table is filled by the network.")


def test_columns_with_few_hidden_cells_are_not_judged():
    errors = np.ones(9)
    text = format_columns(trial_of(errors, errors), ["often", "rarely"], np.zeros((9, 2), dtype=bool))
    assert "often" in text
    assert "rarely" not in text
    assert format_columns(trial_of(errors[:4], errors[:4]), ["a", "b"], np.zeros((4, 2), dtype=bool)).startswith(
        "No column"
    )


# ---- the command


@pytest.fixture
def concrete(tmp_path, rng):
    """A hundred mixtures with a tenth of their cells empty, a name and a truth value each; and the truth."""
    data = load_concrete()
    truth = pd.DataFrame(data.data[::10].astype(float), columns=data.feature_names)
    truth["strong"] = data.target[::10] > 35
    table = truth.astype(object).where(rng.random(truth.shape) > 0.1)
    for frame in (truth, table):
        frame.insert(0, "mixture", [f"m{i:04d}" for i in range(len(frame))])
    table.loc[50, table.columns[1:]] = None
    path = tmp_path / "concrete.csv"
    table.to_csv(path, index=False)
    return path, truth


def test_whole_job(concrete, tmp_path, capsys):
    path, truth = concrete
    output = tmp_path / "report"
    assert command.main(["--complete", str(path), "--output", str(output)]) == 0
    printed = capsys.readouterr().out
    before, after = rows_of(path), rows_of(output / "completed.csv")
    changed = [(i, j) for i, row in enumerate(after) for j, cell in enumerate(row) if cell != before[i][j]]
    assert all(before[i][j] == "" and after[i][j] != "" for i, j in changed)
    assert not any("" in row for row in after)
    completed = pd.read_csv(output / "completed.csv")
    names = [name for name in truth if name not in ("mixture", "strong")]
    error = ((completed[names] - truth[names]) / truth[names].std()).to_numpy()
    filled = np.array([(i - 1, j - 1) for i, j in changed if j <= len(names) and i != 51])
    assert np.sqrt(np.mean(error[tuple(filled.T)] ** 2)) < 0.95
    assert completed["strong"].dtype == bool
    assert f"{len(changed)} of whose" in printed
    assert "Column strong: truth values" in printed
    assert "Rows without any number, filled with the columns' means: 1." in printed
    assert "comes first with RMSE" in printed
    errors = pd.read_csv(output / "errors.csv")
    assert errors["column"].tolist() == [*names, "strong"]
    assert errors["empty_cells"].sum() == len(changed)
    assert {"rmse_ntk_completer", "rmse_knnimputer", "rmse_iterativeimputer", "rmse_column_mean"} < set(errors)
    assert min(imread(output / "completion.png").shape[:2]) > 500
    for name in ("completed.csv", "errors.csv", "completion.png"):
        assert str(output / name) in printed


def test_large_tables_are_tried_in_part_and_filled_whole(few_methods, concrete, monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(completion, "LEAST_TRIAL_ROWS", 20)
    monkeypatch.setattr(completion, "MOST_TRIAL_ROWS", 20)
    monkeypatch.setattr(completion, "FIT_ROWS", 2)
    assert command.main([str(concrete[0]), "--complete", "--output", str(tmp_path)]) == 0
    printed = capsys.readouterr().out
    assert "cells are hidden in 20 random rows, and in the end features of the columns are learned from 40" in printed
    assert not pd.read_csv(tmp_path / "completed.csv").isna().to_numpy().any()


def columns(**values):
    return pd.DataFrame(values).to_csv(index=False)


NUMBERS = np.random.default_rng(0).normal(size=40)
HOLES = np.where(np.arange(40) % 5, NUMBERS, np.nan)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (columns(x=NUMBERS, y=NUMBERS[::-1]), "no empty cell in its 2 columns of numbers: nothing to complete"),
        (
            columns(x=NUMBERS, city=["Ulm", None] * 20),
            "nothing to complete; Column city: no numbers, left with 20 empty",
        ),
        (columns(city=["Ulm", None] * 20), "has no column of numbers to complete: Column city"),
        (columns(x=HOLES[:9], y=NUMBERS[:9]), "has 9 rows; at least 10"),
        (columns(x=HOLES), "no row has two numbers"),
        (columns(x=HOLES, y=np.where(np.isnan(HOLES), NUMBERS, np.nan)), "no row has two numbers"),
        (columns(x=[1, None] * 20, y=[3, None, 3, 3] * 10), "too few cells are observed"),
        ("", "is empty"),
        ("x,y\n", "has 0 rows"),
        ("a,b\n1,2\n1,2,3,4\n", "cannot be read as a table"),
    ],
)
def test_tables_that_cannot_be_completed(tmp_path, capsys, content, message):
    path = tmp_path / "table.csv"
    path.write_text(content)
    assert command.main(["--complete", str(path), "--output", str(tmp_path / "report")]) == 2
    printed = capsys.readouterr().err
    assert message in printed
    assert printed.startswith("python -m ntkkit: error: ")
    assert printed.count("\n") == 1
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--complete"], "--complete fills a table: name a CSV file"),
        (["--complete", "--images"], "not allowed with argument"),
        (["--complete", "--sequences"], "not allowed with argument"),
        (["--complete", "t.csv", "--target", "y"], "leave out --target, --task and --test-size"),
        (["--complete", "t.csv", "--test-size", "0.5"], "leave out --target, --task and --test-size"),
    ],
)
def test_wrong_arguments(capsys, arguments, message):
    with pytest.raises(SystemExit) as caught:
        command.main(arguments)
    assert caught.value.code == 2
    printed = capsys.readouterr().err
    assert message in printed
    assert printed.count("\n") == 1


def test_too_many_columns(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(completion, "MOST_COLUMNS", 1)
    path = tmp_path / "table.csv"
    path.write_text(columns(x=HOLES, y=NUMBERS))
    assert command.main(["--complete", str(path), "--output", str(tmp_path)]) == 2
    assert "has 2 columns of numbers; more than 1 take hours" in capsys.readouterr().err
