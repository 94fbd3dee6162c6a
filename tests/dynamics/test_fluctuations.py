"""Fluctuations of finite networks: closed forms, the lazy limit, simulated networks."""

import jax.numpy as jnp
import numpy as np
import pytest
from references.mean_field import simulate

from ntkkit import FullyConnected
from ntkkit.dynamics import dmft

PLAIN = {"weight_var": 1.0, "bias_var": 0.0}
BIASED = {"weight_var": 1.4, "bias_var": 0.2, "readout_weight_var": 0.8, "readout_bias_var": 0.3}
LINEAR = FullyConnected(1, "identity", **PLAIN)
RNG = np.random.default_rng(1)
X = RNG.standard_normal((3, 5))
Y, OTHERS = np.array([1.0, -0.8, 0.6]), RNG.standard_normal((1, 5))


# one point, |x|^2 = d: the largest width Var Delta, and width Var K at t = 2
@pytest.mark.parametrize(
    ("gamma0", "variance", "of_kernel"),
    [(0.1, 0.136, 4.01), (0.5, 0.137, 4.10), (1.0, 0.139, 4.14), (2.0, 0.143, 4.03)],
)
def test_variances_of_a_linear_network_on_one_point(gamma0, variance, of_kernel):
    found = [
        dmft.fluctuations(LINEAR, [[1.0]], [1.0], gamma0=gamma0, learning_rate=2 / n_steps, n_steps=n_steps, n_units=64)
        for n_steps in (100, 200)
    ]
    coarse, fine = (part.prediction_variance.max() for part in found)
    assert 2 * fine - coarse == pytest.approx(variance, abs=1.5e-3)  # as steps go to 0
    coarse, fine = (part.ntk_variance[-1, 0, 0] for part in found)
    assert 2 * fine - coarse == pytest.approx(of_kernel, abs=0.015)


def test_linear_covariances_follow_the_closed_form():
    """Z (delta Delta, delta K) = (0, a unit's own delta K), with K = 2 cosh 2v, v = gamma0 int Delta."""
    gamma0, gaps = 1.5, []
    for n_steps in (100, 200):
        rate = 2 / n_steps
        found = dmft.fluctuations(
            LINEAR, [[1.0]], [1.0], gamma0=gamma0, learning_rate=rate, n_steps=n_steps, n_units=64
        )
        errors = 1 - found.predictions[:, 0]
        v = rate * gamma0 * (np.cumsum(errors) - errors)
        H, R = np.cosh(v[:, None] + v), np.sinh(v[:, None] + v)
        earlier, one = np.tril(np.ones((n_steps + 1, n_steps + 1)), -1), np.eye(n_steps + 1)
        Z = np.block(
            [
                [one + rate * earlier * 2 * np.cosh(2 * v), rate * earlier * errors],
                [-2 * rate * gamma0 * (np.exp(2 * v) - np.exp(-2 * v))[:, None] * earlier, one],
            ]
        )
        own = np.zeros_like(Z)
        own[n_steps + 1 :, n_steps + 1 :] = 4 * H**2 + 4 * R**2
        covariance = np.linalg.solve(Z, np.linalg.solve(Z, own).T)
        of_errors, of_kernel = covariance[: n_steps + 1, : n_steps + 1], covariance[n_steps + 1 :, n_steps + 1 :]
        gaps.append(
            [
                np.abs(found.prediction_covariance[:, 0, :, 0] - of_errors).max() / of_errors.max(),
                np.abs(found.ntk_covariance[..., 0, 0] - of_kernel).max() / of_kernel.max(),
            ]
        )
    assert np.max(gaps[0]) < 0.06
    np.testing.assert_allclose(np.divide(*gaps[::-1]), 0.5, atol=0.1)


def test_without_feature_learning_they_come_from_fourth_moments():
    """delta Delta(t) = -sum_s (1 - c Theta)^(t - 1 - s) c delta Theta (1 - c Theta)^s y, for each unit."""
    rate, n_steps = 0.3, 12
    found = dmft.fluctuations(
        FullyConnected(1, jnp.tanh, **PLAIN), X, Y,
        gamma0=1e-3, learning_rate=rate, n_steps=n_steps, n_units=2**13, random_state=0,
    )  # fmt: skip
    rng = np.random.default_rng(0)
    h, r = rng.standard_normal((2**17, 5)) @ X.T / np.sqrt(5), rng.standard_normal((2**17, 1))
    g = r / np.cosh(h) ** 2
    kernels = np.tanh(h)[:, :, None] * np.tanh(h)[:, None] + g[:, :, None] * g[:, None] * (X @ X.T / 5)
    theta = kernels.mean(axis=0)
    np.testing.assert_allclose(found.ntk_variance[0], kernels.var(axis=0), rtol=0.1, atol=0.02 * kernels.var())
    step = np.eye(3) - rate / 3 * theta
    changes = [np.zeros((len(h), 3))]
    for t in range(n_steps):
        errors = np.linalg.matrix_power(step, t) @ Y
        changes.append(changes[-1] @ step - rate / 3 * (kernels - theta) @ errors)
    expected = np.einsum("tin,sim->tnsm", changes, changes) / len(h)
    np.testing.assert_allclose(found.prediction_covariance, expected, atol=0.05 * expected.max())


@pytest.mark.parametrize(("variances", "gamma0"), [(PLAIN, 0.3), (BIASED, 2.0)])
def test_simulated_networks_scatter_as_much(variances, gamma0):
    n_networks, width = 400, 200
    given = {"gamma0": gamma0, "n_steps": 12, "depth": 1, **variances}
    outputs, kernels = simulate(
        X, Y, width=width, n_networks=n_networks, phi=np.tanh, slope=lambda h: 1 - np.tanh(h) ** 2, rate=0.3, **given
    )
    found = dmft.fluctuations(
        FullyConnected(1, jnp.tanh, **variances), X, Y, OTHERS,
        gamma0=gamma0, learning_rate=0.3, n_steps=12, random_state=0,
    )  # fmt: skip
    times = [2, 6, 12]
    simulated = width * np.cov(outputs[:, times].reshape(n_networks, -1).T)
    expected = found.prediction_covariance[:, :3][times][..., times, :3].reshape(9, 9)
    roots = np.sqrt(expected.diagonal())
    noise = 3 * np.sqrt(2 / n_networks) + 0.1  # of the simulation; and 1 / width, and what units are sampled by
    np.testing.assert_allclose(simulated / np.outer(roots, roots), expected / np.outer(roots, roots), atol=noise)
    np.testing.assert_allclose(width * kernels[:, 0].var(axis=0), found.ntk_variance[0, :3, :3], rtol=noise)
    trace = width * np.trace(kernels[:, 12].var(axis=0))
    assert trace == pytest.approx(np.trace(found.ntk_variance[12, :3, :3]), rel=noise)
    assert found.prediction_covariance.shape == (13, 4, 13, 4)
    assert found.ntk_covariance.shape == (13, 13, 4, 4)


def test_linear_networks_are_exact_and_sampled_ones_near():
    given = {"gamma0": 1.5, "learning_rate": 0.1, "n_steps": 6}
    exact = dmft.fluctuations(FullyConnected(1, "identity", **BIASED), X, Y, n_units=64, **given)
    sampled = dmft.fluctuations(
        FullyConnected(1, lambda h: 1.0 * h, **BIASED), X, Y, n_units=2**13, random_state=0, **given
    )
    np.testing.assert_allclose(sampled.predictions, exact.predictions, atol=1e-10)
    for part in ("prediction_covariance", "ntk_covariance"):
        expected = getattr(exact, part)
        np.testing.assert_allclose(getattr(sampled, part), expected, atol=0.05 * expected.max())


@pytest.mark.parametrize(
    ("network", "match"),
    [
        (FullyConnected(2, "erf"), "take depth=1, not 2"),
        (FullyConnected(0), "take depth=1, not 0"),
        (FullyConnected(1, "relu"), "has a kink"),
    ],
)
def test_what_is_not_known_is_refused(network, match):
    with pytest.raises(ValueError, match=match):
        dmft.fluctuations(network, X, Y, n_steps=2)


def test_memory_is_stated_before_it_is_taken(monkeypatch):
    monkeypatch.setattr("ntkkit.dynamics.dmft.problem.available_memory", lambda: 10**6)
    with pytest.raises(MemoryError, match=r"Fluctuations of 3 points at 201 times by 4096 units needs .* GB"):
        dmft.fluctuations(FullyConnected(1, "erf"), X, Y, n_steps=200)
