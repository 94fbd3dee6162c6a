"""Parametrisations: one function at initialisation, and gradients that differ as they must."""

import pickle

import jax
import numpy as np
import pytest

from ntkkit import FullyConnected, Recurrent
from ntkkit.finite import FiniteNetwork
from ntkkit.networks import Conv, Dense, Flatten, LayerNorm, ProductOf, Relu, Residual, Serial, SumOf

WIDTH = 4
BRANCHES = Serial(
    [
        *(Dense(1.5, 0.3, trainable=False), LayerNorm(), Residual(Serial([Relu(), Dense(0.7)]))),
        *(ProductOf([Dense(), Serial([Dense(), Relu()])]), SumOf([Dense(3.0), Dense()]), Dense()),
    ]
)
STRIDED = Serial([Conv((2, 2), 1.5, 0.2, strides=(2, 2)), Relu(), Flatten(), Dense(0.5)], input_shape=(4, 4, 1))
SEQUENCES = Recurrent(2, "erf", 1.3, 0.8, 0.2, 0.5, 0.9, "per_step", n_frozen_layers=1)
NETWORKS = {"branches": (BRANCHES, (3,)), "convolutional": (STRIDED, (16,)), "recurrent": (SEQUENCES, (8, 2))}


@jax.jit
def outputs_and_gradients(finite, params, X):
    def outputs(params):
        return finite.apply(params, X)[:, 0]

    return outputs(params), jax.jacrev(outputs)(params)


@pytest.fixture(params=NETWORKS.values(), ids=list(NETWORKS), scope="module")
def case(request):
    """A network, and of its parametrisations: the function, parameters, outputs and their gradients."""
    network, shape = request.param
    X, found = np.random.default_rng(0).standard_normal((2, *shape)).astype(np.float32), []
    for name in ("ntk", "standard", "mup"):
        finite = FiniteNetwork(network, WIDTH, name, gamma0=0.5 if name == "mup" else 1.0)
        params = finite.init(np.random.default_rng(0), shape)
        found.append((finite, *jax.tree.map(np.asarray, (params, *outputs_and_gradients(finite, params, X)))))
    return network, found


def test_one_function(case):
    _, ((ntk, params, outputs, _), (_, _, same, _), (mup, theirs, scaled, _)) = case
    assert outputs.std() > 0
    np.testing.assert_allclose(same, outputs, rtol=1e-4)
    np.testing.assert_allclose(scaled * 0.5 * np.sqrt(WIDTH), outputs, rtol=1e-5)
    assert all(map(np.array_equal, jax.tree.leaves(params), jax.tree.leaves(theirs)))
    assert ntk.learning_rate_scale == 1
    assert mup.learning_rate_scale == 0.25 * WIDTH


def test_gradients(case):
    """Of "standard", those of the NTK parametrisation over the scales; of "mup", by the learning rate, the same NTK."""
    network, ((_, params, _, ntk), (_, standard, _, other), (mup, _, _, scaled)) = case
    scales = network.scales(params)
    for entry, theirs, slope, slope_of_theirs, scale in zip(
        *map(jax.tree.leaves, (params, standard, ntk, other, scales)), strict=True
    ):
        np.testing.assert_allclose(theirs, scale * entry, rtol=1e-5)
        np.testing.assert_allclose(scale * slope_of_theirs, slope, rtol=1e-4, atol=1e-6)

    def kernel(gradients):
        flat = np.concatenate([part.reshape(2, -1) for part in jax.tree.leaves(gradients)], axis=1)
        return flat @ flat.T

    np.testing.assert_allclose(mup.learning_rate_scale * kernel(scaled), kernel(ntk), rtol=1e-5)


def test_what_is_trained_is_what_has_gradients(case):
    network, ((_, params, _, gradients), *_) = case
    for gradient, trained in zip(*map(jax.tree.leaves, (gradients, network.trained(params))), strict=True):
        assert isinstance(trained, bool)
        if not trained:
            assert not gradient.any()
    assert any(jax.tree.leaves(network.trained(params)))
    n_frozen = sum(not trained for trained in jax.tree.leaves(network.trained(params)))
    assert n_frozen == {BRANCHES: 2, SEQUENCES: 5}.get(network, 0)  # weight and bias; a layer and a state


def test_entries_are_those_of_the_network():
    network = FullyConnected(depth=0)
    for one, other in zip(network.init(3, 5)[0].values(), FiniteNetwork(network).init(3, 5)[0].values(), strict=True):
        np.testing.assert_array_equal(one, other)


def test_scales_are_standard_deviations():
    network = FullyConnected(depth=1, weight_var=3.0, bias_var=0.25)
    params = FiniteNetwork(network, 2000, "standard").init(np.random.default_rng(0), (5,))
    assert params[0]["weight"].std() == pytest.approx(np.sqrt(3 / 5), rel=0.03)
    assert params[0]["bias"].std() == pytest.approx(0.5, rel=0.06)
    assert params[2]["weight"].std() == pytest.approx(np.sqrt(3 / 2000), rel=0.06)


def test_a_bias_without_variance_is_absent():
    finite = FiniteNetwork(FullyConnected(depth=1, bias_var=0.0), WIDTH, "standard")
    params, X = finite.init(np.random.default_rng(0), (3,)), np.ones((2, 3), np.float32)
    assert not params[0]["bias"].any()
    outputs, slopes = outputs_and_gradients(finite, params, X)
    changed = [{**params[0], "bias": params[0]["bias"] + 7.0}, *params[1:]]
    np.testing.assert_array_equal(outputs_and_gradients(finite, changed, X)[0], outputs)
    assert not slopes[0]["bias"].any()
    assert slopes[0]["weight"].any()


def test_a_value():
    finite = FiniteNetwork(FullyConnected(depth=1), 8, "mup", 0.3)
    assert pickle.loads(pickle.dumps(finite)) == finite
    assert finite.replace(network__depth=2).network.depth == 2
    assert len({finite, finite.replace(gamma0=0.4), FiniteNetwork(FullyConnected(depth=1), 8, "mup", 0.3)}) == 2
    assert jax.tree.structure(finite) == jax.tree.structure(finite.replace(gamma0=0.4))
    assert repr(finite) == "FiniteNetwork(network=FullyConnected(depth=1), width=8, parametrization='mup', gamma0=0.3)"
    drawn = finite.init(np.random.default_rng(0), 3)
    assert (drawn[0]["weight"].shape, drawn[0]["weight"].dtype) == ((3, 8), np.float32)
    again = finite.init(np.random.default_rng(0), (3,))
    assert all(map(np.array_equal, jax.tree.leaves(drawn), jax.tree.leaves(again)))
    keys = jax.random.split(jax.random.key(0), 2)
    drawn = jax.eval_shape(jax.vmap(lambda key: finite.init(key, 3)), keys)
    assert drawn[0]["weight"].shape == (2, 3, 8)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ((FullyConnected,), TypeError, "network must be a network such as"),
        ((FullyConnected(), 0), ValueError, "width must be >= 1, found 0"),
        ((FullyConnected(), 8.0), TypeError, "width must be an integer"),
        ((FullyConnected(), 8, "mean"), ValueError, "parametrization must be one of .* found 'mean'"),
        ((FullyConnected(), 8, "mup", 0.0), ValueError, "gamma0 must be positive"),
        ((FullyConnected(), 8, "ntk", 2.0), ValueError, "gamma0=2.0 needs parametrization='mup', found 'ntk'"),
    ],
)
def test_bad_input(arguments, error, message):
    with pytest.raises(error, match=message):
        FiniteNetwork(*arguments)
