"""Sequences of tasks: what they share, what is new, and that seeds decide."""

import numpy as np
import pytest

from ntkkit.datasets import load_fashion_mnist
from ntkkit.finite.tasks import Task, TaskSequence

RANDOM = np.random.default_rng(0)
X, Y = RANDOM.standard_normal((60, 4)), np.repeat(np.arange(10), 6)


def of(y, *classes):
    return np.isin(y, classes)


def test_five_classes_then_five():
    first, second = TaskSequence.by_classes(X, Y)
    np.testing.assert_array_equal(first[0], X[:30])
    np.testing.assert_array_equal(second[1], Y[30:])
    sequence = TaskSequence.by_classes(*load_fashion_mnist(return_X_y=True))
    assert len(sequence) == 2
    assert [task.X.shape for task in sequence.tasks] == [(750, 28, 28, 1)] * 2
    assert repr(sequence) == "TaskSequence(classes 0, 1, 2, 3, 4 -> classes 5, 6, 7, 8, 9)"
    np.testing.assert_array_equal(sequence.classes, np.arange(10))


def test_splits_of_ones_own():
    sequence = TaskSequence.by_classes(X, Y, splits=[[3], [3, 1]])
    np.testing.assert_array_equal(sequence[0].X, X[of(Y, 3)])
    np.testing.assert_array_equal(sequence[1].X, X[of(Y, 1, 3)])
    np.testing.assert_array_equal(sequence.one_hot([1, 3, 3]), [[1, 0], [0, 1], [0, 1]])
    with pytest.raises(ValueError, match=r"classes of no task: \[2\]"):
        sequence.one_hot([1, 2])


@pytest.mark.parametrize(("jaccard", "shared"), [(0, 0), (0.25, 2), (2 / 3, 4), (0.67, 4), (1, 5)])
def test_overlaps(jaccard, shared):
    first, second = TaskSequence.by_overlap(X, Y, jaccard=jaccard).tasks
    one, other = set(first.y), set(second.y)
    assert len(one) == len(other) == 5
    assert len(one & other) == shared
    assert len(one & other) / len(one | other) == pytest.approx(jaccard, abs=0.01)
    for task in (first, second):
        np.testing.assert_array_equal(task.X, X[of(Y, *set(task.y))])


def test_overlaps_with_new_rows():
    first, second = TaskSequence.by_overlap(X, Y, jaccard=0.25, new_rows=True, random_state=0).tasks
    assert len(first.y) == len(second.y) == 15  # half of each class's six
    assert not set(map(tuple, first.X)) & set(map(tuple, second.X))
    known = {tuple(row): label for row, label in zip(X, Y, strict=True)}
    for task in (first, second):
        assert [known[tuple(row)] for row in task.X] == task.y.tolist()


def test_permutations():
    sequence = TaskSequence.permuted_inputs(X, Y, n_tasks=3, random_state=1)
    (first, _), (second, y), (third, _) = sequence
    np.testing.assert_array_equal(first, X)
    np.testing.assert_array_equal(np.sort(second, axis=1), np.sort(X, axis=1))
    np.testing.assert_array_equal(y, Y)
    assert np.abs(second - third).max() > 0.1
    np.testing.assert_allclose(second @ second.T, X @ X.T)  # a rotation, too
    wide = np.arange(40.0)[None]
    half = TaskSequence.permuted_inputs(wide, [0], fraction=0.5, random_state=1)[1].X
    assert 15 <= (half != wide).sum() <= 20
    images = X.reshape(60, 2, 2, 1)
    turned = TaskSequence.permuted_inputs(images, Y, random_state=1)[1].X
    np.testing.assert_array_equal(turned.reshape(60, 4), TaskSequence.permuted_inputs(X, Y, random_state=1)[1].X)


@pytest.mark.parametrize("d", [4, 5])
def test_rotations(d):
    rows = np.random.default_rng(0).standard_normal((60, d))
    sequence = TaskSequence.rotated_inputs(rows, Y, angles=(0, 30, 90, 180), random_state=2)
    still, some, quarter, half = (part for part, _ in sequence)
    np.testing.assert_allclose(still, rows, atol=1e-14)
    for turned in (some, quarter, half):
        np.testing.assert_allclose(turned @ turned.T, rows @ rows.T, atol=1e-12)
    stays = (half + rows) / 2  # along the one direction that stays
    assert np.linalg.matrix_rank(stays, tol=1e-9) == d % 2
    moving = rows - stays
    cosines = ((some - stays) * moving).sum(axis=1) / (moving**2).sum(axis=1)
    np.testing.assert_allclose(cosines, np.cos(np.pi / 6), atol=1e-12)


def test_rotations_of_images():
    pictures = load_fashion_mnist(subset="test").data[:3]
    (still, _), (quarter, _) = TaskSequence.rotated_images(pictures, [0, 1, 2])
    np.testing.assert_array_equal(still, pictures)
    np.testing.assert_array_equal(quarter, np.rot90(pictures, axes=(1, 2)))
    assert quarter.dtype == np.uint8


def test_frequency_mixtures():
    line = np.linspace(0, 1, 65)[:-1, None]
    weights = [[1, 0], [0.6, 0.8], [0, 1]]
    sequence = TaskSequence.frequency_mixtures(line, frequencies=[2, 9], weights=weights, random_state=3)
    spectra = [np.abs(np.fft.rfft(y)) ** 2 / (32 * 64) for _, y in sequence]
    for spectrum, expected in zip(spectra, weights, strict=True):
        np.testing.assert_allclose(spectrum[[2, 9]], np.square(expected), atol=1e-12)
        np.testing.assert_allclose(np.delete(spectrum, [2, 9]), 0, atol=1e-12)
    np.testing.assert_allclose(sequence[1].y, 0.6 * sequence[0].y + 0.8 * sequence[2].y)
    assert repr(sequence) == "TaskSequence(frequencies 2 -> frequencies 2, 9 -> frequencies 9)"


MAKERS = {
    "by_overlap": lambda seed: TaskSequence.by_overlap(X, Y, jaccard=0.25, new_rows=True, random_state=seed),
    "permuted_inputs": lambda seed: TaskSequence.permuted_inputs(X, Y, random_state=seed),
    "rotated_inputs": lambda seed: TaskSequence.rotated_inputs(X, Y, random_state=seed),
    "frequency_mixtures": lambda seed: TaskSequence.frequency_mixtures(
        X, frequencies=[1], weights=[[1], [2]], random_state=seed
    ),
}


@pytest.mark.parametrize("name", MAKERS)
def test_a_seed_is_a_sequence(name):
    one, again, other = (MAKERS[name](seed)[1] for seed in (0, 0, 1))
    np.testing.assert_array_equal(one.X, again.X)
    np.testing.assert_array_equal(one.y, again.y)
    assert (one.X != other.X).any() or (one.y != other.y).any()
    with pytest.raises(AttributeError):
        one.X = None


ERRORS = {
    "no tasks": (lambda: TaskSequence(()), "at least one"),
    "shapes": (lambda: TaskSequence((Task(X, Y, "a"), Task(X[:, :2], Y, "b"))), r"one shape; found .*\(2,\), \(4,\)"),
    "rows": (lambda: TaskSequence.by_classes(X, Y[:3]), "inconsistent numbers of samples"),
    "NaN": (lambda: TaskSequence.by_classes(X * np.nan, Y), "Input X contains NaN"),
    "dimensions": (lambda: TaskSequence.by_classes(X, X), "X must be rows or images and y 1-D"),
    "class": (lambda: TaskSequence.by_classes(X, Y, splits=[[0], [11, 1]]), r"y has not: \[11\]"),
    "jaccard": (lambda: TaskSequence.by_overlap(X, Y, jaccard=0.5), "one of 0, 0.111, 0.25, 0.429, 0.667, 1"),
    "too many": (lambda: TaskSequence.by_overlap(X, Y, jaccard=0, n_classes=6), "needs 12 classes, found 10"),
    "one row": (lambda: TaskSequence.by_overlap(X[:2], [0, 1], jaccard=0, n_classes=1, new_rows=True), "found 1 of"),
    "fraction": (lambda: TaskSequence.permuted_inputs(X, Y, fraction=2), "fraction must be from 0 to 1"),
    "n_tasks": (lambda: TaskSequence.permuted_inputs(X, Y, n_tasks=0), "n_tasks must be >= 1"),
    "one feature": (lambda: TaskSequence.rotated_inputs(X[:, :1], Y), "two features or more"),
    "images": (lambda: TaskSequence.rotated_images(X, Y), "X must be images"),
    "frequencies": (lambda: TaskSequence.frequency_mixtures(X, frequencies=[0], weights=[[1]]), "must be positive"),
    "weights": (lambda: TaskSequence.frequency_mixtures(X, frequencies=[1], weights=[1]), r"shape \(n_tasks, 1\)"),
}


@pytest.mark.parametrize("name", ERRORS)
def test_errors(name):
    call, message = ERRORS[name]
    with pytest.raises(ValueError, match=message):
        call()
