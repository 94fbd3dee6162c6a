"""Training ensembles: what is exact of linear models, what the NTK says of wide ones, and when training stops."""

import jax
import numpy as np
import optax
import pytest
from sklearn.base import clone

from ntkkit import NTK, FullyConnected, NeuralKernelRegressor
from ntkkit.finite import FiniteNetwork, NetworkTrainer, losses, training
from ntkkit.networks import Dense, Dropout, Serial

RNG = np.random.default_rng(3)
X, X_TEST = RNG.standard_normal((8, 3)), RNG.standard_normal((8, 3))
Y = np.stack([np.sin(X[:, 0]), X[:, 1] - 0.5 * X[:, 2]], axis=1)
Y_TEST = np.stack([np.sin(X_TEST[:, 0]), X_TEST[:, 1] - 0.5 * X_TEST[:, 2]], axis=1)
LINE = FiniteNetwork(FullyConnected(depth=0, weight_var=1.5, bias_var=0.2), 1)
NET = FiniteNetwork(FullyConnected(depth=1), 16)
FEATURES = np.column_stack([np.sqrt(1.5 / 3) * X, np.full(8, np.sqrt(0.2))])


def trainer(network=NET, **params):
    return NetworkTrainer(
        network, **{"learning_rate": 0.02, "n_epochs": 10, "n_networks": 3, "random_state": 0} | params
    )


def weights(params):
    """Those of the linear models of an ensemble, (n_networks, feature, output)."""
    return np.concatenate([params[0]["weight"], params[0]["bias"][:, None]], axis=1)


def same(one, other, **tolerance):
    for a, b in zip(*map(jax.tree.leaves, (one.params, other.params)), strict=True):
        np.testing.assert_allclose(a, b, **({"rtol": 1e-9, "atol": 1e-12} | tolerance))


@pytest.fixture(scope="module")
def small():
    return trainer().run(X, Y)


@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_gradient_descent_of_a_linear_model(momentum):
    """Step by step: slopes of half the sum of squared errors, and of the decay."""
    optimizer = "momentum" if momentum else "sgd"
    found = trainer(LINE, optimizer=optimizer, weight_decay=0.3).run(X, Y)
    expected, velocity = weights(found.initial_params), 0.0
    for epoch in range(10):
        errors = FEATURES @ expected - Y
        np.testing.assert_allclose(found.losses[epoch], (errors**2).sum(axis=(1, 2)) / 2 / 8, rtol=1e-10)
        velocity = momentum * velocity + FEATURES.T @ errors + 0.3 * expected
        expected = expected - 0.02 * velocity
    np.testing.assert_allclose(weights(found.params), expected, rtol=1e-10)
    np.testing.assert_allclose(found.outputs(X_TEST[:5]).shape, (3, 5, 2))
    np.testing.assert_allclose(found.outputs(X), FEATURES @ expected, rtol=1e-10)
    assert found.time == pytest.approx(0.2)


def test_batches_stand_for_all_rows():
    """Where all rows are one, every batch has the same slopes: 2 steps an epoch of full gradient descent."""
    rows, targets = np.repeat(X[:1], 8, axis=0), np.repeat(Y[:1], 8, axis=0)
    batches = trainer(LINE, batch_size=3, n_epochs=5).run(rows, targets)
    assert batches.step == 10
    same(batches, trainer(LINE).run(rows, targets))


def test_batches_differ_between_networks_and_epochs():
    found = trainer(LINE, batch_size=3, learning_rate=1e-12, n_epochs=4).run(X, Y)
    assert len(np.unique(found.losses.round(9))) > 8
    full = trainer(LINE, learning_rate=1e-12, n_epochs=1).run(X, Y)
    assert np.abs(found.losses.mean(axis=0) / full.losses[0] - 1).max() < 0.7


def test_a_seed_is_an_ensemble(small):
    same(clone(trainer()).run(X, Y), small, rtol=0, atol=0)
    one = trainer(n_networks=1).run(X, Y)
    for a, b in zip(*map(jax.tree.leaves, (one.params, small.one(0))), strict=True):
        np.testing.assert_allclose(a[0], b, rtol=1e-9)
    other = trainer(random_state=1).run(X, Y)
    assert not np.allclose(other.params[0]["weight"], small.params[0]["weight"])
    assert all(isinstance(leaf, np.ndarray) for leaf in jax.tree.leaves((small.params, small.initial_params)))
    assert small.n_networks == 3


def test_mean_field_and_ntk_are_one_where_outputs_are_of_one_size(small):
    """At gamma0 = 1 / sqrt(width) they are the same; elsewhere they are not."""
    mup = NET.replace(parametrization="mup", gamma0=0.25)
    same(trainer(mup).run(X, Y), small)
    rich = trainer(mup.replace(gamma0=2.0)).run(X, Y)
    assert not np.allclose(rich.outputs(X_TEST), small.outputs(X_TEST), atol=0.01)


def test_little_feature_learning_is_the_kernel_of_the_start():
    """f(t) = (1 - (1 - eta Theta)^t) y with the empirical NTK, up to gamma0, from f = 0."""
    lazy = NET.replace(parametrization="mup", gamma0=1e-4)
    found = trainer(lazy, centered=True, n_networks=1).run(X, Y[:, :1])
    with jax.enable_x64(True):
        gradients = jax.jit(jax.jacrev(lambda params: lazy.apply(params, X)[:, 0]))(
            jax.tree.map(lambda entry: entry[0], found.initial_params)
        )
    J = np.concatenate([np.asarray(part).reshape(8, -1) for part in jax.tree.leaves(gradients)], axis=1)
    step = np.eye(8) - 0.02 * lazy.learning_rate_scale * J @ J.T
    expected = Y[:, :1] - np.linalg.matrix_power(step, 10) @ Y[:, :1]
    np.testing.assert_allclose(found.outputs(X)[0], expected, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("parametrization", ["ntk", "mup"])
def test_means_of_wide_ensembles_are_those_of_the_ntk(parametrization):
    gamma0 = 0.25 if parametrization == "mup" else 1.0
    wide = FiniteNetwork(NET.network, 256, parametrization, gamma0)
    found = trainer(wide, n_networks=30, n_epochs=100, learning_rate=0.003, centered=True).run(X, Y)
    said = found.outputs(X_TEST)
    theory = NeuralKernelRegressor(NTK(NET.network), alpha=0.0, train_time=found.time).fit(X, Y).predict(X_TEST)
    standard_error = said.std(axis=0, ddof=1) / np.sqrt(30)
    assert (np.abs(said.mean(axis=0) - theory) < 4 * standard_error + 0.02).all()
    assert np.abs(theory).mean() > 0.2


def test_reports_do_not_change_what_is_trained(small):
    seen = []
    told = trainer(callbacks=[seen.append], report_every=[0, 3, 4, 20]).run(X, Y)
    same(told, small, rtol=0, atol=0)
    assert [state.epoch for state in seen] == [0, 3, 4, 10]
    np.testing.assert_allclose([state.time for state in seen], [0.0, 0.06, 0.08, 0.2])
    for a, b in zip(*map(jax.tree.leaves, (seen[0].params, small.initial_params)), strict=True):
        np.testing.assert_array_equal(a, b)
    assert seen[1].losses.shape == (3, 3)
    np.testing.assert_array_equal(seen[2].losses, small.losses[:4])
    np.testing.assert_allclose(seen[3].outputs(X), small.outputs(X))


def test_callbacks_stop():
    counts = []
    stop = trainer(
        callbacks=[lambda state: state.losses[-1:].max(initial=0) < 1 and state.epoch > 4], progress=counts.append
    )
    with pytest.raises(TypeError):  # a function of one argument is none of (done, total)
        stop.run(X, Y)
    found = stop.set_params(progress=lambda *now: counts.append(now)).run(X, Y)
    assert 4 < found.epoch < 10
    assert counts[0] == (0, 10)
    assert counts[-1] == (found.epoch, 10)


def test_training_goes_on(small):
    """5 epochs and 5 more are 10."""
    first = trainer(n_epochs=5).run(X, Y)
    same(trainer(n_epochs=5).run(X, Y, start=first), small)
    with pytest.raises(ValueError, match="start has 3 networks, n_networks=2"):
        trainer(n_networks=2).run(X, Y, start=first)


def test_early_stopping():
    """Each network on its own: its parameters of the lowest loss, `patience` epochs after which it is done."""
    settings = {"n_epochs": 150, "patience": 4, "learning_rate": 0.04, "optimizer": "adam"}
    found = trainer(**settings).run(X, Y, held_out=(X_TEST, Y_TEST))
    assert found.epoch < 150
    assert found.epoch == found.best_epochs.max() + 4
    assert len(set(found.best_epochs)) > 1
    for network, best in enumerate(found.best_epochs):
        seen = found.held_out_losses[: best + 4, network]
        assert seen.argmin() == best - 1
    errors = found.outputs(X_TEST) - Y_TEST
    lowest = [found.held_out_losses[best - 1, network] for network, best in enumerate(found.best_epochs)]
    np.testing.assert_allclose((errors**2).sum(axis=2).mean(axis=1) / 2, lowest, rtol=1e-9)
    one = trainer(**settings, n_networks=1).run(X, Y, held_out=(X_TEST, Y_TEST))
    assert one.best_epochs[0] == found.best_epochs[0]
    np.testing.assert_allclose(one.outputs(X)[0], found.outputs(X)[0], rtol=1e-6)


def test_noise_has_a_temperature():
    """With nothing to fit, entries come to a mean of 0 and a variance of T / a / (1 - h a / 2), a the decay."""
    h, a, T = 0.1, 2.0, 0.5
    found = trainer(LINE, temperature=T, weight_decay=a, learning_rate=h, n_epochs=60, n_networks=100).run(
        np.zeros((8, 3)), np.zeros((8, 30))
    )
    drawn = found.params[0]["weight"].reshape(-1)
    variance = T / a / (1 - h * a / 2)
    assert abs(drawn.mean()) < 4 * np.sqrt(variance / drawn.size)
    assert drawn.var() == pytest.approx(variance, rel=4 * np.sqrt(2 / drawn.size))


def test_transformations_of_optax_are_taken_as_they_are(small):
    same(trainer(optimizer=optax.sgd(0.02), learning_rate=None).run(X, Y), small)


@pytest.mark.parametrize("parametrization", ["ntk", "standard", "mup"])
@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_measured_learning_rates_learn(parametrization, optimizer):
    found = trainer(NET.replace(parametrization=parametrization), optimizer=optimizer, learning_rate=None, n_epochs=100)
    curve = found.run(X, Y).losses
    assert (curve[-1] < 0.2 * curve[0]).all()
    assert (curve[1] < curve[0]).all()


def test_the_measured_rate_is_the_largest_eigenvalue():
    sgd = {"learning_rate": None, "n_epochs": 1}
    largest = np.linalg.eigvalsh(FEATURES @ FEATURES.T)[-1]
    assert trainer(LINE, **sgd).run(X, Y).learning_rate == pytest.approx(0.5 / largest, rel=1e-3)
    assert trainer(LINE, **sgd, weight_decay=2.0).run(X, Y).learning_rate == pytest.approx(
        0.5 / (largest + 2), rel=1e-3
    )
    signs = np.where(Y > 0, 1.0, -1.0)
    assert trainer(LINE, **sgd, loss="logistic").run(X, signs).learning_rate == pytest.approx(2 / largest, rel=1e-3)
    batches = trainer(LINE, **sgd, batch_size=2).run(X, Y).learning_rate
    assert batches < 0.5 / largest  # a batch stands for all


def test_losses():
    scores, y = RNG.standard_normal((4, 3)), np.array([0, 2, 1, 1])
    signs = np.where(y[:, None] == np.arange(3), 1.0, -1.0)
    shares = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(losses.softmax(scores, signs), -np.log(shares[np.arange(4), y]), rtol=1e-5)
    each = 1 / (1 + np.exp(-scores))
    expected = -np.log(np.where(signs > 0, each, 1 - each)).sum(axis=1)
    np.testing.assert_allclose(losses.logistic(scores, signs), expected, rtol=1e-5)
    np.testing.assert_allclose(losses.squared(scores, signs), ((scores - signs) ** 2).sum(axis=1) / 2, rtol=1e-5)


def twice_squared(outputs, y):
    return 2 * losses.squared(outputs, y)


def test_a_loss_of_ones_own(small):
    same(trainer(loss=twice_squared, learning_rate=0.01).run(X, Y), small)
    with pytest.raises(ValueError, match="learning_rate=None needs a loss by name"):
        trainer(loss=twice_squared, learning_rate=None).run(X, Y)


def test_divergence_says_what_to_take():
    found = r"Training diverged at learning_rate=50.*it must be less than 0\.\d+; 0\.0\d+ is good"
    with pytest.raises(ValueError, match=found):
        trainer(learning_rate=50.0, n_epochs=300).run(X, Y)


def test_what_does_not_fit_is_refused(monkeypatch):
    monkeypatch.setattr(training, "available_memory", lambda: 10_000)
    with pytest.raises(MemoryError, match=r"Training 3 networks of 98 parameters on 8 rows a step needs 0\.0 GB"):
        trainer().run(X, Y)


def test_frozen_layers_stay():
    frozen = FiniteNetwork(FullyConnected(depth=1, n_frozen_layers=1), 16)
    found = trainer(frozen, weight_decay=0.1, temperature=0.1, n_epochs=2).run(X, Y)
    np.testing.assert_array_equal(found.params[0]["weight"], found.initial_params[0]["weight"])
    assert not np.allclose(found.params[2]["weight"], found.initial_params[2]["weight"])


@pytest.mark.parametrize(
    ("params", "error", "message"),
    [
        ({"network": FullyConnected()}, TypeError, "network must be a FiniteNetwork"),
        ({"network": FiniteNetwork(Serial([Dense(), Dropout(), Dense()]))}, ValueError, "masks of Dropout"),
        ({"n_networks": 0}, ValueError, "n_networks must be >= 1"),
        ({"n_epochs": 0}, ValueError, "n_epochs must be >= 1"),
        ({"batch_size": 0}, ValueError, "batch_size must be >= 1"),
        ({"learning_rate": 0.0}, ValueError, "learning_rate must be positive"),
        ({"weight_decay": -1.0}, ValueError, "weight_decay must be finite and >= 0"),
        ({"loss": "hinge"}, ValueError, "loss must be one of .* found 'hinge'"),
        ({"optimizer": "lion"}, ValueError, "optimizer must be one of .* found 'lion'"),
        ({"optimizer": optax.sgd(0.1)}, ValueError, "is for optimizers by name"),
        ({"optimizer": "adam", "temperature": 0.1}, ValueError, "temperature > 0 needs optimizer='sgd'"),
        ({"report_every": [3, 2]}, ValueError, "report_every must be an integer, or increasing epochs"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else None,
)
def test_bad_parameters(params, error, message):
    with pytest.raises(error, match=message):
        trainer(**params).run(X, Y)


@pytest.mark.parametrize(
    ("arguments", "held_out", "message"),
    [
        ((X, Y[:5]), None, "y has 5 rows, X has 8"),
        ((X[:, 0], Y), None, "Expected 2D array"),
        ((np.full((8, 3), np.nan), Y), None, "X contains NaN"),
        ((X, Y), (X[:, :2], Y), "held_out has 2 features and 2 targets, X and y have 3 and 2"),
    ],
)
def test_bad_input(arguments, held_out, message):
    with pytest.raises(ValueError, match=message):
        trainer().run(*arguments, held_out=held_out)
