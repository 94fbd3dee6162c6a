"""Estimators of learning dynamics: against learning curves and limits, one solution for all times, the contract."""

import pickle

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV, KFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

from ntkkit import (
    NNGP,
    NTK,
    Convolutional,
    FullyConnected,
    NeuralDynamicsClassifier,
    NeuralDynamicsClassifierCV,
    NeuralDynamicsRegressor,
    NeuralDynamicsRegressorCV,
    NeuralKernelRegressor,
)
from ntkkit.dynamics import NDK, learning_curve
from ntkkit.estimators import _dynamics, dynamics_cv

NETWORK = FullyConnected(depth=1)
SMALL = {"network": NETWORK, "temperature": 0.2, "n_steps": 100}
ALL = [NeuralDynamicsRegressor, NeuralDynamicsClassifier, NeuralDynamicsRegressorCV, NeuralDynamicsClassifierCV]


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(0)
    X = rng.standard_normal((24, 3))
    return X, np.sin(X[:, 0]) + 0.3 * rng.standard_normal(24), np.array(["a", "b", "c"])[np.digitize(X[:, 1], [-1, 1])]


def targets_of(Estimator, data):
    return data[2] if "Classifier" in Estimator.__name__ else data[1]


@pytest.mark.slow
@parametrize_with_checks(
    [
        NeuralDynamicsRegressor(FullyConnected(depth=1), n_steps=20),
        NeuralDynamicsClassifier(FullyConnected(depth=1), n_steps=20),
        NeuralDynamicsRegressorCV(FullyConnected(depth=0), train_times=[1.0, 10.0], cv=2, n_steps=10),
        NeuralDynamicsClassifierCV(FullyConnected(depth=0), train_times=[1.0, 10.0], cv=2, n_steps=10),
    ]
)
def test_scikit_learn_checks(estimator, check):
    check(estimator)


@pytest.mark.parametrize(("depth", "init_var"), [(0, 0.5), (1, 1.0)])  # at all times, and by modes
def test_predictions_are_the_learning_curve(data, depth, init_var):
    X, y, _ = data
    times, new = [0.0, 0.1, 4.0, 20.0], X + 0.1
    network = FullyConnected(depth)
    model = NeuralDynamicsRegressor(**{**SMALL, "network": network}, init_var=init_var, train_time=20.0).fit(X, y)
    curve = learning_curve(NDK(network, 0.2, init_var), X, y, new, times=times, n_steps=100)
    found = np.stack([model.predict(new, time=t) for t in times])
    np.testing.assert_allclose(found, curve.test, atol=1e-2)  # between steps they are interpolated
    np.testing.assert_allclose(model.predict(new), curve.test[-1], atol=2e-4)
    np.testing.assert_allclose(model.predict(X), y - model.errors_[-1], atol=2e-6)
    np.testing.assert_allclose(model.predict(X, time=model.times_[70]), y - model.errors_[70], atol=2e-6)
    assert model.train_time_ == 20
    assert model.errors_.shape == (len(model.times_), 24)


def test_both_ends(data):
    X, y, _ = data
    late = NeuralDynamicsRegressor(NETWORK, n_steps=1600).fit(X, y)
    assert late.train_time_ == 80
    posterior = NeuralKernelRegressor(NNGP(NETWORK), alpha=0.1).fit(X, y)
    np.testing.assert_allclose(late.predict(X), posterior.predict(X), atol=2e-3)
    assert NeuralDynamicsRegressor(NETWORK, train_time=np.inf, n_steps=8).fit(X, y).train_time_ == 80
    early = NeuralDynamicsRegressor(NETWORK, temperature=0.0, train_time=2.0).fit(X, y)
    flow = NeuralKernelRegressor(NTK(NETWORK), alpha=0.0, train_time=2.0).fit(X, y)
    np.testing.assert_allclose(early.predict(X), flow.predict(X), atol=2e-4)
    start = NeuralDynamicsRegressor(NETWORK, train_time=0.0).fit(X, y)
    np.testing.assert_array_equal(start.predict(X), 0)
    np.testing.assert_array_equal(start.errors_, y[None])


def test_labels(data):
    X, y, labels = data
    model = NeuralDynamicsClassifier(**SMALL).fit(X, labels)
    assert model.decision_function(X).shape == (24, 3)
    assert (model.predict(X) == labels).mean() > 0.8
    one_hot = NeuralDynamicsRegressor(**SMALL).fit(X, 2.0 * (labels[:, None] == model.classes_) - 1)
    np.testing.assert_allclose(model.decision_function(X, time=1.0), one_hot.predict(X, time=1.0), rtol=1e-12)
    two = NeuralDynamicsClassifier(**SMALL).fit(X, y > 0)
    signs = NeuralDynamicsRegressor(**SMALL).fit(X, np.sign(y))
    np.testing.assert_allclose(two.decision_function(X), signs.predict(X), rtol=1e-12)
    several = NeuralDynamicsClassifier(**SMALL).fit(X, (X > 0).astype(int))
    assert several.predict(X).shape == (24, 3)


@pytest.mark.parametrize("Estimator", [NeuralDynamicsRegressorCV, NeuralDynamicsClassifierCV])
def test_one_solution_a_fold(data, Estimator, monkeypatch):
    X, y = data[0], targets_of(Estimator, data)
    times, folds, solved = [0.1, 0.5, 2.0, 9.0], KFold(2), []

    def counting(function):
        def counted(*args, **settings):
            solved.append(len(args[1]))
            return function(*args, **settings)

        return counted

    monkeypatch.setattr(dynamics_cv, "learning_curve", counting(learning_curve))
    monkeypatch.setattr(_dynamics, "find_trajectory", counting(_dynamics.find_trajectory))
    model = Estimator(**SMALL, train_times=times[::-1], cv=folds).fit(X, y)
    assert solved == [12, 12, 24]
    expected = np.zeros(4)
    for train, test in folds.split(X):
        targets = 2.0 * (y[:, None] == model.classes_) - 1 if y.dtype.kind == "U" else y
        curve = learning_curve(model.ndk_, X[train], targets[train], X[test], times=times, n_steps=100)
        for i, found in enumerate(curve.test):
            wrong = (found - y[test]) ** 2 if found.ndim == 1 else model.classes_[found.argmax(axis=1)] != y[test]
            expected[i] += np.mean(wrong) / 2
    np.testing.assert_allclose(model.cv_errors_, expected, rtol=1e-10)
    np.testing.assert_array_equal(model.train_times_, times)
    assert model.cv_errors_[times.index(model.train_time_)] == model.cv_errors_.min()
    Plain = NeuralDynamicsClassifier if y.dtype.kind == "U" else NeuralDynamicsRegressor
    again = Plain(**SMALL, train_time=model.train_time_).fit(X, y)
    np.testing.assert_array_equal(model.predict(X), again.predict(X))


def test_default_times(data):
    model = NeuralDynamicsRegressorCV(**SMALL, cv=2).fit(*data[:2])
    assert 0 < model.train_times_[0] < 1
    assert model.train_times_[-1] == 40
    with pytest.raises(ValueError, match="train_times must be given"):
        NeuralDynamicsRegressorCV(temperature=0.0).fit(*data[:2])
    with pytest.raises(ValueError, match="train_times must be one or more"):
        NeuralDynamicsRegressorCV(train_times=[-1.0]).fit(*data[:2])


def test_grids_reach_into_the_network(data):
    X, y, _ = data
    model = make_pipeline(StandardScaler(), NeuralDynamicsRegressor(**SMALL))
    grid = {
        "neuraldynamicsregressor__network__weight_var": [0.5, 2.0],
        "neuraldynamicsregressor__train_time": [1.0, None],
    }
    search = GridSearchCV(model, grid, cv=2, error_score="raise").fit(X, y)
    assert search.best_estimator_[-1].ndk_.network.weight_var in (0.5, 2.0)
    assert repr(NETWORK) == "FullyConnected(depth=1)"
    estimator = NeuralDynamicsRegressor(NETWORK)
    assert estimator.set_params(network__depth=4, temperature=1.0) is estimator
    assert (estimator.network.depth, estimator.temperature, NETWORK.depth) == (4, 1.0, 1)
    assert estimator.get_params()["network__depth"] == 4
    with pytest.raises(ValueError, match="pass network=FullyConnected"):
        NeuralDynamicsRegressor().set_params(network__depth=4)
    with pytest.raises(ValueError, match="Invalid parameter"):
        estimator.set_params(network__nothing=4, temperature=2.0)
    assert estimator.temperature == 1.0


@pytest.mark.parametrize("Estimator", ALL)
def test_pickle_and_clone(data, Estimator):
    X, y = data[0], targets_of(Estimator, data)
    times = {"train_times": [2.0], "cv": 2} if Estimator.__name__.endswith("CV") else {"train_time": 2.0}
    fitted = Estimator(**SMALL, **times).fit(X, y)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(fitted)).predict(X), fitted.predict(X))
    for name, value in vars(fitted).items():
        if name.endswith("_") and name not in ("ndk_", "n_features_in_"):
            assert type(value) in (np.ndarray, float), name
    fresh = clone(fitted)
    with pytest.raises(NotFittedError):
        fresh.predict(X)
    np.testing.assert_array_equal(fresh.fit(X, y).predict(X), fitted.predict(X))


def test_images_and_progress(data):
    X, y, _ = data
    images, seen = np.repeat(X, 2, axis=1).reshape(24, 3, 2, 1), []
    network = FullyConnected(depth=0, input_shape=(3, 2, 1))
    model = NeuralDynamicsRegressor(network, train_time=1.0, n_steps=8, progress=lambda *at: seen.append(at))
    model.fit(images, y)
    assert seen[-1] == (len(model.times_) - 1,) * 2
    np.testing.assert_allclose(model.predict(images), model.predict(images.reshape(24, 6)), rtol=1e-12)


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"train_time": -1.0}, "train_time"),
        ({"train_time": np.nan}, "train_time"),
        ({"train_time": "long"}, "train_time"),
        ({"temperature": -1.0}, "temperature"),
        ({"temperature": np.nan}, "temperature"),
        ({"temperature": np.inf}, "temperature"),
        ({"temperature": 0.0}, "until equilibrium.*give a time"),
        ({"init_var": -0.5}, "init_var"),
        ({"prior_var": 0.0}, "prior_var"),
        ({"n_steps": 1}, "n_steps"),
        ({"network": NTK(NETWORK)}, "network must be of rows"),
        ({"network": Convolutional(depth=1, input_shape=(3, 1, 1))}, "network must be of rows"),
        ({"network": FullyConnected(n_frozen_layers=1)}, "must be trained"),
    ],
)
def test_bad_parameters_leave_the_estimator_as_it_was(data, params, message):
    X, y, _ = data
    model = NeuralDynamicsRegressor(NETWORK, train_time=0.0).fit(X, y)
    before = vars(model).copy()
    model.set_params(**{"train_time": None, **params})
    with pytest.raises(ValueError, match=message):
        model.fit(X[:, :2], y)
    assert {**vars(model), **{name: before[name] for name in params}}.keys() == before.keys()
    assert model.X_fit_ is before["X_fit_"]
    assert model.n_features_in_ == 3


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e200])
def test_bad_input(data, value):
    X, y, _ = data
    with pytest.raises(ValueError, match=r"NaN|infinity|not finite"):
        NeuralDynamicsRegressor(NETWORK).fit(np.where(X > 1.0, value, X), y)


@pytest.mark.parametrize("time", [-0.1, 2.1, np.nan, "late"])
def test_bad_times(data, time):
    model = NeuralDynamicsRegressor(NETWORK, train_time=0.0).fit(*data[:2])
    with pytest.raises(ValueError, match="time must be a number from 0 to"):
        model.predict(data[0], time=time)
