"""One eigendecomposition against refitting without each sample, and against the differential equation."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from references.matrices import BELOW_CUTOFF, DEFINITE, SINGULAR, duplicated, points, rbf, spectrum, targets
from scipy.linalg import expm

from ntkkit.linalg import eigen, generalized_cross_validation, leave_one_out, solve_ridge, squared_loss_flow

ALPHAS = [1e-3, 0.1, 30.0]


def weighted(K, weights):
    root = np.sqrt(weights)
    return eigen(root[:, None] * K * root)


def refitted(K, y, alpha, weights=None):
    """Residuals at each sample of the machine fitted to the others."""
    residuals = np.empty_like(y)
    for i in range(len(K)):
        rest = np.delete(np.arange(len(K)), i)
        A, b = K[np.ix_(rest, rest)], y[rest]
        if weights is None:
            a = np.linalg.pinv(A + alpha * np.eye(len(A)), rcond=1e-12, hermitian=True) @ b
        else:
            a = np.linalg.solve(A + alpha * np.diag(1 / weights[rest]), b)
        residuals[i] = y[i] - K[i, rest] @ a
    return residuals


@pytest.mark.parametrize("n_outputs", [1, 3, 50])
@pytest.mark.parametrize("K", [rbf(points(25)), duplicated()], ids=["distinct", "duplicates"])
def test_leave_one_out_is_refitting(K, n_outputs):
    y = targets(K, n_outputs)
    found = leave_one_out(eigen(K), y, ALPHAS)
    for residuals, alpha in zip(found, ALPHAS, strict=True):
        np.testing.assert_allclose(residuals, refitted(K, y, alpha), rtol=0, atol=1e-8)
    single = leave_one_out(eigen(K), y[:, 0], ALPHAS)
    assert single.shape == (len(ALPHAS), len(K))
    np.testing.assert_allclose(single, found[:, :, 0], rtol=0, atol=1e-10)


@pytest.mark.parametrize("K", [rbf(points(25)), duplicated()], ids=["distinct", "duplicates"])
def test_weighted_leave_one_out_is_refitting(K, rng):
    y, weights = targets(K), rng.uniform(0.1, 5, len(K))
    found = leave_one_out(weighted(K, weights), y, ALPHAS, sample_weight=weights)
    for residuals, alpha in zip(found, ALPHAS, strict=True):
        np.testing.assert_allclose(residuals, refitted(K, y, alpha, weights), rtol=0, atol=1e-8)


@pytest.mark.parametrize(
    "K",
    [
        rbf(points(15)),
        spectrum(np.r_[np.zeros(10), np.linspace(1, 2, 5)]),
        duplicated(),
        np.ones((6, 6)),
        np.diag([1.0, 0.0, 2.0]),
        np.zeros((3, 3)),
        np.array([[2.0]]),
    ],
    ids=["definite", "rank deficient", "duplicates", "constant", "zero row", "zero", "one sample"],
)
def test_without_a_ridge_it_is_the_minimum_norm_fit_to_the_others(K):
    y = targets(K)
    (found,) = leave_one_out(eigen(K), y, [0.0])
    np.testing.assert_allclose(found, refitted(K, y, 0.0), rtol=0, atol=1e-8)


def test_of_two_equal_rows_each_predicts_the_other():
    K = rbf(points(8)[[*range(8), 2]])
    y = targets(K, 1)[:, 0]
    (found,) = leave_one_out(eigen(K), y, [0.0])
    np.testing.assert_allclose(found[[2, 8]], [y[2] - y[8], y[8] - y[2]], rtol=1e-8)


@pytest.mark.parametrize("alpha", [0.0, 1e-9, 1.0])
@pytest.mark.parametrize("name", [*DEFINITE, *SINGULAR, *BELOW_CUTOFF])
def test_every_score_of_every_matrix_is_finite(name, alpha):
    K = {**DEFINITE, **SINGULAR, **BELOW_CUTOFF}[name]
    decomposition, y = eigen(K), targets(K)
    assert np.isfinite(leave_one_out(decomposition, y, [alpha])).all()
    assert np.isfinite(generalized_cross_validation(decomposition, y, [alpha])).all()
    largest = max(float(np.abs(decomposition.values).max()), 1e-300)
    for time in [0.0, 1 / largest, 1e9 / largest]:
        assert np.isfinite(squared_loss_flow(decomposition, y, min(time, 1e290), alpha=alpha)).all()


def test_generalized_cross_validation_is_its_formula():
    K = rbf(points(25))
    y = targets(K)
    found = generalized_cross_validation(eigen(K), y, ALPHAS)
    for scores, alpha in zip(found, ALPHAS, strict=True):
        A = np.eye(25) - K @ np.linalg.inv(K + alpha * np.eye(25))
        np.testing.assert_allclose(scores, 25 * ((A @ y) ** 2).sum(0) / np.trace(A) ** 2, rtol=1e-9)
    single = generalized_cross_validation(eigen(K), y[:, 0], ALPHAS)
    np.testing.assert_allclose(single, found[:, 0], rtol=1e-12)


def test_where_all_leverages_are_equal_both_scores_agree():
    first = 0.8 ** np.minimum(np.arange(12), 12 - np.arange(12))
    K = np.array([np.roll(first, i) for i in range(12)])  # a stationary kernel on a circle
    y = targets(K)
    squares = (leave_one_out(eigen(K), y, ALPHAS) ** 2).mean(axis=1)
    np.testing.assert_allclose(generalized_cross_validation(eigen(K), y, ALPHAS), squares, rtol=1e-9)


def test_weighted_generalized_cross_validation_is_that_of_the_weighted_problem(rng):
    K, weights = rbf(points(20)), rng.uniform(0.1, 5, 20)
    y = targets(K)
    found = generalized_cross_validation(weighted(K, weights), y, ALPHAS, sample_weight=weights)
    expected = generalized_cross_validation(weighted(K, weights), np.sqrt(weights)[:, None] * y, ALPHAS)
    np.testing.assert_array_equal(found, expected)


@given(
    rank=st.integers(0, 8),
    n=st.integers(1, 8),
    scale=st.sampled_from([1e-8, 1.0, 1e8]),
    alpha=st.sampled_from([0.0, 1e-3, 1.0, 1e6]),
)
def test_scaling_the_kernel_and_alpha_changes_no_score(rank, n, scale, alpha):
    Z = np.random.default_rng(10 * rank + n).normal(size=(n, rank))
    K, y = Z @ Z.T, targets(Z)
    for score in leave_one_out, generalized_cross_validation:
        found = score(eigen(scale * K), y, [scale * alpha])
        np.testing.assert_allclose(found, score(eigen(K), y, [alpha]), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("alpha", [0.0, 0.5])
@pytest.mark.parametrize("time", [0.0, 1e-9, 0.3, 20.0])
def test_gradient_flow_solves_its_equation(time, alpha):
    K = spectrum(np.r_[0, 0, np.logspace(-3, 1, 8)])
    y, n = targets(K), len(K)
    found = squared_loss_flow(eigen(K), y, time, alpha=alpha)
    # d(a, y)/dt = (y - G a, 0), as one matrix exponential
    G = K + alpha * np.eye(n)
    step = expm(time * np.block([[-G, np.eye(n)], [np.zeros((n, 2 * n))]]))
    np.testing.assert_allclose(found, step[:n, n:] @ y, rtol=1e-9, atol=1e-12)
    single = squared_loss_flow(eigen(K), y[:, 0], time, alpha=alpha)
    np.testing.assert_allclose(single, found[:, 0], rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("name", [*DEFINITE, *SINGULAR])
def test_gradient_flow_ends_at_the_solution(name):
    K = {**DEFINITE, **SINGULAR}[name]
    y, decomposition = targets(K), eigen(K)
    expected = decomposition.solve(y)
    np.testing.assert_array_equal(squared_loss_flow(decomposition, y, np.inf), expected)
    late = 100 / decomposition.cutoff()  # infinite for zero matrices
    np.testing.assert_allclose(
        squared_loss_flow(decomposition, y, late), expected, rtol=1e-9, atol=1e-9 * np.abs(expected).max()
    )


def test_rounding_below_zero_does_not_grow():
    K = spectrum(np.r_[-1e-17, 0, 1e-17, np.linspace(1, 2, 5)])
    y = targets(K)
    early = squared_loss_flow(eigen(K), y, 1e6)
    exact = solve_ridge(K, y, solver="eigen").dual_coef
    null = y - K @ exact
    np.testing.assert_allclose(early, exact + 1e6 * null, rtol=1e-6)
    assert np.abs(squared_loss_flow(eigen(K), y, 1e20)).max() < 10


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"y": [1.0]}, r"y must be finite and of shape \(2,\).*found shape \(1,\)"),
        ({"y": [1.0, np.nan]}, "y must be finite"),
        ({"alphas": [-1.0]}, r"alpha must be finite and >= 0"),
        ({"alphas": 1.0}, r"alphas must be of shape \(n_alphas,\), found shape \(\)"),
        ({"sample_weight": [1.0, 0.0]}, "sample_weight must be finite and positive"),
    ],
)
def test_bad_input(arguments, message):
    for score in leave_one_out, generalized_cross_validation:
        good = {"decomposition": eigen(np.eye(2)), "y": [1.0, 2.0], "alphas": [1.0]}
        with pytest.raises(ValueError, match=message):
            score(**{**good, **arguments})


@pytest.mark.parametrize("time", [-1.0, np.nan])
def test_bad_time(time):
    with pytest.raises(ValueError, match="time must be >= 0, or inf"):
        squared_loss_flow(eigen(np.eye(2)), [1.0, 2.0], time)
