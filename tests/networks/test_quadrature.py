"""Activations by quadrature: how right they are, and the warning where they are not."""

import warnings

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from references.quadrature import expectation

from ntkkit import NNGP, NTK, FullyConnected, networks
from ntkkit.networks import Dense, QuadratureWarning, Relu, Residual, Serial
from ntkkit.networks.state import State

pytestmark = pytest.mark.slow  # all together: numbers that no version of a library changes

# Worst errors of (E[phi phi], E[phi' phi']) in float64, relative to those at correlation 1: the table in the docstring.
ACCURACY = [
    ("tanh", [(4.0, 1e-12, 1e-10), (16.0, 1e-7, 2e-5), (100.0, 2e-4, 2e-2)]),
    ("silu", [(4.0, 1e-13, 1e-13), (16.0, 1e-12, 1e-10), (100.0, 1e-7, 3e-5)]),
    ("softplus", [(16.0, 1e-13, 1e-12), (100.0, 3e-9, 1e-6)]),
    ("elu", [(4.0, 3e-8, 2e-5)]),
    ("selu", [(4.0, 2e-6, 4e-3)]),
]


def state(c, q):
    return State(*map(jnp.float64, (q, q, 1 - c, 1 + c)), jnp.ones_like(jnp.float64(c)))


@pytest.mark.parametrize(("name", "rows"), ACCURACY)
def test_as_right_as_stated(name, rows):
    phi = jnp.tanh if name == "tanh" else getattr(jax.nn, name)
    c = np.array([-0.98, 0.3, 0.9, 0.97, 0.985, 0.99, 0.995, 0.999, 1.0])
    q = np.array([row[0] for row in rows])
    with jax.enable_x64(True):
        activation = networks.Quadrature(phi)
        post = activation.propagate(state(np.tile(c, (len(q), 1)), np.tile(q[:, None], len(c))))
        both = [lambda z: np.asarray(phi(z)), lambda z: np.asarray(jax.jvp(phi, (z,), (np.ones_like(z),))[1])]
        for i, variance in enumerate(q):
            for found, f, allowed in zip((post.covariance[i], post.ntk[i]), both, rows[i][1:], strict=True):
                expected = np.array([expectation(f, ci, variance, variance) for ci in c[:-1]])
                error = np.max(np.abs(found[:-1] - expected)) / float(found[-1])
                assert error <= max(allowed, 1e-13)
                assert error <= max(1.3 * activation.error(variance), 1e-13)


def test_exact_on_the_diagonal_even_at_kinks():
    """All of a leaky rectifier's E[phi phi] and E[phi' phi'] is there at correlation 1, and at -1."""
    activation, at = networks.Quadrature(lambda z: jnp.where(z > 0, z, 0.2 * z)), np.array([1.0, -1.0])
    with jax.enable_x64(True):
        at = state(at, np.array([3.0, 3.0]))
        post, exact = activation.propagate(at), networks.LeakyRelu(0.2).propagate(at)
        np.testing.assert_allclose(post.covariance, exact.covariance, rtol=1e-13)
        np.testing.assert_allclose(post.ntk, exact.ntk, rtol=1e-13)


def test_zero_rows_without_bias_keep_the_value_at_zero():
    """phi(0) phi(0) and phi(0) E[phi(v)], where the direction of the row is of no account."""
    X = np.array([[0.0, 0.0], [1.0, 1.0]])
    mean = expectation(lambda z: np.logaddexp(z, 0), 0.0, 1.0, 1.0) ** 0.5
    with jax.enable_x64(True):
        nngp = FullyConnected(1, "softplus", weight_var=1.0, bias_var=0.0).limits(X, X)[0]
    np.testing.assert_allclose(nngp[0], [np.log(2) ** 2, np.log(2) * mean], rtol=1e-12)


def rows_of_variance(q):
    """Rows whose variance after Dense(1.0, 0.0) is q at most."""
    return np.sqrt(q) * np.array([[1.0, 1.0], [0.5, -0.2]])


def examined(network, X, Y=None, kernel=NTK):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        kernel(network).examine(X, Y)
    assert all(warning.category is QuadratureWarning for warning in caught)
    return [str(warning.message) for warning in caught]


def test_warning_where_poor():
    """Once a call, by the largest variance of either argument, in float32 from larger errors on."""
    network = FullyConnected(1, "tanh", weight_var=1.0, bias_var=0.0)
    small, large = rows_of_variance(4.0), rows_of_variance(16.0)
    assert not examined(network, small)
    assert not examined(network, small, small)
    assert not examined(network, np.zeros((2, 2)))
    (message,) = examined(network, small, large)
    assert "Quadrature(function=tanh) meets variances up to 16, where its duals are right to 1e-05" in message
    assert not examined(network, rows_of_variance(4.0).astype(np.float32))
    assert examined(network, rows_of_variance(5.0))
    assert examined(network, large.astype(np.float32))
    assert not examined(FullyConnected(1, "softplus", weight_var=1.0, bias_var=0.0), large.astype(np.float32))
    assert len(examined(network.replace(activation="elu"), small)) == 1


def test_engine_warns():
    network = FullyConnected(1, "tanh", weight_var=1.0, bias_var=0.0)
    with pytest.warns(QuadratureWarning, match="scale X down") as caught:
        NNGP(network).diag(rows_of_variance(16.0))
    assert len(caught) == 1
    with pytest.warns(QuadratureWarning):
        (2.0 * NNGP(network) + 1.0).diag(rows_of_variance(16.0))


def test_variances_inside_a_network_count():
    """Branches and later layers too; networks without quadrature say nothing."""
    body = Serial([networks.Quadrature(jnp.tanh), Dense(1.0, 0.0)])
    deep = Serial([Dense(1.0, 0.0), Relu(), Dense(40.0, 0.0), Residual(body), Dense()])
    assert "variances up to 20" in examined(deep, rows_of_variance(1.0))[0]
    assert not examined(FullyConnected(3), rows_of_variance(1e6))
