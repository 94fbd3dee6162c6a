"""Pictures as pictures: what is compared, and that no pair is evaluated twice."""

import numpy as np
import pytest
from sklearn.base import clone

from ntkkit import NTK, Convolutional, Engine, FullyConnected
from ntkkit.datasets import load_fashion_mnist
from ntkkit.report.images import KernelTable, TabulatedKernel, averaged, convolutional_machine, images_problem

DEPTHS = (1, 2)


def test_problem_is_balanced_standardised_and_says_what_was_done():
    problem = images_problem()
    for y in (problem.y_train, problem.y_test):
        assert (np.unique(y, return_counts=True)[1] == len(y) // 10).all()
    assert problem.X_train.dtype == problem.X_test.dtype == np.float32
    assert problem.X_train.shape == (len(problem.y_train), 196)
    assert problem.X_train.mean(dtype=float) == pytest.approx(0, abs=1e-5)
    assert problem.X_train.std(dtype=float) == pytest.approx(1, abs=1e-5)
    assert problem.image_shape == (14, 14)
    said = " ".join(problem.facts)
    assert "2 x 2" in said
    assert "14 x 14" in said
    assert str(len(problem.y_train)) in said


def test_averages_are_over_blocks():
    image = np.arange(16, dtype=np.uint8).reshape(1, 4, 4, 1)
    assert averaged(image, 2) * 255 == pytest.approx(np.array([[2.5, 4.5, 10.5, 12.5]]))
    assert averaged(load_fashion_mnist().data[:3], 1).shape == (3, 784)


def test_table_is_the_kernel(small_pictures):
    table = KernelTable(FullyConnected(), small_pictures.X_train, DEPTHS)
    X, Y = small_pictures.X_test[[3, 3, 5]], small_pictures.X_train[[7, 0]]
    for depth in DEPTHS:
        kernel, exact = TabulatedKernel(table, depth), NTK(FullyConnected(depth=depth))
        assert kernel(X, Y) == pytest.approx(exact(X, Y), rel=1e-5)
        assert kernel(Y) == pytest.approx(exact(Y), rel=1e-5)
        assert kernel.diag(Y) == pytest.approx(exact.diag(Y), rel=1e-5)
        assert clone(kernel).table is table


def test_no_pair_is_evaluated_twice(small_pictures, monkeypatch):
    evaluated = []

    def count(self, kernel, X, Y=None, *, depths):
        evaluated.append((len(X), None if Y is None else len(Y)))
        return np.zeros((len(depths), len(X), len(X if Y is None else Y)), X.dtype)

    monkeypatch.setattr(Engine, "gram_at_depths", count)
    X, test = small_pictures.X_train, small_pictures.X_test
    table = KernelTable(FullyConnected(), X, DEPTHS)
    for rows in (test[:4], test[:4], X[:9], np.concatenate([X[:2], test[2:6]])):
        for depth in DEPTHS:
            assert table.block(depth, rows, X[10:30]).shape == (len(rows), 20)
    assert evaluated == [(60, None), (4, 60), (2, 60)]


def test_ridge_terms_follow_the_diagonal(small_pictures):
    candidate = convolutional_machine(small_pictures, small_pictures.X_train, pooling="flatten")
    assert [part["model__kernel__depth"] for part in candidate.grid] == [[1], [2]]
    for part in candidate.grid:
        network = Convolutional(depth=part["model__kernel__depth"][0], pooling="flatten", input_shape=(4, 4, 1))
        scale = NTK(network).diag(small_pictures.X_train).mean()
        assert part["model__alpha"] == pytest.approx([0.01 * scale], rel=1e-5)
