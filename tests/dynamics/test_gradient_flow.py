"""Gradient flow of any loss: squared losses in closed form, logistic ones against neural-tangents, and refusals."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.integrate import quad
from scipy.linalg import expm
from scipy.special import log_softmax

from ntkkit.dynamics import gradient_flow
from ntkkit.interop.neural_tangents import import_neural_tangents
from ntkkit.linalg import eigen, squared_loss_flow

N, M, K = 12, 4, 3
TIMES = [1e-4, 0.0, 0.3, 50.0]


@pytest.fixture(scope="module")
def problem():
    """A kernel with eigenvalues from 1e-4 to 1e3, starts, and targets."""
    rng = np.random.default_rng(0)
    vectors = np.linalg.qr(rng.standard_normal((N + M, N)))[0]
    root = vectors * np.geomspace(1e-2, 30, N)
    theta = root @ root.T
    start, y = rng.standard_normal((N + M, K)), rng.standard_normal((N, K))
    return theta[:N, :N], theta[N:, :N], start[:N], start[N:], y


def test_squared_loss_is_the_closed_form(problem):
    theta, theta_test, f0, f0_test, y = problem
    flow = gradient_flow(theta, theta_test, f0, lambda f: jnp.sum((f - y) ** 2) / 2, TIMES, f0_test=f0_test)
    decomposition = eigen(theta)
    for i, time in enumerate(TIMES):
        a = squared_loss_flow(decomposition, y - f0, time)
        np.testing.assert_allclose(flow.train[i], f0 + theta @ a, rtol=0, atol=1e-8)
        np.testing.assert_allclose(flow.test[i], f0_test + theta_test @ a, rtol=0, atol=1e-8)
        np.testing.assert_allclose(flow.dual_coef[i], a, rtol=1e-8, atol=1e-8 * np.abs(a).max())
    np.testing.assert_array_equal(flow.times, TIMES)
    assert flow.train.dtype == np.float64
    assert flow.train.shape == (4, N, K)
    assert flow.test.shape == (4, M, K)


def test_weight_decay_is_a_ridge_term(problem):
    theta, _, _, _, y = problem
    flow = gradient_flow(theta, None, np.zeros((N, K)), lambda f: jnp.sum((f - y) ** 2) / 2, 2.0, alpha=0.5)
    a = squared_loss_flow(eigen(theta), y, 2.0, alpha=0.5)
    np.testing.assert_allclose(flow.dual_coef[0], a, rtol=1e-8, atol=1e-8)
    assert flow.test is None


def test_matrix_valued_kernels(problem):
    """df/dt = Theta (y - f) with any matrix Theta, here no Kronecker product and not symmetric."""
    _, _, f0, f0_test, y = problem
    rng = np.random.default_rng(1)
    J, J_other = rng.standard_normal((N, K, 50)), rng.standard_normal((N, K, 50))
    J_test = rng.standard_normal((M, K, 50))
    for right in (J, J + 0.1 * J_other):
        theta = np.einsum("icp,jdp->ijcd", J, right)
        theta_test = np.einsum("icp,jdp->ijcd", J_test, right)
        loss = lambda f: jnp.sum((f - y) ** 2) / 2  # noqa: E731
        flow = gradient_flow(theta, theta_test, f0, loss, [0.01, 1.0], f0_test=f0_test)
        matrix = np.einsum("icp,jdp->icjd", J, right).reshape(N * K, N * K)
        for i, time in enumerate([0.01, 1.0]):
            error = expm(-time * matrix) @ (f0 - y).ravel()
            np.testing.assert_allclose(flow.train[i].ravel(), y.ravel() + error, rtol=0, atol=1e-8)
            a = np.linalg.solve(matrix, error - (f0 - y).ravel())
            moved = np.einsum("ijcd,jd->ic", theta_test, a.reshape(N, K))
            np.testing.assert_allclose(flow.test[i], f0_test + moved, rtol=0, atol=1e-8)


def test_a_scalar_kernel_is_a_matrix_valued_one(problem):
    theta, theta_test, f0, f0_test, y = problem

    def loss(f):
        return jnp.sum(jnp.sum((f - y) ** 4, axis=1) ** 0.5)  # couples the outputs of a sample

    scalar = gradient_flow(theta, theta_test, f0, loss, [0.1, 5.0], f0_test=f0_test)
    both = [np.einsum("ij,cd->ijcd", part, np.eye(K)) for part in (theta, theta_test)]
    matrix = gradient_flow(*both, f0, loss, [0.1, 5.0], f0_test=f0_test)
    np.testing.assert_allclose(matrix.train, scalar.train, rtol=0, atol=1e-8)
    np.testing.assert_allclose(matrix.test, scalar.test, rtol=0, atol=1e-8)


def test_logistic_loss_is_neural_tangents(problem):
    theta, theta_test, f0, f0_test, y = problem
    labels = np.eye(K)[y.argmax(axis=1)]
    nt = import_neural_tangents()
    with jax.enable_x64(True):
        predict = nt.predict.gradient_descent(
            lambda f, y: -jnp.mean(jax.nn.log_softmax(f) * y), jnp.asarray(theta), jnp.asarray(labels)
        )
        # theirs descends the mean over all entries; its solver's tolerance is 1.4e-8
        train, test = predict(0.3 * y.size, jnp.asarray(f0), jnp.asarray(f0_test), jnp.asarray(theta_test))
    flow = gradient_flow(
        theta, theta_test, f0, lambda f: -jnp.sum(jax.nn.log_softmax(f) * labels), 0.3, f0_test=f0_test
    )
    np.testing.assert_allclose(flow.train[0], train, rtol=0, atol=2e-6)
    np.testing.assert_allclose(flow.test[0], test, rtol=0, atol=2e-6)


def test_one_sample_of_logistic_loss():
    """df/dt = s / (1 + exp(f)): f + exp(f) = s t + 1, to times at which f creeps; and what it costs is -dl/dt."""
    for rate in (1e-6, 1.0, 1e6):
        times = np.geomspace(1e-3, 1e6, 5) / rate
        flow = gradient_flow([[rate]], None, [0.0], lambda f: jnp.logaddexp(0, -f).sum(), times)
        f = flow.train[:, 0]
        np.testing.assert_allclose(f + np.exp(f), rate * times + 1, rtol=1e-8)


def test_loss_falls_by_the_squared_slope(problem):
    theta, _, f0, _, y = problem
    labels = np.eye(K)[y.argmax(axis=1)]
    times = np.linspace(0, 0.02, 21)
    flow = gradient_flow(theta, None, f0, lambda f: -jnp.sum(jax.nn.log_softmax(f) * labels), times)
    losses = -(log_softmax(flow.train, axis=2) * labels).sum(axis=(1, 2))
    assert (np.diff(losses) < 0).all()
    slopes = np.exp(log_softmax(flow.train, axis=2)) - labels
    speed = np.einsum("tic,ij,tjc->t", slopes, theta, slopes)
    fallen = quad(lambda t: np.interp(t, times[10:], speed[10:]), times[10], times[20], limit=200)[0]
    np.testing.assert_allclose(losses[10] - losses[20], fallen, rtol=1e-2)


def test_a_flow_at_rest_stays(problem):
    theta, theta_test, *_ = problem
    flow = gradient_flow(theta, theta_test, np.zeros((N, K)), lambda f: jnp.sum(f**2), [0.0, 1e3])
    np.testing.assert_array_equal(flow.train, 0)
    np.testing.assert_array_equal(flow.test, 0)


def square(f):
    return jnp.sum(f**2)


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"t": -1.0}, ValueError, "t must be one or more finite times >= 0"),
        ({"t": [0.0, np.inf]}, ValueError, "t must be one or more finite times"),
        ({"f0": [1.0, np.nan]}, ValueError, "f0 must be finite"),
        ({"f0": 0.0}, ValueError, r"f0 must be finite and of shape \(n,\) or \(n, k\)"),
        ({"theta_train": np.eye(3)}, ValueError, r"theta_train must be of shape \(2, 2\).*found \(3, 3\)"),
        ({"theta_train": np.ones((2, 2, 2, 2))}, ValueError, r"theta_train must be of shape \(2, 2\), with f0"),
        ({"f0": np.ones((2, 3)), "theta_train": np.ones((2, 2, 2, 2))}, ValueError, r"or \(2, 2, 3, 3\), with f0"),
        ({"theta_train": np.full((2, 2), np.inf)}, ValueError, "theta_train contains NaN or infinity"),
        ({"theta_test": np.ones((4, 3))}, ValueError, r"theta_test must be of shape \(m, 2\).*found \(4, 3\)"),
        ({"theta_test": np.ones((4, 2))}, ValueError, "f0_test must be given"),
        ({"theta_test": np.ones((4, 2)), "f0_test": [1.0]}, ValueError, r"f0_test must be of shape \(4,\)"),
        ({"loss": "log"}, TypeError, "loss must be a function of the outputs"),
        ({"loss": lambda f: f**2}, ValueError, r"loss must return one real number.*\(2,\)"),
        ({"loss": lambda f: jnp.sum(jnp.sqrt(f - 5))}, ValueError, "loss, or its gradient, is not finite"),
        ({"loss": lambda f: -jnp.sum(f**4), "t": 10.0}, (ValueError, RuntimeError), "bounded below|without bound"),
        ({"alpha": -1.0}, ValueError, "alpha must be finite and >= 0"),
        ({"rtol": 0.0}, ValueError, "rtol in"),
    ],
)
def test_refusals(changes, error, message):
    arguments = {"theta_train": np.eye(2), "theta_test": None, "f0": [1.0, 2.0], "loss": square, "t": 1.0, **changes}
    with pytest.raises(error, match=message):
        gradient_flow(**arguments)
