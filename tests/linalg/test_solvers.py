"""Every solver on every kind of matrix: right as far as conditioning allows, or a clear word; never NaN."""

import re
import tracemalloc
import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from references.matrices import BELOW_CUTOFF, DEFINITE, EPS, SINGULAR, duplicated, points, rbf, spectrum, targets
from scipy.linalg import LinAlgError, LinAlgWarning

from ntkkit.linalg import SOLVERS, cholesky, eigen, factor_ridge, solve_ridge, squared_loss_flow


def solved(*args, **kwargs):
    """A solution, and the warnings given."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        solution = solve_ridge(*args, **kwargs)
    return solution, [str(w.message) for w in caught if issubclass(w.category, LinAlgWarning)]


def suggestion(message):
    return float(re.search(r"Raise alpha to (\S+) or more", message).group(1))


@pytest.mark.parametrize("solver", sorted(SOLVERS))
@pytest.mark.parametrize("name", DEFINITE)
def test_definite_matrices_are_solved_without_a_word(name, solver):
    K, y = DEFINITE[name], targets(DEFINITE[name])
    solution, messages = solved(K, y, solver=solver)
    assert messages == []
    assert solution.solver == ("eigen" if solver == "eigen" else "cholesky")
    residual = np.abs(K @ solution.dual_coef - y).max()
    scale = np.linalg.norm(K, 2) * np.abs(solution.dual_coef).max() + np.abs(y).max()
    assert residual <= 10 * len(K) * EPS * scale
    exact = np.linalg.solve(K, y)
    condition = np.linalg.cond(K)
    assert np.abs(solution.dual_coef - exact).max() <= 10 * len(K) * EPS * condition * np.abs(exact).max()


@pytest.mark.parametrize("name", SINGULAR)
@pytest.mark.parametrize("solver", ["auto", "eigen"])
def test_singular_matrices_give_the_minimum_norm_solution(name, solver):
    K, y = SINGULAR[name], targets(SINGULAR[name])
    solution, messages = solved(K, y, solver=solver)
    assert solution.solver == "eigen"
    assert len(messages) == (solver == "auto")
    pinv = np.linalg.pinv(K, rcond=len(K) * EPS, hermitian=True)
    kept = np.linalg.eigvalsh(K)
    kept = kept[kept > len(K) * EPS * kept[-1]]
    condition = kept[-1] / kept[0] if len(kept) else 1.0
    assert np.abs(solution.dual_coef - pinv @ y).max() <= 1e3 * EPS * condition * np.abs(pinv @ y).max() + 1e-300
    # no solution of smaller residual, and no garbage in the null space
    assert np.linalg.norm(K @ solution.dual_coef - y) <= np.linalg.norm(y) * (1 + 1e-12)


@pytest.mark.parametrize("name", BELOW_CUTOFF)
def test_eigenvalues_below_the_cutoff_are_left_out(name):
    K = BELOW_CUTOFF[name]
    y = targets(K)
    solution, messages = solved(K, y)
    values, vectors = np.linalg.eigh(K.astype(float))
    cutoff = eigen(K, error=np.finfo(K.dtype).eps).cutoff()
    kept = values > cutoff
    assert solution.solver == "eigen"
    assert f"left out {np.count_nonzero(~kept)} of {len(K)}" in messages[0]
    expected = (vectors[:, kept] / values[kept]) @ (vectors[:, kept].T @ y)
    np.testing.assert_allclose(solution.dual_coef, expected, rtol=1e-6, atol=1e-9 * np.abs(expected).max())


@pytest.mark.parametrize("name", [*SINGULAR, *BELOW_CUTOFF])
def test_the_warning_names_the_eigenvalues_and_an_alpha_that_helps(name):
    K = {**SINGULAR, **BELOW_CUTOFF}[name]
    y = targets(K)
    _, (message,) = solved(K, y, alpha=0.0)
    low, high = np.linalg.eigvalsh(K.astype(float))[[0, -1]]
    found = re.search(r"reach from (\S+) to (\S+)\. Raise", message)
    assert float(found.group(2)) == pytest.approx(high, rel=1e-2, abs=1e-12)
    assert float(found.group(1)) == pytest.approx(low, rel=1e-2, abs=1e-12 * max(high, 1))
    raised, messages = solved(K, y, alpha=suggestion(message))
    assert messages == []
    assert raised.solver == "cholesky"


@pytest.mark.parametrize("name", [*SINGULAR, *BELOW_CUTOFF])
def test_cholesky_alone_refuses_with_the_remedy(name):
    K = {**SINGULAR, **BELOW_CUTOFF}[name]
    with pytest.raises(LinAlgError, match=r"not positive definite .* alpha=0: .* Raise alpha to .* solver='auto'"):
        solve_ridge(K, targets(K), solver="cholesky")


@pytest.mark.parametrize("alpha", [1e-6, 1e-2, 1.0, 1e6])
@pytest.mark.parametrize("name", [*DEFINITE, *SINGULAR])
def test_both_solvers_agree_under_a_ridge(name, alpha):
    K = {**DEFINITE, **SINGULAR}[name]
    alpha = alpha * max(np.linalg.norm(K, 2), 1e-3)
    y = targets(K)
    with_cholesky = solve_ridge(K, y, alpha, solver="cholesky").dual_coef
    with_eigen = solve_ridge(K, y, alpha, solver="eigen").dual_coef
    expected = np.linalg.solve(K + alpha * np.eye(len(K)), y)
    for found in (with_cholesky, with_eigen):
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-8 * np.abs(expected).max())


@pytest.mark.parametrize("solver", sorted(SOLVERS))
@pytest.mark.parametrize("n_outputs", [1, 3, 50])
def test_shapes(solver, n_outputs):
    K = spectrum(np.linspace(1, 2, 4))
    y = targets(K, n_outputs)
    many = solve_ridge(K, y, 0.1, solver=solver).dual_coef
    assert many.shape == y.shape
    for column, target in zip(many.T, y.T, strict=True):
        single = solve_ridge(K, target, 0.1, solver=solver).dual_coef
        assert single.shape == target.shape
        np.testing.assert_allclose(single, column, rtol=1e-13)


@pytest.mark.parametrize("solver", sorted(SOLVERS))
@pytest.mark.parametrize("K", [spectrum(np.linspace(1, 2, 9)), duplicated()], ids=["definite", "singular"])
@pytest.mark.parametrize("order", ["C", "F", "strided", "read-only"])
def test_K_is_left_alone_unless_it_may_be_overwritten(solver, K, order):
    if order == "strided":
        K = np.repeat(np.repeat(K, 2, 0), 2, 1)[::2, ::2]
    K = K if order == "strided" else np.array(K, order="F" if order == "F" else "C")
    K.flags.writeable = order != "read-only"
    before = K.copy()
    alpha = 0.5
    expected = np.linalg.solve(K + alpha * np.eye(len(K)), targets(K))
    found = solve_ridge(K, targets(K), alpha, solver=solver).dual_coef
    np.testing.assert_allclose(found, expected, rtol=1e-10, atol=1e-12)
    np.testing.assert_array_equal(K, before)
    found = solve_ridge(K, targets(K), alpha, solver=solver, overwrite=True).dual_coef
    np.testing.assert_allclose(found, expected, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("order", ["C", "F"])
def test_the_matrix_is_the_workspace(order):
    K = np.array(spectrum(np.linspace(1, 2, 9)), order=order)
    assert np.shares_memory(cholesky(K, 1.0, overwrite=True).factor, K)
    K = np.array(duplicated(), order=order)
    before = K.copy()
    with pytest.raises(LinAlgError):
        cholesky(K, overwrite=True)
    np.testing.assert_array_equal(K, before)


def test_a_factorisation_that_runs_through_on_a_singular_matrix_is_noticed():
    refused = 0
    for seed in range(50):  # the pivot of a duplicate row is rounding: of either sign
        X = points(8, seed)[[*range(8), seed % 8]]
        K = X @ X.T + rbf(X) * 1e3
        with pytest.raises(LinAlgError):
            cholesky(K)
        try:
            np.linalg.cholesky(K)
        except LinAlgError:
            refused += 1
    assert 0 < refused < 50


def test_float32_rounding_is_no_information():
    X = points(30)
    K = rbf(X[[*range(30), 4]], np.float32)
    K[4, 30] = K[30, 4] = np.nextafter(np.float32(1), np.float32(0))
    y = np.r_[np.zeros(30), 1.0]
    solution, (message,) = solved(K, y)
    assert np.abs(solution.dual_coef).max() < 1e3  # the difference of the two rows would ask for 1e7
    assert "float64" not in message
    # float64 entries one rounding apart are as good as equal, too
    wide = rbf(X[[*range(30), 4]])
    wide[4, 30] = wide[30, 4] = np.nextafter(1.0, 0.0)
    assert np.abs(solved(wide, y)[0].dual_coef).max() < 1e3


def test_a_smooth_kernel_in_float32_predicts_smoothly():
    x = np.random.default_rng(0).normal(size=(300, 1))
    new = np.linspace(-2, 2, 50)[:, None]
    K, K_new = (np.exp(-((a - x.T) ** 2) / 2).astype(np.float32) for a in (x, new))
    errors = []
    for dtype in (np.float32, np.float64):  # said to be float64, the entries' rounding is taken for information
        (dual_coef, _), _ = solved(K.astype(dtype), np.abs(x[:, 0]), 1e-9)
        errors.append(np.abs(K_new.astype(float) @ dual_coef - np.abs(new[:, 0])).max())
    assert errors[0] < 0.1
    assert errors[0] < errors[1] / 3


@pytest.mark.parametrize(("alpha", "solver", "limit"), [(1.0, "cholesky", 0.5), (0.0, "eigen", 4.0)])
def test_memory(alpha, solver, limit):
    """One factorisation in K's own memory; for the eigen solver its vectors and LAPACK's workspace besides."""
    X = points(1500)
    K = X @ X.T
    y = targets(K)
    tracemalloc.start()
    try:
        solution, _ = solved(K, y, alpha, overwrite=True)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert solution.solver == solver
    assert peak < limit * K.nbytes


def test_weights_are_repetitions():
    X, weights = points(6), np.array([1, 2, 1, 4, 3, 1])
    y = targets(X)
    repeated = np.repeat(np.arange(6), weights)
    long = solve_ridge(rbf(X[repeated]), y[repeated], 0.3).dual_coef
    short = solve_ridge(rbf(X), y, 0.3, sample_weight=weights).dual_coef
    np.testing.assert_allclose(np.add.reduceat(long, np.r_[0, np.cumsum(weights)[:-1]]), short, rtol=1e-12)


@pytest.mark.parametrize("solver", sorted(SOLVERS))
def test_extreme_weights(solver):
    X = points(6)
    weights = np.logspace(-12, 0, 6)
    found = solve_ridge(rbf(X), targets(X), 0.3, sample_weight=weights, solver=solver).dual_coef
    expected = np.linalg.solve(rbf(X) * weights[:, None] + 0.3 * np.eye(6), targets(X) * weights[:, None])
    expected = weights[:, None] * (targets(X) - rbf(X) @ expected) / 0.3  # accurate in the small entries, too
    np.testing.assert_allclose(found, expected, rtol=1e-10)


def test_one_decomposition_serves_every_ridge_term():
    K = spectrum(np.logspace(-3, 0, 12))
    y, alphas = targets(K, 3), np.array([0.0, 1e-2, 10.0])
    found = eigen(K).solve(y, alphas)
    for column, target, alpha in zip(found.T, y.T, alphas, strict=True):
        np.testing.assert_allclose(column, cholesky(K, alpha).solve(target), rtol=1e-9)


@given(
    X=st.lists(st.tuples(*[st.floats(-10, 10)] * 2), min_size=1, max_size=12),
    alpha=st.sampled_from([0.0, 1e-14, 1e-8, 1e-3, 1.0, 1e12]),
    scale=st.sampled_from([1e-100, 1e-8, 1.0, 1e8, 1e100]),
    dtype=st.sampled_from([np.float32, np.float64]),
)
def test_any_kernel_matrix_gives_finite_predictions_no_larger_than_the_targets(X, alpha, scale, dtype):
    with np.errstate(over="ignore"):
        K = (scale * rbf(np.array(X))).astype(dtype)
    if not np.isfinite(K).all():
        with pytest.raises(ValueError, match="K contains"):
            solve_ridge(K, np.ones(len(K)))
        return
    y = np.random.default_rng(len(X)).normal(size=len(K))
    (dual_coef, _), messages = solved(K, y, alpha)
    assert np.isfinite(dual_coef).all()
    # K (K + alpha)^-1 is a contraction, up to the rounding of K where that is not negligible
    slack = 1e-6 if not messages and dtype == np.float64 else 0.1
    assert np.linalg.norm(K.astype(float) @ dual_coef) <= (1 + slack) * np.linalg.norm(y)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"K": [[1.0, np.nan], [np.nan, 1.0]]}, "K contains NaN or infinity.*StandardScaler"),
        ({"K": [[1.0, 0.0], [0.0, np.inf]]}, "K contains NaN or infinity"),
        ({"K": [[1e308, 1e308], [1e308, 1e308]]}, "too large to add up"),
        ({"K": np.ones((2, 3))}, r"K must be a square matrix.*\(2, 3\)"),
        ({"K": np.ones(2)}, r"K must be a square matrix.*\(2,\)"),
        ({"K": np.ones((0, 0)), "y": []}, r"at least one row, found shape \(0, 0\)"),
        ({"K": 1j * np.eye(2)}, "K must hold real numbers, found dtype complex128"),
        ({"y": [1.0]}, r"y must be finite and of shape \(2,\).*found shape \(1,\)"),
        ({"y": [1.0, np.nan]}, "y must be finite"),
        ({"y": np.ones((2, 1, 1))}, r"found shape \(2, 1, 1\)"),
        ({"alpha": -1.0}, r"alpha must be finite and >= 0, found -1\.0"),
        ({"alpha": np.nan}, "alpha must be finite and >= 0, found nan"),
        ({"alpha": np.inf}, "alpha must be finite and >= 0, found inf"),
        ({"solver": "svd"}, r"solver must be one of \['auto', 'cholesky', 'eigen'\], found 'svd'"),
        ({"sample_weight": [1.0, 0.0]}, "sample_weight must be finite and positive"),
        ({"sample_weight": [1.0]}, r"sample_weight .* of shape \(2,\), found shape \(1,\)"),
        ({"K": 1e-307 * np.eye(2), "y": [1e3, 0.0]}, "solution overflows.*rescale"),
    ],
)
def test_bad_input(arguments, message):
    for solver in [arguments["solver"]] if "solver" in arguments else SOLVERS:
        good = {"K": np.eye(2), "y": [1.0, 2.0], "solver": solver}
        with pytest.raises(ValueError, match=message):
            solve_ridge(**{**good, **arguments})


@pytest.mark.parametrize("solver", sorted(SOLVERS))
def test_one_ridge_term_a_target(solver):
    K, y = rbf(points(30)), np.random.default_rng(0).standard_normal((30, 3))
    alphas = np.array([0.1, 3.0, 0.1])
    found = solve_ridge(K, y, alphas, solver=solver, sample_weight=np.arange(1.0, 31.0))
    for i, alpha in enumerate(alphas):
        alone = solve_ridge(K, y[:, i], alpha, sample_weight=np.arange(1.0, 31.0)).dual_coef
        np.testing.assert_allclose(found.dual_coef[:, i], alone, rtol=1e-9, atol=1e-10)
    with pytest.raises(ValueError, match="one for each of 3 targets"):
        solve_ridge(K, y, [1.0, 2.0], solver=solver)


@pytest.mark.parametrize("solver", ["cholesky", "eigen"])
def test_whitening_gives_the_inverse_quadratic_form(solver):
    K, B, weights = rbf(points(20)), np.random.default_rng(0).standard_normal((20, 4)), np.arange(1.0, 21.0)
    white = factor_ridge(K, 0.1, solver=solver, sample_weight=weights).whiten(B)
    np.testing.assert_allclose(white.T @ white, B.T @ np.linalg.inv(K + np.diag(0.1 / weights)) @ B, rtol=1e-8)


def test_training_time():
    K, y = rbf(points(20)), np.random.default_rng(0).standard_normal(20)
    expected = squared_loss_flow(eigen(K), y, 3.0, alpha=0.1)
    np.testing.assert_allclose(solve_ridge(K, y, 0.1, time=3.0).dual_coef, expected, rtol=1e-12)
    with pytest.raises(ValueError, match="solver='cholesky' has no training times, found time=3"):
        solve_ridge(K, y, 0.1, time=3.0, solver="cholesky")
