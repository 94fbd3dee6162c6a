"""Periodic matrices on a torus: products and solutions, against the same with all entries."""

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.exceptions import ConvergenceWarning

from ntkkit.linalg import periodic_matrix


def dense(rows, shape):
    """All entries of a periodic matrix, from rows (m, m, H, W) by offset on the whole torus."""
    period, K = len(rows), np.empty((*shape, *shape))
    for y, x in np.ndindex(*shape):
        K[y, x] = np.roll(rows[y % period, x % period], (y, x), axis=(0, 1))
    return K.reshape(K[0, 0].size, -1)


def by_offset(K, shape, period):
    """The inverse of `dense`."""
    K = K.reshape(*shape, *shape)
    cell = [[np.roll(K[y, x], (-y, -x), axis=(0, 1)) for x in range(period)] for y in range(period)]
    return np.array(cell)


def definite(shape, period, seed=0, least=1.0):
    """A periodic matrix, A A' + least I: all entries, and rows by offset."""
    rows = np.random.default_rng(seed).normal(size=(period, period, *shape))
    A = dense(rows, shape)
    K = A @ A.T / len(A) + least * np.eye(len(A))
    return K, by_offset(K, shape, period)


def near_and_far(shape, period, reach=1):
    """A matrix that depends on residues only where offsets are beyond the reach along an axis."""
    rng = np.random.default_rng(1)
    near = np.zeros((period, period, *shape))
    offsets = np.arange(-reach, reach + 1)
    near[:, :, offsets[:, None], offsets] = rng.normal(size=(period, period, 2 * reach + 1, 2 * reach + 1))
    A = dense(near, shape)
    far = rng.normal(size=(period * period, 2))
    cells = np.add.outer(np.arange(shape[0]) % period * period, np.arange(shape[1]) % period).ravel()
    return A + A.T + (far @ far.T)[np.ix_(cells, cells)]


@pytest.mark.parametrize(("shape", "period"), [((4, 6), 2), ((3, 3), 3), ((6, 9), 3), ((5, 4), 1), ((8, 4), 4)])
def test_products(shape, period):
    K, table = definite(shape, period)
    matrix = periodic_matrix(table, shape)
    V = np.random.default_rng(2).normal(size=(len(K), 3))
    np.testing.assert_allclose(matrix.product(V), K @ V, rtol=0, atol=1e-13 * len(K))
    average = np.linalg.eigvalsh(dense(table.mean(axis=(0, 1), keepdims=True), shape))
    np.testing.assert_allclose([matrix.spectrum.min(), matrix.spectrum.max()], average[[0, -1]], rtol=1e-12)


@pytest.mark.parametrize(("small", "large"), [((6, 6), (8, 10)), ((6, 8), (6, 14)), ((8, 6), (12, 6))])
def test_a_small_torus_has_the_entries_of_larger_ones(small, large):
    table = by_offset(near_and_far(small, 2), small, 2)
    found = periodic_matrix(table, large).product(np.eye(large[0] * large[1]))
    np.testing.assert_allclose(found, near_and_far(large, 2), rtol=0, atol=1e-13)


@settings(max_examples=30, deadline=None)
@given(
    alpha=st.sampled_from([0.0, 1e-6, 1.0, 1e6]),
    least=st.sampled_from([1e-3, 1.0]),
    scale=st.sampled_from([1e-100, 1.0, 1e100]),
    observed=st.lists(st.booleans(), min_size=24, max_size=24).filter(any),
)
def test_solutions(alpha, least, scale, observed):
    K, table = definite((4, 6), 2, least=least)
    observed = np.array(observed).reshape(4, 6)
    o = np.flatnonzero(observed)
    y = np.random.default_rng(3).normal(size=(len(o), 2))
    found = periodic_matrix(scale * table, (4, 6)).solve(observed, y, scale * alpha, tol=1e-12)
    expected = np.linalg.solve(K[np.ix_(o, o)] + alpha * np.eye(len(o)), y)
    assert found.converged.all()
    np.testing.assert_allclose(scale * found.dual_coef, expected, rtol=0, atol=1e-7 * np.abs(expected).max())


def test_one_right_hand_side_and_zeros():
    K, table = definite((4, 6), 2)
    matrix, observed = periodic_matrix(table, (4, 6)), np.ones((4, 6), dtype=bool)
    y = np.arange(24.0)
    np.testing.assert_allclose(matrix.solve(observed, y, tol=1e-12).dual_coef, np.linalg.solve(K, y), rtol=1e-8)
    assert not matrix.solve(observed, np.zeros((24, 2))).dual_coef.any()


def test_values_where_nothing_is_observed_are_continued():
    """Kernels of smooth fields: a few iterations, whatever is observed."""
    squares = 2 - 2 * np.cos(2 * np.pi * np.arange(24) / 24)
    table = np.fft.ifft2((0.01 + np.add.outer(squares, squares)) ** -1.5).real[None, None]
    matrix, rng = periodic_matrix(table, (24, 24)), np.random.default_rng(4)
    rows, columns = np.indices((24, 24))
    for observed in (rng.random((24, 24)) < 0.5, rng.random((24, 24)) < 0.1, (rows < 12) & (columns < 12)):
        y = np.sin(rows / 5)[observed]
        assert matrix.solve(observed, y, tol=1e-8).n_iter <= 25


def test_a_singular_matrix_is_reported():
    matrix = periodic_matrix(np.ones((1, 1, 4, 4)), (4, 4))
    with pytest.warns(ConvergenceWarning, match="Raise alpha=0"):
        found = matrix.solve(np.ones((4, 4), dtype=bool), np.arange(16.0))
    assert np.isfinite(found.dual_coef).all()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert matrix.solve(np.ones((4, 4), dtype=bool), np.arange(16.0), 1e-3).converged.all()


@pytest.mark.parametrize(
    ("table", "shape", "message"),
    [
        (np.ones((2, 2, 4)), (4, 4), r"table must be of shape \(m, m, S, T\)"),
        (np.ones((2, 1, 4, 4)), (4, 4), r"table must be of shape \(m, m, S, T\)"),
        (np.ones((2, 2, 4, 5)), (4, 6), "multiples of m"),
        (np.ones((2, 2, 4, 4)), (4, 7), "multiples of m"),
        (np.ones((2, 2, 4, 6)), (4, 4), r"at least that of the table's torus, \(4, 6\), found \(4, 4\)"),
        (np.full((1, 1, 2, 2), np.nan), (2, 2), "table must be finite"),
    ],
)
def test_bad_tables(table, shape, message):
    with pytest.raises(ValueError, match=message):
        periodic_matrix(table, shape)


@pytest.mark.parametrize(
    ("observed", "y", "alpha", "message"),
    [
        (np.ones((4, 4), dtype=bool), np.ones(24), 0.0, r"observed must be boolean, of shape \(4, 6\)"),
        (np.ones((4, 6)), np.ones(24), 0.0, "observed must be boolean"),
        (np.zeros((4, 6), dtype=bool), np.ones(0), 0.0, "True somewhere"),
        (np.ones((4, 6), dtype=bool), np.ones(23), 0.0, r"y must be finite and of shape \(24,\)"),
        (np.ones((4, 6), dtype=bool), np.ones(24), -1.0, "alpha must be finite and >= 0"),
    ],
)
def test_bad_systems(observed, y, alpha, message):
    matrix = periodic_matrix(definite((4, 6), 2)[1], (4, 6))
    with pytest.raises(ValueError, match=message):
        matrix.solve(observed, y, alpha)
