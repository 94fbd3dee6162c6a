"""scikit-learn's tools around a fitted machine: probabilities, partial dependence, permutation importance."""

import numpy as np
import pytest
from sklearn.calibration import CalibratedClassifierCV
from sklearn.inspection import partial_dependence, permutation_importance
from sklearn.metrics import brier_score_loss

from ntkkit import (
    NNGP,
    FullyConnected,
    NeuralKernelClassifier,
    NeuralKernelClassifierCV,
    NeuralKernelRegressor,
    NeuralKernelRegressorCV,
    NeuralKernelSVC,
)

KERNEL = NNGP(FullyConnected(depth=1, activation="erf"))


@pytest.fixture
def X(rng):
    return rng.standard_normal((150, 3))


@pytest.mark.parametrize("method", ["sigmoid", "isotonic"])
@pytest.mark.parametrize("Model", [NeuralKernelClassifier, NeuralKernelClassifierCV, NeuralKernelSVC])
def test_calibrated_probabilities(Model, method, X, rng):
    chance = 1 / (1 + np.exp(-3 * X[:, 0]))
    y = np.where(rng.random(150) < chance, "yes", "no")
    calibrated = CalibratedClassifierCV(Model(KERNEL), method=method, cv=3).fit(X[:100], y[:100])
    probabilities = calibrated.predict_proba(X[100:])
    np.testing.assert_allclose(probabilities.sum(axis=1), 1)
    base_rate = np.mean(y[:100] == "yes")
    truth = (y[100:] == "yes").astype(int)
    assert brier_score_loss(truth, probabilities[:, 1]) < 0.8 * brier_score_loss(truth, np.full(50, base_rate))
    assert np.mean(np.abs(probabilities[:, 1] - chance[100:])) < 0.2


@pytest.mark.parametrize("model", [NeuralKernelRegressor(KERNEL, alpha=0.1), NeuralKernelRegressorCV(KERNEL)])
def test_partial_dependence_and_importance(model, X):
    y = np.sin(X[:, 0]) + 0.5 * X[:, 1]  # not of the third
    model.fit(X, y)
    found = partial_dependence(model, X, [0], kind="average", grid_resolution=20)
    slope = np.polyfit(found["grid_values"][0], found["average"][0], 1)[0]
    expected = np.polyfit(found["grid_values"][0], np.sin(found["grid_values"][0]), 1)[0]
    np.testing.assert_allclose(slope, expected, rtol=0.2)
    importance = permutation_importance(model, X, y, n_repeats=3, random_state=0).importances_mean
    assert importance[0] > importance[1] > 10 * abs(importance[2])


def test_decision_function_is_what_predicts(X):
    y = np.digitize(X[:, 0], [-0.5, 0.5])
    for model in (NeuralKernelClassifier(KERNEL), NeuralKernelClassifierCV(KERNEL), NeuralKernelSVC(KERNEL)):
        scores = model.fit(X, y).decision_function(X)
        assert scores.shape == (150, 3)
        np.testing.assert_array_equal(model.predict(X), model.classes_[scores.argmax(axis=1)])
