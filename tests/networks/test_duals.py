"""Every activation's duals: by quadrature, neural-tangents, Price's theorem and 50 digits; and on hostile data."""

import pickle

import jax
import jax.numpy as jnp
import mpmath as mp
import numpy as np
import pytest
from references.activations import CASES, every_case, hostile_rows_for
from references.fully_connected import DUALS, pair_limits
from references.hostile import hostile_rows
from references.quadrature import expectation
from references.stax_oracle import dense, limits_of

from ntkkit import NNGP, NTK, FullyConnected, networks
from ntkkit.networks import Dense, LayerNorm, Serial, resolve_activation
from ntkkit.networks.state import State

pytestmark = pytest.mark.slow  # all together: numbers that no version of a library changes

C = np.array([0.3, -0.7, 0.95, -0.9, 0.0, 0.6])
Q1 = np.array([1.0, 1.0, 1.0, 0.5, 2.0, 1.5])
Q2 = np.array([1.0, 2.0, 1.1, 3.0, 0.1, 1.5])
KINKED = {"elu": 1e-4}  # the error in float64 of functions with a kink by quadrature


def state(c, q1, q2):
    return State(*map(jnp.float64, (q1, q2, 1 - c, 1 + c)), jnp.ones_like(jnp.float64(c)))


@every_case
def test_dual_is_the_expectation(name):
    """And exact at correlation 1; and its derivative by autodiff is E[phi' phi'] (Price's theorem)."""
    case, error = CASES[name], KINKED.get(name, 1e-11)
    expected = np.array([expectation(case.function, *pair) for pair in zip(C, Q1, Q2, strict=True)])
    near = [expectation(case.function, 1 - 1e-12, q, q) for q in Q1[2:5]]
    c, q1, q2 = np.append(C, np.ones(3)), np.append(Q1, Q1[2:5]), np.append(Q2, Q1[2:5])

    def moment(k):
        post = case.activation.propagate(state(k / np.sqrt(q1 * q2), q1, q2))
        return post.covariance.sum(), post

    with jax.enable_x64(True):
        slope, post = jax.grad(moment, has_aux=True)(jnp.asarray(c * np.sqrt(q1 * q2)))
        np.testing.assert_allclose(post.covariance[:6], expected, rtol=error, atol=error)
        np.testing.assert_allclose(post.covariance[6:], near, rtol=3e-6)
        np.testing.assert_allclose(post.delta[6:], 0, atol=3e-16)
        if post.anti is not None:
            np.testing.assert_allclose(post.delta + post.anti, 2, rtol=1e-14)
        if case.derivative:
            np.testing.assert_allclose(post.ntk[:6], slope[:6], rtol=max(1e-9, 10 * KINKED.get(name, 0)), atol=1e-12)
        else:
            assert case.activation.dual(State(*map(jnp.float32, (1, 1, 0.5, 1.5))))[2] is None
        z = np.array([-1.3, 0.0, 0.7])
        np.testing.assert_allclose(case.activation(jnp.asarray(z)), case.function(z), rtol=1e-14, atol=1e-15)


@pytest.mark.parametrize("name", [name for name, case in CASES.items() if case.stax])
def test_neural_tangents(name):
    case = CASES[name]
    rng = np.random.default_rng(0)
    X, Y = rng.standard_normal((5, 6)), 0.5 * rng.standard_normal((4, 6))
    expected = limits_of(lambda s: [dense(1.5, 0.2), case.stax(s), dense(1.5, 0.2)], X, Y)
    with jax.enable_x64(True):
        found = FullyConnected(1, case.activation, weight_var=1.5, bias_var=0.2).limits(X, Y)
    for ours, theirs in list(zip(found, expected, strict=True))[: 1 + case.derivative]:
        np.testing.assert_allclose(ours, theirs, rtol=case.stax_error, atol=case.stax_error)


def test_neural_tangents_hermite():
    X = np.random.default_rng(0).standard_normal((5, 6))
    expected = limits_of(lambda s: [dense(1.5, 0.2), s.LayerNorm(), s.Hermite(3), dense(1.5, 0.2)], X, X)
    with jax.enable_x64(True):
        found = Serial([Dense(1.5, 0.2), LayerNorm(), networks.Hermite(3), Dense(1.5, 0.2)]).limits(X, X)
    np.testing.assert_allclose(found, expected, rtol=1e-11, atol=1e-12)


# Kinds of pairs of hostile_rows(), and the error in float64: what a kink makes of the rounding of the distance
# x.y leaves is sqrt(1e-16) at worst; duplicates, scaled copies and antipodes are exact.
PAIRS = {"ordinary": (0, 1), "duplicate": (0, 40), "near-duplicate": (1, 49), "scaled copy": (1, 57),
         "antipode": (1, 73), "near-antipode": (2, 82), "of other size": (9, 91), "zero row": (0, 88)}  # fmt: skip


@pytest.mark.parametrize("name", sorted(set(CASES) & set(DUALS)))
@pytest.mark.parametrize("bias_var", [0.0, 0.1])
def test_float64_against_50_digits(name, bias_var):
    rows, which = hostile_rows().astype(float), sorted({i for pair in PAIRS.values() for i in pair})
    case = CASES[name]
    with jax.enable_x64(True):
        found = np.array(FullyConnected(1, case.activation, bias_var=bias_var).limits(rows[which], rows[which]))
    settings = {"depth": 1, "activation": name, "bias_var": bias_var}
    for kind, (i, j) in PAIRS.items():
        exact, own1, own2 = (pair_limits(rows[a], rows[b], **settings) for a, b in ((i, j), (i, i), (j, j)))
        for ours, *theirs in list(zip(found[:, which.index(i), which.index(j)], exact, own1, own2, strict=True))[
            : 1 + case.derivative
        ]:
            tolerance = 1e-12 if kind.startswith("near") else 1e-14
            assert abs(mp.mpf(float(ours)) - theirs[0]) <= tolerance * mp.sqrt(theirs[1] * theirs[2]), kind


@every_case
def test_float32_on_hostile_rows(name):
    """float32 against float64, and how negative the smallest eigenvalue is."""
    case = CASES[name]
    X = hostile_rows_for(case, hostile_rows())
    network = FullyConnected(case.depth, case.activation)
    structure = jax.tree.structure(network)

    def limits(x, leaves):
        return jax.tree.unflatten(structure, leaves).limits(x, x, same=True)

    compiled = jax.jit(limits)
    for bias_var in (0.0, 0.1):
        leaves = [float(leaf) for leaf in jax.tree.leaves(network.replace(bias_var=bias_var))]
        with jax.enable_x64(True):
            found, exact = compiled(X, leaves), limits(X.astype(float), leaves)
        for i, allowed in enumerate(case.float32[: 1 + case.derivative]):
            K, K_exact = np.float64(found[i]), np.array(exact[i])
            roots = np.sqrt(np.maximum(np.diag(K_exact), np.finfo(float).tiny))
            assert found[i].dtype == np.float32
            assert np.max(np.abs(K - K_exact) / np.outer(roots, roots)) <= allowed, ("nngp", "ntk")[i]
            assert np.linalg.eigvalsh(K).min() >= -max(case.eigenvalue, allowed) * roots.max() ** 2


# Ordinary, near-duplicate, duplicate, scaled copy, antipode, near-antipode, zero, tiny, large
ROWS = [0, 1, 12, 40, 48, 56, 72, 80, 88, 89, 90, 98]
SLOW = {"tanh", "silu", "elu"}


@pytest.mark.parametrize("name", [pytest.param(n, marks=pytest.mark.slow) if n in SLOW else n for n in CASES])
def test_gradients_on_hostile_rows(name):
    """By the log of each hyperparameter: finite; forward = reverse = differences; float32 = float64.

    The error in float32 is that of the values times the growth of the kernel, max d log K_ii / d log h.
    """
    case = CASES[name]
    n_kinds = 1 + case.derivative
    X = hostile_rows_for(case, hostile_rows()[ROWS])
    network = FullyConnected(1, case.activation)
    structure, weights = jax.tree.structure(network), np.random.default_rng(0).standard_normal((n_kinds, 12, 12))

    def gradient(dtype, leaves):
        x, values = jnp.asarray(X, dtype), jnp.asarray(leaves, dtype)

        def at(growth):
            changed = jax.tree.unflatten(structure, list(values * jnp.exp(growth)))
            return jnp.stack(changed.limits(x, x, same=True)[:n_kinds])

        zero = jnp.zeros_like(values)
        tile, push = jax.linearize(at, zero)
        # one by one: operations of the same shapes for all activations, which jax then compiles once
        forward = np.array([push(direction) for direction in jnp.eye(len(leaves), dtype=dtype)], float)
        assert np.isfinite(forward).all()
        if dtype == np.float32:
            (reverse,), terms = jax.linear_transpose(push, zero)(jnp.asarray(weights, dtype)), forward * weights
            np.testing.assert_allclose(reverse, terms.sum((1, 2, 3)), atol=2e-6 * np.abs(terms).sum(), rtol=1e-5)
        return at, np.array(tile), forward

    for bias_var in (0.0, 0.1):
        leaves = [float(leaf) for leaf in jax.tree.leaves(network.replace(bias_var=bias_var))]
        with jax.enable_x64(True):
            at, tile, exact = gradient(np.float64, leaves)
            _, _, found = gradient(np.float32, leaves)
            ordinary = np.s_[:, :3, :3]
            for j, step in enumerate(1e-5 * np.eye(len(leaves))):
                differences = (np.array(at(step)) - np.array(at(-step)))[ordinary] / 2e-5
                np.testing.assert_allclose(exact[j][ordinary], differences, rtol=1e-7, atol=1e-8 * np.abs(tile).max())
        for i, allowed in enumerate(case.float32[:n_kinds]):
            own = np.maximum(np.diag(tile[i]), np.finfo(float).tiny)
            growth = np.maximum(1, np.max(np.abs(np.einsum("jaa->ja", exact[:, i])) / own, axis=1))
            roots = np.sqrt(own)
            errors = np.abs(found - exact)[:, i] / np.outer(roots, roots) / growth[:, None, None]
            assert errors.max() <= (10 * allowed if name in SLOW else allowed), ("nngp", "ntk")[i]


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
