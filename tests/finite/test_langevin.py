"""Ensembles under Langevin dynamics: what can be said exactly, and the theory of infinite width."""

import jax
import numpy as np
import pytest
from references import ndk
from sklearn.base import clone

from ntkkit import FullyConnected
from ntkkit.finite import LangevinTrainer, _langevin_steps, langevin
from ntkkit.networks import Dense, Serial

STEP = 0.1
TIMES = STEP * np.arange(31)


def rows():
    """Three training rows and a fourth, of norms sqrt(3) times 1, .8, 1.2, 1."""
    X = np.random.default_rng(5).standard_normal((4, 3))
    return X * (np.sqrt(3) * np.array([1, 0.8, 1.2, 1]) / np.linalg.norm(X, axis=1))[:, None]


X, Y = rows(), np.array([1.0, -0.7, 0.5])
LINE = FullyConnected(depth=0, weight_var=1.5, bias_var=0.2)
NET = FullyConnected(depth=1, activation="relu", weight_var=1.0, bias_var=0.1)


def trainer(network=NET, **params):
    return LangevinTrainer(
        network,
        **{"temperature": 0.5, "init_var": 0.49, "step_size": STEP, "n_networks": 6, "width": 16, "random_state": 0}
        | params,
    )


def theory(network, temperature, init_var, prior_var):
    """Mean and standard deviation at TIMES, (time, row): by left rectangles, those of the trainer's own steps."""
    shape = {"depth": network.depth, "activation": network.activation}
    variances = {"weight_var": network.weight_var, "bias_var": network.bias_var}
    dynamics = {"temperature": temperature, "init_var": init_var, "prior_var": prior_var}
    given = {**shape, **variances, **dynamics, "rule": ndk.left_rectangles}
    return lambda y: ndk.mean(X, y, TIMES, **given), np.einsum("ttaa->ta", ndk.covariance(X, 3, TIMES, **given)) ** 0.5


@pytest.fixture(scope="module")
def small():
    return trainer().run(X[:3], Y, times=[0.0, 0.3, 0.95], X_test=X[3:], readout_time=0.3)


def test_shapes_and_dtypes(small):
    assert small.train.values.shape == small.drifted.train.values.shape == (3, 6, 3)
    assert small.test.values.shape == small.drifted.test.values.shape == (3, 6, 1)
    assert small.test.values.dtype == np.float64
    assert small.test.values.flags.writeable
    assert small.drifted.drifted is None
    assert small.train.mean.shape == small.train.std.shape == small.train.standard_error.shape == (3, 3)
    one = trainer(LINE).run(X[:3].astype(np.float32), Y[:, None], times=[1.0])
    assert one.train.values.shape == (1, 6, 3, 1)
    assert one.train.values.dtype == np.float32
    assert one.test is None
    assert one.drifted is None


def test_means_and_deviations(small):
    said = small.train
    np.testing.assert_allclose(said.mean, said.values.mean(axis=1))
    np.testing.assert_allclose(said.standard_error, said.values.std(axis=1, ddof=1) / np.sqrt(6))
    np.testing.assert_allclose(said.z_scores(said.mean - 2 * said.standard_error), 2)
    np.testing.assert_allclose(said.variance_ratio(said.std / 2), 4)


def test_a_seed_is_an_ensemble(small, monkeypatch):
    """The same however many are trained together; larger ensembles contain it; another seed is another."""
    arguments = {"times": small.times, "X_test": X[3:], "readout_time": 0.3}
    again = clone(trainer()).run(X[:3], Y, **arguments)
    np.testing.assert_array_equal(again.test.values, small.test.values)
    monkeypatch.setattr(langevin, "TOGETHER", 500)
    calls = []
    more = trainer(n_networks=7, progress=lambda *counts: calls.append(counts)).run(X[:3], Y, **arguments)
    assert len(calls) > 2
    assert calls[0] == (0, 7)
    assert calls[-1] == (7, 7)
    np.testing.assert_allclose(more.train.values[:, :6], small.train.values, rtol=0, atol=1e-12)
    other = trainer(random_state=1).run(X[:3], Y, **arguments)
    assert np.abs(other.train.values - small.train.values).min() > 1e-6
    assert np.abs(np.diff(small.train.values, axis=1)).min() > 1e-6  # each network has noise of its own


def test_a_kept_readout(small):
    """Up to its time it is the network's; then it drifts, unless what is below does not move."""
    for said, drifted in ((small.train, small.drifted.train), (small.test, small.drifted.test)):
        np.testing.assert_array_equal(drifted.values[:2], said.values[:2])
        assert np.abs(drifted.values[2] - said.values[2]).min() > 1e-6
        assert np.abs(drifted.values[2] - drifted.values[1]).min() > 1e-6
    frozen = trainer(NET.replace(n_frozen_layers=1)).run(X[:3], Y, times=small.times, readout_time=0.3)
    np.testing.assert_array_equal(frozen.drifted.train.values[2], frozen.train.values[1])
    assert np.abs(frozen.train.values[2] - frozen.train.values[1]).min() > 1e-6


def test_without_temperature_it_is_gradient_descent():
    """Of a linear model, f(k h) = y + (1 - h K)^k (f(0) - y); a time between two steps shortens the last."""
    K = 1.5 * X[:3] @ X[:3].T / 3 + 0.2
    said = trainer(LINE, temperature=0.0).run(X[:3], Y, times=[0.0, 3.0, 3.25]).train.values
    step = np.eye(3) - STEP * K
    shorter = np.eye(3) - 0.25 / 3 * K
    expected = Y + (said[0] - Y) @ np.linalg.matrix_power(step, 30)
    np.testing.assert_allclose(said[1], expected, atol=1e-13)
    np.testing.assert_allclose(said[2], Y + (expected - Y) @ np.linalg.matrix_power(shorter, 3), atol=1e-13)


def test_gradients_of_both_layers():
    """One linear unit, f = w a u x: the flow goes to the target and keeps a^2 - u^2, which the first readout shows."""
    network = FullyConnected(depth=1, activation="identity", weight_var=2.0, bias_var=0.0)
    one = trainer(network, temperature=0.0, width=1, step_size=2e-4)
    said = one.run([[0.5]], [1.0], times=[0.0, 0.5, 1.0, 20.0], X_test=[[1.0]], readout_time=0.0)
    np.testing.assert_allclose(said.train.values[3], 1, atol=1e-8)
    np.testing.assert_allclose(said.test.values, 2 * said.train.values, atol=1e-12)
    first, *then = said.train.values
    _, *drifted = said.drifted.train.values
    a, u = np.divide(then, drifted), drifted / first  # over those at the start
    ratio = (u**2 - 1) / (a**2 - 1)  # a^2 / u^2 at the start
    np.testing.assert_allclose(ratio[1:], ratio[:1].repeat(2, axis=0), rtol=1e-2)
    # narrow networks may be faster than the limit by which the step was checked
    with pytest.raises(ValueError, match="Training diverged"):
        one.set_params(step_size=1.9).run([[0.5]], [1.0], times=[0, 2, 4, 1e3], X_test=[[1.0]], readout_time=0.0)


def test_a_linear_model_has_the_moments_of_the_theory():
    """No width is needed for that: temperature, variances, and both columns of targets are tested to 1 or 2 percent."""
    dynamics = {"temperature": 0.5, "init_var": 0.3, "prior_var": 1.7}
    targets = np.stack([Y, Y[::-1]], axis=1)
    at = [0, 7, 30]
    said = trainer(LINE, n_networks=10_000, **dynamics).run(X[:3], targets, times=TIMES[at], X_test=X[3:])
    mean, std = theory(LINE.replace(activation="identity"), **dynamics)
    for column in (0, 1):
        expected = mean(targets[:, column])[at]
        z = np.concatenate([said.train.z_scores(0)[..., column], said.test.z_scores(0)[..., column]], axis=1)
        error = np.concatenate([said.train.standard_error[..., column], said.test.standard_error[..., column]], axis=1)
        assert np.abs(z - expected / error).max() < 3.5
        found = np.concatenate([said.train.std[..., column], said.test.std[..., column]], axis=1)
        assert np.abs((found / std[at]) ** 2 - 1).max() < 3.5 * np.sqrt(2 / 10_000)


CASES = {
    "identity-1": (FullyConnected(1, "identity", weight_var=1.0, bias_var=0.0), 256, 4000),
    "relu-1": (FullyConnected(1, "relu", weight_var=1.5, bias_var=0.2), 256, 4000),
    "erf-1": (FullyConnected(1, "erf", weight_var=1.5, bias_var=0.2), 256, 4000),
    "identity-2": (FullyConnected(2, "identity", weight_var=1.0, bias_var=0.0), 128, 1000),
    "relu-2": (FullyConnected(2, "relu", weight_var=1.5, bias_var=0.2), 128, 1000),
    "erf-2": (FullyConnected(2, "erf", weight_var=1.5, bias_var=0.2), 128, 1000),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_wide_networks_have_the_moments_of_the_theory(name):
    """Means within three standard errors, and variances within three of theirs, at three times of four rows."""
    network, width, n_networks = CASES[name]
    dynamics = {"temperature": 0.5, "init_var": 0.49, "prior_var": 1.0}
    at = [5, 15, 30]
    said = trainer(network, width=width, n_networks=n_networks, **dynamics).run(
        X[:3].astype(np.float32), Y, times=TIMES[at], X_test=X[3:].astype(np.float32)
    )
    mean, std = theory(network, **dynamics)
    mean, std = mean(Y)[at], std[at]
    z = np.concatenate([said.train.z_scores(mean[:, :3]), said.test.z_scores(mean[:, 3:])], axis=1)
    ratio = np.concatenate([said.train.variance_ratio(std[:, :3]), said.test.variance_ratio(std[:, 3:])], axis=1)
    assert np.abs(z).max() < 3
    assert np.abs(ratio - 1).max() < 3 * np.sqrt(2 / (n_networks - 1))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("network", "n_points", "together", "kept"),
    [(FullyConnected(2), 4, 2, None), (FullyConnected(1, "gelu"), 2000, 2, 1), (FullyConnected(0), 2000, 50, None)],
)
def test_memory_is_what_was_said(network, n_points, together, kept):
    """What jax says that a training holds is at most what is asked for, and more than a fifth of it."""
    width, points, y = 256, np.ones((n_points, 10), np.float32), np.ones((n_points, 1), np.float32)
    steps = _langevin_steps.steps_to(np.array([0.0, 1.0]), 0.1)
    keys = jax.vmap(jax.random.key)(np.arange(together))
    lowered = _langevin_steps.train.lower(network, keys, points, y, steps, kept, 0.1, 1.0, 1.0, width=width, noisy=True)
    analysis = lowered.compile().memory_analysis()
    held = analysis.temp_size_in_bytes + analysis.output_size_in_bytes
    n_params = sum(leaf.size for leaf in jax.tree.leaves(network.init(0, 10, width=width)))
    n_outputs = 2 * n_points * (1 if kept is None else 2)
    said = langevin.COPIES * together * 4 * (n_params + n_points * width * network.depth + n_outputs)
    assert said / 5 < held < said


def test_what_does_not_fit_is_refused():
    with pytest.raises(MemoryError, match=r"needs 343\.7 GB, 0\.0 for outputs and 343\.7 for 1 of the networks"):
        trainer(NET.replace(depth=2), width=2**16).run(X, X[:, 0], times=[1.0])
    with pytest.raises(MemoryError, match="keep fewer times or networks"):
        trainer(LINE, n_networks=10**9).run(X, X[:, 0], times=np.arange(1000.0))


ERRORS = {
    "temperature": ({"temperature": -1.0}, {}, "temperature must be finite and >= 0"),
    "init_var": ({"init_var": 0.0}, {}, "init_var must be positive"),
    "prior_var": ({"prior_var": 0}, {}, "prior_var must be positive"),
    "prior_var infinite": ({"prior_var": np.inf}, {}, "prior_var must be finite"),
    "step_size": ({"step_size": 0.0}, {}, "step_size must be positive"),
    "step_size too large": ({"step_size": 1.0}, {}, "step_size=1.0 does not converge.* less than 0"),
    "width": ({"width": 0}, {}, "width must be >= 1"),
    "n_networks": ({"n_networks": 1}, {}, "n_networks must be >= 2"),
    "X": ({}, {"X": [[np.nan] * 3] * 3}, "Input X contains NaN"),
    "X_test": ({}, {"X_test": [[np.inf] * 3]}, "Input X_test contains infinity"),
    "columns": ({}, {"X_test": [[1.0]]}, "X_test has 1 features, X has 3"),
    "y": ({}, {"y": [1.0, np.nan, 0.0]}, "Input y contains NaN"),
    "y text": ({}, {"y": ["a", "b", "c"]}, "could not convert"),
    "y short": ({}, {"y": [1.0]}, "y has 1 rows, X has 3"),
    "y cube": ({}, {"y": np.ones((3, 1, 1))}, "y must be 1-D|Found array with dim 3"),
    "times": ({}, {"times": [1.0, 1.0]}, "times must be 1-D, increasing"),
    "times negative": ({}, {"times": [-1.0, 1.0]}, "times must be 1-D, increasing, >= 0"),
    "times NaN": ({}, {"times": [0.0, np.nan]}, "Input times contains NaN"),
    "times empty": ({}, {"times": []}, "times must be 1-D, .* not empty"),
    "readout_time": ({}, {"readout_time": 0.5}, "readout_time must be one of times, found 0.5"),
}


@pytest.mark.parametrize("name", ERRORS)
def test_errors(name):
    params, arguments, message = ERRORS[name]
    with pytest.raises(ValueError, match=message):
        trainer(LINE, **params).run(**{"X": X[:3], "y": Y, "times": [0.0, 1.0]} | arguments)


@pytest.mark.parametrize("network", [Serial([Dense()]), "relu", None])
def test_networks_that_are_not_fully_connected(network):
    with pytest.raises(TypeError, match="network must be a FullyConnected"):
        trainer(network).run(X[:3], Y, times=[1.0])


def test_a_step_of_its_own():
    """Without a step_size, a small part of the time in which the fastest error falls."""
    mine = trainer(LINE, temperature=0.0, step_size=None).run(X[:3], Y, times=[0.0, 1.0, 2.0]).train.values
    values, vectors = np.linalg.eigh(1.5 * X[:3] @ X[:3].T / 3 + 0.2)
    flow = vectors * np.exp(-values) @ vectors.T
    expected = (mine[0] - Y) @ flow
    assert 1e-6 < np.abs(mine[1] - Y - expected).max() < 0.01 * np.abs(mine[0] - Y).max()
