"""Layers with branches and layer normalisation: against neural-tangents, at finite width, and on hostile rows."""

import pickle

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from references.stax_oracle import dense, limits_of

from ntkkit import NNGP, NTK
from ntkkit.networks import Dense, Erf, Identity, LayerNorm, ProductOf, Relu, Residual, Serial, Sign, SumOf

BRANCH_A, BRANCH_B = [Relu(), Dense(1.5, 0.3)], [Dense(0.7, 0.1), Erf(), Dense(1.2, 0.0)]


def stax_branches(stax, fan_in):
    def make(layers):
        of = {Relu: lambda _: stax.Relu(), Erf: lambda _: stax.Erf(), Dense: lambda d: dense(d.weight_var, d.bias_var)}
        return stax.serial(*(of[type(layer)](layer) for layer in layers))

    return [stax.FanOut(2), stax.parallel(make(BRANCH_A), make(BRANCH_B)), fan_in]


NETWORKS = {
    "residual": (Residual(Serial(BRANCH_A)), lambda s: [
        s.FanOut(2), s.parallel(s.Identity(), s.serial(s.Relu(), dense(1.5, 0.3))), s.FanInSum()]),
    "sum": (SumOf([Serial(BRANCH_A), Serial(BRANCH_B)]), lambda s: stax_branches(s, s.FanInSum())),
    "product": (ProductOf([Serial(BRANCH_A), Serial(BRANCH_B)]), lambda s: stax_branches(s, s.FanInProd())),
    "gate": (ProductOf([Identity(), Serial([Dense(0.7, 0.1), Relu()])]), lambda s: [
        s.FanOut(2), s.parallel(s.Identity(), s.serial(dense(0.7, 0.1), s.Relu())), s.FanInProd()]),
    "layer norm": (LayerNorm(), lambda s: [s.LayerNorm()]),
}  # fmt: skip
every_network = pytest.mark.parametrize("name", NETWORKS)


def network_around(layer):
    return Serial([Dense(1.3, 0.2), layer, Dense(0.9, 0.0), Erf(), Dense(2.0, 0.1)])


@every_network
def test_against_neural_tangents(name, rng):
    layer, make = NETWORKS[name]
    X, Y = rng.standard_normal((5, 6)), 3 * rng.standard_normal((4, 6))
    expected = limits_of(lambda s: [dense(1.3, 0.2), *make(s), dense(0.9, 0.0), s.Erf(), dense(2.0, 0.1)], X, Y)
    with jax.enable_x64(True):
        found = network_around(layer).limits(X, Y)
    np.testing.assert_allclose(found[0], expected[0], rtol=1e-11)
    np.testing.assert_allclose(found[1], expected[1], rtol=1e-11)


@pytest.mark.slow
@every_network
def test_distances_keep_their_digits_and_derivatives_are_finite(name):
    """Duplicates, scaled copies, antipodes, zero rows: float32 against float64, and derivatives."""
    X = np.array([[1, 2], [1, 2], [1, 2.001], [-1, -2], [2, 4], [0, 0], [0, 0], [1e-3, 0], [1e3, -1e3]], np.float32)
    network = Serial([Dense(2.0, 0.0), NETWORKS[name][0], Relu(), Dense()])
    structure = jax.tree.structure(network)
    leaves = jax.tree.map(float, jax.tree.leaves(network))

    def limits_and_derivatives(x, leaves):
        def limits(growth):
            changed = [leaf * jnp.exp(growth) for leaf in leaves]
            return jax.tree.unflatten(structure, changed).limits(x, x, same=True)

        return jax.jvp(limits, (jnp.ones((), x.dtype) * 0,), (jnp.ones((), x.dtype),))

    with jax.enable_x64(True):
        (found, slopes), (exact, _) = (limits_and_derivatives(X.astype(d), leaves) for d in (np.float32, np.float64))
    for K, K_exact in zip(map(np.array, found), map(np.array, exact), strict=True):
        roots = np.sqrt(np.diag(K_exact))
        assert K.dtype == np.float32
        assert np.max(np.abs(K - K_exact) / np.outer(roots, roots)) <= 1e-6
    assert all(np.isfinite(slope).all() for slope in slopes)


@every_network
def test_finite_networks_have_the_kernel(name):
    network = network_around(NETWORKS[name][0])
    X = jnp.asarray(np.random.default_rng(3).standard_normal((3, 5)), jnp.float32)
    params = network.init(0, 5, width=512, n_outputs=1024)
    outputs = network.apply(params, X)
    nngp = network.limits(X, X)[0]
    np.testing.assert_allclose(outputs @ outputs.T / outputs.shape[1], nngp, atol=0.15 * float(nngp.max()))


def test_layer_norm_of_rows():
    outputs = LayerNorm().apply((), jnp.array([[1.0, 2.0, 3.0, 6.0], [0, 0, 0, 0], [5, 5, 5, 5]]))
    np.testing.assert_allclose(outputs[0].mean(), 0, atol=1e-6)
    np.testing.assert_allclose((outputs[0] ** 2).mean(), 1, rtol=1e-6)
    np.testing.assert_array_equal(outputs[1:], 0)


def test_frozen_branches(rng):
    """Without trained parameters before them, and frozen themselves, branches add nothing to the NTK."""
    frozen = [Dense(1.5, 0.1, trainable=False), SumOf([Serial([Relu(), Dense(1.0, 0.2, trainable=False)]), Dense(0.5)])]
    X = rng.standard_normal((4, 3))
    all_frozen = [frozen[0], Residual(Serial([Relu(), Dense(1.0, 0.2, trainable=False)])), Relu(), Dense(1.0, 0.0)]
    np.testing.assert_allclose(NTK(Serial(all_frozen))(X), NNGP(Serial(all_frozen))(X), rtol=1e-14)
    half = Serial([*frozen, Dense(1.0, 0.0, trainable=False)])  # what is trained is the linear branch
    linear = Serial([frozen[0], Dense(0.5), Dense(1.0, 0.0, trainable=False)])
    np.testing.assert_allclose(NTK(half)(X), NTK(linear)(X), rtol=1e-13)


def test_no_ntk_through_a_branch_that_jumps():
    branch = Serial([Sign(), Dense()])
    NTK(Serial([Residual(branch), Dense()]))
    with pytest.raises(ValueError, match=r"through Sign\(\)"):
        NTK(Serial([Dense(), Residual(branch), Dense()]))


def test_values():
    network = network_around(SumOf([Dense(), Residual(Serial([Erf(), Dense(0.5)]))]))
    assert pickle.loads(pickle.dumps(network)) == network
    assert network.get_params()["layers__1__branches__1__body__layers__1__weight_var"] == 0.5
    assert network.replace(layers__1__branches__0__bias_var=0.4).layers[1].branches[0] == Dense(bias_var=0.4)
    assert hash(network) == hash(network.replace())


def test_errors():
    with pytest.raises(TypeError, match="branches must be a non-empty list of layers"):
        SumOf([])
    with pytest.raises(TypeError, match="body must be a layer or network"):
        Residual([Dense()])
    with pytest.raises(ValueError, match="into different shapes"):
        Serial([Residual(Dense()), Dense()]).init(0, 3, width=8)
