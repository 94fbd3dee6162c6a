"""Drift: against a direct solution, the closed form of equilibrium, and what is left in the end."""

import numpy as np
import pytest
from references import ndk as reference
from references.ndk import DUALS

from ntkkit import NNGP, FullyConnected
from ntkkit.dynamics import NDK, drift, learning_curve
from ntkkit.dynamics.learning_curve import make_grid
from ntkkit.dynamics.modes import separate
from ntkkit.finite import LangevinTrainer

SETTINGS = {"temperature": 0.2, "init_var": 0.49, "prior_var": 1.3}
BIASED = {"weight_var": 1.5, "bias_var": 0.2}
UNBIASED = {"weight_var": 1.5, "bias_var": 0.0}
Y = np.array([1.0, -0.7, 0.5])


@pytest.fixture(scope="module")
def X():
    return np.random.default_rng(5).standard_normal((4, 3)) * [[1.0], [0.8], [1.2], [1.0]]


@pytest.mark.parametrize(
    ("activation", "depth", "variances", "n_steps"),
    [
        ("relu", 2, BIASED, 40),
        ("relu", 1, UNBIASED, 120),  # separable
        pytest.param("erf", 2, BIASED, 40, marks=pytest.mark.slow),
    ],
)
def test_agrees_with_the_direct_solution(X, activation, depth, variances, n_steps):
    ndk = NDK(FullyConnected(depth=depth, activation=activation, **variances), **SETTINGS)
    times = [2.0, 2.5, 6.0]
    curve = drift(ndk, X[:3], Y, X[3:], readout_time=2.0, times=times, n_steps=n_steps)
    grid, where = make_grid(ndk, X[:3], times, n_steps)
    network = {"depth": depth, "activation": activation, **variances, **SETTINGS}
    exact = reference.drifted_mean(X, Y, grid, where[0], **network)[where - where[0]]
    separable = separate(ndk, grid) is not None
    np.testing.assert_allclose(np.hstack([curve.train, curve.test]), exact, atol=1e-5 if separable else 1e-9)


def test_at_first_it_is_what_the_network_says(X):
    ndk = NDK(FullyConnected(depth=1, **UNBIASED), **SETTINGS)
    whole = learning_curve(ndk, X[:3], Y[:, None], times=2.0, n_steps=120)
    drifted = drift(ndk, X[:3], Y[:, None], readout_time=2.0, times=2.0, n_steps=120)
    assert drifted.train.shape == (1, 3, 1)
    np.testing.assert_allclose(drifted.train, whole.train, atol=1e-6)
    assert drifted.test is None


def test_without_noise_only_learning_goes_on(X):
    """At temperature 0 weights stay but for errors: long after convergence there is no drift."""
    ndk = NDK(FullyConnected(depth=1, **UNBIASED), 0.0)
    curve = drift(ndk, X[:3], Y, X[3:], readout_time=400.0, times=[400.0, 800.0], n_steps=100)
    np.testing.assert_allclose(curve.test[1], curve.test[0], atol=1e-6)
    np.testing.assert_allclose(curve.train[1], Y, atol=1e-6)


@pytest.mark.parametrize("activation", ["relu", pytest.param("erf", marks=pytest.mark.slow)])
def test_in_equilibrium(X, activation):
    """init_var = prior_var: only the lag matters, and errors are T (T + K)^-1 y."""
    T, network = 0.5, FullyConnected(depth=1, activation=activation, **UNBIASED)
    ndk, lag = NDK(network, T), 1.5
    curve = drift(ndk, X[:3], Y, X[3:], readout_time=30.0, times=[30.0 + lag, 60.0], n_steps=400)
    dual = np.linalg.solve(NNGP(network)(X[:3]) + T * np.eye(3), Y)
    s = np.linspace(0, lag, 201)
    _, covariance = ndk.with_covariance(X, X[:3], t=lag, s=s)  # m(lag, s) B
    features = covariance[0] / np.exp(-T * (lag - s))[:, None, None]
    middle = np.exp(-T * (s[1:] + s[:-1]) / 2)[:, None, None]
    expected = (features[0] + (middle * np.diff(features, axis=0)).sum(axis=0)) @ dual
    np.testing.assert_allclose(np.append(curve.train[0], curve.test[0]), expected, atol=5e-4)
    variances = 1.5 * (X**2).mean(axis=1)
    apart = 1.5 * DUALS[activation](0.0 * variances[:, None], variances[:, None], variances[:3])[0] @ dual
    np.testing.assert_allclose(np.append(curve.train[1], curve.test[1]), apart, atol=5e-4)
    if activation == "erf":
        np.testing.assert_array_equal(apart, 0)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"readout_time": -1.0}, "readout_time must be"),
        ({"readout_time": [1.0, 2.0]}, "readout_time must be one"),
        ({"readout_time": 3.0}, "none of times before"),
        ({"times": [3.0, 2.0]}, "times must increase"),
        ({"times": np.nan}, "times must be"),
        ({"y": [1.0]}, "inconsistent"),
    ],
)
def test_bad_input(X, changes, message):
    with pytest.raises(ValueError, match=message):
        drift(**{"ndk": NDK(FullyConnected()), "X": X[:3], "y": Y, "readout_time": 1.0, "times": 2.0, **changes})


@pytest.mark.slow
@pytest.mark.parametrize("activation", ["relu", "erf"])
def test_finite_networks_drift_so(X, activation):
    network, settings = FullyConnected(depth=1, activation=activation, **BIASED), {**SETTINGS, "temperature": 0.5}
    times = [1.0, 3.0]
    trainer = LangevinTrainer(network, **settings, width=256, n_networks=1000, step_size=0.03, random_state=0)
    rows = X.astype(np.float32)
    found = trainer.run(rows[:3], Y, times=times, X_test=rows[3:], readout_time=1.0).drifted
    curve = drift(NDK(network, **settings), X[:3], Y, X[3:], readout_time=1.0, times=times)
    for part, exact in ((found.train, curve.train), (found.test, curve.test)):
        assert (np.abs(part.z_scores(exact)) < 3).all()
    assert (np.abs(found.train.z_scores(curve.train[::-1])) > 3).any()  # they have drifted
