"""Regression with a learned kernel: scikit-learn's checks, both limits, and a task that needs features."""

import pickle

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV
from sklearn.utils.estimator_checks import parametrize_with_checks

from ntkkit import NTK, FeatureLearningRegressor, FullyConnected, NeuralKernelRegressor
from ntkkit.dynamics import dmft

RNG = np.random.default_rng(0)
X = RNG.standard_normal((200, 10))
Y = np.sin(2 * X[:, 0])
TEST = RNG.standard_normal((100, 10))
ERF = FullyConnected(depth=1, activation="erf")


@parametrize_with_checks([FeatureLearningRegressor(n_steps=10, n_units=256)])
def test_passes_the_checks_of_scikit_learn(estimator, check):
    check(estimator)


@pytest.mark.parametrize("network", [ERF, FullyConnected(1, "gelu", input_scale=0.5), FullyConnected(0)])
def test_without_feature_learning_it_is_the_machine_of_the_ntk(network):
    model = FeatureLearningRegressor(network, gamma0=1e-4, n_steps=20, n_units=512, alpha=0.1, random_state=0)
    lazy = NeuralKernelRegressor(NTK(network), alpha=0.1).fit(X[:20], Y[:20])
    np.testing.assert_allclose(model.fit(X[:20], Y[:20]).predict(TEST[:7]), lazy.predict(TEST[:7]), atol=1e-6)


@pytest.mark.parametrize(
    ("network", "tolerance"),
    [(ERF, 0.2), (FullyConnected(2, "identity"), 1e-7), (FullyConnected(2, "erf", bias_var=0.3), 1e-7)],
    ids=["units", "linear", "deep"],
)
def test_its_kernel_is_that_of_mean_field_theory(network, tolerance):
    """Fitted on the samples alone, and solved with the new points beside them; units of one layer are other ones."""
    n, given = 3, {"gamma0": 2.0, "learning_rate": 0.1, "n_steps": 6, "n_units": 2**13 if network is ERF else 256}
    model = FeatureLearningRegressor(network, alpha=0.01, random_state=0, **given).fit(X[:n], Y[:n])
    theory = dmft.solve(network, X[:n], Y[:n], TEST[:3], random_state=model._seed, **given)
    theta = theory.ntk[-1]
    expected = theta[n:, :n] @ np.linalg.solve(theta[:n, :n] + 0.01 * np.eye(n), Y[:n])
    lazy = NeuralKernelRegressor(NTK(network), alpha=0.01).fit(X[:n], Y[:n]).predict(TEST[:3])
    away = np.abs(lazy - expected).max()
    assert away > 1e-4
    np.testing.assert_allclose(model.predict(TEST[:3]), expected, atol=tolerance * away)
    np.testing.assert_allclose(model.errors_, theory.errors, atol=0.01)
    assert model.learning_rate_ == 0.1
    assert model.alpha_ == 0.01


@pytest.fixture(scope="module")
def rich():
    return FeatureLearningRegressor(gamma0=5.0, n_units=2048, alpha=0.1, random_state=0).fit(X, Y)


def test_learns_the_one_direction_that_matters(rich):
    lazy = NeuralKernelRegressor(NTK(FullyConnected(depth=1)), alpha=0.1).fit(X, Y)
    y_test = np.sin(2 * TEST[:, 0])
    assert rich.score(TEST, y_test) > lazy.score(TEST, y_test) + 0.2
    weights = rich.units_[:, :10] - rich.initial_units_[:, :10]
    assert (weights[:, 0] ** 2).sum() > 1.3 * (weights[:, 1:] ** 2).sum(axis=0).max()


def test_keeps_what_it_learned(rich):
    copy = pickle.loads(pickle.dumps(rich))
    np.testing.assert_array_equal(copy.predict(TEST), rich.predict(TEST))
    np.testing.assert_allclose(rich.predict(TEST[:1]), rich.predict(TEST)[:1], rtol=1e-8)
    again = clone(rich).fit(X, Y)
    np.testing.assert_array_equal(again.predict(TEST), rich.predict(TEST))
    np.testing.assert_array_equal(rich.errors_[0], Y)
    assert rich.errors_.shape == (101, 200)


def test_the_strength_of_feature_learning_can_be_searched():
    model = FeatureLearningRegressor(FullyConnected(depth=1), n_units=2048, alpha=0.1, random_state=0)
    search = GridSearchCV(model, {"gamma0": [0.01, 5.0], "network__bias_var": [0.1]}, cv=2).fit(X, Y)
    assert search.best_params_["gamma0"] == 5.0


def test_a_learning_rate_that_is_too_large_is_halved_or_refused():
    given = {"n_steps": 30, "n_units": 512, "random_state": 0}
    free = FeatureLearningRegressor(gamma0=200.0, **given).fit(X, Y)
    largest = np.linalg.eigvalsh(NTK(FullyConnected(depth=1))(X))[-1]
    halvings = np.log2(len(X) / (4 * largest) / free.learning_rate_)
    assert halvings == pytest.approx(round(halvings), abs=1e-6)
    assert halvings > 0.5
    with pytest.raises(
        ValueError, match=r"diverges from step \d+ on with learning_rate=5 and gamma0=200: take smaller"
    ):
        FeatureLearningRegressor(gamma0=200.0, learning_rate=5.0, **given).fit(X, Y)


def test_noise_of_units_is_no_negative_eigenvalue():
    model = FeatureLearningRegressor(gamma0=2.0, n_steps=10, n_units=256, alpha=0.0, random_state=0).fit(X, Y)
    assert model.alpha_ > 0
    assert np.abs(model.dual_coef_).max() < 100 / model.alpha_
    assert FeatureLearningRegressor(FullyConnected(0), alpha=0.5, n_steps=2).fit(X[:5], Y[:5]).alpha_ == 0.5


@pytest.mark.parametrize(
    ("given", "match"),
    [
        ({"gamma0": 0.0}, "gamma0"),
        ({"n_units": 1000}, "n_units must be a power of 2"),
        ({"network": FullyConnected(2)}, "kink"),
        ({"network": FullyConnected(1, "sign")}, "no derivative"),
    ],
)
def test_bad_parameters_are_refused(given, match):
    model = FeatureLearningRegressor(**{"n_steps": 2, **given})
    with pytest.raises(ValueError, match=match):
        model.fit(X[:5], Y[:5])
    assert not hasattr(model, "dual_coef_")


def test_memory_is_stated_before_it_is_taken(monkeypatch):
    monkeypatch.setattr("ntkkit.dynamics.dmft.problem.available_memory", lambda: 10**6)
    with pytest.raises(MemoryError, match=r"Training 8192 units on 200 points needs .* GB"):
        FeatureLearningRegressor().fit(X, Y)
