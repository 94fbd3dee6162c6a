"""Kernels tracked through training, against kernels taken by hand, and what theory says of their changes."""

from dataclasses import replace

import jax
import numpy as np
import pytest

from ntkkit import FullyConnected
from ntkkit.finite import (
    FiniteNetwork,
    KernelTracker,
    LinearizedNetwork,
    NetworkTrainer,
    empirical_ntk,
    kernel_distance,
    kernel_velocity,
    metrics,
    polar_dynamics,
)

RANDOM = np.random.default_rng(0)
X = RANDOM.standard_normal((6, 3))
Y = np.sign(X[:, :1]) * np.array([[1.0, -1.0]])
NET = FiniteNetwork(FullyConnected(depth=1, activation="erf"), 16)


def trainer(tracker, network=NET, **params):
    return NetworkTrainer(network, n_networks=3, n_epochs=6, random_state=0, callbacks=[tracker], **params)


@pytest.fixture(scope="module")
def tracked():
    """A tracker of two networks, and what was trained."""
    names = ["distance", "frobenius", "velocity", "polar", "largest_eigenvalue", "effective_rank", "top_mass"]
    tracker = KernelTracker(X, Y, every=2, n_networks=2, metrics=[*names, "alignment", "accuracy"], center=True)
    return tracker, trainer(tracker).run(X, Y)


def test_snapshots_are_the_empirical_kernels(tracked):
    tracker, trained = tracked
    np.testing.assert_array_equal(tracker.epochs, [0, 2, 4, 6])
    assert tracker.kernels.shape == (4, 2, 6, 6)
    assert tracker.nbytes == tracker.kernels.nbytes == 4 * 2 * 36 * 8
    assert tracker.boundaries == []
    for i in range(2):
        initial = jax.tree.map(lambda leaf, i=i: leaf[i], trained.initial_params)
        np.testing.assert_allclose(tracker.kernels[0, i], empirical_ntk(NET.apply, initial, X), rtol=1e-12)
        np.testing.assert_allclose(tracker.kernels[-1, i], empirical_ntk(NET.apply, trained.one(i), X), rtol=1e-12)
    assert np.abs(tracker.kernels[-1] - tracker.kernels[0]).max() > 1e-3


def test_metrics_over_time_are_those_of_the_functions(tracked):
    tracker, _ = tracked
    for i in range(2):
        path = tracker.kernels[:, i]
        np.testing.assert_allclose(
            tracker.measure("distance")[:, i], [kernel_distance(K, path[0], center=True) for K in path]
        )
        np.testing.assert_allclose(tracker.measure("velocity")[1:, i], kernel_velocity(path, [0, 2, 4, 6], center=True))
        np.testing.assert_allclose(tracker.measure("polar")[:, i], polar_dynamics(path))
        aligned = [metrics.target_alignment(K, Y, center=True) for K in path]
        np.testing.assert_allclose(tracker.measure("alignment")[:, i], aligned)
        accuracy = [metrics.leave_one_out_accuracy(K, Y.argmax(axis=1)) for K in path]
        np.testing.assert_allclose(tracker.measure("accuracy")[:, i], accuracy)
        np.testing.assert_allclose(tracker.measure(np.trace)[:, i], np.trace(path, axis1=1, axis2=2))
    assert np.isnan(tracker.measure("velocity")[0]).all()


def test_the_table(tracked):
    tracker, _ = tracked
    frame = tracker.to_frame()
    assert list(frame)[:3] == ["epoch", "network", "distance"]
    assert len(list(frame)) == 11
    assert frame.epoch.tolist() == [0, 0, 2, 2, 4, 4, 6, 6]
    assert frame.network.tolist() == [0, 1] * 4
    np.testing.assert_array_equal(frame.top_mass, tracker.measure("top_mass").ravel())
    assert frame.velocity.isna().sum() == 2
    assert frame.drop(columns="velocity").notna().all(axis=None)


def test_runs_one_after_another():
    """The second begins where the first ended: epochs go on, and no snapshot is taken twice."""
    tracker = KernelTracker(X, metrics={"largest": "largest_eigenvalue", "trace": np.trace}, every=2)
    run = trainer(tracker)
    first = run.run(X, Y)
    run.run(X, -Y, start=first)
    np.testing.assert_array_equal(tracker.epochs, [0, 2, 4, 6, 8, 10, 12])
    assert tracker.boundaries == [6]
    np.testing.assert_allclose(tracker.kernels[3, 0], empirical_ntk(NET.apply, first.one(0), X), rtol=1e-12)
    assert list(tracker.to_frame()) == ["epoch", "network", "largest", "trace"]


def test_a_tangent_is_linear_and_touches(tracked):
    _, trained = tracked
    tangent = LinearizedNetwork(NET)
    later = tangent.at(trained)
    assert tangent.trained(later.one(0)) == {
        "origin": jax.tree.map(lambda _: False, trained.params),
        "theta": jax.tree.map(lambda _: True, trained.params),
    }

    @jax.jit
    def said(part):
        """Of the network and its tangent, this part of the way back to the start."""
        origin = trained.one(0)
        theta = jax.tree.map(lambda old, new: old[0] + part * (new - old[0]), trained.initial_params, origin)
        return NET.apply(theta, X), tangent.apply({"origin": origin, "theta": theta}, X)

    with jax.enable_x64(True):
        np.testing.assert_allclose(*said(1.0), rtol=1e-12)
        one, half, other = (said(part)[1] for part in (0.0, 0.5, 1.0))
        np.testing.assert_allclose(half, (one + other) / 2, rtol=1e-12)
        far, near = (np.abs(np.subtract(*said(1 - part))).max() for part in (0.02, 0.01))
    assert 3.9 < far / near < 4.1  # what is left is of second order
    with pytest.raises(TypeError, match="finite must be a FiniteNetwork"):
        LinearizedNetwork(NET.network)


def test_float32_stays(tracked):
    _, trained = tracked
    tracker = KernelTracker(X)
    tracker(replace(trained, epoch=0, params=jax.tree.map(np.float32, trained.params)))
    assert tracker.kernels.dtype == np.float32
    np.testing.assert_allclose(tracker.kernels[0, 0], tracked[0].kernels[-1, 0], rtol=1e-4)


ERRORS = {
    "metric": ({"metrics": ["distances"]}, "metrics must be of .* found 'distances'"),
    "targets": ({"metrics": ["alignment"]}, "metric 'alignment' needs targets: give y_probe"),
    "every": ({"every": 0}, "every must be >= 1"),
    "n_networks": ({"n_networks": 0}, "n_networks must be >= 1"),
    "y": ({"y_probe": [1.0]}, r"y must be finite and of shape \(6,\)"),
}


@pytest.mark.parametrize("name", ERRORS)
def test_errors(name):
    arguments, message = ERRORS[name]
    with pytest.raises(ValueError, match=message):
        KernelTracker(X, **arguments)


def test_snapshots_of_other_trainings():
    tracker = KernelTracker(X)
    tracker.add([np.eye(6)], epoch=0)
    tracker.add([np.diag([1.0, 0, 0, 0, 0, 0])], epoch=5)
    np.testing.assert_allclose(tracker.measure("distance")[:, 0], [0, 1 - 1 / np.sqrt(6)])
    with pytest.raises(ValueError, match="epoch must be after the last, 5, found 5"):
        tracker.add([np.eye(6)], epoch=5)
    with pytest.raises(ValueError, match=r"shape \(1, 6, 6\), found \(6, 6\)"):
        tracker.add(np.eye(6), epoch=6)


def test_errors_of_use():
    with pytest.raises(ValueError, match="no snapshots yet"):
        KernelTracker(X).to_frame()
    with pytest.raises(ValueError, match="n_networks=4 are to be tracked, and 3 are trained"):
        trainer(KernelTracker(X, n_networks=4)).run(X, Y)
