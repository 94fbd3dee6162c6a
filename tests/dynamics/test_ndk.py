"""The neural dynamical kernel: against a direct recursion, and in its limits."""

import jax
import numpy as np
import pytest
from references import ndk as reference
from sklearn.svm import SVC

from ntkkit import NNGP, NTK, Convolutional, FullyConnected, NeuralKernelRegressor
from ntkkit.dynamics import NDK
from ntkkit.networks import (
    ABRelu,
    Abs,
    Cos,
    Dense,
    Erf,
    Exp,
    Gaussian,
    Hermite,
    LayerNorm,
    Monomial,
    Polynomial,
    Quadrature,
    Rbf,
    RectifiedMonomial,
    Relu,
    Serial,
    SigmoidLike,
)

TIMES = np.array([0.0, 0.01, 0.5, 3.0, 20.0])
SETTINGS = {"temperature": 0.2, "init_var": 0.49, "prior_var": 1.3}
BIASED = {"weight_var": 1.5, "bias_var": 0.2}
OTHERS = [
    *(ABRelu(0.5, 1.2), Abs(), Cos(), Exp(), Gaussian(), Hermite(3), Monomial(2), Polynomial([0.1, 0.5, 0.2]), Rbf()),
    *(RectifiedMonomial(2), SigmoidLike(), Quadrature(jax.numpy.tanh)),
]


@pytest.fixture(scope="module")
def X():
    X = np.random.default_rng(5).standard_normal((4, 3))
    return X * [[1.0], [0.8], [1.2], [1.0]]


@pytest.mark.parametrize("depth", [0, 1, 2, 3])
@pytest.mark.parametrize("activation", ["relu", "erf", "identity"])
def test_agrees_with_the_direct_recursion(X, activation, depth):
    expected = reference.ndk(X, TIMES, depth=depth, activation=activation, **BIASED, **SETTINGS)
    ndk = NDK(FullyConnected(depth=depth, activation=activation, **BIASED), **SETTINGS)
    for found, exact in zip(ndk.with_covariance(X, t=TIMES), expected, strict=True):
        np.testing.assert_allclose(found, exact, rtol=1e-12, atol=1e-12)


def test_shapes_and_pairs_of_inputs(X):
    ndk = NDK(FullyConnected(depth=1), **SETTINGS)
    whole = ndk(X, t=TIMES)
    assert whole.shape == (5, 5, 4, 4)
    np.testing.assert_allclose(ndk(X[:3], X[1:], t=[3.0], s=[0.0, 0.5]), whole[3:4, [0, 2], :3, 1:], rtol=1e-14)


@pytest.mark.parametrize("activation", ["relu", "erf"])
def test_without_noise_it_is_the_ntk(X, activation):
    ndk = NDK(FullyConnected(depth=2, activation=activation, **BIASED), 0.0, init_var=1.4)
    ntk = NTK(FullyConnected(depth=2, activation=activation, weight_var=1.5 * 1.4, bias_var=0.2 * 1.4))(X)
    np.testing.assert_allclose(ndk(X, t=[0.0, 7.0])[1, 0], ntk / 1.4, rtol=1e-12)


def test_the_covariance_ends_as_the_prior(X):
    _, covariance = NDK(FullyConnected(depth=2, **BIASED), **SETTINGS).with_covariance(X, t=500.0)
    prior = NNGP(FullyConnected(depth=2, weight_var=1.5 * 1.3, bias_var=0.2 * 1.3))(X)
    np.testing.assert_allclose(covariance[0, 0], prior, rtol=1e-12)


@pytest.mark.slow
@pytest.mark.parametrize("depth", [1, 2, 3])
@pytest.mark.parametrize("activation", ["relu", "erf", "gelu", "leaky_relu", "sin"])
def test_fluctuations_are_dissipated(X, activation, depth):
    """For init_var = prior_var: d/ds [m B_L](t, s) = T Kd(t, s)."""
    ndk = NDK(FullyConnected(depth=depth, activation=activation, **BIASED), 0.2, init_var=1.3, prior_var=1.3)
    step = 1e-5
    _, covariance = ndk.with_covariance(X, t=2.0, s=[0.5 - step, 0.5 + step])
    derivative = (covariance[0, 1] - covariance[0, 0]) / (2 * step)
    np.testing.assert_allclose(derivative, 0.2 * ndk(X, t=2.0, s=0.5)[0, 0], rtol=1e-8)


@pytest.mark.slow
@pytest.mark.parametrize("activation", OTHERS, ids=str)
def test_fluctuations_of_other_activations(X, activation):
    ndk = NDK(Serial([Dense(0.7, 0.2), activation, Dense(0.7, 0.2)]), 0.2, init_var=1.3, prior_var=1.3)
    step = 1e-5
    kernel, covariance = ndk.with_covariance(X, t=2.0, s=[0.5 - step, 0.5, 0.5 + step])
    np.testing.assert_allclose((covariance[0, 2] - covariance[0, 0]) / (2 * step), 0.2 * kernel[0, 1], rtol=1e-7)


def test_at_two_times_it_is_a_kernel(X):
    ndk = NDK(FullyConnected(depth=1, activation="erf"), **SETTINGS)
    kernel, apart = ndk.at(3.0), ndk.at(3.0, 0.5)
    whole = ndk(X, t=[0.5, 3.0])
    np.testing.assert_allclose(kernel(X), whole[1, 1], rtol=1e-13)
    np.testing.assert_allclose(kernel.diag(X), kernel(X).diagonal(), rtol=1e-13)
    np.testing.assert_allclose(apart(X), whole[1, 0], rtol=1e-13)  # not symmetric
    assert not np.allclose(apart(X), apart(X).T, rtol=1e-6)
    np.testing.assert_allclose(apart.diag(X), whole[1, 0].diagonal(), rtol=1e-13)
    assert not (2.0 * apart + kernel).symmetric
    y = [0, 1, 0, 1]
    assert SVC(kernel=kernel, C=1e6).fit(X, y).score(X, y) == 1
    np.testing.assert_allclose(NeuralKernelRegressor(kernel, alpha=0.0).fit(X, y).predict(X), y, atol=1e-8)
    assert kernel.replace(ndk__temperature=0.0) == NDK(ndk.network, 0.0, 0.49, 1.3).at(3.0)


@pytest.mark.parametrize(
    ("network", "message"),
    [
        (FullyConnected(n_frozen_layers=1), "trained"),
        (FullyConnected(activation="sign"), "derivative"),
        (Serial([Dense(), LayerNorm(), Relu(), Dense()]), "LayerNorm"),
        (Serial([Dense(), Erf()]), "readout"),
        (Convolutional(depth=1, input_shape=(4, 4, 1)), "of rows"),
        ("relu", "of rows"),
    ],
)
def test_other_networks_are_refused(network, message):
    with pytest.raises(ValueError, match=message):
        NDK(network)


@pytest.mark.parametrize(("name", "value"), [("temperature", -1), ("init_var", np.nan), ("prior_var", 0)])
def test_bad_settings(name, value):
    with pytest.raises(ValueError, match=name):
        NDK(FullyConnected(), **{name: value})


@pytest.mark.parametrize("times", [-1.0, np.nan, "soon", [[1.0]], []])
def test_bad_times(X, times):
    with pytest.raises(ValueError, match="t must be"):
        NDK(FullyConnected())(X, t=times)
