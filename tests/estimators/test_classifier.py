"""The classifier against scikit-learn's ridge, and labels of any type."""

import numpy as np
import pandas as pd
import polars as pl
import pytest
from sklearn.datasets import load_iris, make_blobs
from sklearn.gaussian_process.kernels import DotProduct
from sklearn.linear_model import RidgeClassifier
from sklearn.metrics import balanced_accuracy_score, recall_score
from sklearn.multioutput import MultiOutputClassifier

from ntkkit.estimators import NeuralKernelClassifier, NeuralKernelRegressor


@pytest.mark.parametrize("n_classes", [2, 3, 5])
@pytest.mark.parametrize("weighted", [False, True])
def test_equal_to_ridge_classifier_with_the_linear_kernel(n_classes, weighted):
    X, y = make_blobs(50, 3, centers=n_classes, random_state=0)
    weights = np.random.default_rng(0).uniform(0, 2, size=50) if weighted else None
    ours = NeuralKernelClassifier(DotProduct(0.0), alpha=2.0).fit(X, y, weights)
    theirs = RidgeClassifier(alpha=2.0, fit_intercept=False, solver="cholesky").fit(X, y, weights)
    np.testing.assert_allclose(ours.decision_function(X), theirs.decision_function(X), atol=1e-9)
    np.testing.assert_array_equal(ours.predict(X), theirs.predict(X))
    np.testing.assert_array_equal(ours.classes_, theirs.classes_)
    assert ours.dual_coef_.shape == ((50,) if n_classes == 2 else (50, n_classes))


NUMBERS = np.arange(30) % 3
LABELS = {
    "int": NUMBERS,
    "negative int8": (NUMBERS * 50 - 100).astype(np.int8),
    "whole floats": NUMBERS.astype(float),
    "str": np.array(["ash", "birch", "cedar"])[NUMBERS],
    "object str": np.array(["ash", "birch", "cedar"], dtype=object)[NUMBERS],
    "bool": NUMBERS > 0,
    "list of str": [["ash", "birch", "cedar"][i] for i in NUMBERS],
    "pandas str": pd.Series(["ash", "birch", "cedar"])[NUMBERS].reset_index(drop=True),
    "pandas categorical": pd.Series(["ash", "birch", "cedar"])[NUMBERS].astype("category").reset_index(drop=True),
    "pandas bool": pd.Series(NUMBERS > 0),
    "polars": pl.Series(["ash", "birch", "cedar"])[NUMBERS.tolist()],
}


@pytest.mark.parametrize("name", LABELS)
def test_labels_of_any_type(name):
    y = LABELS[name]
    X = np.random.default_rng(0).normal(size=(30, 2)) + 5 * np.eye(3)[NUMBERS, :2]
    model = NeuralKernelClassifier(alpha=0).fit(X, y)
    found, expected = model.predict(X), np.asarray(y)
    assert set(found) == set(expected)
    np.testing.assert_array_equal(found, expected)
    assert model.score(X, y) == 1.0
    n_classes = len(set(expected))
    assert model.decision_function(X).shape == ((30,) if n_classes == 2 else (30, n_classes))


def test_a_class_of_weight_zero_is_no_class():
    X, y = load_iris(return_X_y=True)
    weights = (y != 1).astype(float)
    weighted = NeuralKernelClassifier().fit(X, y, weights)
    removed = NeuralKernelClassifier().fit(X[y != 1], y[y != 1])
    np.testing.assert_array_equal(weighted.classes_, [0, 2])
    np.testing.assert_allclose(weighted.decision_function(X), removed.decision_function(X), rtol=1e-8, atol=1e-10)


def test_several_labels_a_sample_by_a_wrapper():
    X, y = load_iris(return_X_y=True)
    labels = np.stack([y > 0, y > 1], axis=1).astype(int)
    assert MultiOutputClassifier(NeuralKernelClassifier()).fit(X, labels).predict(X).shape == (150, 2)


def test_several_labels_are_a_machine_each(rng):
    X, X_test = rng.standard_normal((40, 3)), rng.standard_normal((10, 3))
    y = np.stack([X[:, 0] > 0, X[:, 1] + X[:, 2] > 0, X[:, 0] * X[:, 1] > 0], axis=1).astype(int)
    model = NeuralKernelClassifier(alpha=0.1).fit(X, y)
    assert model.predict(X_test).shape == (10, 3)
    for i in range(3):
        alone = NeuralKernelClassifier(alpha=0.1).fit(X, y[:, i])
        np.testing.assert_array_equal(model.predict(X_test)[:, i], alone.predict(X_test))
        np.testing.assert_allclose(model.decision_function(X_test)[:, i], alone.decision_function(X_test), rtol=1e-9)
    assert 0 < model.score(X, y) <= 1


def test_class_weights_are_sample_weights_around_their_mean(rng):
    X, X_test = rng.standard_normal((50, 2)), rng.standard_normal((20, 2))
    y = np.where(X[:, 0] > 1.0, "rare", "usual")
    weights = np.where(y == "rare", 3.0, 1.0) * np.linspace(1, 2, 50)
    model = NeuralKernelClassifier(alpha=1.0, class_weight={"rare": 3.0})
    found = model.fit(X, y, sample_weight=np.linspace(1, 2, 50)).decision_function(X_test)
    targets = np.where(y == "usual", 1.0, -1.0)
    mean = np.average(targets, weights=weights)
    machine = NeuralKernelRegressor(alpha=1.0).fit(X, targets - mean, sample_weight=weights)
    np.testing.assert_allclose(found, machine.predict(X_test) + mean, rtol=1e-10)
    assert model.predict([[1e-9, 0.0]]) == ["usual"]


def test_balance_finds_the_rare_class():
    X, y = make_blobs([270, 30], centers=[[0.0, 0.0], [2.0, 0.0]], random_state=0)
    plain, balanced = (
        NeuralKernelClassifier(alpha=30.0, class_weight=weight).fit(X[::2], y[::2]).predict(X[1::2])
        for weight in (None, "balanced")
    )
    assert recall_score(y[1::2], balanced) > recall_score(y[1::2], plain) + 0.2
    assert balanced_accuracy_score(y[1::2], balanced) > balanced_accuracy_score(y[1::2], plain)


@pytest.mark.parametrize(
    ("weight", "y", "message"),
    [
        ({0: -1.0}, [0, 1, 0, 1], "class_weight must be finite and positive"),
        ("balanced", np.eye(4, 2, dtype=int), "needs one label a sample"),
        ("equal", [0, 1, 0, 1], "class_weight"),
    ],
)
def test_bad_class_weights(weight, y, message):
    with pytest.raises(ValueError, match=message):
        NeuralKernelClassifier(class_weight=weight).fit(np.eye(4), np.asarray(y))
