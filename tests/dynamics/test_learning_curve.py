"""Learning curves: against a direct solution, closed forms and limits; modes against all times."""

import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from references import ndk as reference

from ntkkit import NNGP, NTK, FullyConnected
from ntkkit.dynamics import NDK, learning_curve
from ntkkit.dynamics.learning_curve import make_grid, trapezoid
from ntkkit.dynamics.memory import Memory
from ntkkit.dynamics.modes import Modes, separate

SETTINGS = {"temperature": 0.2, "init_var": 0.49, "prior_var": 1.0}
UNBIASED = {"weight_var": 1.0, "bias_var": 0.0}
Y = np.array([1.0, -0.7, 0.5])


@pytest.fixture(scope="module")
def X():
    X = np.random.default_rng(5).standard_normal((4, 3))
    X *= np.sqrt(3) / np.linalg.norm(X, axis=1, keepdims=True)
    return X * [[1.0], [0.8], [1.2], [1.0]]


def outputs(memory):
    return np.stack([memory.step(i) for i in range(1, len(memory.errors))])


@pytest.mark.parametrize("activation", ["relu", "erf"])
def test_agrees_with_the_direct_solution(X, activation):
    ndk = NDK(FullyConnected(depth=1, activation=activation, **UNBIASED), **SETTINGS)
    curve = learning_curve(ndk, X[:3], Y, X[3:], times=5.0, n_steps=60, return_std=True)
    whole = learning_curve(ndk, X[:3], Y, X[3:], times=make_grid(ndk, X[:3], 5.0, 60)[0], n_steps=60)
    network = {"depth": 1, "activation": activation, **SETTINGS}
    exact = reference.mean(X, Y, whole.times, **network)
    np.testing.assert_allclose(np.hstack([whole.train, whole.test]), exact, atol=5e-6)
    variance = np.einsum("ttaa->ta", reference.covariance(X, 3, whole.times, **network))[-1]
    np.testing.assert_allclose(np.hstack([curve.train_std, curve.test_std])[0], np.sqrt(variance), rtol=1e-6)


def test_the_vector_of_the_paper_s_equations(X):
    """By left rectangles of .02, f(3) = .6288, -.3565, .5390, -.1498."""
    times = np.arange(0, 3.01, 0.02)
    by_rectangles = reference.mean(X, Y, times, rule=reference.left_rectangles, depth=1, activation="relu", **SETTINGS)
    np.testing.assert_allclose(by_rectangles[-1], [0.6288, -0.3565, 0.5390, -0.1498], atol=5e-5)
    curve = learning_curve(NDK(FullyConnected(depth=1, **UNBIASED), **SETTINGS), X[:3], Y, X[3:], times=3.0)
    np.testing.assert_allclose(np.append(curve.train, curve.test), by_rectangles[-1], atol=2e-3)


@pytest.mark.parametrize("activation", ["relu", "erf"])
def test_dynamics_end_in_the_posterior(X, activation):
    network = FullyConnected(depth=1, activation=activation, **UNBIASED)
    curve = learning_curve(NDK(network, **SETTINGS), X[:3], Y, X[3:], n_steps=600)
    K = NNGP(network)(X)
    posterior = K[:, :3] @ np.linalg.solve(K[:3, :3] + 0.2 * np.eye(3), Y)
    np.testing.assert_allclose(np.append(curve.train[-1], curve.test[-1]), posterior, atol=1e-4)
    if activation == "relu":
        np.testing.assert_allclose(posterior, [0.6949, -0.4320, 0.5306, -0.1711], atol=5e-5)


@pytest.mark.parametrize("activation", ["identity", "relu", "erf"])
def test_little_noise_is_gradient_flow_of_the_ntk(X, activation):
    network = FullyConnected(depth=1, activation=activation, **UNBIASED)
    times = [0.5, 2.0, 5.0]
    curve = learning_curve(NDK(network, 0.0, init_var=1.96), X[:3], Y, X[3:], times=times)
    theta = NTK(network.replace(weight_var=1.96))(X) / 1.96
    values, vectors = np.linalg.eigh(theta[:3, :3])
    for i, t in enumerate(times):
        dual = vectors @ (-np.expm1(-values * t) / values * (vectors.T @ Y))
        np.testing.assert_allclose(np.append(curve.train[i], curve.test[i]), theta[:, :3] @ dual, atol=2e-4)


def test_the_error_falls_with_the_steps(X):
    ndk = NDK(FullyConnected(depth=1, **UNBIASED), **SETTINGS)
    fine = learning_curve(ndk, X[:3], Y, times=3.0, n_steps=1600).train
    errors = [np.abs(learning_curve(ndk, X[:3], Y, times=3.0, n_steps=n).train - fine).max() for n in (50, 200)]
    assert errors[1] < errors[0] / 4**1.2


@pytest.mark.parametrize(
    ("network", "init_var"),
    [
        (FullyConnected(depth=2, **UNBIASED), 0.5),
        (FullyConnected(depth=1, activation="abs", **UNBIASED), 2.0),
        (FullyConnected(depth=1, activation="erf", bias_var=0.3), 1.0),
    ],
)
def test_modes_are_the_kernel_at_all_times(network, init_var):
    rng = np.random.default_rng(0)
    X, targets = rng.standard_normal((12, 4)), rng.standard_normal((8, 2))
    ndk = NDK(network, 0.1, init_var, 1.0)
    grid, _ = make_grid(ndk, X, None, 60)
    by_modes = Modes(ndk, X, X[:8], targets, grid, separate(ndk, grid))
    at_all_times = Memory(ndk, X, X[:8], targets, grid)
    np.testing.assert_allclose(outputs(by_modes), outputs(at_all_times), atol=2e-5)


def test_what_is_not_separable():
    grid = np.array([0.0, 1.0])
    assert separate(NDK(FullyConnected(activation="erf", bias_var=0.0), 0.1, 0.5, 1.0), grid) is None
    assert separate(NDK(FullyConnected(bias_var=0.1), 0.1, 0.5, 1.0), grid) is None
    assert separate(NDK(FullyConnected(bias_var=0.1), 0.1, 1.0, 1.0), grid) is not None


@settings(max_examples=20, deadline=None)
@given(st.lists(st.floats(0.01, 50), min_size=1, max_size=6, unique=True), st.floats(0.01, 2))
def test_the_grid_has_the_times_that_are_reported(times, temperature):
    ndk = NDK(FullyConnected(depth=0), temperature)
    times = np.sort(times)
    grid, reported = make_grid(ndk, np.eye(2), times, 20)
    np.testing.assert_array_equal(grid[reported], times)
    assert grid[0] == 0
    assert (np.diff(grid) > 0).all()
    np.testing.assert_allclose(trapezoid(grid) @ grid, grid**2 / 2, rtol=1e-12)


def test_targets_progress_and_time_zero(X):
    ndk, seen = NDK(FullyConnected(depth=1, **UNBIASED), **SETTINGS), []
    both = learning_curve(
        ndk, X[:3], np.stack([Y, 2 * Y], axis=1), times=[0.0, 1.0], n_steps=20, progress=lambda *at: seen.append(at)
    )
    assert both.train.shape == (2, 3, 2)
    np.testing.assert_array_equal(both.train[0], 0)
    np.testing.assert_allclose(both.train[..., 1], 2 * both.train[..., 0], rtol=1e-12)
    assert seen[-1][0] == seen[-1][1]


def test_memory_is_stated_beforehand(X, monkeypatch):
    def given(n_bytes):
        for name in ("learning_curve", "modes"):
            monkeypatch.setattr(sys.modules[f"ntkkit.dynamics.{name}"], "available_memory", lambda: n_bytes)
        return learning_curve(ndk, X[:3], Y, X[3:], times=5.0, n_steps=20)

    ndk = NDK(FullyConnected(depth=1, **UNBIASED), **SETTINGS)
    by_modes = given(10**9)
    with pytest.warns(UserWarning, match=r"Modes of 3 .* all pairs of times instead, 2\.6e\+03 times"):
        at_all_times = given(5000)
    np.testing.assert_allclose(at_all_times.test, by_modes.test, atol=1e-5)
    with pytest.raises(MemoryError, match=r"3 training points and 4 in all need 0\.0 GB at 21 times"):
        given(2000)


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"y": [1.0, np.nan, 0.0]}, ValueError, "y must be finite"),
        ({"y": [1.0]}, ValueError, "inconsistent"),
        ({"X_test": [[1.0]]}, ValueError, "X_test must have"),
        ({"X_test": [[1.0, np.inf, 0.0]]}, ValueError, "X_test"),
        ({"times": [2.0, 1.0]}, ValueError, "times must increase"),
        ({"ndk": NDK(FullyConnected(), 0.0)}, ValueError, "times must be given"),
        ({"ndk": NTK(FullyConnected())}, TypeError, "NDK"),
        ({"X_test": np.ones((100_000, 3)), "return_std": True, "n_steps": 4}, MemoryError, "memory|GB|bytes"),
    ],
)
def test_bad_input(X, changes, error, message):
    with pytest.raises(error, match=message):
        learning_curve(**{"ndk": NDK(FullyConnected()), "X": X[:3], "y": Y, **changes})
