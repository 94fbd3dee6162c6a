"""How right float32 and float64 are, relative to sqrt(K_ii K_jj), on data made to hurt."""

import mpmath as mp
import numpy as np
import pytest
from references.fully_connected import pair_limits
from references.hostile import hostile_rows

from ntkkit import NNGP, NTK, FullyConnected
from ntkkit.networks import Dense, Erf, Relu, Serial

pytestmark = pytest.mark.slow  # all together: numbers that no version of a library changes

DEPTHS_AND_BIASES = [(1, 0.0), (1, 0.1), (5, 0.0), (5, 1e-4), (10, 0.1), (10, 0.0)]


@pytest.mark.parametrize("kernel", [NTK, NNGP])
@pytest.mark.parametrize(("depth", "bias_var"), DEPTHS_AND_BIASES)
def test_float32_relu(kernel, depth, bias_var):
    X, k = hostile_rows(), kernel(FullyConnected(depth=depth, bias_var=bias_var))
    exact = k(X.astype(np.float64))
    roots = np.sqrt(np.maximum(np.diag(exact), np.finfo(float).tiny))
    found = k(X)
    assert found.dtype == np.float32
    assert np.max(np.abs(found - exact) / np.outer(roots, roots)) <= 1e-6
    assert np.linalg.eigvalsh(found.astype(float)).min() >= -1e-6 * np.diag(exact).max()


DEEP_ERF = FullyConnected(depth=5, activation="erf")
MIXED = Serial([layer for phi in (Erf(), Relu(), Erf()) for layer in (Dense(), phi)] + [Dense()])


@pytest.mark.parametrize("kernel", [NTK, NNGP])
@pytest.mark.parametrize("network", [DEEP_ERF, MIXED], ids=["erf", "mixed"])
def test_float32_erf(kernel, network):
    X, k = hostile_rows(), kernel(network)
    exact = k(X.astype(np.float64))
    roots = np.sqrt(np.diag(exact))
    assert np.max(np.abs(k(X) - exact) / np.outer(roots, roots)) <= 1e-6


PAIRS = {  # kinds of pairs of hostile_rows() and the relative error in float64
    "ordinary": ([(0, 1), (3, 20), (12, 35)], 1e-13),
    "exact duplicates": ([(0, 40), (3, 43)], 1e-13),
    "itself": ([(0, 0), (5, 5)], 1e-13),
    "relative distance 1e-4": ([(1, 49), (2, 50)], 1e-11),
    "scaled copies": ([(1, 57), (2, 66)], 1e-13),
    "antipodes": ([(1, 73), (2, 74)], 1e-13),
    "near antipodes": ([(2, 82), (3, 83)], 1e-11),
    "zero row": ([(0, 88), (88, 89)], 1e-13),
    "of other size": ([(9, 91), (9, 99)], 1e-13),
}


@pytest.mark.parametrize("kind", PAIRS)
@pytest.mark.parametrize(("depth", "bias_var"), DEPTHS_AND_BIASES)
def test_float64_relu_against_50_digits(kind, depth, bias_var):
    pairs, tolerance = PAIRS[kind]
    X = hostile_rows().astype(np.float64)
    network = FullyConnected(depth=depth, bias_var=bias_var)
    nngp, ntk = NNGP(network)(X), NTK(network)(X)
    for i, j in pairs:
        for found, which in ((nngp, 0), (ntk, 1)):
            exact, own1, own2 = (
                pair_limits(X[a], X[b], depth=depth, bias_var=bias_var)[which] for a, b in ((i, j), (i, i), (j, j))
            )
            assert abs(exact - mp.mpf(found[i, j])) <= tolerance * mp.sqrt(own1 * own2)
