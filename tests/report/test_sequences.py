"""Sequences: the problem, what is compared on it, and distances by time warping."""

import sys
from importlib.machinery import ModuleSpec
from types import ModuleType

import numpy as np
import pytest

from ntkkit import NTK, Recurrent
from ntkkit.datasets import load_japanese_vowels
from ntkkit.networks.sequences import lengths
from ntkkit.report import run, sequences
from ntkkit.report.run import lineup
from ntkkit.report.sequences import (
    NearestNeighbour,
    dtw,
    padded_support_vectors,
    recurrent_machine,
    sequences_problem,
    standardised,
    trained_rnn,
    zero_padded,
)


def warped(x, y):
    """The distance by dynamic time warping, by its recursion."""
    best = np.full((len(x) + 1, len(y) + 1), np.inf)
    best[0, 0] = 0
    for i, j in np.ndindex(len(x), len(y)):
        best[i + 1, j + 1] = np.sum((x[i] - y[j]) ** 2) + min(best[i, j], best[i, j + 1], best[i + 1, j])
    return np.sqrt(best[-1, -1])


@pytest.fixture(params=["stand-in", "tslearn"])
def _library(request, monkeypatch):
    """The library of time warping, or a module that stands in for it where it is not installed."""
    if request.param == "tslearn":
        pytest.importorskip("tslearn")
        return
    for name in ("tslearn", "tslearn.metrics"):
        module = ModuleType(name)
        module.__spec__ = ModuleSpec(name, None)
        monkeypatch.setitem(sys.modules, name, module)
    module.cdist_dtw = lambda X, Y: np.array([[warped(x, y) for y in Y] for x in X])


def test_problem_is_standardised_and_keeps_lengths():
    problem, data = sequences_problem(), load_japanese_vowels()
    assert (len(problem.y_train), len(problem.y_test)) == (270, 370)
    assert (lengths(problem.X_test) == data.lengths[data.test_idx]).all()
    steps = problem.X_train[~np.isnan(problem.X_train[..., 0])].astype(float)
    np.testing.assert_allclose(steps.mean(axis=0), 0, atol=1e-5)
    np.testing.assert_allclose(steps.std(axis=0), 1, atol=1e-5)
    assert problem.X_train.dtype == np.float32
    assert "7 to 29 steps of 12 features" in " ".join(problem.facts)


def test_test_sequences_do_not_standardise(rng):
    X = rng.normal(size=(5, 4, 2))
    X[3:] += 100
    assert standardised(X, np.arange(3))[:3].mean() == pytest.approx(0, abs=1e-12)


def test_padding_becomes_zeros():
    X = np.array([[[1.0, 2.0], [3.0, 4.0]], [[5.0, 6.0], [np.nan, np.nan]]])
    assert zero_padded(X).tolist() == [[1, 2, 3, 4], [5, 6, 0, 0]]


def test_models_and_their_grids(small_sequences):
    X = small_sequences.X_train
    candidate = recurrent_machine(small_sequences, X)
    assert [part["model__kernel__network__depth"] for part in candidate.grid] == [[1], [2]]
    for part in candidate.grid:
        names = ("depth", "recurrent_weight_var", "bias_var", "readout")
        network = Recurrent(**{name: part[f"model__kernel__network__{name}"][0] for name in names})
        assert part["model__alpha"] == pytest.approx([0.01 * NTK(network).diag(X).mean()], rel=1e-5)
    machine = padded_support_vectors(small_sequences, X)
    fitted = machine.estimator.fit(X, small_sequences.y_train)
    assert fitted[-1].n_features_in_ == X.shape[1] * X.shape[2]
    chosen = {"depth": 2, "readout": "mean", "bias_var": 0.5, "recurrent_weight_var": 1.0, "alpha": 1e-3}
    trained = trained_rnn(small_sequences, X, chosen=chosen, random_state=0)
    wanted = Recurrent(depth=2, readout="mean", bias_var=0.5, recurrent_weight_var=1.0)
    assert repr(trained.estimator[-1].network) == repr(wanted)


@pytest.mark.usefixtures("_library")
def test_time_warping(rng):
    X = rng.normal(size=(6, 9, 2))
    for row, length in zip(X, (9, 4, 1, 9, 4, 7), strict=True):
        row[length:] = np.nan
    parts = [row[~np.isnan(row[:, 0])] for row in X]
    expected = [[warped(x, y) for y in parts[:4]] for x in parts]
    np.testing.assert_allclose(dtw(X, X[:4]), expected, rtol=1e-12)
    model = NearestNeighbour().fit(X[:4], np.array(["b", "a", "c", "a"]))
    assert model.predict(X[:4]).tolist() == ["b", "a", "c", "a"]
    np.testing.assert_allclose(
        -model.decision_function(X), [[min(row[1], row[3]), row[0], row[2]] for row in expected], rtol=1e-12
    )


@pytest.mark.usefixtures("_library")
def test_time_warping_where_it_is_installed(small_sequences):
    assert not any("left out" in fact for fact in sequences_problem().facts)
    assert len(lineup(small_sequences, random_state=0)[0]) == 3


def test_time_warping_where_it_is_not_installed(small_sequences, monkeypatch):
    for module in (run, sequences):
        monkeypatch.setattr(module, "has_dtw", lambda: False)
    assert 'tslearn not found (pip install "ntkkit[benchmark]")' in sequences_problem().facts[-1]
    assert len(lineup(small_sequences, random_state=0)[0]) == 2
