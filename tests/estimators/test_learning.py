"""Learning hyperparameters: gradients against finite differences, and what the searches find."""

import numpy as np
import pytest
from scipy.linalg import LinAlgError
from scipy.optimize import approx_fprime
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF
from sklearn.metrics.pairwise import rbf_kernel

from ntkkit import NNGP, NTK, FullyConnected, NeuralKernelRegressor
from ntkkit.estimators._learning import OBJECTIVES, evaluate_loss

KERNEL = NNGP(FullyConnected(depth=1, activation="erf"), bounds={"network__weight_var": (1e-2, 1e2)})


@pytest.fixture
def data(rng):
    X = rng.standard_normal((40, 2))
    return X, np.sin(2 * X[:, 0]) + 0.1 * rng.standard_normal(40)


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_gradient_of_the_matrix_against_finite_differences(objective, rng):
    n = 6
    A, y = rng.standard_normal((n, n)), rng.standard_normal((n, 2))
    G = A @ A.T + np.eye(n)
    W = OBJECTIVES[objective](G, y)[1]
    np.testing.assert_allclose(W, W.T)
    direction = rng.standard_normal((n, n))
    direction += direction.T
    values = [OBJECTIVES[objective](G + h * direction, y)[0] for h in (1e-6, -1e-6)]
    np.testing.assert_allclose((values[0] - values[1]) / 2e-6, np.sum(W * direction), rtol=1e-6)


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_gradient_of_the_kernel_against_finite_differences(objective, data):
    X, y = data
    noise = np.linspace(0.1, 0.3, 40)

    def loss(theta):
        return evaluate_loss(KERNEL.clone_with_theta(theta), X, y, noise, objective, engine=None)[0]

    gradient = evaluate_loss(KERNEL, X, y, noise, objective, engine=None)[1]
    np.testing.assert_allclose(gradient, approx_fprime(KERNEL.theta, loss, 1e-6), rtol=1e-4, atol=1e-4)


def test_leave_one_out_error_is_what_it_says(data):
    X, y = data
    loss = evaluate_loss(KERNEL, X, y, 0.1, "loo", engine=None)[0]
    model, others = NeuralKernelRegressor(KERNEL, alpha=0.1), ~np.eye(40, dtype=bool)
    errors = [y[i] - model.fit(X[others[i]], y[others[i]]).predict(X[i : i + 1])[0] for i in range(40)]
    np.testing.assert_allclose(loss, np.sum(np.square(errors)), rtol=1e-8)


def test_marginal_likelihood_finds_what_scikit_learn_finds(data):
    X, y = data
    ours = NeuralKernelRegressor(KERNEL, alpha=0.01, optimizer="marginal_likelihood").fit(X, y)
    theirs = GaussianProcessRegressor(KERNEL, alpha=0.01).fit(X, y)
    assert ours.log_marginal_likelihood() > theirs.log_marginal_likelihood_value_ - 1e-3
    assert KERNEL.network.weight_var == 2.0  # the user's object is as it was


def test_learned_scales_leave_out_what_does_not_matter(rng):
    X, X_test = rng.standard_normal((60, 5)), rng.standard_normal((200, 5))
    y = np.sin(2 * X[:, 0]) + 0.1 * rng.standard_normal(60)
    network = FullyConnected(depth=1, activation="erf", input_scale=np.ones(5))
    kernel = NTK(network, bounds={"network__weight_var": (1e-2, 1e2), "network__input_scale": (1e-2, 1e1)})
    plain = NeuralKernelRegressor(kernel, alpha=0.1).fit(X, y)
    learned = NeuralKernelRegressor(kernel, alpha=0.1, optimizer="loo").fit(X, y)
    scale = learned.kernel_.network.input_scale
    assert scale[0] > 5 * scale[1:].max()
    errors = [np.mean((model.predict(X_test) - np.sin(2 * X_test[:, 0])) ** 2) for model in (plain, learned)]
    assert errors[1] < errors[0] / 2


def test_kernels_of_scikit_learn_learn_too(data):
    X, y = data
    model = NeuralKernelRegressor(RBF(5.0), alpha=0.1, optimizer="marginal_likelihood").fit(X, y)
    assert 0.2 < model.kernel_.length_scale < 3


def test_what_cannot_be_learned(data):
    X, y = data
    fixed = NTK(FullyConnected(), bounds={"network__weight_var": "fixed", "network__bias_var": "fixed"})
    with pytest.raises(ValueError, match="nothing to learn"):
        NeuralKernelRegressor(fixed, optimizer="loo").fit(X, y)
    with pytest.raises(ValueError, match="needs a kernel object"):
        NeuralKernelRegressor(rbf_kernel, optimizer="loo").fit(X, y)
    with pytest.raises(ValueError, match="no common noise"):
        NeuralKernelRegressor(KERNEL, alpha=[0.1, 0.2], optimizer="loo").fit(X, np.stack([y, y], axis=1))
    with pytest.raises(LinAlgError, match="Raise alpha to learn"):
        NeuralKernelRegressor(KERNEL, alpha=0, optimizer="loo").fit(np.ones((5, 2)), np.arange(5.0))
