"""Rows with missing entries: each by a solution of its own, whatever its pattern."""

import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from references.matrices import SINGULAR, spectrum
from scipy.linalg import LinAlgWarning

from ntkkit.linalg import patterns, solve_patterns, solve_semidefinite

# By the inverse for all columns, and row by row.
CONDITIONS = {"well-conditioned": spectrum(np.linspace(0.1, 1, 6)), "not so": spectrum(np.logspace(-8, 0, 6))}


def by_rows(K, Y, alpha=0.0):
    W = np.zeros(np.shape(Y))
    for w, y in zip(W, Y, strict=True):
        o = ~np.isnan(y)
        w[o] = np.linalg.pinv(K[np.ix_(o, o)] + alpha * np.eye(o.sum()), rcond=1e-13, hermitian=True) @ y[o]
    return W


def incomplete(shape, share=0.4, seed=0):
    rng = np.random.default_rng(seed)
    return np.where(rng.random(shape) < share, np.nan, rng.normal(size=shape))


@pytest.mark.parametrize("name", CONDITIONS)
@given(missing=arrays(bool, st.tuples(st.integers(1, 8), st.just(6))), alpha=st.sampled_from([0.0, 1e-6, 0.3]))
def test_any_mask(name, missing, alpha):
    K = CONDITIONS[name]
    Y = np.where(missing, np.nan, np.random.default_rng(0).normal(size=missing.shape))
    before = Y.copy()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        W = solve_patterns(K, Y, alpha)
    expected = by_rows(K, Y, alpha)
    np.testing.assert_allclose(W, expected, rtol=0, atol=1e-8 * (1 + np.abs(expected).max()))
    np.testing.assert_array_equal(W[missing], 0)
    np.testing.assert_array_equal(Y, before)
    np.testing.assert_allclose((W @ K + alpha * W)[~missing], Y[~missing], rtol=0, atol=1e-8)


def test_one_factorisation_a_pattern(monkeypatch):
    sizes = []

    def counted(K, *args, **kwargs):
        sizes.append(len(K))
        return found(K, *args, **kwargs)

    found = patterns.cholesky
    monkeypatch.setattr(patterns, "cholesky", counted)
    Y = np.where(np.eye(3, 6, dtype=bool), np.nan, 1.0)[[0, 1, 0, 2, 1, 1]]
    solve_patterns(CONDITIONS["not so"], Y)
    assert sizes == [6, 5, 5, 5]
    sizes.clear()
    solve_patterns(CONDITIONS["well-conditioned"], Y)
    assert sizes == [6]


@pytest.mark.parametrize("at_once", [1, 40, 300])
def test_many_rows_are_solved_some_at_a_time(monkeypatch, at_once):
    K, Y = CONDITIONS["well-conditioned"], incomplete((200, 6))
    expected = solve_patterns(K, Y)
    monkeypatch.setattr(patterns, "AT_ONCE", at_once)
    np.testing.assert_allclose(solve_patterns(K, Y), expected, rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(expected, by_rows(K, Y), rtol=0, atol=1e-11)


@pytest.mark.parametrize("name", ["rank 5 of 30", "duplicate rows", "constant"])
def test_singular_patterns_have_minimum_norm_and_warn_once(name):
    K = SINGULAR[name]
    Y = incomplete((9, len(K)), 0.2)
    with pytest.warns(LinAlgWarning, match=r"In [89] of [89] patterns .* at alpha=0.* Raise alpha") as caught:
        W = solve_patterns(K, Y)
    assert len(caught) == 1
    expected = by_rows(K, Y)
    np.testing.assert_allclose(W, expected, rtol=0, atol=1e-9 * np.abs(expected).max())
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        np.testing.assert_allclose(solve_patterns(K, Y, 0.1), by_rows(K, Y, 0.1), rtol=0, atol=1e-9)


def test_a_pattern_without_the_duplicates_is_not_singular():
    K = SINGULAR["duplicate rows"]
    Y = np.random.default_rng(0).normal(size=(2, len(K)))
    Y[1, 12:] = np.nan
    with pytest.warns(LinAlgWarning, match="In 1 of 2 patterns"):
        solve_patterns(K, Y)


def test_columns_without_variance_tell_nothing():
    K, Y = np.zeros((8, 8)), incomplete((20, 8))
    some = [0, 1, 2, 4, 5, 7]
    K[np.ix_(some, some)] = CONDITIONS["well-conditioned"]
    for alpha in (0.0, 0.5):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            W = solve_patterns(K, Y, alpha)
        np.testing.assert_array_equal(W[:, [3, 6]], 0)
        np.testing.assert_array_equal(W[:, some], solve_patterns(CONDITIONS["well-conditioned"], Y[:, some], alpha))
    np.testing.assert_array_equal(solve_patterns(np.zeros((8, 8)), Y), np.zeros_like(Y))


def test_rounding_of_the_kernel_is_left_out():
    """Eigenvalues that are rounding of float32 would multiply noise."""
    K = SINGULAR["rank 5 of 30"].astype(np.float32)
    Y = np.random.default_rng(0).normal(size=(3, 30))
    with pytest.warns(LinAlgWarning):
        W = solve_patterns(K, Y, error=float(np.finfo(np.float32).eps))
    np.testing.assert_allclose(W, by_rows(SINGULAR["rank 5 of 30"], Y), rtol=0, atol=1e-4)


def test_odd_input():
    K = [[2, 1], [1, 2]]
    expected = [[2.0, 0.0], [1.0, 1.0]]
    np.testing.assert_allclose(solve_patterns(K, [[4, np.nan], [3, 3]]), expected)
    np.testing.assert_allclose(solve_patterns(K, np.float32([[4, np.nan], [3, 3]])), expected)
    np.testing.assert_allclose(solve_patterns(K, [[3, 3]]), [[1, 1]])
    np.testing.assert_array_equal(solve_patterns(K, np.full((3, 2), np.nan)), np.zeros((3, 2)))
    assert solve_patterns(K, np.zeros((0, 2))).shape == (0, 2)
    np.testing.assert_allclose(solve_patterns([[2.0]], [[np.nan], [3.0]], 1.0), [[0.0], [1.0]])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"alpha": -1.0}, "alpha must be finite and >= 0, found -1.0"),
        ({"alpha": np.nan}, "alpha must be finite and >= 0, found nan"),
        ({"K": np.diag([1.0, np.nan])}, "K contains NaN or infinity"),
        ({"K": np.diag([1.0, np.inf])}, "K contains NaN or infinity"),
        ({"K": 1j * np.eye(2)}, "K must hold real numbers, found dtype complex128"),
        ({"K": np.eye(3)}, r"K must be of shape \(m, m\) for Y of shape \(n, m\), found \(3, 3\) for \(1, 2\)"),
        ({"K": np.ones((2, 3))}, r"found \(2, 3\) for \(1, 2\)"),
        ({"Y": [1.0, 2.0]}, r"found \(2, 2\) for \(2,\)"),
        ({"Y": [[1.0, np.inf]]}, "Y must be finite, or NaN where nothing was observed, found infinity"),
        ({"Y": [["a", "b"]]}, "Y must hold real numbers"),
    ],
)
def test_bad_input(arguments, message):
    with pytest.raises(ValueError, match=message):
        solve_patterns(**{"K": np.eye(2), "Y": [[1.0, np.nan]], **arguments})


def test_one_system():
    K = CONDITIONS["not so"]
    y = np.random.default_rng(0).normal(size=6)
    solution, singular = solve_semidefinite(K, y, 1e-3)
    np.testing.assert_allclose(solution, np.linalg.solve(K + 1e-3 * np.eye(6), y), rtol=1e-9)
    assert not singular
    solution, singular = solve_semidefinite(np.ones((6, 6)), y, 0.0)
    np.testing.assert_allclose(solution, np.full(6, y.mean() / 6), rtol=1e-12)
    assert singular
