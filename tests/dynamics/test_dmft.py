"""Mean-field theory: against simulated networks, a dense fixed point, and in its limits."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from references.mean_field import linear_fixed_point, simulate
from sklearn.exceptions import ConvergenceWarning

from ntkkit import NNGP, NTK, Convolutional, FullyConnected
from ntkkit.dynamics import dmft
from ntkkit.dynamics.dmft.problem import has_kink
from ntkkit.networks import resolve_activation

RNG = np.random.default_rng(1)
X = RNG.standard_normal((3, 5))
X *= np.sqrt(5) / np.linalg.norm(X, axis=1, keepdims=True)
Y, OTHERS = np.array([1.0, -0.8, 0.6]), RNG.standard_normal((2, 5))
PLAIN = {"weight_var": 1.0, "bias_var": 0.0}
BIASED = {"weight_var": 1.4, "bias_var": 0.2, "readout_weight_var": 0.8, "readout_bias_var": 0.3}
FUNCTIONS = {
    "tanh": (jnp.tanh, np.tanh, lambda h: 1 - np.tanh(h) ** 2),
    "relu": ("relu", lambda h: np.maximum(h, 0), lambda h: (h > 0) * 1.0),
    "identity": ("identity", lambda h: h, np.ones_like),
}


def normalized(difference, errors):
    """The root mean square of differences in standard errors, without the start, where both are 0."""
    return np.sqrt((difference[1:] ** 2 / errors[1:] ** 2).mean())


# traces of the NTK after 59 steps, errors updated to first order in the steps; and how far steps as they are differ
@pytest.mark.parametrize(
    ("depth", "gamma0", "rate", "first", "last"),
    [(1, 2.0, 0.15, 6.0, 13.038), (2, 1.5, 0.1, 9.0, 21.107), (3, 1.0, 0.08, 12.0, 23.427)],
)
def test_linear_networks_agree_with_the_fixed_point(depth, gamma0, rate, first, last):
    K = X @ X.T / 5
    dense = linear_fixed_point(K, Y, depth=depth, gamma0=gamma0, rate=rate, n_times=60)
    assert np.trace(dense[-1]) == pytest.approx(last, abs=1e-3)
    network = FullyConnected(depth, "identity", **PLAIN)
    gaps = []
    for halved in (1, 2, 4):
        theory = dmft.solve(network, X, Y, gamma0=gamma0, learning_rate=rate / halved, n_steps=20 * halved)
        dense = linear_fixed_point(K, Y, depth=depth, gamma0=gamma0, rate=rate / halved, n_times=20 * halved + 1)
        assert np.trace(theory.ntk[0]) == pytest.approx(first, rel=1e-12)
        gaps.append(np.trace(dense[-1]) - np.trace(theory.ntk[-1]))
    assert gaps[1] / gaps[0] == pytest.approx(0.5, abs=0.1)  # the gap is of first order in the steps
    assert gaps[2] / gaps[1] == pytest.approx(0.5, abs=0.05)


@pytest.mark.parametrize("gamma0", [0.1, 1.0, 3.0])
def test_one_linear_point_follows_the_closed_form(gamma0):
    network = FullyConnected(1, "identity", **PLAIN)
    gaps = []
    for n_steps in (100, 200):
        theory = dmft.solve(network, [[1.0]], [1.0], gamma0=gamma0, learning_rate=1 / n_steps, n_steps=n_steps)
        closed = 2 * np.sqrt(1 + gamma0**2 * (1 - theory.errors[:, 0]) ** 2)
        gaps.append(np.abs(theory.ntk[:, 0, 0] - closed).max())
    assert gaps[0] < 0.02 * gamma0**2
    assert gaps[1] / gaps[0] == pytest.approx(0.5, abs=0.05)


@pytest.mark.parametrize(
    ("name", "depth", "variances", "gamma0", "rate"),
    [
        ("identity", 3, PLAIN, 1.0, 0.08),
        ("identity", 2, BIASED, 1.5, 0.08),
        ("relu", 1, BIASED, 2.0, 0.15),
        ("tanh", 1, PLAIN, 3.0, 0.3),
        ("tanh", 2, PLAIN, 2.0, 0.15),
        ("tanh", 2, BIASED, 2.0, 0.15),
    ],
)
def test_simulated_networks_agree(name, depth, variances, gamma0, rate):
    activation, phi, slope = FUNCTIONS[name]
    given = {"depth": depth, "gamma0": gamma0, "rate": rate, "n_steps": 19, **variances}
    outputs, kernels = simulate(X, Y, width=400, n_networks=30, phi=phi, slope=slope, **given)
    theory = dmft.solve(
        FullyConnected(depth, activation, **variances), X, Y,
        gamma0=gamma0, learning_rate=rate, n_steps=19, n_populations=2, random_state=0,
    )  # fmt: skip
    error = outputs.std(axis=0, ddof=1) / np.sqrt(30)
    bias = 3 * outputs.std(axis=0, ddof=1) / np.sqrt(400)  # of finite width, relative to the spread
    within = np.sqrt(error**2 + bias**2 + theory.standard_errors**2)
    gap = outputs.mean(axis=0) - theory.predictions
    assert normalized(gap, within) < 1.5
    assert np.abs(gap).max() < 3 * within.max()
    away = np.abs(outputs.mean(axis=0) - theory.lazy_predictions).max()
    assert np.abs(gap).max() < 0.5 * away  # learned features show
    for t in (0, 19):
        spread = kernels[:, t].std(axis=0, ddof=1) / np.sqrt(30)
        size = np.sqrt(np.outer(*2 * [theory.ntk[t].diagonal()]))
        assert (np.abs(kernels[:, t].mean(axis=0) - theory.ntk[t]) < 3 * spread + 0.015 * size).all()


NETWORKS = {
    "linear": FullyConnected(2, "identity", **BIASED),
    "nothing hidden": FullyConnected(0, **BIASED),
    "relu": FullyConnected(1, "relu", **BIASED),
    "deep": FullyConnected(2, "erf", **BIASED),
    "frozen": FullyConnected(2, "erf", n_frozen_layers=1, **BIASED),
    "readout": FullyConnected(1, "relu", n_frozen_layers=1, input_scale=0.7),
}


@pytest.fixture(scope="module")
def solved():
    def solve(name, gamma0, n_steps=8, others=OTHERS):
        key = name, gamma0, n_steps, others is None
        if key not in found:
            found[key] = dmft.solve(
                NETWORKS[name], X, Y, others,
                gamma0=gamma0, learning_rate=0.2, n_steps=n_steps, n_units=256, n_populations=2, random_state=3,
            )  # fmt: skip
        return found[key]

    found = {}
    return solve


@pytest.mark.parametrize("name", NETWORKS)
def test_without_feature_learning_it_is_gradient_descent_of_the_ntk(name, solved):
    theory = solved(name, 1e-4)
    points = np.concatenate([X, OTHERS])
    theta = NTK(NETWORKS[name])(points)
    np.testing.assert_allclose(theory.ntk[0], theta, rtol=1e-12)
    np.testing.assert_allclose(theory.ntk[-1], theta, atol=1e-4)
    f = np.zeros(5)
    for predictions in theory.predictions:
        np.testing.assert_allclose(predictions, f, atol=1e-6)
        f = f + 0.2 / 3 * theta[:, :3] @ (Y - f[:3])
    np.testing.assert_allclose(theory.lazy_predictions, theory.predictions, atol=1e-6)


@pytest.mark.parametrize("name", NETWORKS)
def test_nothing_depends_on_what_comes_later_or_on_other_points(name, solved):
    whole, shorter = solved(name, 1.5), solved(name, 1.5, 5, None)
    np.testing.assert_allclose(shorter.predictions, whole.predictions[:6, :3], atol=1e-10)
    np.testing.assert_allclose(shorter.ntk, whole.ntk[:6, :3, :3], atol=1e-8)
    for part, longer in zip(shorter.features + shorter.gradients, whole.features + whole.gradients, strict=True):
        np.testing.assert_allclose(part, longer[:6, :3, :3], atol=1e-8)
    assert np.abs(whole.predictions - whole.lazy_predictions)[-1].max() > (
        0 if name in ("nothing hidden", "readout") else 1e-3
    )


@given(st.integers(0, 2**31 - 1), st.integers(1, 11), st.floats(0.1, 3.0))
def test_no_time_depends_on_a_later_one(seed, n_steps, gamma0):
    """Whatever the data: fewer steps are the beginning of more of them."""
    rng = np.random.default_rng(seed)
    points, y = rng.standard_normal((3, 5)), rng.standard_normal(3)
    given_ = {"gamma0": gamma0, "learning_rate": 0.02}
    whole = dmft.solve(NETWORKS["linear"], points, y, n_steps=12, **given_)
    part = dmft.solve(NETWORKS["linear"], points, y, n_steps=n_steps, **given_)
    np.testing.assert_allclose(part.predictions, whole.predictions[: n_steps + 1], atol=1e-12)
    np.testing.assert_allclose(part.ntk, whole.ntk[: n_steps + 1], rtol=1e-10)


def test_frozen_layers_leave_kernels_where_they_are(solved):
    lazy = solved("readout", 2.0)
    np.testing.assert_allclose(lazy.predictions, lazy.lazy_predictions, atol=1e-12)
    np.testing.assert_allclose(lazy.ntk[-1], NNGP(NETWORKS["readout"])(np.concatenate([X, OTHERS])), rtol=1e-12)
    frozen = solved("frozen", 1.5)
    np.testing.assert_array_equal(frozen.features[0][-1], frozen.features[0][0])


def test_a_training_point_given_again_as_another_is_the_same(solved):
    theory = dmft.solve(
        NETWORKS["deep"], X, Y, X[1:],
        gamma0=1.5, learning_rate=0.2, n_steps=8, n_units=256, n_populations=2, random_state=3,
    )  # fmt: skip
    np.testing.assert_allclose(theory.predictions[:, 3:], theory.predictions[:, 1:3], atol=1e-4)
    np.testing.assert_allclose(theory.ntk[:, 3:, :3], theory.ntk[:, 1:3, :3], atol=1e-3)


def test_sampled_equations_are_those_of_linear_networks_in_the_mean():
    exact = dmft.solve(FullyConnected(2, "identity", **BIASED), X, Y, gamma0=1.5, learning_rate=0.08, n_steps=8)
    sampled = dmft.solve(
        FullyConnected(2, lambda h: 1.0 * h, **BIASED), X, Y,
        gamma0=1.5, learning_rate=0.08, n_steps=8, n_units=256, n_populations=16, random_state=0,
    )  # fmt: skip
    assert normalized(sampled.predictions - exact.predictions, sampled.standard_errors) < 1.6
    np.testing.assert_allclose(sampled.ntk[-1], exact.ntk[-1], atol=0.02 * exact.ntk[-1].max())


@settings(max_examples=8, deadline=None)
@given(st.integers(0, 2**31 - 1), st.floats(0.1, 3.0))
def test_signs_of_targets_are_those_of_predictions(seed, gamma0):
    y = np.random.default_rng(seed).standard_normal(3)
    given_ = {"gamma0": gamma0, "learning_rate": 0.05, "n_steps": 8, "n_units": 256, "n_populations": 2}
    one, other = (dmft.solve(NETWORKS["relu"], X, sign * y, random_state=0, **given_) for sign in (1, -1))
    np.testing.assert_allclose(one.predictions, -other.predictions, atol=1e-9)
    np.testing.assert_allclose(one.ntk, other.ntk, atol=1e-9)
    assert (np.linalg.eigvalsh(one.ntk[-1]) > 0).all()
    assert (one.errors[-1] ** 2).sum() < (one.errors[0] ** 2).sum()


@pytest.mark.parametrize(
    ("name", "kink"),
    [("relu", True), ("leaky_relu", True), (jax.nn.elu, False), ("erf", False), ("gelu", False), (jnp.tanh, False)],
)
def test_kinks_are_found(name, kink):
    assert has_kink(resolve_activation(name)) == kink


@pytest.mark.parametrize(
    ("changes", "error", "match"),
    [
        ({"network": FullyConnected(2)}, ValueError, "kink.*depth=1, or a smooth activation"),
        ({"network": FullyConnected(1, "sign")}, ValueError, "no derivative"),
        ({"network": Convolutional(2)}, TypeError, "network must be a FullyConnected"),
        ({"learning_rate": 50.0}, ValueError, "diverges at step 1.*Take a learning_rate of"),
        ({"learning_rate": 0.0}, ValueError, "learning_rate must be positive"),
        ({"gamma0": 0.0}, ValueError, "gamma0 must be positive"),
        ({"gamma0": -1.0}, ValueError, "gamma0"),
        ({"n_units": 1000}, ValueError, "n_units must be a power of 2.*take 1024"),
        ({"n_units": 4}, ValueError, "n_units must be a power of 2, and above 6"),
        ({"n_units": 16, "network": FullyConnected(2, "erf"), "X_test": np.ones((5, 5))}, ValueError, "above 16"),
        ({"gamma0": None}, TypeError, "gamma0"),
        ({"n_populations": 1}, ValueError, "n_populations"),
        ({"n_steps": 0}, ValueError, "n_steps"),
        ({"y": Y[:2]}, ValueError, "inconsistent numbers of samples"),
        ({"y": np.column_stack([Y, Y])}, ValueError, "one number a row"),
        ({"y": [1.0, np.nan, 0.0]}, ValueError, "y contains NaN"),
        ({"X": np.full((3, 2), np.inf)}, ValueError, "X contains infinity"),
        ({"X_test": np.ones((2, 4))}, ValueError, "X_test must have the 5 columns of X, found 4"),
        ({"X": np.zeros((3, 5)), "network": FullyConnected(1, **PLAIN)}, ValueError, "NTK of X is zero"),
    ],
)
def test_bad_input_is_refused(changes, error, match):
    given = {"network": FullyConnected(1), "X": X, "y": Y, "n_steps": 8, **changes}
    with pytest.raises(error, match=match):
        dmft.solve(**given)


@pytest.mark.parametrize("network", [FullyConnected(2, "erf"), FullyConnected(2, "identity")])
def test_memory_is_stated_before_it_is_taken(network, monkeypatch):
    monkeypatch.setattr("ntkkit.dynamics.dmft.problem.available_memory", lambda: 10**6)
    with pytest.raises(MemoryError, match=r"needs .* GB, and 0.0 GB are available: take fewer points"):
        dmft.solve(network, X, Y, n_steps=200)


def test_steps_that_overshoot_are_warned_of():
    with pytest.warns(ConvergenceWarning, match=r"rises at step .*Take a learning_rate of"):
        dmft.solve(NETWORKS["linear"], X, Y, gamma0=1.0, learning_rate=0.9, n_steps=8)


def test_progress_is_told(capsys):
    told = []
    dmft.solve(NETWORKS["relu"], X, Y, n_steps=8, n_units=256, n_populations=3, progress=lambda *at: told.append(at))
    assert told == [(0, 3), (1, 3), (2, 3), (3, 3)]
