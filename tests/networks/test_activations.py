import jax
import jax.numpy as jnp
import mpmath as mp
import numpy as np
import pytest
from references.fully_connected import DUALS

from ntkkit.networks import Erf, Identity, Relu
from ntkkit.networks.activations import resolve_activation
from ntkkit.networks.angle import acute_angle, angle
from ntkkit.networks.state import State

ACTIVATIONS = {"relu": Relu(), "erf": Erf(), "identity": Identity()}


def dual(activation, k, q1, q2, dtype=np.float64):
    """(E[phi phi], E[phi' phi']) by way of the distances that layers carry."""
    with jax.enable_x64(True):
        q1, q2, k = (jnp.asarray(v, dtype) for v in (q1, q2, k))
        scale = jnp.sqrt(q1 * q2)
        post = activation.propagate(State(q1, q2, 1 - k / scale, 1 + k / scale, jnp.ones_like(k)))
        return float(post.covariance), float(post.ntk)


@pytest.mark.parametrize("name", ACTIVATIONS)
@pytest.mark.parametrize("q", [1e-6, 1.0, 1e6])
def test_variance_is_the_dual_with_itself(name, q):
    found = dual(ACTIVATIONS[name], q, q, q)[0]
    assert float(ACTIVATIONS[name].variance(jnp.float32(q))) == pytest.approx(found, rel=2e-7)


def test_erf_keeps_its_digits_at_large_variances():
    q = 1e6
    expected = DUALS["erf"](mp.mpf(0.9 * q), mp.mpf(q), mp.mpf(q))
    found = dual(Erf(), 0.9 * q, q, q, dtype=np.float32)
    np.testing.assert_allclose(found, [float(v) for v in expected], rtol=2e-6)


@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float32, 3e-7), (np.float64, 2e-15)])
def test_angle_is_exact_relative_to_itself(dtype, tolerance):
    distances = np.array([1e-30, 1e-12, 1e-6, 1e-3, 0.1, 0.5, 0.99, 1.0], dtype)
    with jax.enable_x64(True), mp.workdps(50):
        near, far, _ = angle(jnp.asarray(distances), jnp.asarray(2 - distances))
        expected = np.array([float(mp.acos(1 - mp.mpf(float(d)))) for d in distances])
        np.testing.assert_allclose(near, expected, rtol=tolerance)
        np.testing.assert_allclose(far, np.pi - expected, rtol=tolerance)
        np.testing.assert_allclose(
            angle(jnp.asarray(2 - distances), jnp.asarray(distances))[1], expected, rtol=tolerance
        )


@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float32, 3e-7), (np.float64, 3e-15)])
def test_sine_gap_does_not_cancel(dtype, tolerance):
    distances = np.array([1e-20, 1e-8, 1e-3, 0.01, 0.3, 0.7, 1.0], dtype)
    with jax.enable_x64(True), mp.workdps(50):
        angles = [mp.acos(1 - mp.mpf(float(d))) for d in distances]
        expected = [float(mp.sin(t) - t * mp.cos(t)) for t in angles]
        np.testing.assert_allclose(acute_angle(jnp.asarray(distances))[1], expected, rtol=tolerance)
        far = angle(jnp.asarray(2 - distances), jnp.asarray(distances))[2]
        np.testing.assert_allclose(far, expected, rtol=tolerance)


def test_names_functions_and_objects_mean_the_same():
    assert resolve_activation("relu") == resolve_activation(jax.nn.relu) == resolve_activation(Relu()) == Relu()
    assert resolve_activation("erf") == resolve_activation(jax.scipy.special.erf)
