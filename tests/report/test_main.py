"""The command line: what it prints, writes and returns, and one line for every error."""

import csv
import importlib.util
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from matplotlib.image import imread

import ntkkit.__main__ as command
from ntkkit.report import run as job
from ntkkit.report import sequences, table


def check_report(directory, models=4, machine="NTK machine"):
    assert min(imread(directory / "report.png").shape[:2]) > 500
    assert min(imread(directory / "widths.png").shape[:2]) > 400
    with (directory / "results.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == models
    assert machine in {row["model"] for row in rows}
    return rows


@pytest.fixture
def small_job(small_images, small_pictures, small_sequences, small_grids, monkeypatch):
    monkeypatch.setattr(command, "images_problem", lambda: small_pictures)
    monkeypatch.setattr(command, "sequences_problem", lambda: small_sequences)
    for module in (job, sequences):
        monkeypatch.setattr(module, "has_dtw", lambda: False)
    monkeypatch.setattr(command, "fashion_problem", lambda: small_images)
    monkeypatch.setattr(table, "TABLE_GRIDS", small_grids)


@pytest.mark.parametrize("arguments", [[], ["--target", "amount"]])  # and "label" below, from a process
def test_whole_job(small_job, csv_file, tmp_path, capsys, arguments):
    output = tmp_path / "report"
    data = [str(csv_file)] if arguments else []
    assert command.main([*data, *arguments, "--output", str(output)]) == 0
    rows = check_report(output)
    printed = capsys.readouterr().out
    for row in rows:
        assert row["model"] in printed
    assert "the standard error of" in printed
    assert "Does the trained network do what the kernel says? At width 512 a trained network is within" in printed
    assert str(output / "report.png") in printed


@pytest.mark.slow
def test_job_on_pictures(small_job, small_pictures, tmp_path, capsys):
    assert command.main(["--images", "--output", str(tmp_path)]) == 0
    rows = check_report(tmp_path, models=6, machine="NTK machine (gap)")
    assert {row["model"] for row in rows} >= {"NTK machine (flatten)", "NTK machine (dense)", "Random forest"}
    assert rows[0]["training_rows"] == rows[0]["test_rows"] == "60"
    printed = capsys.readouterr().out
    assert "6/6  trained convolutional network of depth" in printed
    for text in [*(row["model"] for row in rows), *small_pictures.facts]:
        assert text in printed


@pytest.mark.slow
def test_job_on_sequences(small_job, small_sequences, tmp_path, capsys):
    assert command.main(["--sequences", "--output", str(tmp_path)]) == 0
    rows = check_report(tmp_path, models=3)
    assert {row["model"] for row in rows} >= {"NTK machine", "SVM (RBF kernel)"}
    assert float(next(row for row in rows if row["model"] == "NTK machine")["accuracy"]) > 0.8
    printed = capsys.readouterr().out
    assert "3/3  trained recurrent network of depth" in printed
    assert "readout=last" in printed
    for text in [*(row["model"] for row in rows), *small_sequences.facts]:
        assert text in printed


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere.csv", "--target", "y"], "there is no file nowhere.csv"),
        (["{csv}", "--target", "amuont"], "no column 'amuont', did you mean 'amount'? the columns are: x, z, city"),
        (["{csv}", "--target", "LABEL"], "did you mean 'label'?"),
        (["{csv}", "--target", "qqq"], "no column 'qqq'; the columns are"),
        (["{csv}"], "--target NAME; the columns are: x, z, city, amount, label"),
        (["{csv}", "--target", "label", "--task", "regression"], "not numeric"),
        (["{csv}", "--target", "amount", "--task", "classification"], "too few to learn from"),
        (["{csv}", "--target", "label", "--test-size", "0.01"], "--test-size 0.01"),
        (["{csv}", "--target", "label", "--output", "{csv}"], "is not a directory; choose another --output"),
        (["{csv}", "--target", "label", "--output", "{csv}/below"], "is not a directory; choose another --output"),
    ],
)
def test_errors_are_one_line_and_write_nothing(csv_file, tmp_path, monkeypatch, capsys, arguments, message):
    monkeypatch.chdir(tmp_path)
    assert command.main([argument.format(csv=csv_file) for argument in arguments]) == 2
    printed = capsys.readouterr()
    assert message in printed.err
    assert printed.err.startswith("python -m ntkkit: error: ")
    assert printed.err.count("\n") == 1
    assert printed.out == ""
    assert list(tmp_path.iterdir()) == [csv_file]


def columns(**values):
    return pd.DataFrame(values).to_csv(index=False).encode()


NUMBERS = np.random.default_rng(0).normal(size=40)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"x,y\n", "has column names but no rows"),
        (b"\0\1\2", "is not a text file"),
        (columns(x=NUMBERS, y=[1] * 40), "column 'y' has only one value, 1"),
        (columns(x=NUMBERS, y=[None] * 40), "column 'y' has no values"),
        (columns(x=NUMBERS[:12], y=NUMBERS[:12]), "has 12 usable rows; at least 20"),
        (columns(y=NUMBERS), "no usable column besides 'y': none at all"),
        (columns(x=[1] * 40, name=[f"n{i}" for i in range(40)], y=NUMBERS), "Column x: left out, constant."),
        (columns(x=NUMBERS, y=[f"n{i}" for i in range(40)]), "40 classes on 40 rows"),
    ],
)
def test_tables_that_cannot_be_learned_from(tmp_path, capsys, content, message):
    path = tmp_path / "table.csv"
    path.write_bytes(content)
    assert command.main([str(path), "--target", "y", "--output", str(tmp_path / "report")]) == 2
    printed = capsys.readouterr().err
    assert message in printed
    assert printed.count("\n") == 1
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--target", "y"], "are for a table"),
        (["--test-size", "0.5"], "are for a table"),
        (["--images", "--target", "y"], "are for a table"),
        (["t.csv", "--images"], "leave out the table, or --images"),
        (["t.csv", "--sequences"], "leave out the table, or --sequences"),
        (["--images", "--sequences"], "not allowed with argument --images"),
        (["t.csv", "--target", "y", "--test-size", "1.5"], "must be between 0 and 1"),
        (["t.csv", "--target", "y", "--task", "ranking"], "ranking"),
        (["--random-state", "-1"], "must be between 0 and"),
        (["--nonsense"], "--nonsense"),
    ],
)
def test_wrong_arguments(capsys, arguments, message):
    with pytest.raises(SystemExit) as caught:
        command.main(arguments)
    assert caught.value.code == 2
    printed = capsys.readouterr().err
    assert message in printed
    assert printed.count("\n") == 1


@pytest.mark.parametrize(("missing", "arguments"), [("pandas", []), ("optax", []), ("optax", ["--sequences"])])
def test_missing_packages_are_named_with_the_remedy(monkeypatch, capsys, tmp_path, missing, arguments):
    found = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *rest: None if name == missing else found(name, *rest)
    )
    assert command.main([*arguments, "--output", str(tmp_path)]) == 2
    assert f'{missing} not found; install what this needs: pip install "ntkkit[demo]"' in capsys.readouterr().err


def test_interrupted_job_writes_nothing(small_job, monkeypatch, capsys, tmp_path):
    def interrupt(*args, **kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr(command, "compare_models", interrupt)
    assert command.main(["--output", str(tmp_path / "report")]) == 130
    assert "nothing was written" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


# All settings but the SVM's of C are tried, of small forests and trained networks.
QUICK = """
import dataclasses, runpy
from ntkkit.report import table
table.TABLE_GRIDS = dataclasses.replace(table.TABLE_GRIDS, Cs=(4.0,), n_trees=5, n_epochs=2, width=8)
runpy.run_module("ntkkit", run_name="__main__")
"""


def run_command(*arguments, cwd, how=("-m", "ntkkit")):
    return subprocess.run(
        [sys.executable, *how, *arguments],
        cwd=cwd,
        capture_output=True,
        text=True,
        check=False,
    )


def test_error_from_a_process(tmp_path):
    done = run_command("nowhere.csv", "--target", "y", cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr == "python -m ntkkit: error: there is no file nowhere.csv\n"
    assert done.stdout == ""


@pytest.mark.slow
def test_table_from_a_process(csv_file, tmp_path):
    done = run_command(csv_file.name, "--target", "label", cwd=tmp_path, how=("-c", QUICK))
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    assert "Task: classification" in done.stdout
    for row in check_report(tmp_path / "ntkkit-report"):
        assert row["model"] in done.stdout
