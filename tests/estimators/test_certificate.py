"""The certificate: kernel bounds that hold, radii that no attack beats."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.datasets import load_iris, make_classification
from sklearn.exceptions import NotFittedError
from sklearn.gaussian_process.kernels import RBF
from sklearn.svm import SVC

from ntkkit.estimators import (
    NeuralKernelClassifier,
    NeuralKernelRegressor,
    NeuralKernelSVC,
    NeuralKernelSVR,
    certified_radius,
)
from ntkkit.estimators.certificate import _LOWEST, _LOWEST_AT, _h, kernel_bounds
from ntkkit.kernels import NNGP, NTK
from ntkkit.networks import FullyConnected

KERNEL = NTK(FullyConnected(depth=1, weight_var=1.0, bias_var=0.0))
MACHINES = {
    "svc without intercept": NeuralKernelSVC(KERNEL, C=10.0, fit_intercept=False),
    "svc": NeuralKernelSVC(KERNEL, C=10.0),
    "svr": NeuralKernelSVR(KERNEL, C=10.0),
    "ridge classifier": NeuralKernelClassifier(KERNEL, alpha=0.01),
    "weighted": NeuralKernelClassifier(KERNEL, alpha=0.01, class_weight="balanced"),
    "ridge": NeuralKernelRegressor(KERNEL, alpha=0.01),
    "other variances": NeuralKernelSVC(
        NTK(FullyConnected(depth=1, weight_var=3.0, bias_var=0.0, readout_weight_var=0.5)), C=10.0
    ),
}


@pytest.fixture(scope="module")
def data():
    X, y = make_classification(60, 6, n_informative=4, class_sep=1.5, flip_y=0.05, random_state=0)
    return X[:40], np.where(y[:40] == 1, 1.0, -1.0), X[40:]


def fitted(name, data):
    return MACHINES[name].fit(data[0], data[1])


def values(machine, X):
    return machine.decision_function(X) if hasattr(machine, "decision_function") else machine.predict(X)


def exact(X, support, coefficients):
    """sum_i a_i k(x, x_i) from the formula, in float64, on any number of points at once; and its gradient in x."""
    norm = np.linalg.norm(X, axis=-1, keepdims=True)
    norms = np.linalg.norm(support, axis=1)
    u = np.clip(X @ support.T / (norm * norms), -1, 1)
    value = norm * norms * _h(u) @ coefficients / (2 * np.pi * X.shape[-1])
    # |x||y| h(u) has the gradient |y| [(h - u h') x / |x| + h' y / |y|]
    slope = 2 * np.arccos(-u) + u / np.sqrt(np.maximum(1 - u * u, 1e-12))
    weights = norms * coefficients
    gradient = ((_h(u) - u * slope) @ weights)[..., None] * X / norm + (slope * coefficients) @ support
    return value, gradient / (2 * np.pi * X.shape[-1])


def test_the_lowest_point_of_h():
    u = np.linspace(-1, 1, 200_001)
    assert _h(u).min() >= _LOWEST - 1e-15
    assert _h(np.array([_LOWEST_AT]))[0] == pytest.approx(_LOWEST, abs=1e-15)


@given(
    seed=st.integers(0, 2**32 - 1),
    d=st.integers(1, 12),
    offset=st.floats(-3, 3),
    log_radius=st.floats(-4, 2),
)
@settings(max_examples=200)
def test_kernel_bounds_hold(seed, d, offset, log_radius):
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(6, d)) * 10 ** rng.uniform(-2, 1, (6, 1)) + offset
    centres[0] = 0
    support = rng.normal(size=(9, d)) * 10 ** rng.uniform(-2, 1, (9, 1)) + offset
    support[0], support[1] = centres[1], -centres[1]
    delta = 10**log_radius
    moves = rng.uniform(-delta, delta, size=(100, 6, d))
    moves[:50] = delta * np.sign(moves[:50])
    moves[0] = 0
    moves[1] = -np.clip(centres, -delta, delta)  # as near to 0 as may be
    points = centres + moves
    norms = np.linalg.norm(support, axis=1)
    lengths = np.linalg.norm(points, axis=-1)
    inner = points @ support.T
    scale = lengths[..., None] * norms
    u = np.clip(np.divide(inner, scale, out=np.zeros_like(inner), where=scale > 0), -1, 1)
    K = scale * _h(u)
    balls = np.full(6, np.sqrt(d) * delta)
    low, high = (
        kernel_bounds(centres @ support.T, np.linalg.norm(centres, axis=1), norms, balls, upper=upper)
        for upper in (False, True)
    )
    # u is right to 1e-16, arccos next to +-1 to 1e-8, and h, which is flat there, to 1e-12
    slack = 1e-11 * (scale.max(axis=0) + np.abs(low) + np.abs(high))
    assert (low - slack <= K).all()
    assert (high + slack >= K).all()


def test_without_a_ball_the_bounds_are_the_kernel(data):
    X, _, new = data
    arguments = new @ X.T, np.linalg.norm(new, axis=1), np.linalg.norm(X, axis=1), np.zeros(len(new))
    for upper in (False, True):
        K = kernel_bounds(*arguments, upper=upper) / (2 * np.pi * X.shape[1])
        np.testing.assert_allclose(K, KERNEL(new, X), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("name", MACHINES)
def test_no_attack_within_the_radius_turns_the_sign(name, data, rng):
    machine, new = fitted(name, data), data[2]
    radii = certified_radius(machine, new)
    assert (radii > 0).all()
    assert np.isfinite(radii).all()
    before = np.sign(values(machine, new))
    corners = new + radii[:, None] * np.sign(rng.normal(size=(50, *new.shape)))
    after = np.sign(values(machine, corners.reshape(-1, new.shape[1]))).reshape(50, -1)
    assert (after == before).all()


def test_projected_gradient_does_not_turn_it_within_and_does_beyond(data):
    machine, new = fitted("svc without intercept", data), data[2]
    radii = certified_radius(machine, new)
    coefficients = machine.dual_coef_[0]
    before, _ = exact(new, machine.X_fit_, coefficients)
    np.testing.assert_allclose(before, machine.decision_function(new), atol=1e-9)

    def turned(limits):
        points = new
        for step in np.geomspace(1, 0.01, 40):
            _, gradient = exact(points, machine.X_fit_, coefficients)
            moved = points - step * limits[:, None] * np.sign(before)[:, None] * np.sign(gradient)
            points = np.clip(moved, new - limits[:, None], new + limits[:, None])
        return exact(points, machine.X_fit_, coefficients)[0] * before < 0

    assert not turned(radii).any()
    assert turned(100 * radii).mean() > 0.9  # the attack is one


def test_a_radius_of_zero_and_an_infinite_one(data):
    X, y, new = data
    machine = fitted("svc without intercept", data)
    assert certified_radius(machine, np.zeros((1, X.shape[1]))) == [0.0]  # f(0) = 0
    constant = NeuralKernelSVR(KERNEL, epsilon=100.0).fit(X, y + 5)
    np.testing.assert_array_equal(certified_radius(constant, new), np.inf)
    no_intercept = NeuralKernelSVR(KERNEL, epsilon=100.0, fit_intercept=False).fit(X, y)
    np.testing.assert_array_equal(certified_radius(no_intercept, new), 0.0)


def test_an_intercept_makes_zero_safe(data):
    machine = fitted("svc", data)
    assert machine.intercept_[0] != 0
    radius = certified_radius(machine, np.zeros((1, data[0].shape[1])))
    assert 0 < radius[0] < np.inf


def test_radii_follow_the_scale_of_the_inputs_and_not_of_the_kernel(data):
    X, y, new = data
    radii = certified_radius(fitted("svc without intercept", data), new)
    scaled = NeuralKernelSVC(KERNEL, C=10.0 / 4, fit_intercept=False).fit(2 * X, y)
    np.testing.assert_allclose(certified_radius(scaled, 2 * new), 2 * radii, rtol=1e-5)
    wider = NTK(FullyConnected(depth=1, weight_var=2.0, bias_var=0.0))
    louder = NeuralKernelSVC(wider, C=10.0 / 4, fit_intercept=False).fit(X, y)
    np.testing.assert_allclose(certified_radius(louder, new), radii, rtol=1e-5)


def test_farther_from_the_boundary_is_safer():
    machine = NeuralKernelSVC(KERNEL, fit_intercept=False).fit([[-1.0, 0.0], [1.0, 0.0]], [0, 1])
    radii = certified_radius(machine, [[0.1, 1.0], [0.3, 1.0], [1.0, 1.0], [3.0, 1.0]])
    assert (np.diff(radii) > 0).all()


def test_in_chunks_it_is_the_same(data):
    import sklearn

    machine = fitted("ridge", data)
    whole = certified_radius(machine, data[2])
    with sklearn.config_context(working_memory=0.02):
        np.testing.assert_allclose(certified_radius(machine, data[2]), whole, rtol=1e-9)


OTHERS = [
    None,
    NNGP(KERNEL.network),
    NTK(KERNEL.network.replace(depth=2)),
    NTK(KERNEL.network.replace(bias_var=0.1)),
    NTK(KERNEL.network.replace(readout_bias_var=0.1)),
    NTK(KERNEL.network.replace(activation="erf")),
    NTK(KERNEL.network.replace(n_frozen_layers=1)),
    NTK(KERNEL.network.replace(input_scale=2.0)),
    RBF(),
    "precomputed",
]


@pytest.mark.parametrize("kernel", OTHERS, ids=str)
def test_other_kernels_are_refused(kernel, data):
    X, y, new = data
    machine = NeuralKernelClassifier(kernel, alpha=1.0).fit(X @ X.T if kernel == "precomputed" else X, y)
    with pytest.raises(ValueError, match=r"for the kernel NTK\(FullyConnected\(depth=1.*found "):
        certified_radius(machine, new)


def test_what_else_is_refused(data):
    X, y, new = data
    with pytest.raises(TypeError, match=r"kernel machine of ntkkit .* found SVC"):
        certified_radius(SVC().fit(X, y), new)
    with pytest.raises(NotFittedError):
        certified_radius(NeuralKernelSVC(KERNEL, C=3.0), new)
    iris, species = load_iris(return_X_y=True)
    for machine in (NeuralKernelSVC(KERNEL), NeuralKernelClassifier(KERNEL)):
        with pytest.raises(ValueError, match="must have one output"):
            certified_radius(machine.fit(iris, species), iris)
    with pytest.raises(ValueError, match="2 features"):
        certified_radius(fitted("svc", data), new[:, :2])
