"""Adversarial examples: gradients that are right, changes within their bounds, and machines led astray."""

import jax
import numpy as np
import pytest
from sklearn.datasets import make_blobs
from sklearn.gaussian_process.kernels import RBF
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from ntkkit import (
    NNGP,
    NTK,
    Engine,
    FullyConnected,
    NeuralKernelClassifier,
    NeuralKernelClassifierCV,
    NeuralKernelRegressor,
    NeuralKernelSVC,
    NeuralKernelSVR,
    Recurrent,
    adversarial_examples,
    eigenvector_part,
)
from ntkkit.finite import FiniteNetwork, NetworkTrainer

KERNEL = NTK(FullyConnected(depth=2))


@pytest.fixture(scope="module")
def data():
    X, y = make_blobs(40, 5, centers=3, cluster_std=3.0, random_state=0)
    return (X - X.mean(axis=0)) / X.std(axis=0), y


def slopes(function, X, step=1e-5):
    """Central differences of a function of rows, feature by feature."""
    shifts = step * np.eye(X.shape[1])
    return np.stack([(function(X + shift) - function(X - shift)) / (2 * step) for shift in shifts], axis=1)


@pytest.mark.parametrize("kernel", [KERNEL, NNGP(FullyConnected(depth=1, activation="erf"))], ids=repr)
def test_input_gradient(kernel, data, rng):
    X, Y = data[0][:7], np.concatenate([data[0], rng.standard_normal((560, 5))])  # X is in Y: cones of relu
    weights = rng.standard_normal((7, 600))  # of two tiles
    found = Engine().input_gradient(kernel, X, Y, weights)
    np.testing.assert_allclose(found, slopes(lambda x: (weights * kernel(x, Y)).sum(axis=1), X), atol=1e-4)
    with pytest.raises(ValueError, match=r"weights must be finite and of shape \(7, 600\)"):
        Engine().input_gradient(kernel, X, Y, weights[:3])


def test_one_step_for_two_classes_is_the_formula(data):
    X, y = data[0], data[1] > 0
    model = NeuralKernelClassifier(KERNEL, alpha=0.1, class_weight="balanced").fit(X, y)
    gradient = slopes(model.decision_function, X)
    signs = np.where(y, 1, -1)[:, None]
    found = adversarial_examples(model, X, y, eps=0.1)
    np.testing.assert_allclose(found, X - 0.1 * signs * np.sign(gradient), atol=1e-12)
    length = np.linalg.norm(gradient, axis=1, keepdims=True)
    found = adversarial_examples(model, X, y, eps=0.1, norm="l2")
    np.testing.assert_allclose(found, X - 0.1 * signs * gradient / length, atol=1e-6)


@pytest.mark.parametrize(
    "model",
    [
        NeuralKernelClassifier(KERNEL, alpha=0.1),
        NeuralKernelClassifierCV(KERNEL, alphas=[0.1, 1.0]),
        NeuralKernelSVC(KERNEL, fit_intercept=False),
    ],
    ids=lambda model: type(model).__name__,
)
@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_more_steps_lead_further_astray_within_the_bounds(model, norm, data):
    X, y = data
    model.fit(X, y)
    scores = [model.score(X, y)]
    for n_steps in (1, 5):
        found = adversarial_examples(model, X, y, eps=0.5, norm=norm, n_steps=n_steps, clip=(-2.0, 2.0))
        change = np.clip(found - X, -0.5, 0.5)  # clipping may move what was outside further
        inside = (np.abs(X) <= 2.0).all(axis=1)
        lengths = np.linalg.norm((found - X)[inside], ord=np.inf if norm == "linf" else 2, axis=1)
        assert lengths.max() <= 0.5 + 1e-12
        assert np.abs(found).max() <= 2.0
        assert change.any(axis=1).all()
        scores.append(model.score(found, y))
    at_random = X + 0.5 * np.sign(np.random.default_rng(0).standard_normal(X.shape)) / (1 if norm == "linf" else 5**0.5)
    assert scores[2] <= scores[1] < min(scores[0], model.score(at_random, y))


@pytest.mark.parametrize("model", [NeuralKernelRegressor(KERNEL, alpha=0.1), NeuralKernelSVR(KERNEL, epsilon=0.01)])
def test_regressors_and_losses_of_ones_own(model, data):
    X, y = data[0], data[0][:, 0] * data[0][:, 1]
    model.fit(X, y)
    wrong = adversarial_examples(model, X, y, eps=0.1)
    assert np.mean((model.predict(wrong) - y) ** 2) > 2 * np.mean((model.predict(X) - y) ** 2)
    up = adversarial_examples(model, X, y, eps=0.1, loss=lambda outputs, targets: outputs[0])
    assert (model.predict(up) > model.predict(X)).mean() > 0.9


def test_images_keep_their_shape(rng):
    images, y = rng.standard_normal((8, 4, 4, 1)), np.arange(8) % 2
    model = NeuralKernelClassifier(NTK(FullyConnected(depth=2, input_shape=(4, 4, 1)))).fit(images, y)
    moved = adversarial_examples(model, images, y, eps=0.1)
    flat = adversarial_examples(model, images.reshape(8, 16), y, eps=0.1)
    np.testing.assert_array_equal(moved, flat.reshape(images.shape))


@pytest.mark.slow
def test_ends_of_sequences_stay(rng):
    sequences, y = rng.standard_normal((8, 5, 2)), np.arange(8) % 2
    sequences[::2, 3:] = np.nan
    model = NeuralKernelClassifier(NTK(Recurrent())).fit(sequences, y)
    moved = adversarial_examples(model, sequences, y, eps=0.1)
    np.testing.assert_array_equal(np.isnan(moved), np.isnan(sequences))
    np.testing.assert_allclose(np.nanmax(np.abs(moved - sequences)), 0.1)


def test_parts_add_up_and_are_what_the_formula_says(data):
    X, y = data
    model = NeuralKernelClassifier(KERNEL, alpha=0.1, class_weight="balanced").fit(X[:30], y[:30])
    vectors = np.linalg.eigh(KERNEL(X[:30]))[1]
    part = eigenvector_part(model, 2)
    v = vectors[:, -3]
    by_formula = np.outer(KERNEL(X[30:], X[:30]) @ v, v @ model.dual_coef_)
    np.testing.assert_allclose(part.decision_function(X[30:]), by_formula, atol=1e-9)
    rest = eigenvector_part(model, [i for i in range(30) if i != 2])
    total = part.decision_function(X) + rest.decision_function(X) + model.intercept_
    np.testing.assert_allclose(total, model.decision_function(X), atol=1e-9)
    assert adversarial_examples(part, X, y, eps=0.1).shape == X.shape


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"eps": -1.0}, "eps must be finite and >= 0"),
        ({"norm": "l1"}, "norm must be 'linf' or 'l2', found 'l1'"),
        ({"n_steps": 0}, "n_steps"),
        ({"step_size": np.nan}, "step_size"),
        ({"clip": (1.0, 0.0)}, r"clip must be \(low, high\) with low < high"),
        ({"clip": 3}, r"clip must be \(low, high\)"),
        ({"y": [7] * 40}, r"y must hold the labels \[0 1 2\], found \[7\]"),
        ({"y": [0]}, "inconsistent numbers of samples"),
        ({"X": np.full((40, 5), np.nan)}, "X contains NaN"),
        ({"loss": lambda outputs, targets: (outputs * np.inf).sum()}, "is not finite: give another loss"),
    ],
)
def test_bad_arguments(arguments, message, data):
    X, y = data
    model = NeuralKernelClassifier(KERNEL).fit(X, y)
    given = {"X": X, "y": y, "eps": 0.1, **arguments}
    with pytest.raises(ValueError, match=message):
        adversarial_examples(model, given.pop("X"), given.pop("y"), **given)


def test_machines_without_gradients_are_refused(data):
    X, y = data
    with pytest.raises(TypeError, match="of a pipeline, take the last step"):
        adversarial_examples(make_pipeline(StandardScaler(), NeuralKernelClassifier()).fit(X, y), X, y, eps=0.1)
    with pytest.raises(ValueError, match="must be one of ntkkit"):
        adversarial_examples(NeuralKernelClassifier(RBF()).fit(X, y), X, y, eps=0.1)
    with pytest.raises(ValueError, match="NeuralKernelSVC of more than two classes needs fit_intercept=False"):
        adversarial_examples(NeuralKernelSVC(KERNEL).fit(X, y), X, y, eps=0.1)
    with pytest.raises(TypeError, match="must be a ridge machine"):
        eigenvector_part(NeuralKernelSVC(KERNEL).fit(X, y), 0)
    with pytest.raises(ValueError, match="components must be integers from 0 to 39"):
        eigenvector_part(NeuralKernelClassifier(KERNEL).fit(X, y), [40])


@pytest.mark.slow
def test_a_wide_network_is_led_astray_as_much_as_by_its_own_gradient():
    rng = np.random.default_rng(0)
    X, X_test = rng.standard_normal((60, 20)), rng.standard_normal((400, 20))
    y, y_test = (np.sign(part[:, :5].sum(axis=1) + part[:, 5] * part[:, 6]) for part in (X, X_test))
    network = FiniteNetwork(FullyConnected(depth=1), 4096)
    trained = NetworkTrainer(network, n_epochs=300, centered=True, random_state=0).run(X, y)
    model = NeuralKernelClassifier(NTK(network.network), alpha=0.0, train_time=trained.time).fit(X, y)

    def output(X):
        return network.apply(trained.one(0), X).sum() - network.apply(initial, X).sum()

    initial = jax.tree.map(lambda leaf: leaf[0], trained.initial_params)
    with jax.enable_x64(True):
        own = np.asarray(jax.grad(output)(X_test))
    up = adversarial_examples(model, X_test, -np.ones(400), eps=1.0, norm="l2") - X_test
    cosines = (own * up).sum(axis=1) / np.linalg.norm(own, axis=1)
    assert np.mean(cosines) > 0.95

    def accuracy(X):
        return float((np.sign(trained.outputs(X)[0, :, 0]) == y_test).mean())

    by_kernel = accuracy(adversarial_examples(model, X_test, y_test, eps=0.25))
    by_itself = accuracy(X_test - 0.25 * y_test[:, None] * np.sign(own))
    by_chance = accuracy(X_test + 0.25 * rng.choice([-1.0, 1.0], X_test.shape))
    assert abs(by_kernel - by_itself) < 0.05
    assert by_kernel < by_chance - 0.2
