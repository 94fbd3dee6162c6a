"""Bounds over boxes of inputs hold at every sampled point, and are exact where they can be."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ntkkit.finite.interval_bounds import interval_bounds, interval_certified_radius, largest_radius
from ntkkit.networks import (
    ABRelu,
    Cos,
    Dense,
    Erf,
    Exp,
    FullyConnected,
    Gaussian,
    Gelu,
    LayerNorm,
    Monomial,
    RectifiedMonomial,
    Serial,
    SigmoidLike,
    Step,
)

NETWORKS = {
    "relu": FullyConnected(depth=2),
    "leaky": FullyConnected(depth=1, activation="leaky_relu"),
    "abs": FullyConnected(depth=1, activation="abs"),
    "tanh": FullyConnected(depth=1, activation="tanh"),
    "sigmoid": FullyConnected(depth=1, activation=jax.nn.sigmoid),
    "sign": FullyConnected(depth=1, activation="sign"),
    "linear": FullyConnected(depth=0),
    "scaled": FullyConnected(depth=1, activation=Erf(), input_scale=[0.1, 2.0, 1.0, 0.0]),
    "images": FullyConnected(depth=1, activation=SigmoidLike(), input_shape=(2, 2, 1)),
    "nested": Serial([Dense(1.0, 0.0), Gaussian(), Serial([Dense(), Step()]), Dense()]),
    "powers": Serial([Monomial(2), Dense(), Monomial(3), Dense(), RectifiedMonomial(2), Dense()]),
    "bent": Serial([ABRelu(-0.5, 2.0), Dense(0.1), Exp(), Dense()]),
}


@pytest.fixture
def boxes(rng):
    return rng.normal(size=(5, 4)), np.array([0.0, 1e-3, 0.1, 0.5, 2.0])


@pytest.mark.parametrize("name", NETWORKS)
def test_no_sample_escapes(name, boxes, rng):
    X, radii = boxes
    network = NETWORKS[name]
    params = network.init(0, 4, width=7, n_outputs=3)
    low, high = interval_bounds(network, params, X, radii)
    assert low.shape == high.shape == (5, 3)
    assert low.dtype == np.float64
    moves = rng.uniform(-1, 1, size=(200, 5, 4))
    moves[:100] = np.sign(moves[:100])
    with jax.enable_x64(True):
        points = jnp.asarray(X + radii[:, None] * moves).reshape(-1, 4)
        exact = jax.tree.map(lambda leaf: jnp.asarray(leaf, np.float64), params)
        outputs = np.asarray(network.apply(exact, points)).reshape(200, 5, 3)
    slack = 1e-9 * (1 + np.abs(outputs).max())
    assert (outputs >= low - slack).all()
    assert (outputs <= high + slack).all()
    np.testing.assert_allclose(low[0], outputs[0, 0], rtol=1e-9)  # radius 0: no width
    np.testing.assert_allclose(high[0], outputs[0, 0], rtol=1e-9)


def test_a_linear_network_reaches_its_bounds(boxes):
    X, radii = boxes
    network = NETWORKS["linear"]
    params = network.init(0, 4)
    low, high = interval_bounds(network, params, X, radii)
    weights = np.asarray(params[0]["weight"], np.float64)
    towards = radii[:, None] * np.sign(weights[:, 0])
    for bound, corners in ((high, X + towards), (low, X - towards)):
        expected = np.sqrt(2.0 / 4) * corners @ weights + np.sqrt(0.1) * np.asarray(params[0]["bias"], np.float64)
        np.testing.assert_allclose(bound, expected, rtol=1e-9)


def test_radii_of_a_linear_network_are_distances(rng):
    X, network = rng.normal(size=(6, 4)), Serial([Dense(1.0, 0.0)])
    params = network.init(1, 4)
    weights = np.asarray(params[0]["weight"], np.float64)[:, 0]
    np.testing.assert_allclose(
        interval_certified_radius(network, params, X), np.abs(X @ weights) / np.abs(weights).sum(), rtol=1e-9
    )


def test_inside_the_radius_the_sign_stays_and_outside_nothing_is_claimed(rng):
    network = NETWORKS["relu"]
    X, params = rng.normal(size=(5, 4)), network.init(2, 4, width=9)
    radii = interval_certified_radius(network, params, X)
    assert (radii > 0).all()
    assert np.isfinite(radii).all()
    low, high = interval_bounds(network, params, X, radii)
    assert ((low > 0) | (high < 0)).all()
    low, high = interval_bounds(network, params, X, 1.0001 * radii)
    assert ((low <= 0) & (high >= 0)).all()


def test_extreme_radii():
    always = [{"weight": np.zeros((2, 1)), "bias": np.ones(1)}]
    never = [{"weight": np.zeros((2, 1)), "bias": np.zeros(1)}]
    network = Serial([Dense()])
    assert interval_certified_radius(network, always, [[1.0, 2.0]]) == [np.inf]
    assert interval_certified_radius(network, never, [[1.0, 2.0]]) == [0.0]
    wanted = np.array([0.0, 1e-9, 3.0, 1e6, np.inf])
    found = largest_radius(lambda radii: radii <= wanted, np.ones(5))
    np.testing.assert_allclose(found[1:], wanted[1:], rtol=1e-2)
    np.testing.assert_allclose(found[2:], wanted[2:], rtol=1e-11)
    assert found[0] == 0
    assert (found <= wanted).all()


@pytest.mark.parametrize("layer", [Cos(), Gelu(), LayerNorm()], ids=str)
def test_layers_without_such_bounds_are_refused(layer):
    network = Serial([layer, Dense()])
    with pytest.raises(TypeError, match=r"monotone on either side of 0, found \w+\(\)"):
        interval_bounds(network, network.init(0, 3), np.ones((1, 3)), 0.1)


@pytest.mark.parametrize("radius", [-1.0, np.nan, np.inf, [0.1, 0.2]])
def test_bad_radii(radius):
    network = NETWORKS["linear"]
    with pytest.raises(ValueError, match="radius must be one finite number >= 0"):
        interval_bounds(network, network.init(0, 3), np.ones((1, 3)), radius)


def test_bad_inputs():
    network = NETWORKS["linear"]
    with pytest.raises(ValueError, match="NaN"):
        interval_bounds(network, network.init(0, 3), np.full((1, 3), np.nan), 0.1)
    with pytest.raises(ValueError, match=r"must have one output.*found 2"):
        interval_certified_radius(network, network.init(0, 3, n_outputs=2), np.ones((1, 3)))
