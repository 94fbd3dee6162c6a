"""Parts of a Kronecker product, against numpy.kron cut to the places."""

import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from references.matrices import spectrum
from sklearn.exceptions import ConvergenceWarning

from ntkkit.linalg import KroneckerPart

GRID = (5, 4)
A, B = spectrum(np.linspace(0.2, 1, GRID[0])), spectrum(np.linspace(0.5, 2, GRID[1]), seed=1)


def part_and_dense(there, order=slice(None)):
    rows, columns = (places[order] for places in np.nonzero(there))
    places = np.ravel_multi_index((rows, columns), there.shape)
    return KroneckerPart(A, B, rows, columns), np.kron(A, B)[np.ix_(places, places)]


masks = arrays(bool, GRID).filter(lambda there: there.any())


@given(there=masks, n_columns=st.integers(0, 3), seed=st.integers(0, 9))
def test_any_places_in_any_order(there, n_columns, seed):
    rng = np.random.default_rng(seed)
    part, K = part_and_dense(there, rng.permutation(there.sum()))
    V = rng.normal(size=(len(K), n_columns))
    np.testing.assert_allclose(part.dense(), K, rtol=1e-13, atol=1e-15)
    np.testing.assert_allclose(part.matvec(V), K @ V, rtol=0, atol=1e-13)
    grid = part.scatter(np.arange(1.0, len(K) + 1))
    np.testing.assert_array_equal(grid[part.rows, part.columns], np.arange(1.0, len(K) + 1))
    assert np.count_nonzero(grid) == len(K)


@pytest.mark.parametrize("rank", [1, 5, 100])
@pytest.mark.parametrize("alpha", [0.0, 1e-4, 1.0])
def test_solutions(alpha, rank):
    there = np.random.default_rng(0).random(GRID) < 0.6
    part, K = part_and_dense(there)
    for n_columns in (1, 4):
        y = np.random.default_rng(1).normal(size=(len(K), n_columns))
        found = part.solve(y, alpha, rank=rank, tol=1e-11, max_iter=200, rng=np.random.default_rng(2))
        assert found.converged.all()
        np.testing.assert_allclose(found.dual_coef, np.linalg.solve(K + alpha * np.eye(len(K)), y), rtol=0, atol=1e-9)


def test_a_singular_part():
    part = KroneckerPart(np.ones((2, 2)), np.eye(2), np.array([0, 0, 1]), np.array([0, 1, 0]))
    options = {"rank": 3, "tol": 1e-8, "max_iter": 50, "rng": np.random.default_rng(0)}
    consistent = part.solve(np.array([[2.0], [3.0], [2.0]]), 0.0, **options).dual_coef
    np.testing.assert_allclose(part.dense() @ consistent, [[2.0], [3.0], [2.0]], rtol=1e-7)
    with pytest.warns(ConvergenceWarning, match="Raise alpha=0"):
        assert np.isfinite(part.solve(np.array([[2.0], [3.0], [5.0]]), 0.0, **options).dual_coef).all()


def test_memory():
    """No matrix of all pairs of places."""
    rng = np.random.default_rng(0)
    rows, columns = np.nonzero(rng.random((80, 70)) < 0.7)
    factors = [np.exp(-np.square(np.subtract.outer(x, x))) for x in (rng.normal(size=80), rng.normal(size=70))]
    n, rank, k = len(rows), 20, 2
    y = rng.normal(size=(n, k))
    tracemalloc.start()
    found = KroneckerPart(*factors, rows, columns).solve(y, 0.1, rank=rank, tol=1e-6, max_iter=200, rng=rng)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert found.converged.all()
    assert peak < 8 * (8 * n * k + 6 * 80 * 70 + 20 * (80 + 70) * rank + 32 * rank**2)
    assert peak < 8 * n * n / 20


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"alpha": -1.0}, "alpha must be finite and >= 0, found -1.0"),
        ({"y": np.array([[1.0], [np.nan]])}, "y must be finite"),
        ({"A": np.full((2, 2), np.nan)}, "A must be finite"),
        ({"B": np.array([[1.0, np.inf], [np.inf, 1.0]])}, "B must be finite"),
        ({"tol": 0.0}, "tol and max_iter must be positive"),
        ({"rank": 0}, "rank must be at least 1"),
    ],
)
def test_bad_input(changes, message):
    good = {"y": np.ones((2, 1)), "alpha": 0.0, "A": np.eye(2) + 1, "B": np.eye(2) + 1, "rank": 2, "tol": 1e-6}
    options = {**good, "max_iter": 9, "rng": np.random.default_rng(0), **changes}
    part = KroneckerPart(options.pop("A"), options.pop("B"), np.array([0, 1]), np.array([0, 1]))
    with pytest.raises(ValueError, match=message):
        part.solve(**options)
