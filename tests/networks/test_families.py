import jax
import jax.numpy as jnp
import numpy as np
import pytest
from references import fully_connected

from ntkkit import NNGP, NTK, FullyConnected
from ntkkit.networks import Dense, Erf, Relu, Serial

CONFIGURATIONS = [
    {"depth": 0},
    {"depth": 1, "bias_var": 0.0},
    {"depth": 4, "weight_var": 1.3},
    {"depth": 2, "activation": "erf", "readout_weight_var": 0.5, "readout_bias_var": 0.0},
    {"depth": 2, "activation": "identity"},
    {"depth": 3, "n_frozen_layers": 2},
    {"depth": 2, "n_frozen_layers": 2, "bias_var": 0.0},
]


@pytest.mark.parametrize("params", CONFIGURATIONS, ids=str)
def test_limits_against_the_direct_recursion(params, rng):
    X, Y = rng.standard_normal((4, 5)), rng.standard_normal((3, 5))
    nngp, ntk = fully_connected.limits(X, Y, **params)
    network = FullyConnected(**params)
    np.testing.assert_allclose(NNGP(network)(X, Y), nngp, rtol=1e-13, atol=1e-14)
    np.testing.assert_allclose(NTK(network)(X, Y), ntk, rtol=1e-13, atol=1e-14)


def test_all_frozen_is_the_nngp(rng):
    X = rng.standard_normal((6, 4))
    network = FullyConnected(depth=3, n_frozen_layers=3)
    np.testing.assert_allclose(NTK(network)(X), NNGP(network)(X), rtol=1e-14)


def test_all_depths_in_one_pass(rng):
    X, Y = rng.standard_normal((4, 3)), rng.standard_normal((5, 3))
    network = FullyConnected(depth=2, n_frozen_layers=1, readout_weight_var=1.0)
    depths = [1, 4, 2]
    with jax.enable_x64(True):
        nngps, ntks = network.limits(X, Y, depths=depths)
        diagonals = network.limits_diag(X, depths=depths)
        assert nngps.shape == ntks.shape == (3, 4, 5)
        for i, depth in enumerate(depths):
            nngp, ntk = network.replace(depth=depth).limits(X, Y)
            np.testing.assert_allclose(nngps[i], nngp, rtol=1e-15)
            np.testing.assert_allclose(ntks[i], ntk, rtol=1e-15)
            np.testing.assert_allclose(diagonals[1][i], network.replace(depth=depth).limits_diag(X)[1], rtol=1e-15)


def test_bad_depths(rng):
    X = rng.standard_normal((2, 3))
    with pytest.raises(ValueError, match="depths must be >= 1, found 0"):
        FullyConnected(depth=2, n_frozen_layers=1).limits(X, X, depths=[0, 2])
    with pytest.raises(ValueError, match="depths must not be empty"):
        FullyConnected().limits(X, X, depths=[])
    with pytest.raises(ValueError, match="depths= needs a family with a depth"):
        Serial([Dense()]).limits(X, X, depths=[1])


@pytest.mark.parametrize("params", CONFIGURATIONS, ids=str)
def test_diagonal_is_that_of_the_matrix(params, rng):
    X = np.concatenate([rng.standard_normal((5, 3)), np.zeros((1, 3))])
    for kernel in (NTK(FullyConnected(**params)), NNGP(FullyConnected(**params))):
        np.testing.assert_allclose(kernel.diag(X), np.diag(kernel(X)), rtol=1e-15)


def test_family_is_its_layers(rng):
    X = rng.standard_normal((4, 3))
    layers = [Dense(1.5, 0.2, trainable=False), Erf(), Dense(1.5, 0.2), Erf(), Dense(0.7, 0.0)]
    family = FullyConnected(2, "erf", 1.5, 0.2, readout_weight_var=0.7, readout_bias_var=0.0, n_frozen_layers=1)
    np.testing.assert_array_equal(NTK(Serial(layers))(X), NTK(family)(X))
    nested = Serial([Serial(layers[:2]), Serial(layers[2:])])
    np.testing.assert_array_equal(NTK(nested)(X), NTK(family)(X))


def test_no_activation_between_two_layers(rng):
    """relu after relu: the correlation that the second one sees was never mapped by a Dense."""
    X = rng.standard_normal((4, 3))
    once, twice = Serial([Dense(), Relu(), Dense()]), Serial([Dense(), Relu(), Relu(), Dense()])
    with jax.enable_x64(True):
        state = np.asarray(once.limits(X, X)[0])
    assert np.isfinite(NNGP(twice)(X)).all()
    assert not np.allclose(NNGP(twice)(X), state)


def test_images_are_flattened(rng):
    images = rng.standard_normal((4, 3, 2, 1))
    network = FullyConnected(depth=1, input_shape=(3, 2, 1))
    expected = NTK(FullyConnected(depth=1))(images.reshape(4, -1))
    np.testing.assert_array_equal(NTK(network)(images), expected)
    np.testing.assert_array_equal(NTK(network)(images.reshape(4, -1)), expected)


def test_limits_follow_the_users_flag(rng):
    X = jnp.asarray(rng.standard_normal((3, 2)), jnp.float32)
    assert FullyConnected().limits(X, X)[0].dtype == jnp.float32
    assert FullyConnected().limits([[1, 2]], [[3, 4]])[0].dtype == jnp.float32


def test_limits_jit_vmap_and_differentiate(rng):
    X = jnp.asarray(rng.standard_normal((4, 3)), jnp.float32)
    network = FullyConnected(depth=2)
    whole = network.limits(X, X)[1]
    np.testing.assert_allclose(jax.jit(lambda n, a, b: n.limits(a, b)[1])(network, X, X), whole, rtol=1e-6)
    by_rows = jax.vmap(lambda x: network.limits(x[None], X)[1][0])(X)
    np.testing.assert_allclose(by_rows, whole, rtol=1e-5)
    gradient = jax.grad(lambda n: n.limits(X, X)[1].sum())(network)
    assert gradient.weight_var > 0
    assert gradient.readout_weight_var is None
    step = 1e-2
    up, down = (network.replace(weight_var=2.0 + s).limits(X, X)[1].sum() for s in (step, -step))
    assert gradient.weight_var == pytest.approx(float(up - down) / (2 * step), rel=1e-2)
    assert jnp.isfinite(jax.grad(lambda a: network.limits(a, X)[1].sum())(X)).all()


def test_gradient_at_right_angles():
    """One-hot rows meet at exactly 90 degrees, where the two branches of the angle meet."""
    network = FullyConnected(depth=2, bias_var=0.0)
    with jax.enable_x64(True):
        x, y = jnp.array([[1.0, 0.0]]), jnp.array([[0.0, 1.0]])
        for limit in (0, 1):
            gradient = jax.grad(lambda a, i=limit: network.limits(a, y)[i].sum())(x)[0, 1]
            up, down = (network.limits(x.at[0, 1].add(s), y)[limit].sum() for s in (1e-5, -1e-5))
            assert gradient == pytest.approx(float(up - down) / 2e-5, rel=1e-6)


HOSTILE = np.array([[1.0, 2.0], [1.0, 2.0], [-1.0, -2.0], [2.0, 4.0], [0.0, 0.0], [0.0, 0.0], [1e3, -1e3], [1e-3, 0.0]])


@pytest.mark.parametrize(
    ("activation", "bias_var", "dtype"),  # every pair of values of two of them
    [
        ("relu", 0.0, np.float32),
        ("relu", 0.1, np.float64),
        ("erf", 0.0, np.float64),
        ("erf", 0.1, np.float32),
        ("identity", 0.0, np.float32),
        ("identity", 0.1, np.float64),
    ],
)
def test_values_and_gradients_are_finite_on_hostile_rows(activation, bias_var, dtype):
    network = FullyConnected(depth=2, activation=activation, bias_var=bias_var)
    K, gradient = NTK(network)(HOSTILE.astype(dtype), eval_gradient=True)
    assert K.dtype == dtype
    assert np.isfinite(K).all()
    assert np.isfinite(gradient).all()
    assert gradient.shape[-1] == (2 if bias_var else 1)
    assert np.isfinite(NNGP(network)(HOSTILE.astype(dtype))).all()
