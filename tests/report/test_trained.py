"""The trained network: it learns, stops where held-out rows say, and keeps numpy."""

import pickle

import jax
import numpy as np
import optax
import pytest
from sklearn.base import clone

from ntkkit import Convolutional, Recurrent
from ntkkit.report import trained
from ntkkit.report.trained import TrainedNetwork


@pytest.fixture(scope="module")
def stripes():
    """Pictures of 4 x 4 pixels with a bright row, a bright column, or neither, which flattened rows do not show."""
    rng = np.random.default_rng(0)
    X = 0.3 * rng.standard_normal((150, 4, 4, 1)).astype(np.float32)
    y = np.array(["column", "neither", "row"])[np.arange(150) % 3]
    for image, label, place in zip(X, y, rng.integers(4, size=150), strict=True):
        image[(slice(None), place) if label == "column" else (place,) if label == "row" else ()] += label != "neither"
    return X.reshape(150, 16), y


@pytest.fixture(scope="module")
def model():
    return TrainedNetwork(Convolutional(depth=1, input_shape=(4, 4, 1)), width=16, n_epochs=30, random_state=0)


def test_learns_and_keeps_numpy(model, stripes):
    X, y = stripes
    fitted = clone(model).fit(X[:99], y[:99])
    assert fitted.score(X[99:], y[99:]) > 0.8
    assert fitted.decision_function(X[:5]).shape == (5, 3)
    assert all(isinstance(leaf, np.ndarray) for leaf in jax.tree.leaves(fitted.params_))
    again = pickle.loads(pickle.dumps(fitted))
    assert (again.predict(X) == fitted.predict(X)).all()
    twice = clone(model).fit(X[:99], y[:99])
    assert (twice.decision_function(X) == fitted.decision_function(X)).all()


def test_parameters_of_the_lowest_loss_are_kept(model, stripes, monkeypatch):
    X, y = stripes
    losses = []
    original = TrainedNetwork._outputs

    def remember(self, params, rows):
        outputs = original(self, params, rows)
        losses.append(float(optax.softmax_cross_entropy_with_integer_labels(outputs, held_out).mean()))
        return outputs

    split = trained.train_test_split

    def see(*args, **kwargs):
        nonlocal held_out
        parts = split(*args, **kwargs)
        held_out = parts[3]
        return parts

    held_out = None
    monkeypatch.setattr(trained, "train_test_split", see)
    monkeypatch.setattr(TrainedNetwork, "_outputs", remember)
    monkeypatch.setattr(trained, "PATIENCE", 2)
    fitted = clone(model).set_params(learning_rate=1.0, n_epochs=40).fit(X[:99], y[:99])
    assert len(held_out) == 20
    assert fitted.loss_ == pytest.approx(min(losses), rel=1e-6)
    assert len(losses) < 80  # two starts, both stopped by patience


def test_few_rows_of_many_classes(model, stripes):
    X, y = stripes
    assert set(clone(model).set_params(n_epochs=1).fit(X[:6], y[:6]).predict(X[:40])) <= set(y)


def test_two_classes_of_sequences(rng):
    X = rng.normal(size=(90, 8, 1)).astype(np.float32)
    y = np.array(["falls", "rises"])[np.arange(90) % 2]
    X[y == "rises", :5] += np.linspace(-2, 2, 5, dtype=np.float32)[:, None]
    X[::3, 5:] = np.nan
    network = Recurrent(bias_var=0.0)
    model = TrainedNetwork(network, width=16, n_epochs=30, n_starts=1, random_state=0).fit(X[:60], y[:60])
    outputs = model.decision_function(X[60:])
    assert outputs.shape == (30,)
    assert (model.predict(X[60:]) == np.where(outputs > 0, "rises", "falls")).all()
    assert model.score(X[60:], y[60:]) > 0.8
