"""The job on small data: what it returns, prints, draws and writes."""

import csv
import dataclasses
import io
import json
import sys
import warnings

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.image import imread
from sklearn.model_selection import KFold, StratifiedKFold

from ntkkit.report import run as job
from ntkkit.report.diagnosis import diagnose
from ntkkit.report.output import PICTURE, TABLE, as_csv, check_directory, write_report
from ntkkit.report.plots import draw_report
from ntkkit.report.problem import ReportError
from ntkkit.report.run import baseline, compare_models, make_folds
from ntkkit.report.table import table_problem
from ntkkit.report.text import format_table, format_verdict


@pytest.fixture(scope="module")
def images(small_images):
    lines = []
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # those that are expected must not reach the user, others must not happen
        return small_images, compare_models(small_images, random_state=0, say=lines.append), lines


def test_models_are_compared_on_the_test_rows(images):
    problem, results, lines = images
    assert [result.name for result in results] == [
        "NTK machine",
        "SVM (RBF kernel)",
        "Random forest",
        f"Trained net ({max(results[0].chosen['depth'], 1)} x 8)",
    ]
    for result in results:
        assert list(result.scores) == ["accuracy", "log-loss"]
        assert result.scores["accuracy"] == np.mean(result.predictions == problem.y_test) == result.credits.mean()
        assert 0 < result.scores["log-loss"] < np.log(10) + 0.1
        share = result.scores["accuracy"]
        assert result.standard_error == pytest.approx(np.sqrt(share * (1 - share) / 100))
    assert results[0].scores["accuracy"] > 0.6
    assert sorted(results[0].by_depth) == [0, 1]
    assert results[0].cv_score == max(score for score, _ in results[0].by_depth.values())
    assert set(results[0].chosen) == {"depth", "weight_var", "bias_var", "alpha"}
    assert [result.n_settings for result in results] == [2, 1, 1, 1]
    assert any(line.strip().startswith("4/4  trained network of depth") for line in lines)


def test_ntk_machine_is_what_the_library_computes_by_itself(images):
    from ntkkit import NTK, FullyConnected
    from ntkkit.estimators import NeuralKernelClassifier

    problem, results, _ = images
    chosen = dict(results[0].chosen)
    alpha = chosen.pop("alpha")
    model = NeuralKernelClassifier(NTK(FullyConnected(**chosen)), alpha=alpha).fit(problem.X_train, problem.y_train)
    assert (model.predict(problem.X_test) == results[0].predictions).all()


def test_picture_of_images(images):
    problem, results, _ = images
    before, pyplot = dict(mpl.rcParams), "matplotlib.pyplot" in sys.modules
    picture = draw_report(results, problem, diagnose(problem, results[0], random_state=0))
    assert picture.startswith(b"\x89PNG")
    assert min(imread(io.BytesIO(picture)).shape[:2]) > 500
    assert dict(mpl.rcParams) == before
    assert ("matplotlib.pyplot" in sys.modules) == pyplot


def test_picture_where_nothing_is_wrong(images):
    problem, results, _ = images
    perfect = dataclasses.replace(results[0], predictions=problem.y_test)
    assert draw_report([perfect, *results[1:]], problem, diagnose(problem, results[0], random_state=0)).startswith(
        b"\x89PNG"
    )


def test_csv_of_results(images):
    problem, results, _ = images
    rows = list(csv.DictReader(io.StringIO(as_csv(results, problem))))
    assert len(rows) == 4
    assert [float(row["accuracy"]) for row in rows] == sorted((r.scores["accuracy"] for r in results), reverse=True)
    wide = next(row for row in rows if row["model"] == "NTK machine")
    assert json.loads(wide["hyperparameters"]) == results[0].chosen
    assert (wide["training_rows"], wide["test_rows"]) == ("200", "100")


def test_table_of_results(images):
    _, results, _ = images
    table = format_table(results)
    for word in ["accuracy (s.e.)", "log-loss", "search + fit", "predict", "Chosen hyperparameters", "depth="]:
        assert word in table
    assert max(map(len, table.splitlines())) <= 100


@pytest.mark.parametrize("target", ["amount", "label"])
def test_job_on_a_table(csv_file, small_grids, target):
    problem = dataclasses.replace(table_problem(csv_file, target), grids=small_grids)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        results = compare_models(problem, random_state=0, say=lambda line: None)
    scores = ["R2", "RMSE", "MAE"] if target == "amount" else ["accuracy", "log-loss"]
    assert all(list(result.scores) == scores for result in results)
    diagnosis = diagnose(problem, results[0], random_state=0)
    assert draw_report(results, problem, diagnosis).startswith(b"\x89PNG")
    assert format_verdict(results, problem).endswith(".")
    if target == "amount":
        for result in results:
            assert result.credits.mean() == pytest.approx(result.scores["R2"])
            assert result.scores["RMSE"] == pytest.approx(np.sqrt(np.mean((problem.y_test - result.predictions) ** 2)))
        assert results[0].scores["R2"] > 0.5


def test_many_tuning_rows_are_cut_and_it_is_said(csv_file, small_grids, monkeypatch):
    monkeypatch.setattr(job, "N_TUNING_ROWS", 60)
    problem = dataclasses.replace(table_problem(csv_file, "amount"), grids=small_grids)
    lines = []
    results = compare_models(problem, random_state=0, say=lines.append)
    assert "searched on 60 of the training rows" in lines[0]
    assert len(results[0].predictions) == len(problem.y_test) == 30


def test_folds(small_images, csv_file):
    folds = make_folds(small_images, np.arange(200), random_state=0)
    assert isinstance(folds, StratifiedKFold)
    assert folds.get_n_splits() == 3
    assert isinstance(make_folds(table_problem(csv_file, "amount"), np.arange(90), random_state=0), KFold)
    pairs = dataclasses.replace(small_images, y_train=np.array(["a"] * 198 + ["b"] * 2))
    assert make_folds(pairs, np.arange(200), random_state=0).get_n_splits() == 2


def test_baseline(small_images, csv_file):
    assert "10 classes" in baseline(small_images)
    assert "RMSE" in baseline(table_problem(csv_file, "amount"))


def test_report_is_written_whole_and_replaces_the_last(images, tmp_path):
    problem, results, _ = images
    directory = tmp_path / "a" / "b"
    for content in (b"first", b"second"):
        written = write_report(directory, results, problem, {PICTURE: content})
    assert sorted(path.name for path in directory.iterdir()) == sorted([PICTURE, TABLE])
    assert written == [directory / PICTURE, directory / TABLE]
    assert written[0].read_bytes() == b"second"


def test_report_that_cannot_be_written_leaves_nothing(images, tmp_path, monkeypatch):
    problem, results, _ = images

    def full(*args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.replace", full)
    with pytest.raises(ReportError, match="No space left"):
        write_report(tmp_path, results, problem, {PICTURE: b""})
    assert list(tmp_path.iterdir()) == []


def test_directory_is_checked_without_being_made(tmp_path):
    check_directory(tmp_path / "new" / "deep")
    assert list(tmp_path.iterdir()) == []
    file = tmp_path / "file"
    file.write_text("")
    for place in (file, file / "below"):
        with pytest.raises(ReportError, match="is not a directory"):
            check_directory(place)
