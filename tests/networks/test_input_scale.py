"""Per-feature input scales: the same kernel of scaled inputs, learnable feature by feature."""

import pickle

import numpy as np
import pytest
from sklearn.gaussian_process import GaussianProcessRegressor

from ntkkit import NNGP, NTK, FullyConnected
from ntkkit.networks import Dense, Serial


def test_input_scale_scales_the_inputs(rng):
    X, scale = rng.standard_normal((6, 3)), np.array([1.0, 0.5, 0.0])
    scaled, plain = FullyConnected(depth=1, input_scale=scale), FullyConnected(depth=1)
    np.testing.assert_allclose(NTK(scaled)(X), NTK(plain)(X * scale), rtol=1e-13)
    np.testing.assert_allclose(NTK(scaled).diag(X), NTK(plain).diag(X * scale), rtol=1e-13)
    np.testing.assert_allclose(NTK(FullyConnected(depth=1, input_scale=2))(X), NTK(plain)(2 * X), rtol=1e-13)
    assert NTK(scaled)(X.astype(np.float32)).dtype == np.float32
    params = plain.init(0, 3, width=4)
    np.testing.assert_allclose(scaled.apply(params, X), plain.apply(params, X * scale), rtol=1e-5)


def test_input_scale_is_a_value():
    network = FullyConnected(input_scale=[1, 2])
    assert network == FullyConnected(input_scale=np.array([1.0, 2.0])) != FullyConnected(input_scale=[1, 3])
    assert hash(network) == hash(pickle.loads(pickle.dumps(network)))
    assert repr(network) == "FullyConnected(input_scale=[1., 2.])"
    with pytest.raises(ValueError, match="read-only"):
        network.input_scale[0] = 5


def test_input_scale_is_learned_feature_by_feature(rng):
    X = rng.standard_normal((40, 2))
    y = np.sin(2 * X[:, 0])
    network = FullyConnected(depth=1, activation="erf", input_scale=np.ones(2))
    fixed = {"network__weight_var": "fixed", "network__bias_var": "fixed", "network__input_scale": (1e-3, 1e2)}
    gp = GaussianProcessRegressor(NNGP(network, bounds=fixed), alpha=1e-4).fit(X, y)
    scale = gp.kernel_.network.input_scale
    assert scale.shape == (2,)
    assert scale[0] > 20 * scale[1]


@pytest.mark.parametrize(
    ("scale", "error", "message"),
    [
        ([1.0, -1.0], ValueError, "input_scale must be finite and >= 0"),
        ([1.0, np.nan], ValueError, "input_scale must be finite and >= 0"),
        ([], ValueError, "one entry a feature"),
        ([[1.0]], ValueError, "one entry a feature"),
        (["a"], TypeError, "input_scale must be None"),
        (-1.0, ValueError, "input_scale must be finite"),
    ],
)
def test_bad_input_scale(scale, error, message):
    with pytest.raises(error, match=message):
        FullyConnected(input_scale=scale)


def test_input_scale_must_fit(rng):
    with pytest.raises(ValueError, match="input_scale has 2 entries, inputs have 3 features"):
        NTK(FullyConnected(input_scale=[1.0, 2.0]))(np.ones((4, 3)))
    with pytest.raises(ValueError, match="cannot be a layer"):
        Serial([FullyConnected(input_scale=2.0), Dense()]).limits(np.ones((1, 2)), np.ones((1, 2)))
