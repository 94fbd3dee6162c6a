"""Polynomial networks: their formulas, and finite networks."""

import pickle

import jax
import numpy as np
import pytest
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV

from ntkkit import NNGP, NTK, NeuralKernelRegressor, PolynomialNetwork
from ntkkit.finite import empirical_ntk
from ntkkit.networks import Dense, Erf, LeakyRelu, OnePlus, Serial

X = np.random.default_rng(0).standard_normal((6, 5))
KINDS = {
    "product": {"skip": False},
    "relu ccp": {"skip": True},
    "linear ccp": {"skip": True, "activation": "identity"},
}


def formula(kind, degree):
    """The NTK with S = x.x', a readout of variance 1 and no biases."""
    S, norms = X @ X.T, np.linalg.norm(X, axis=1)
    both = np.outer(norms, norms)
    t = np.arctan2(np.sqrt(np.maximum(both**2 - S**2, 0)), S) * (1 - np.eye(6))
    k0, k1 = (np.pi - t) / (2 * np.pi), both * (np.sin(t) + (np.pi - t) * np.cos(t)) / (2 * np.pi)
    if kind == "product":
        return k1**degree + degree * S * k0 * k1 ** (degree - 1)
    if kind == "linear ccp":
        k0, k1, q = 1, S, 1 + S
    else:
        q = 1 + (norms[:, None] + norms) / np.sqrt(2 * np.pi) + k1
    ccp = (k1 + S * k0) * q ** (degree - 1)
    return ccp if degree == 1 else ccp + (degree - 1) * S * k0 * k1 * q ** (degree - 2)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("degree", [1, 2, 5])
def test_the_ntk_is_that_of_the_formula(kind, degree):
    network = PolynomialNetwork(degree=degree, weight_var=5.0, bias_var=0.0, readout_weight_var=1.0, **KINDS[kind])
    K, expected = NTK(network)(X), formula(kind, degree)
    size = np.sqrt(np.outer(expected.diagonal(), expected.diagonal()))
    np.testing.assert_allclose(K / size, expected / size, atol=1e-13)
    single = NTK(network)(X.astype(np.float32))
    np.testing.assert_allclose(single / size, expected / size, atol=1e-6)


def test_skips_of_other_rectifiers_have_their_means():
    """E[(1 + phi)^2] by quadrature, at a negative slope that is a parameter."""
    z = np.linspace(-12, 12, 2**18 + 1)
    phi = 1 + np.where(z < 0, 0.2, 1.0) * np.sqrt(1.7) * z
    exact = np.trapezoid(phi**2 * np.exp(-(z**2) / 2), z) / np.sqrt(2 * np.pi)
    kernel = NNGP(Serial([Dense(1.7, 0.0), OnePlus(LeakyRelu(0.2)), Dense(1.0, 0.0)]))
    assert kernel([[1.0]])[0, 0] == pytest.approx(exact, rel=1e-8)


def kernels_of_networks(network, width, n_networks):
    """The tangent kernel of each network, by automatic differentiation."""

    @jax.jit
    @jax.vmap
    def kernel(key):
        params = network.init(key, 5, width=width)
        jacobian = jax.jacobian(lambda params: network.apply(params, X)[:, 0])(params)
        return sum(part.reshape(6, -1) @ part.reshape(6, -1).T for part in jax.tree.leaves(jacobian))

    return np.array(kernel(jax.random.split(jax.random.key(0), n_networks)))


@pytest.mark.parametrize("kind", KINDS)
def test_finite_networks_come_near_by_the_root_of_the_width(kind):
    network = PolynomialNetwork(degree=2, weight_var=1.0, bias_var=0.2, **KINDS[kind])
    kernels = [kernels_of_networks(network, width, n_networks) for width, n_networks in ((32, 320), (512, 64))]
    theta = NTK(network)(X)
    errors = [np.sqrt(np.mean((part - theta) ** 2)) for part in kernels]
    assert -0.6 < np.log(errors[1] / errors[0]) / np.log(512 / 32) < -0.4
    for part in kernels:  # on the mean they are right at any width
        gap = np.mean(part, axis=0) - theta
        error = np.std(part, axis=0) / np.sqrt(len(part))
        assert (np.abs(gap) < 4.5 * error).all()
    params = network.init(0, 5, width=32)
    found = empirical_ntk(network, params, X)
    jacobian = jax.jacobian(lambda params: network.apply(params, X)[:, 0])(params)
    expected = sum(part.reshape(6, -1) @ part.reshape(6, -1).T for part in jax.tree.leaves(jacobian))
    np.testing.assert_allclose(found, expected, rtol=1e-4)


@pytest.mark.parametrize("kind", KINDS)
def test_what_it_computes_is_the_recursion(kind):
    network = PolynomialNetwork(degree=3, **KINDS[kind])
    params = network.init(0, 5, width=7)
    branches, readout = params
    phi = (lambda z: z) if kind == "linear ccp" else (lambda z: np.maximum(z, 0))
    y = None
    for param, *_ in branches:
        z = np.sqrt(2.0 / 5) * X @ param["weight"] + np.sqrt(0.1) * param["bias"]
        factor = phi(z)
        y = factor if y is None else y * factor + (y if network.skip else 0)
    expected = np.sqrt(2.0 / 7) * y @ readout["weight"] + np.sqrt(0.1) * readout["bias"]
    np.testing.assert_allclose(network.apply(params, X), expected, rtol=2e-5)


def test_it_is_a_value_and_its_degree_can_be_searched():
    network = PolynomialNetwork(degree=2)
    assert network == PolynomialNetwork() == network.replace(degree=3).replace(degree=2) != PolynomialNetwork(degree=3)
    assert hash(network) == hash(PolynomialNetwork())
    assert pickle.loads(pickle.dumps(network)) == network == clone(network)
    assert repr(network.replace(skip=False)) == "PolynomialNetwork(skip=False)"
    points = np.random.default_rng(1).standard_normal((40, 3))
    y = points[:, 0] * points[:, 1] * points[:, 2]
    model = NeuralKernelRegressor(NTK(PolynomialNetwork(activation="identity", bias_var=0.0)), alpha=1e-6)
    search = GridSearchCV(model, {"kernel__network__degree": [1, 3]}, cv=4).fit(points, y)
    assert search.best_params_ == {"kernel__network__degree": 3}
    assert search.best_score_ > 0.99


@pytest.mark.parametrize(
    ("given", "error", "match"),
    [
        ({"degree": 0}, ValueError, "degree"),
        ({"degree": 1.5}, TypeError, "degree"),
        ({"skip": "yes"}, TypeError, "skip must be True or False, found 'yes'"),
        ({"activation": Erf()}, ValueError, "mean of .* is not known.*take 'relu' or 'identity'"),
        ({"activation": "erff"}, ValueError, "activation must be"),
        ({"weight_var": -1.0}, ValueError, "weight_var"),
    ],
)
def test_bad_parameters_are_refused(given, error, match):
    with pytest.raises(error, match=match):
        PolynomialNetwork(**given)
