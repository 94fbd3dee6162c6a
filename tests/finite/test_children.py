"""Error barriers where they are known, and between children of parents: repeated seeds against what was observed."""

import numpy as np
import pytest

from ntkkit import FullyConnected
from ntkkit.finite import ErrorBarrier, FiniteNetwork, NetworkTrainer, ParentChild, error_barrier, spawn_children

RANDOM = np.random.default_rng(0)
X = RANDOM.uniform(-1, 1, (256, 2)).astype(np.float32)
Y = np.sign(np.sin(5 * X[:, :1]) * np.sin(5 * X[:, 1:]))  # a chessboard
NET = FiniteNetwork(FullyConnected(depth=2), 32, "standard")
TRAINER = NetworkTrainer(
    NET, n_networks=16, loss="logistic", learning_rate=3e-3, batch_size=16, n_epochs=200, random_state=0
)


def wells(params):
    """Minima at -1 and 1, of 0 and 0.5, and a barrier of 1 between."""
    return (params["a"] ** 2 - 1) ** 2 + (params["a"] + 1) / 4


def test_barriers_by_hand():
    found = error_barrier(wells, {"a": np.array(-1.0)}, {"a": np.array(1.0)}, n_points=5)
    np.testing.assert_allclose(found.positions, [0, 0.25, 0.5, 0.75, 1])
    np.testing.assert_allclose(found.errors, [0, 9 / 16 + 1 / 8, 1 + 1 / 4, 9 / 16 + 3 / 8, 1 / 2])
    assert found.height == pytest.approx(1)
    none = error_barrier(wells, {"a": np.array(1.0)}, {"a": np.array(1.0)}, n_points=5)
    assert none.height == pytest.approx(0)
    assert ErrorBarrier(np.array([0, 0.5, 1]), np.array([0.2, 0.1, 0.4])).height == pytest.approx(0.1)


def test_errors_of_barriers():
    one = {"a": np.array(1.0)}
    with pytest.raises(ValueError, match="n_points must be >= 3"):
        error_barrier(wells, one, one, n_points=2)
    with pytest.raises(ValueError, match="parameters of the same network"):
        error_barrier(wells, one, {"a": np.ones(2)})


@pytest.fixture(scope="module")
def family():
    return spawn_children(TRAINER, X, Y, X, Y, epochs=[0, 60], n_points=5)


@pytest.mark.slow
def test_children_of_trained_parents_are_in_one_valley(family):
    """Barriers are lower where children are spawned later, and the kernel of that time learns more.

    With three seeds of 16 parents: barriers 0.04 to 0.07 and 0.01 to 0.03, errors of tangents 0.14 and 0.04 to 0.07.
    """
    assert family.errors.shape == (2, 16, 5)
    first, later = family.barriers
    assert (first - later).mean() > 1.5 * (first - later).std(ddof=1) / 4
    assert first.mean() > 1.4 * later.mean()
    assert (family.child_errors.mean(axis=1) < 0.2).all()
    first, later = family.linearized_errors
    assert first.mean() > 1.5 * later.mean()
    assert (first - later).mean() > 3 * (first - later).std(ddof=1) / 4


@pytest.mark.slow
def test_the_table(family):
    frame = family.to_frame()
    assert frame.epoch.tolist() == [0] * 16 + [60] * 16
    np.testing.assert_array_equal(frame.barrier, family.barriers.ravel())
    np.testing.assert_allclose(frame.child_error, (family.errors[..., 0] + family.errors[..., -1]).ravel() / 2)


def test_a_line_of_two_classes_by_hand():
    errors = np.array([[[0.1, 0.4, 0.3]]])
    found = ParentChild(np.array([3]), np.array([0, 0.5, 1]), errors, np.array([[0.2]]))
    assert found.barriers[0, 0] == pytest.approx(0.2)
    assert found.child_errors[0, 0] == pytest.approx(0.2)


ERRORS = {
    "order": ({}, [3, 1], "epochs must be increasing integers"),
    "none": ({}, [], "epochs must be increasing integers"),
    "end": ({}, [0, 200], "epochs must be from 0 to 199"),
    "same": ({"batch_size": None}, [0], "Children would be the same"),
    "centered": ({"centered": True}, [0], "centered=True is not for"),
}


@pytest.mark.parametrize("name", ERRORS)
def test_errors(name):
    params, epochs, message = ERRORS[name]
    with pytest.raises(ValueError, match=message):
        spawn_children(TRAINER.__class__(**TRAINER.get_params(deep=False) | params), X, Y, X, Y, epochs=epochs)
