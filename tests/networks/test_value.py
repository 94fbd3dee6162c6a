import pickle

import cloudpickle
import jax
import numpy as np
import pytest
from sklearn.base import clone

from ntkkit import NNGP, NTK, FullyConnected, Scaled
from ntkkit.networks import Dense, Relu, Serial


def test_params_are_the_constructor_arguments():
    network = FullyConnected(depth=2, weight_var=1.5)
    assert network.get_params()["depth"] == 2
    assert FullyConnected(**network.get_params()) == network
    assert not hasattr(network, "set_params")


def test_replace_is_a_copy_and_reaches_inside():
    network = FullyConnected()
    kernel = Scaled(NTK(network), 2.0)
    changed = kernel.replace(kernel__network__depth=1, scale=3.0)
    assert (changed.kernel.network.depth, changed.scale) == (1, 3.0)
    assert (kernel.kernel.network.depth, kernel.scale, network.depth) == (3, 2.0, 3)


def test_replace_whole_and_part_at_once():
    changed = NTK(FullyConnected()).replace(network=FullyConnected(depth=5), network__weight_var=1.0)
    assert changed.network == FullyConnected(depth=5, weight_var=1.0)


def test_replace_in_a_list():
    network = Serial([Dense(), Relu(), Dense()])
    assert network.replace(layers__2__weight_var=1.0).layers[2] == Dense(weight_var=1.0)
    assert network.get_params()["layers__0__bias_var"] == 0.1
    with pytest.raises(ValueError, match="items 0 to 2, found '3'"):
        network.replace(layers__3__weight_var=1.0)


def test_unknown_parameter_names_the_valid_ones():
    with pytest.raises(ValueError, match=r"Invalid parameter 'width' for FullyConnected; valid ones are \['depth'"):
        FullyConnected().replace(width=3)
    with pytest.raises(ValueError, match="has no parameters"):
        FullyConnected().replace(depth__what=3)


def test_networks_are_frozen_and_their_own_clones():
    network = FullyConnected()
    with pytest.raises(AttributeError, match=r"immutable; use .replace\(depth=...\)"):
        network.depth = 2
    assert clone(network, safe=False) is network
    assert clone(NTK(network)).network is network


def test_equality_and_hash_go_by_value():
    one, other = FullyConnected(weight_var=2), FullyConnected(weight_var=np.float64(2.0))
    assert one == other
    assert hash(one) == hash(other)
    assert one != FullyConnected(weight_var=2.5)
    assert NTK(one) != NNGP(one)
    assert one != "FullyConnected"


def test_repr_shows_what_was_changed():
    assert repr(FullyConnected(depth=2, weight_var=1)) == "FullyConnected(depth=2, weight_var=1.0)"
    assert repr(NTK(FullyConnected())) == "NTK(network=FullyConnected())"


@pytest.mark.parametrize("activation", ["erf", jax.nn.relu, jax.scipy.special.erf])
@pytest.mark.parametrize("pickler", [pickle, cloudpickle])
def test_pickle_keeps_the_very_function(activation, pickler):
    kernel = NTK(FullyConnected(activation=activation))
    copy = pickle.loads(pickler.dumps(kernel))
    assert copy == kernel
    assert copy.network.activation is activation or activation == "erf"


def test_pytree_leaves_are_the_real_hyperparameters():
    leaves, structure = jax.tree.flatten(NTK(FullyConnected(weight_var=1.0, readout_bias_var=0.3)))
    assert sorted(leaves) == [0.1, 0.3, 1.0]
    assert jax.tree.unflatten(structure, leaves) == NTK(FullyConnected(weight_var=1.0, readout_bias_var=0.3))
    assert structure != jax.tree.structure(NTK(FullyConnected(depth=2)))
    assert structure == jax.tree.structure(
        NTK(FullyConnected(readout_bias_var=9.0), bounds={"network__weight_var": "fixed"})
    )


def test_networks_are_not_sequences_nor_arrays():
    for name in ("__len__", "__iter__", "__array__"):
        assert not hasattr(Serial([Dense()]), name)


@pytest.mark.parametrize(
    ("params", "error", "message"),
    [
        ({"weight_var": -1.0}, ValueError, r"weight_var must be finite and >= 0 .*, found -1.0"),
        ({"bias_var": np.nan}, ValueError, r"bias_var must be finite"),
        ({"bias_var": np.inf}, ValueError, r"bias_var must be finite"),
        ({"weight_var": "2"}, TypeError, r"weight_var must be a real number >= 0, found '2'"),
        ({"readout_bias_var": -0.1}, ValueError, r"readout_bias_var"),
        ({"depth": -1}, ValueError, r"depth must be >= 0, found -1"),
        ({"depth": 2.5}, TypeError, r"depth must be an integer >= 0, found 2.5"),
        ({"depth": True}, TypeError, r"depth must be an integer"),
        ({"depth": 2, "n_frozen_layers": 3}, ValueError, r"n_frozen_layers must be at most depth=2, found 3"),
        ({"activation": "swoosh"}, ValueError, r"activation must be .* 'relu'.*found 'swoosh'"),
        ({"activation": np.tanh}, TypeError, r"function must be a function of jax such as jnp.tanh"),
        ({"activation": ["relu"]}, ValueError, r"activation must be an Activation, a function of jax, or one of"),
        ({"input_shape": 784}, TypeError, r"input_shape must be a tuple"),
        ({"input_shape": (28, 0)}, ValueError, r"input_shape must be >= 1, found 0"),
    ],
)
def test_bad_hyperparameters(params, error, message):
    with pytest.raises(error, match=message):
        FullyConnected(**params)
    with pytest.raises(error, match=message):
        NTK(FullyConnected()).set_params(**{f"network__{name}": value for name, value in params.items()})


def test_bad_layers():
    with pytest.raises(TypeError, match="layers must be a non-empty list of layers"):
        Serial([])
    with pytest.raises(TypeError, match="layers must be a non-empty list of layers"):
        Serial([Dense(), "relu"])
