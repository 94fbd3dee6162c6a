"""Infinite-width kernels of the families against neural-tangents."""

import jax
import numpy as np
import pytest
from references.stax_oracle import fully_connected_limits

from ntkkit.networks import FullyConnected

pytestmark = pytest.mark.slow  # all together: numbers that no version of a library changes

# Between them: every depth, both activations, biases or none, other variances in the readout.
NETWORKS = [
    {"depth": 0},
    {"depth": 0, "weight_var": 0.5, "bias_var": 0.0, "readout_weight_var": 1.7, "readout_bias_var": 0.3},
    {"depth": 1, "bias_var": 0.0},
    {"depth": 2, "activation": "erf"},
    {"depth": 3, "readout_weight_var": 0.7},
    {"depth": 4, "activation": "erf", "weight_var": 1.3, "bias_var": 0.0},
    {"depth": 5, "weight_var": 1.5, "bias_var": 0.5, "readout_bias_var": 0.0},
    {"depth": 6, "activation": "erf", "bias_var": 0.0, "readout_weight_var": 3.0, "readout_bias_var": 1.0},
    {"depth": 7, "bias_var": 0.0, "readout_bias_var": 0.2},
    {"depth": 8, "activation": "identity", "weight_var": 1.1},
    {"depth": 9, "bias_var": 0.0},
    {"depth": 10},
    {"depth": 10, "activation": "erf", "weight_var": 4.0},
]
FROZEN = [
    {"depth": 1, "n_frozen_layers": 1},
    {"depth": 3, "n_frozen_layers": 1, "bias_var": 0.0},
    {"depth": 4, "n_frozen_layers": 3, "activation": "erf", "readout_weight_var": 0.7, "readout_bias_var": 0.0},
    {"depth": 10, "n_frozen_layers": 4, "weight_var": 1.8},
]


@pytest.fixture(scope="module")
def rows():
    """Rows of very different lengths, every two of them at an angle of at least 0.4."""
    rng = np.random.default_rng(0)
    X, Y = rng.normal(size=(7, 12)), rng.normal(size=(4, 12))
    lengths = np.array([0.01, 0.3, 1, 1, 2, 10, 1000])
    return X / np.linalg.norm(X, axis=1, keepdims=True) * lengths[:, None], Y


def describe(params):
    return "-".join(f"{name}={value}" for name, value in params.items())


def limits(params, X, Y=None):
    with jax.enable_x64(True):
        network = FullyConnected(**params)
        return [np.array(K) for K in network.limits(X, X if Y is None else Y, same=Y is None)]


def diagonals(params, X):
    with jax.enable_x64(True):
        return [np.array(d) for d in FullyConnected(**params).limits_diag(X)]


def relative_error(ours, theirs, var1, var2):
    """|ours - theirs| / sqrt(K_ii K_jj), the largest."""
    assert ours.shape == theirs.shape
    assert ours.dtype == theirs.dtype == np.float64
    return np.max(np.abs(ours - theirs) / np.sqrt(np.outer(var1, var2)))


@pytest.mark.parametrize("params", NETWORKS + FROZEN, ids=describe)
def test_limits_of_two_data_sets(params, rows):
    X, Y = rows
    theirs = fully_connected_limits(X, Y, **params)
    for ours, reference, var1, var2 in zip(
        limits(params, X, Y), theirs, diagonals(params, X), diagonals(params, Y), strict=True
    ):
        assert relative_error(ours, reference, var1, var2) < 1e-12


@pytest.mark.parametrize("params", NETWORKS[1::3] + FROZEN[1::2], ids=describe)
def test_limits_of_one_data_set(params, rows):
    X, _ = rows
    theirs = fully_connected_limits(X, **params)
    for ours, reference, var in zip(limits(params, X), theirs, diagonals(params, X), strict=True):
        np.testing.assert_array_equal(np.diag(ours), var)
        # theirs takes an arccos of a rounded 1 on the diagonal, which costs it half of its digits there
        np.testing.assert_allclose(np.diag(ours), np.diag(reference), rtol=1e-6)
        reference = np.where(np.eye(len(X), dtype=bool), ours, reference)
        assert relative_error(ours, reference, var, var) < 1e-12


def test_all_frozen_but_the_readout_is_the_nngp(rows):
    X, Y = rows
    params = {"depth": 3, "n_frozen_layers": 3}
    nngp, ntk = fully_connected_limits(X, Y, **params)
    np.testing.assert_allclose(ntk, nngp, rtol=1e-14)
    for ours, theirs in zip(limits(params, X, Y), (nngp, ntk), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-12)


def test_many_depths_in_one_pass(rows):
    X, Y = rows
    depths = [0, 2, 5, 10]
    with jax.enable_x64(True):
        ours = [np.array(K) for K in FullyConnected().limits(X, Y, depths=depths)]
    for i, depth in enumerate(depths):
        theirs = fully_connected_limits(X, Y, depth=depth)
        for K, reference, var1, var2 in zip(
            ours, theirs, diagonals({"depth": depth}, X), diagonals({"depth": depth}, Y), strict=True
        ):
            assert relative_error(K[i], reference, var1, var2) < 1e-12
