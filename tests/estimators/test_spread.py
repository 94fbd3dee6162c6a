"""Uncertainty and training time: against scikit-learn's Gaussian process, neural-tangents, and their own limits."""

import jax
import numpy as np
import pytest
from sklearn.gaussian_process import GaussianProcessRegressor

from ntkkit import NNGP, NTK, FullyConnected, NeuralKernelRegressor
from ntkkit.interop.neural_tangents import import_neural_tangents

NETWORK = FullyConnected(depth=1, weight_var=1.5, bias_var=0.1)
ALPHA = 0.05


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(0)
    X, X_test = rng.standard_normal((20, 3)), rng.standard_normal((6, 3))
    y = np.stack([np.sin(X[:, 0]), X[:, 1] * X[:, 2]], axis=1)
    return X, y, X_test


@pytest.mark.parametrize("n_targets", [1, 2])
def test_posterior_is_scikit_learns(data, n_targets):
    X, y, X_test = data
    y = y[:, 0] if n_targets == 1 else y
    ours = NeuralKernelRegressor(NNGP(NETWORK), alpha=ALPHA).fit(X, y)
    theirs = GaussianProcessRegressor(NNGP(NETWORK), alpha=ALPHA, optimizer=None).fit(X, y)
    for flag in ("return_std", "return_cov"):
        for found, expected in zip(
            ours.predict(X_test, **{flag: True}), theirs.predict(X_test, **{flag: True}), strict=True
        ):
            assert found.shape == expected.shape
            np.testing.assert_allclose(found, expected, rtol=1e-8, atol=1e-10)
    value, gradient = ours.log_marginal_likelihood(eval_gradient=True)
    theta = theirs.kernel_.theta
    expected, expected_gradient = theirs.log_marginal_likelihood(theta, eval_gradient=True)
    np.testing.assert_allclose(value, expected, rtol=1e-8)
    np.testing.assert_allclose(gradient, expected_gradient, rtol=1e-8)
    np.testing.assert_allclose(ours.log_marginal_likelihood(theta + 0.1), theirs.log_marginal_likelihood(theta + 0.1))


# neural-tangents has no ridge term in the variance of its NNGP at finite times
@pytest.mark.parametrize("time", [0.5, 20.0, None])
@pytest.mark.parametrize(("Kernel", "alpha"), [(NNGP, 0.0), (NTK, 0.0), (NTK, ALPHA)])
def test_ensembles_are_neural_tangents(data, Kernel, alpha, time):
    X, y, X_test = data
    nt = import_neural_tangents()
    w, b = np.sqrt(NETWORK.weight_var), np.sqrt(NETWORK.bias_var)
    _, _, kernel_fn = nt.stax.serial(nt.stax.Dense(1, w, b), nt.stax.Relu(), nt.stax.Dense(1, w, b))
    get = "nngp" if Kernel is NNGP else "ntk"
    with jax.enable_x64(True):
        predict = nt.predict.gradient_descent_mse_ensemble(
            kernel_fn, X, y, diag_reg=alpha, diag_reg_absolute_scale=True
        )
        # theirs descends half the mean over all entries of y
        mean, cov = predict(t=None if time is None else time * y.size, x_test=X_test, get=get, compute_cov=True)
    model = NeuralKernelRegressor(Kernel(NETWORK), alpha=alpha, train_time=time).fit(X, y)
    found_mean, found_cov = model.predict(X_test, return_cov=True)
    np.testing.assert_allclose(found_mean, mean, rtol=1e-6, atol=1e-8)
    np.testing.assert_allclose(found_cov[..., 1], cov, rtol=1e-6, atol=1e-8)
    std = model.predict(X_test, return_std=True)[1]
    np.testing.assert_allclose(std[:, 0] ** 2, np.diag(cov), rtol=1e-6, atol=1e-8)


def test_before_training_the_ensemble_is_the_prior(data):
    X, y, X_test = data
    model = NeuralKernelRegressor(NTK(NETWORK), train_time=0).fit(X, y)
    mean, cov = model.predict(X_test, return_cov=True)
    np.testing.assert_array_equal(mean, 0)
    np.testing.assert_allclose(cov[..., 0], NNGP(NETWORK)(X_test), rtol=1e-12)


def test_weights_are_repetitions_and_zero_is_removal(data):
    X, y, X_test = data
    weights = np.arange(20) % 4
    repeated = np.repeat(np.arange(20), weights)
    for Kernel in (NNGP, NTK):
        model = NeuralKernelRegressor(Kernel(NETWORK), alpha=ALPHA)
        weighted = model.fit(X, y[:, 0], sample_weight=weights).predict(X_test, return_std=True)[1]
        long = model.fit(X[repeated], y[repeated, 0]).predict(X_test, return_std=True)[1]
        np.testing.assert_allclose(weighted, long, rtol=1e-6)


def test_weighted_marginal_likelihood_is_of_noise_that_differs(data):
    X, y, _ = data
    weights = np.linspace(0.5, 2, 20)
    model = NeuralKernelRegressor(NNGP(NETWORK), alpha=ALPHA).fit(X, y[:, 0], sample_weight=weights)
    theirs = GaussianProcessRegressor(NNGP(NETWORK), alpha=ALPHA / weights, optimizer=None).fit(X, y[:, 0])
    np.testing.assert_allclose(model.log_marginal_likelihood(), theirs.log_marginal_likelihood_value_, rtol=1e-8)


def test_new_fit_forgets_the_old_spread(data):
    X, y, X_test = data
    model = NeuralKernelRegressor(NNGP(NETWORK), alpha=ALPHA).fit(X, y[:, 0])
    before = model.predict(X_test, return_std=True)[1]
    after = model.fit(X[:5], y[:5, 0]).predict(X_test, return_std=True)[1]
    assert (after > before).all()


def test_bad_requests(data):
    X, y, X_test = data
    model = NeuralKernelRegressor(NNGP(NETWORK) + NNGP(NETWORK)).fit(X, y)
    with pytest.raises(ValueError, match=r"need kernel=NNGP\(network\).*found Sum"):
        model.predict(X_test, return_std=True)
    with pytest.raises(ValueError, match=r"need kernel=NNGP.*found 'precomputed'"):
        NeuralKernelRegressor("precomputed").fit(np.eye(3), [1, 2, 3]).predict(np.eye(3), return_cov=True)
    with pytest.raises(ValueError, match="both True"):
        NeuralKernelRegressor(NNGP(NETWORK)).fit(X, y).predict(X_test, return_std=True, return_cov=True)
    with pytest.raises(ValueError, match="one alpha for all targets"):
        NeuralKernelRegressor(NNGP(NETWORK), alpha=[0.1, 0.2]).fit(X, y).predict(X_test, return_std=True)
    with pytest.raises(ValueError, match="train_time"):
        NeuralKernelRegressor(train_time=-1.0).fit(X, y)
    with pytest.raises(ValueError, match="no training times"):
        NeuralKernelRegressor(train_time=1.0, solver="cholesky").fit(X, y)
