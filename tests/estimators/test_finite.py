"""Estimators of finite networks: scikit-learn's checks, kinds of inputs and targets, and what is kept."""

import pickle
from functools import partial

import jax
import numpy as np
import pytest
from sklearn.base import clone
from sklearn.datasets import make_blobs
from sklearn.model_selection import GridSearchCV
from sklearn.utils.estimator_checks import parametrize_with_checks

from ntkkit import (
    NTK,
    Convolutional,
    FiniteNetworkClassifier,
    FiniteNetworkRegressor,
    FullyConnected,
    NeuralKernelRegressor,
    Recurrent,
)
from ntkkit.engine.rows import rounded
from ntkkit.finite import training

LINE = FullyConnected(depth=0)
NET = FullyConnected(depth=1)
X, CODES = make_blobs(64, 4, centers=3, cluster_std=2.0, random_state=1)
X = (X - X.mean(axis=0)) / X.std(axis=0)
NAMES = np.array(["ash", "birch", "cedar"])[CODES]
Y = np.sin(2 * X[:, 0]) + X[:, 1] ** 2


def make(Estimator, network=NET, **params):
    return Estimator(network, **{"width": 16, "n_epochs": 100, "learning_rate": 0.05, "random_state": 0} | params)


@parametrize_with_checks(
    [make(Estimator, LINE, random_state=None) for Estimator in (FiniteNetworkRegressor, FiniteNetworkClassifier)]
)
def test_scikit_learn_checks(estimator, check, monkeypatch):
    monkeypatch.setattr(training, "rounded", partial(rounded, smallest=64))  # fewer numbers of rows are compiled
    check(estimator)


@pytest.fixture(scope="module")
def regressor():
    return make(FiniteNetworkRegressor, n_networks=4).fit(X, Y)


@pytest.fixture(scope="module")
def classifier():
    return make(FiniteNetworkClassifier).fit(X, NAMES)


def test_means_and_deviations(regressor):
    mean, std = regressor.predict(X, return_std=True)
    params = [jax.tree.map(lambda entry, i=i: entry[i], regressor.params_) for i in range(4)]
    with jax.enable_x64(True):
        said = np.stack([np.asarray(regressor.network_.apply(one, X))[:, 0] for one in params])
    np.testing.assert_allclose(mean, said.mean(axis=0), rtol=1e-9)
    np.testing.assert_allclose(std, said.std(axis=0, ddof=1), rtol=1e-9)
    assert regressor.score(X, Y) > 0.8
    assert regressor.loss_curve_.shape == (100, 4)
    assert (regressor.n_epochs_, regressor.learning_rate_) == (100, 0.05)
    assert regressor.validation_loss_curve_ is regressor.initial_params_ is regressor.best_epochs_ is None
    one = make(FiniteNetworkRegressor).fit(X, Y)
    np.testing.assert_allclose(one.predict(X), said[0], rtol=1e-6)
    with pytest.raises(ValueError, match="return_std=True needs n_networks >= 2"):
        one.predict(X, return_std=True)


def test_what_is_kept_is_numpy_and_pickles(regressor, classifier):
    for model in (regressor, classifier):
        assert all(type(leaf) is np.ndarray for leaf in jax.tree.leaves(model.params_))
        again = pickle.loads(pickle.dumps(model))
        np.testing.assert_array_equal(again.predict(X), model.predict(X))
        assert not hasattr(clone(model), "params_")


def test_classes(classifier):
    shares, scores = classifier.predict_proba(X), classifier.decision_function(X)
    np.testing.assert_allclose(shares.sum(axis=1), 1)
    np.testing.assert_allclose(shares, np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True))
    assert (classifier.classes_[shares.argmax(axis=1)] == classifier.predict(X)).all()
    assert classifier.score(X, NAMES) > 0.9
    losses = -np.log(shares[np.arange(64), CODES]).mean()
    assert losses < classifier.loss_curve_[-1, 0] < classifier.loss_curve_[0, 0]
    assert losses == pytest.approx(classifier.loss_curve_[-1, 0], rel=0.1)


def test_two_classes():
    model = make(FiniteNetworkClassifier).fit(X, CODES == 1)
    scores, shares = model.decision_function(X), model.predict_proba(X)
    assert scores.shape == (64,)
    np.testing.assert_allclose(shares[:, 1], 1 / (1 + np.exp(-scores)))
    np.testing.assert_allclose(shares.sum(axis=1), 1)
    assert (model.predict(X) == (scores > 0)).all()


def test_squared_loss_and_several_labels():
    labels = np.column_stack([CODES == 0, CODES > 0, X[:, 0] > 0]).astype(int)
    for loss in ("log", "squared"):
        model = make(FiniteNetworkClassifier, loss=loss).fit(X, labels)
        assert model.predict(X).shape == (64, 3)
        assert (model.predict(X) == labels).mean() > 0.9
        assert hasattr(model, "predict_proba") == (loss == "log")
        if loss == "log":
            np.testing.assert_array_equal(model.predict_proba(X) > 0.5, model.predict(X))
    signs = np.where(labels > 0, 1.0, -1.0)
    same = make(FiniteNetworkRegressor).fit(X, signs)
    np.testing.assert_allclose(model.decision_function(X), same.predict(X), rtol=1e-9)


def test_early_stopping():
    stopping = {"early_stopping": True, "validation_fraction": 0.25, "n_iter_no_change": 3, "n_epochs": 300}
    noisy = np.where(np.arange(64) % 5, NAMES, "birch")
    model = make(FiniteNetworkClassifier, n_networks=2, learning_rate=0.2, **stopping).fit(X, noisy)
    assert model.n_epochs_ == model.best_epochs_.max() + 3 < 300
    assert model.validation_loss_curve_.shape == model.loss_curve_.shape == (model.n_epochs_, 2)
    assert model.score(X, NAMES) > 0.75
    with pytest.raises(ValueError, match=r"early_stopping=True cannot hold out 3 of 4 samples: .* Give more samples"):
        make(FiniteNetworkClassifier, early_stopping=True).fit(X[:4], ["a", "b", "c", "c"])


def test_pictures():
    """A bright row, a bright column, or neither."""
    rng = np.random.default_rng(0)
    images, names = 0.3 * rng.standard_normal((96, 4, 4, 1)), np.array(["column", "neither", "row"])[np.arange(96) % 3]
    for image, name, place in zip(images, names, rng.integers(4, size=96), strict=True):
        image[(slice(None), place) if name == "column" else (place,) if name == "row" else ()] += name != "neither"
    network = Convolutional(depth=1, input_shape=(4, 4, 1))
    model = make(FiniteNetworkClassifier, network, batch_size=16, n_epochs=40).fit(images[:64], names[:64])
    assert model.score(images[64:], names[64:]) > 0.8
    np.testing.assert_array_equal(model.predict(images.reshape(96, 16)), model.predict(images))
    with pytest.raises(ValueError, match="X has shape"):
        model.predict(images[:, :3])


def test_sequences():
    """Those that rise from those that fall, with a readout of its own for each step: lengths must be equal."""
    rng = np.random.default_rng(0)
    signs = np.where(np.arange(64) % 2, 1.0, -1.0)
    sequences = rng.normal(size=(64, 8, 1)) + signs[:, None, None] * np.linspace(-2, 2, 8)[:, None]
    each = make(FiniteNetworkRegressor, Recurrent(readout="per_step")).fit(sequences[:, :7], signs)
    assert each.params_[0]["readout"].shape == (1, 7, 16, 1)
    assert each.score(sequences[:, :7], signs) > 0.6
    assert each.n_features_in_ == 1
    with pytest.raises(ValueError, match="reads sequences of equal lengths: sequence 0 of the training X has 7 steps"):
        each.predict(sequences)


def test_one_grid_for_both_sides():
    """Networks trained as long as the kernel machine says what it says, more so the wider they are."""
    infinite = NeuralKernelRegressor(NTK(NET), alpha=0.0, train_time=0.2).fit(X, Y).predict(X)
    finite = make(
        FiniteNetworkRegressor, n_networks=4, optimizer="sgd", learning_rate=0.005, n_epochs=40, centered=True
    )
    errors = [
        np.abs(finite.set_params(width=width).fit(X, Y).predict(X) - infinite).mean() / np.abs(infinite).mean()
        for width in (16, 256)
    ]
    assert errors[1] < min(0.1, errors[0] / 2)


def test_parameters_of_the_network_are_set_and_searched():
    model = make(FiniteNetworkRegressor)
    assert model.set_params(network__depth=2, width=8) is model
    assert (model.network, model.width) == (FullyConnected(depth=2), 8)
    assert NET.depth == 1
    with pytest.raises(ValueError, match="pass network=FullyConnected"):
        FiniteNetworkRegressor().set_params(network__depth=2)
    search = GridSearchCV(make(FiniteNetworkRegressor, n_epochs=5), {"network__weight_var": [0.5, 2.0]}, cv=2)
    assert search.fit(X, Y).best_estimator_.network_.network.weight_var == search.best_params_["network__weight_var"]


def test_where_training_fails_the_estimator_is_as_it_was(regressor):
    before = regressor.predict(X)
    broken = clone(regressor).fit(X, Y).set_params(optimizer="sgd", learning_rate=1e3)
    with pytest.raises(ValueError, match="Training diverged"):
        broken.fit(X, Y)
    np.testing.assert_array_equal(broken.predict(X), before)


@pytest.mark.parametrize(
    ("params", "error", "message"),
    [
        ({"network": NTK(NET)}, TypeError, "network must be a network such as"),
        ({"width": 0}, ValueError, "The 'width' parameter"),
        ({"parametrization": "mean"}, ValueError, "The 'parametrization' parameter"),
        ({"gamma0": 2.0}, ValueError, "gamma0=2.0 needs parametrization='mup'"),
        ({"optimizer": "lion"}, ValueError, "optimizer must be one of"),
        ({"loss": "log"}, ValueError, "The 'loss' parameter"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else None,
)
def test_bad_parameters(params, error, message):
    with pytest.raises(error, match=message):
        make(FiniteNetworkRegressor, **params).fit(X, Y)
