"""The classifier against scikit-learn's ridge, and labels of any type."""

import numpy as np
import pandas as pd
import polars as pl
import pytest
from sklearn.datasets import load_iris, make_blobs
from sklearn.gaussian_process.kernels import DotProduct
from sklearn.linear_model import RidgeClassifier
from sklearn.multioutput import MultiOutputClassifier

from ntkkit.estimators import NeuralKernelClassifier


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
