"""Ridge regression on centres: the minimiser of its objective, whatever the centres; never NaN."""

import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from references.matrices import BELOW_CUTOFF, DEFINITE, SINGULAR, points, rbf, spectrum, targets
from sklearn.exceptions import ConvergenceWarning

from ntkkit.linalg import pivoted_cholesky, solve_nystrom, solve_ridge

ALPHAS = [1e-6, 1e-2, 10.0]


class Streamed:
    """Panels of K_nm, and how often they were read."""

    def __init__(self, K_nm, size=37, dtype=float):
        self.K_nm, self.size, self.passes = K_nm.astype(dtype), size, 0

    def __call__(self):
        self.passes += 1
        for i in range(0, len(self.K_nm), self.size):
            panel = self.K_nm[i : i + self.size]
            yield slice(i, i + len(panel)), panel


def problem(n=150, m=20, seed=0, method="uniform"):
    X = points(n, seed)
    K = rbf(X)
    S = pivoted_cholesky(K.diagonal(), lambda rows, columns: K[rows][:, columns], m, method=method, rng=seed).pivots
    return K[:, S], K[np.ix_(S, S)], np.column_stack([np.sin(2 * X[:, 0]), X[:, 1] ** 2]) + 0.1 * targets(X)


def objective(K_nm, K_mm, y, alpha, b, weights=1.0):
    return (weights * ((y - K_nm @ b) ** 2).T).sum(1) + alpha * np.einsum("ik,ij,jk->k", b, K_mm, b)


def minimiser(K_nm, K_mm, y, alpha, weights=None):
    """By least squares, which does not square the condition number."""
    L = np.linalg.cholesky(K_mm)
    root = np.ones(len(y)) if weights is None else np.sqrt(weights)
    A = np.vstack([root[:, None] * K_nm, np.sqrt(alpha) * L.T])
    right = np.vstack([root[:, None] * y, np.zeros((len(K_mm), y.shape[1]))])
    return np.linalg.lstsq(A, right, rcond=None)[0]


@pytest.mark.parametrize("alpha", ALPHAS)
@pytest.mark.parametrize("method", ["uniform", "rpcholesky"])
def test_it_solves_the_normal_equations(method, alpha):
    K_nm, K_mm, y = problem(method=method)
    found = solve_nystrom(K_mm, Streamed(K_nm), y, alpha, tol=1e-10)
    assert found.converged.all()
    expected = np.linalg.solve(K_nm.T @ K_nm + alpha * K_mm, K_nm.T @ y)
    np.testing.assert_allclose(found.dual_coef, expected, rtol=0, atol=1e-6 * np.abs(expected).max())
    np.testing.assert_allclose(K_nm @ found.dual_coef, K_nm @ expected, rtol=0, atol=1e-7)
    single = solve_nystrom(K_mm, Streamed(K_nm), y[:, 0], alpha, tol=1e-10)
    assert single.dual_coef.shape == (20,)
    np.testing.assert_allclose(single.dual_coef, found.dual_coef[:, 0], rtol=0, atol=1e-6 * np.abs(expected).max())


@pytest.mark.parametrize("alpha", ALPHAS)
def test_weights(alpha, rng):
    K_nm, K_mm, y = problem()
    weights = rng.uniform(0.1, 5, len(y))
    found = solve_nystrom(K_mm, Streamed(K_nm), y, alpha, sample_weight=weights, tol=1e-10).dual_coef
    expected = minimiser(K_nm, K_mm, y, alpha, weights)
    np.testing.assert_allclose(K_nm @ found, K_nm @ expected, rtol=0, atol=1e-7)


@pytest.mark.parametrize("alpha", [1e-8, 1e-3, 1.0])
def test_with_every_sample_a_centre_it_is_ridge_regression(alpha):
    K = rbf(points(60))
    y = targets(K)
    found = solve_nystrom(K, Streamed(K), y, alpha, tol=1e-10)
    expected = solve_ridge(K, y, alpha).dual_coef
    np.testing.assert_allclose(K @ found.dual_coef, K @ expected, rtol=0, atol=1e-6)
    np.testing.assert_allclose(found.dual_coef, expected, rtol=0, atol=1e-5 * np.abs(expected).max())


def test_nothing_is_read_more_often_than_needed():
    K_nm, K_mm, y = problem()
    for alpha in ALPHAS:
        panels = Streamed(K_nm)
        found = solve_nystrom(K_mm, panels, y, alpha)
        assert panels.passes == 1 + found.n_iter + (found.n_iter > 1) <= 5


def test_equal_centres_change_nothing():
    K_nm, K_mm, y = problem()
    S = [*range(20), 3, 3, 7, 19]
    found = solve_nystrom(K_mm[np.ix_(S, S)], Streamed(K_nm[:, S]), y, 1e-3, tol=1e-10)
    assert found.converged.all()
    expected = solve_nystrom(K_mm, Streamed(K_nm), y, 1e-3, tol=1e-10).dual_coef
    np.testing.assert_allclose(K_nm[:, S] @ found.dual_coef, K_nm @ expected, rtol=0, atol=1e-8)
    np.testing.assert_allclose(found.dual_coef[[3, 20, 21]], np.broadcast_to(expected[3] / 3, (3, 2)), atol=1e-6)


@pytest.mark.parametrize("alpha", [1e-12, 1e-9, 1e-6, 1e-3, 1.0])
@pytest.mark.parametrize("scale", [1.0, 3.0, 10.0])
def test_smooth_kernels_reach_the_minimum(scale, alpha):
    X = points(200) / scale
    K = rbf(X)
    K_nm, K_mm = K[:, :60], K[:60, :60]
    y = np.sin(3 * X[:, :1]) + 0.1 * targets(K, 1)
    found = solve_nystrom(K_mm, Streamed(K_nm), y, alpha, tol=1e-8)
    assert found.converged.all()
    values, V = np.linalg.eigh(K_mm)
    T = (V / np.sqrt(values.clip(1e-300)))[:, values > 60 * 2.3e-16 * values[-1]]
    best = T @ minimiser(K_nm @ T, np.eye(T.shape[1]), y, alpha)
    lowest = objective(K_nm, K_mm, y, alpha, best)
    rounding = 1e-14 * np.abs(found.dual_coef).sum()  # of the coefficients, which cancel
    assert objective(K_nm, K_mm, y, alpha, found.dual_coef) <= lowest * (1 + 1e-8) + rounding
    assert found.n_iter <= 10


def test_panels_in_float32():
    K_nm, K_mm, y = problem()
    found = solve_nystrom(K_mm.astype(np.float32), Streamed(K_nm, dtype=np.float32), y, 1e-2, error=1.2e-7)
    assert found.dual_coef.dtype == np.float64
    expected = minimiser(K_nm, K_mm, y, 1e-2)
    np.testing.assert_allclose(K_nm @ found.dual_coef, K_nm @ expected, rtol=0, atol=1e-4)


@pytest.mark.parametrize("alpha", [0.0, 1e-9, 1.0])
@pytest.mark.parametrize("name", [*DEFINITE, *SINGULAR, *BELOW_CUTOFF])
def test_every_matrix_is_solved_or_there_is_a_warning(name, alpha):
    K = {**DEFINITE, **SINGULAR, **BELOW_CUTOFF}[name].astype(float)
    alpha = alpha * max(np.abs(K).max(), 1e-300)
    y = targets(K)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        found = solve_nystrom(K[: len(K) // 2 + 1, : len(K) // 2 + 1], Streamed(K[:, : len(K) // 2 + 1]), y, alpha)
    assert np.isfinite(found.dual_coef).all()
    assert (len(caught) == 0) == found.converged.all()
    assert {w.category for w in caught} <= {ConvergenceWarning}
    predicted = K[:, : len(K) // 2 + 1] @ found.dual_coef
    assert (np.linalg.norm(predicted - y, axis=0) <= np.linalg.norm(y, axis=0) * (1 + 1e-6)).all()


def test_one_sample_and_more_outputs_than_samples():
    found = solve_nystrom([[3.0]], lambda: [(slice(0, 1), np.array([[3.0]]))], [6.0], 1.0)
    np.testing.assert_allclose(found.dual_coef, [6.0 / 4])
    K = spectrum(np.linspace(1, 2, 5))
    y = targets(K, 40)
    found = solve_nystrom(K, Streamed(K), y, 0.5, tol=1e-10)
    np.testing.assert_allclose(found.dual_coef, np.linalg.solve(K + 0.5 * np.eye(5), y), rtol=1e-8, atol=1e-10)


@given(
    n=st.integers(1, 30),
    m=st.integers(1, 12),
    alpha=st.sampled_from([0.0, 1e-12, 1e-6, 1.0, 1e6]),
    scale=st.sampled_from([1e-50, 1.0, 1e50]),
    spread=st.sampled_from([0.0, 0.1, 3.0]),
)
def test_any_centres(n, m, alpha, scale, spread):
    K = scale * rbf(spread * points(n + m, seed=n + m))
    y = targets(K)[:n]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        b = solve_nystrom(K[n:, n:], Streamed(K[:n, n:]), y, alpha * scale).dual_coef
    assert np.isfinite(b).all()
    found = objective(K[:n, n:], K[n:, n:], y, alpha * scale, b)
    assert (found <= (y**2).sum(0) * (1 + 1e-6)).all()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"y": [1.0, np.nan]}, "y must be finite"),
        ({"alpha": -1.0}, "alpha must be finite and >= 0"),
        ({"sample_weight": [1.0, 0.0]}, "sample_weight must be finite and positive"),
        ({"K_mm": [[np.nan]]}, "K contains NaN or infinity"),
        ({"K_mm": np.ones((1, 2))}, "K must be a square matrix"),
        ({"tol": 0.0}, "tol and max_iter must be positive"),
        (
            {"panels": lambda: [(slice(0, 2), np.ones((2, 3)))]},
            r"The panel of slice\(0, 2, None\) must be of shape \(2, 1\)",
        ),
        ({"panels": lambda: [(slice(0, 1), np.ones((1, 1)))]}, "must have each of 2 rows once, found 1 rows"),
        ({"panels": lambda: [(slice(0, 2), np.full((2, 1), np.inf))]}, "K_nm contains NaN or infinity"),
    ],
)
def test_bad_input(arguments, message):
    good = {"K_mm": [[1.0]], "panels": lambda: [(slice(0, 2), np.ones((2, 1)))], "y": [1.0, 2.0], "alpha": 1.0}
    with pytest.raises(ValueError, match=message):
        solve_nystrom(**{**good, **arguments})
