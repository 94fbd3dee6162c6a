"""Finite networks, and how fast their kernels approach the limits."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from references.monte_carlo import slopes_and_deviations

from ntkkit import FullyConnected
from ntkkit.networks import Conv, Dense, Relu, Serial
from ntkkit.networks.convolution import convolving_by_products


@pytest.mark.slow
@pytest.mark.parametrize("params", [{"activation": "relu"}, {"activation": "erf", "readout_weight_var": 1.0}], ids=str)
def test_empirical_kernels_approach_the_limits_like_one_over_root_width(params):
    X = jnp.asarray(np.random.default_rng(1).standard_normal((3, 6)), jnp.float32)
    network = FullyConnected(depth=2, **params)
    limits = np.array(jax.jit(network.limits)(X, X))
    slopes, deviations = slopes_and_deviations(network, X, limits)
    assert ((slopes > -0.65) & (slopes < -0.35)).all()
    assert (deviations < 4.5).all()


def test_apply_is_the_formula(rng):
    X = rng.standard_normal((4, 3)).astype(np.float32)
    network = FullyConnected(depth=1, weight_var=1.5, bias_var=0.3, readout_bias_var=0.0)
    params = network.init(0, 3, width=8, n_outputs=2)
    first, nothing, readout = params
    assert nothing == ()
    hidden = np.maximum(np.sqrt(1.5 / 3) * X @ first["weight"] + np.sqrt(0.3) * first["bias"], 0)
    expected = np.sqrt(1.5 / 8) * hidden @ readout["weight"]
    np.testing.assert_allclose(network.apply(params, X), expected, rtol=2e-5)
    assert network.apply(params, X).shape == (4, 2)


def test_images_and_keys(rng):
    images = rng.standard_normal((2, 3, 2, 1)).astype(np.float32)
    network = FullyConnected(depth=1, input_shape=(3, 2, 1))
    params = network.init(0, (3, 2, 1), width=4)
    np.testing.assert_array_equal(network.apply(params, images), network.apply(params, images.reshape(2, -1)))
    ensemble = jax.vmap(lambda key: network.init(key, (6,), width=4))(jax.random.split(jax.random.key(0), 5))
    assert ensemble[0]["weight"].shape == (5, 6, 4)
    same = network.init(np.random.RandomState(0), 6, width=4)
    np.testing.assert_array_equal(same[0]["weight"], params[0]["weight"])


def test_nested_networks_have_hidden_width_inside():
    network = Serial([Serial([Dense(), Relu()]), Serial([Dense(), Relu(), Dense()])])
    params = network.init(0, 3, width=7, n_outputs=2)
    assert params[0][0]["weight"].shape == (3, 7)
    assert params[1][0]["weight"].shape == (7, 7)
    assert params[1][2]["weight"].shape == (7, 2)


@pytest.mark.parametrize("bad", [{"width": 0}, {"n_outputs": 0}])
def test_bad_sizes(bad):
    with pytest.raises(ValueError, match=r"must be >= 1, found 0"):
        FullyConnected().init(0, 3, **bad)


@pytest.mark.parametrize("filter_shape", [(3, 2), (3,)])
@pytest.mark.parametrize("padding", ["SAME", "VALID", "CIRCULAR"])
def test_convolutions_by_products_are_the_same(filter_shape, padding, rng):
    layer = Conv(filter_shape, strides=(2,) * len(filter_shape), padding=padding)
    params = {
        "weight": rng.standard_normal((*filter_shape, 2, 3)).astype(np.float32),
        "bias": rng.standard_normal(3).astype(np.float32),
    }
    images = rng.standard_normal((4, *(7, 6)[: len(filter_shape)], 2)).astype(np.float32)
    expected = layer.apply(params, images)
    with convolving_by_products():
        found = jax.jit(layer.apply)(params, images)
        assert "conv_general_dilated" not in str(jax.make_jaxpr(layer.apply)(params, images))
    np.testing.assert_allclose(found, expected, atol=1e-5)
    assert "conv_general_dilated" in str(jax.make_jaxpr(layer.apply)(params, images))
