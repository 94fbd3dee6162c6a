"""Every activation's duals, three ways: quadrature, neural-tangents, Price's theorem by autodiff. And hostile data."""

import pickle
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from references.hostile import hostile_rows
from references.quadrature import expectation
from references.stax_oracle import dense, limits_of
from scipy import special

from ntkkit import NNGP, NTK, FullyConnected, networks
from ntkkit.networks import resolve_activation
from ntkkit.networks.state import State


@dataclass
class Case:
    """An activation, what it computes in numpy, its layer in neural-tangents, and how right it is.

    `float32`: the worst error of (NNGP, NTK) in float32 on hostile rows, of sqrt(K_ii K_jj), at `depths`.
    """

    activation: Any
    function: Any
    stax: Any
    float32: tuple = (1e-6, 1e-6)
    exact: float = 1e-13
    derivative: bool = True
    largest: float = np.inf  # rows are scaled down to this norm
    depths: tuple = (1, 2)


CASES = {
    "ABRelu": Case(networks.ABRelu(-0.3, 1.2), lambda z: np.where(z < 0, -0.3, 1.2) * z, lambda s: s.ABRelu(-0.3, 1.2)),
    "LeakyRelu": Case(networks.LeakyRelu(0.2), lambda z: np.where(z < 0, 0.2, 1) * z, lambda s: s.LeakyRelu(0.2)),
    "Abs": Case(networks.Abs(), np.abs, lambda s: s.Abs()),
    "Sign": Case(networks.Sign(), np.sign, lambda s: s.Sign(), derivative=False),
    "Step": Case(networks.Step(), lambda z: 1.0 * (z > 0), None, derivative=False),
    "Exp": Case(networks.Exp(), np.exp, lambda s: s.Exp(), largest=5.0, depths=(1,)),
    "Rbf": Case(networks.Rbf(0.3), lambda z: np.sqrt(2) * np.sin(np.sqrt(0.6) * z + np.pi / 4), lambda s: s.Rbf(0.3)),
    "Gaussian": Case(networks.Gaussian(), lambda z: np.exp(-z * z), lambda s: s.Gaussian()),
    "Sin": Case(networks.Sin(), np.sin, lambda s: s.Sin()),
    "Cos": Case(networks.Cos(), np.cos, lambda s: s.Cos()),
    "SigmoidLike": Case(
        networks.SigmoidLike(), lambda z: (1 + special.erf(z / 2.4020563531719796)) / 2, lambda s: s.Sigmoid_like()
    ),
    "Polynomial": Case(
        networks.Polynomial([0.3, -1.0, 0.5, 0.2]),
        lambda z: 0.3 - z + 0.5 * z**2 + 0.2 * z**3,
        lambda s: s.Polynomial([0.3, -1.0, 0.5, 0.2]),
        largest=30.0,
    ),
    "RectifiedMonomial": Case(
        networks.RectifiedMonomial(3),
        lambda z: np.maximum(z, 0) ** 3,
        lambda s: s.RectifiedMonomial(3),
        largest=30.0,
        depths=(1,),
    ),
    "Monomial": Case(networks.Monomial(3), lambda z: z**3, lambda s: s.Monomial(3), largest=30.0, depths=(1,)),
    "Hermite": Case(networks.Hermite(3), lambda z: (z**3 - 3 * z) / np.sqrt(6), None, largest=30.0),
    "tanh": Case(networks.Quadrature(jnp.tanh), np.tanh, None, (1e-3, 3e-2)),
    "Gelu": Case(networks.Gelu(), lambda z: z * special.ndtr(z), lambda s: s.Gelu()),
}
every_case = pytest.mark.parametrize("name", CASES)

C = np.array([0.3, -0.7, 0.95, -0.9, 0.0, 0.6])
Q1 = np.array([1.0, 1.0, 1.0, 0.5, 2.0, 1.5])
Q2 = np.array([1.0, 2.0, 1.1, 3.0, 0.1, 1.5])


def state(c, q1, q2):
    return State(*map(jnp.float64, (q1, q2, 1 - c, 1 + c)), jnp.ones_like(jnp.float64(c)))


@every_case
def test_dual_is_the_expectation(name):
    case = CASES[name]
    expected = np.array([expectation(case.function, *pair) for pair in zip(C, Q1, Q2, strict=True)])
    with jax.enable_x64(True):
        post = case.activation.propagate(state(C, Q1, Q2))
        found = np.array(post.covariance)
        np.testing.assert_allclose(found, expected, rtol=1e-11, atol=1e-11)
        if post.anti is not None:
            np.testing.assert_allclose(post.delta + post.anti, 2, rtol=1e-14)
        z = np.array([-1.3, 0.0, 0.7])
        np.testing.assert_allclose(case.activation(jnp.asarray(z)), case.function(z), rtol=1e-14, atol=1e-15)
        itself = case.activation.propagate(state(np.ones(3), Q1[2:5], Q1[2:5]))
        np.testing.assert_array_equal(itself.delta, 0)
        near = [expectation(case.function, 1 - 1e-12, q, q) for q in Q1[2:5]]
        np.testing.assert_allclose(itself.covariance, near, rtol=3e-6)


@every_case
def test_price_theorem(name):
    case = CASES[name]
    if not case.derivative:
        assert case.activation.dual(State(*map(jnp.float32, (1, 1, 0.5, 1.5))))[2] is None
        return

    def moment(k):
        return case.activation.propagate(state(k / np.sqrt(Q1 * Q2), Q1, Q2)).covariance.sum()

    with jax.enable_x64(True):
        found = jax.grad(moment)(jnp.asarray(C * np.sqrt(Q1 * Q2)))
        np.testing.assert_allclose(case.activation.propagate(state(C, Q1, Q2)).ntk, found, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("name", [name for name, case in CASES.items() if case.stax])
def test_neural_tangents(name):
    case = CASES[name]
    rng = np.random.default_rng(0)
    X, Y = rng.standard_normal((5, 6)), 0.5 * rng.standard_normal((4, 6))
    nngp, ntk = limits_of(lambda s: [dense(1.5, 0.2), case.stax(s), dense(1.5, 0.2)], X, Y)
    with jax.enable_x64(True):
        found = FullyConnected(1, case.activation, weight_var=1.5, bias_var=0.2).limits(X, Y)
    np.testing.assert_allclose(found[0], nngp, rtol=1e-12, atol=1e-13)
    if case.derivative:
        np.testing.assert_allclose(found[1], ntk, rtol=1e-11, atol=1e-12)


@every_case
def test_float32_on_hostile_rows(name):
    """float32 against float64, and how negative the smallest eigenvalue is."""
    case = CASES[name]
    X = hostile_rows()
    X = (X * np.minimum(1, case.largest / np.maximum(np.linalg.norm(X, axis=1), 1e-30))[:, None]).astype(np.float32)
    network = jax.tree.map(float, FullyConnected(activation=case.activation))
    limits = jax.jit(lambda x: network.limits(x, x, same=True, depths=case.depths))
    with jax.enable_x64(True):
        found, exact = (limits(X.astype(dtype)) for dtype in (np.float32, np.float64))
    for i, allowed in enumerate(case.float32[: 1 + case.derivative]):
        for K, K_exact in zip(np.float64(found[i]), np.array(exact[i]), strict=True):
            roots = np.sqrt(np.diag(K_exact))
            assert np.max(np.abs(K - K_exact) / np.outer(roots, roots)) <= allowed, ("nngp", "ntk")[i]
            assert np.linalg.eigvalsh(K).min() >= -max(1e-6, allowed) * roots.max() ** 2


@pytest.mark.slow
@every_case
def test_gradients_are_finite_on_hostile_rows(name):
    """In the direction in which the logs of all hyperparameters grow alike, with biases and without."""
    case = CASES[name]
    X = np.array([[1, 2], [1, 2], [-1, -2], [2, 4], [0, 0], [0, 0], [1e-3, 0]], np.float32)
    X = np.minimum(1, case.largest / 5) * X
    network = FullyConnected(min(2, max(case.depths)), case.activation)
    names = list(network.leaf_paths())

    @jax.jit
    def limits_and_derivatives(values):
        def limits(growth):
            changed = dict(zip(names, jnp.exp(growth) * values, strict=True))
            return network.replace(**changed).limits(X, X, same=True)[: 1 + case.derivative]

        return jax.jvp(limits, (jnp.float32(0),), (jnp.float32(1),))

    for bias_var in (0.0, 0.1):
        values = network.replace(bias_var=bias_var).leaf_paths().values()
        found = limits_and_derivatives(jnp.array([*values], jnp.float32))
        assert all(jnp.isfinite(array).all() for array in jax.tree.leaves(found))


@every_case
def test_is_a_value(name):
    activation = CASES[name].activation
    network = FullyConnected(1, activation)
    assert pickle.loads(pickle.dumps(network)) == network
    assert hash(type(activation)(**activation.get_params())) == hash(activation)
    assert network.get_params().get("activation__slope") == activation.get_params().get("slope")


@pytest.mark.parametrize(("given", "expected"), [
    ("leaky_relu", networks.LeakyRelu(0.01)), (jax.nn.leaky_relu, networks.LeakyRelu()), ("abs", networks.Abs()),
    (jnp.abs, networks.Abs()), ("sign", networks.Sign()), (jnp.sign, networks.Sign()), ("step", networks.Step()),
])  # fmt: skip
def test_names(given, expected):
    assert resolve_activation(given) == expected


def test_no_ntk_through_a_jump():
    network = FullyConnected(2, "sign")
    with pytest.raises(ValueError, match=r"no gradient reaches trained parameters through Sign\(\)"):
        NTK(network)
    frozen = network.replace(n_frozen_layers=2)
    X = np.eye(3)
    np.testing.assert_allclose(NTK(frozen)(X), NNGP(network)(X), rtol=1e-14)
    assert np.isnan(network.limits(X, X)[1]).all()


@pytest.mark.parametrize("slope", [np.nan, np.inf])
def test_slopes_are_finite(slope):
    with pytest.raises(ValueError, match="slope must be finite"):
        networks.LeakyRelu(slope)


# Worst errors of (E[phi phi], E[phi' phi']) in float64, relative to those at correlation 1: the table in the docstring.
QUADRATURE = [
    ("tanh", 4.0, 1e-12, 1e-10), ("tanh", 16.0, 1e-7, 2e-5), ("tanh", 100.0, 2e-4, 2e-2),
    ("silu", 4.0, 1e-13, 1e-13), ("silu", 16.0, 1e-12, 1e-10), ("silu", 100.0, 1e-7, 3e-5),
    ("softplus", 16.0, 1e-13, 1e-12), ("softplus", 100.0, 3e-9, 1e-6),
    ("elu", 4.0, 3e-8, 2e-5), ("selu", 4.0, 2e-6, 4e-3),
]  # fmt: skip


@pytest.mark.parametrize(("name", "q", "value", "slope"), QUADRATURE)
def test_quadrature_is_as_right_as_stated(name, q, value, slope):
    phi = jnp.tanh if name == "tanh" else getattr(jax.nn, name)
    c = np.array([-0.98, 0.3, 0.9, 0.97, 0.985, 0.99, 0.995, 0.999])
    with jax.enable_x64(True):
        activation = networks.Quadrature(phi)
        ends = np.append(c, 1.0)
        post = activation.propagate(state(ends, np.full(9, q), np.full(9, q)))
        both = [lambda z: np.asarray(phi(z)), lambda z: np.asarray(jax.jvp(phi, (z,), (np.ones_like(z),))[1])]
        for found, f, allowed in zip((post.covariance, post.ntk), both, (value, slope), strict=True):
            expected = np.array([expectation(f, ci, q, q) for ci in c])
            error = np.max(np.abs(found[:-1] - expected)) / float(found[-1])
            assert error <= max(allowed, 1e-13)
            assert error <= max(activation.remainder(q), 1e-13)


def test_quadrature_is_exact_on_the_diagonal_even_at_kinks():
    """All of a leaky rectifier's E[phi phi] and E[phi' phi'] is there at correlation 1, and at -1."""
    activation = networks.Quadrature(lambda z: jnp.where(z > 0, z, 0.2 * z))
    with jax.enable_x64(True):
        for c in (1.0, -1.0):
            at = state(np.array([c]), np.array([3.0]), np.array([3.0]))
            post, exact = activation.propagate(at), networks.LeakyRelu(0.2).propagate(at)
            np.testing.assert_allclose(post.covariance, exact.covariance, rtol=1e-13)
            np.testing.assert_allclose(post.ntk, exact.ntk, rtol=1e-13)


def test_functions_that_are_no_activations():
    with pytest.raises(TypeError, match="must act on each entry"):
        FullyConnected(activation=jnp.sum)
    with pytest.raises(TypeError, match="no function that jax can trace"):
        FullyConnected(activation=lambda z: z if z > 0 else 0)
    with pytest.raises(ValueError, match="an Activation, a function of jax, or one of 'identity'"):
        FullyConnected(activation="tanhh")
    with pytest.raises(ValueError, match="an Activation, a function of jax, or one of"):
        FullyConnected(activation=networks.Relu)
    with pytest.raises(TypeError, match="non-empty sequence"):
        networks.Polynomial([])
