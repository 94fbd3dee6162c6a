"""Partial Cholesky: exact on its pivots, never above K, and its pivots drawn from the right distribution."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from references.matrices import DEFINITE, EPS, SINGULAR, points, rbf, spectrum
from scipy.linalg import LinAlgWarning

from ntkkit.linalg import pivoted_cholesky

METHODS = ["rpcholesky", "uniform"]
RANKS = {"rank 5 of 30": 5, "duplicate rows": 12, "constant": 1, "zero": 0, "zero, one sample": 0, "a zero row": 2}


def factored(K, rank, method="rpcholesky", rng=0, **options):
    return pivoted_cholesky(
        K.diagonal(), lambda rows, columns: K[rows][:, columns], rank, method=method, rng=rng, **options
    )


@pytest.mark.parametrize("rank", [1, 7, 1000])
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("name", [*DEFINITE, *SINGULAR])
def test_it_is_the_nystrom_approximation_of_its_pivots(name, method, rank):
    K = {**DEFINITE, **SINGULAR}[name]
    found = factored(K, rank, method)
    F, S = found.factor, found.pivots
    assert F.shape == (len(K), len(S))
    assert len(S) == len(set(S)) <= min(rank, len(K))
    np.testing.assert_allclose(F @ F[S].T, K[:, S], rtol=0, atol=1e-14 * len(K) * K.diagonal().max(initial=0))
    left = K - F @ F.T
    scale = np.abs(K).max()
    rounding = 1e-12 if method == "rpcholesky" else 1e-10  # pivots far below others make it grow
    assert np.linalg.eigvalsh(left)[0] >= -rounding * scale
    assert found.residual_trace == pytest.approx(np.trace(left), rel=1e-6, abs=rounding * scale)
    if rank >= len(K):
        assert np.abs(left).max() <= rounding * scale
        assert found.residual_trace == 0


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("name", RANKS)
def test_the_rank_is_noticed(name, method):
    for seed in range(5):
        assert factored(SINGULAR[name], 100, method, rng=seed).factor.shape[1] == RANKS[name]


@pytest.mark.parametrize("method", METHODS)
def test_of_equal_rows_one_is_enough(method):
    K = rbf(np.repeat(points(10), 20, axis=0))
    found = factored(K, 200, method)
    assert sorted(found.pivots // 20) == list(range(10))
    np.testing.assert_allclose(found.factor @ found.factor.T, K, rtol=0, atol=1e-14)


@pytest.mark.parametrize("method", METHODS)
def test_rounding_of_float32_is_not_factored(method):
    X = points(150) / 3
    K = rbf(X, np.float32)
    found = factored(K, 150, method, error=float(np.finfo(np.float32).eps))
    assert found.factor.shape[1] < 100
    np.testing.assert_allclose(found.factor @ found.factor.T, rbf(X), rtol=0, atol=1e-5)


def test_pivots_have_the_distribution_of_choosing_one_by_one():
    K = rbf(np.array([[0.0], [0.3], [1.5], [1.6]])) * np.outer([1, 2, 1, 1.5], [1, 2, 1, 1.5])
    expected = np.zeros((4, 4))
    for i in range(4):
        left = (K - np.outer(K[i], K[i]) / K[i, i]).diagonal().clip(0)
        expected[i] = K[i, i] / np.trace(K) * left / left.sum()
    found, draws, rng = np.zeros((4, 4)), 1500, np.random.default_rng(0)
    for _ in range(draws):
        found[tuple(factored(K, 2, rng=rng).pivots)] += 1 / draws
    assert np.abs(found - expected).max() < 4 * np.sqrt(expected.max() / draws)
    assert np.abs(found - found.T).max() > 5 * np.sqrt(expected.max() / draws)  # so that the order is tested, too


def test_few_entries_are_read():
    K, read = rbf(points(150)), []

    def entries(rows, columns):
        read.append(K[rows][:, columns])
        return read[-1]

    for method in METHODS:
        read.clear()
        rank = pivoted_cholesky(K.diagonal(), entries, 50, method=method, rng=0).factor.shape[1]
        assert rank == 50
        assert sum(part.size for part in read) < 1.4 * K.shape[0] * 50


def test_outliers_are_found():
    X = np.concatenate([points(140) / 100, 10 * points(10)])
    K = rbf(X)
    traces = {method: np.mean([factored(K, 12, method, rng=i).residual_trace for i in range(10)]) for method in METHODS}
    assert traces["rpcholesky"] < traces["uniform"] / 10


@pytest.mark.parametrize("method", METHODS)
def test_new_rows_have_the_same_features(method):
    X, new = points(60), points(9, seed=1)
    both = rbf(np.concatenate([X, new]))
    K, K_new = both[:60, :60], both[60:, :60]
    found = factored(K, 20, method)
    S = found.pivots
    np.testing.assert_allclose(found.extend(K[:, S]), found.factor, rtol=0, atol=1e-7)
    expected = K_new[:, S] @ np.linalg.solve(K[np.ix_(S, S)], K[S])
    np.testing.assert_allclose(found.extend(K_new[:, S]) @ found.factor.T, expected, rtol=0, atol=1e-7)


def test_seeds():
    K = rbf(points(50))
    pivots = factored(K, 10, rng=3).pivots
    np.testing.assert_array_equal(factored(K, 10, rng=np.random.default_rng(3)).pivots, pivots)
    assert (factored(K, 10, rng=4).pivots != pivots).any()


@given(
    X=st.lists(st.tuples(*[st.floats(-10, 10)] * 2), min_size=1, max_size=25),
    scale=st.sampled_from([1e-100, 1.0, 1e100]),
    dtype=st.sampled_from([np.float32, np.float64]),
    method=st.sampled_from(METHODS),
    rank=st.integers(1, 30),
)
def test_any_kernel_matrix_is_approximated_from_below(X, scale, dtype, method, rank):
    K = scale * rbf(np.array(X), dtype).astype(float)
    error = float(np.finfo(dtype).eps)
    found = factored(K, rank, method, error=error)
    left = K - found.factor @ found.factor.T
    assert np.linalg.eigvalsh(left)[0] >= -100 * len(K) * error * scale
    assert 0 <= found.residual_trace <= np.trace(K)
    assert np.abs(left).max() <= found.residual_trace + 200 * len(K) * error * scale


@pytest.mark.parametrize("method", METHODS)
def test_of_indefinite_matrices_a_definite_part_is_factored(method):
    K = np.eye(9) + 0.1
    K[0, 1] = K[1, 0] = 5
    K[2, 2] = -1
    with pytest.warns(LinAlgWarning, match=r"K is not positive semi-definite.* row [012] has"):
        found = factored(K, 9, method)
    S = found.pivots
    assert len(S) == 7
    assert 2 not in S
    np.testing.assert_allclose(found.factor[S] @ found.factor.T, K[S], atol=1e-12)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"diagonal": [1.0, np.nan]}, "diagonal must be finite"),
        ({"diagonal": np.eye(2)}, r"found shape \(2, 2\)"),
        ({"rank": 0}, "rank must be at least 1, found 0"),
        ({"method": "greedy"}, r"method must be one of \['rpcholesky', 'uniform'\], found 'greedy'"),
        ({"entries": lambda rows, columns: np.eye(2)}, r"entries must return finite numbers of shape \(1, 1\)"),
        ({"entries": lambda rows, columns: np.full((len(rows), len(columns)), np.nan)}, "entries must return finite"),
    ],
)
def test_bad_input(arguments, message):
    good = {"diagonal": [1.0, 1.0], "entries": lambda rows, columns: np.eye(2)[rows][:, columns], "rank": 1}
    with pytest.raises(ValueError, match=message):
        pivoted_cholesky(**{**good, **arguments})


def test_accuracy_at_any_condition():
    for power in 2, 8, 14:
        K = spectrum(np.logspace(-power, 0, 60))
        F = factored(K, 60).factor
        assert np.abs(F @ F.T - K).max() < 60 * 60 * EPS
