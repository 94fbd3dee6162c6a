"""Conjugate gradients: the residual asked for, or a warning that says what was reached; never NaN, never blown up."""

import re
import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from references.matrices import BELOW_CUTOFF, DEFINITE, EPS, SINGULAR, points, rbf, spectrum, targets
from scipy.linalg import LinAlgWarning
from sklearn.exceptions import ConvergenceWarning

from ntkkit.linalg import conjugate_gradients, pivoted_cholesky


def factored(K, rank):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", LinAlgWarning)  # not positive semi-definite
        return pivoted_cholesky(K.diagonal(), lambda rows, columns: K[rows][:, columns], rank, rng=0)


def solved(K, y, alpha=0.0, **options):
    """A solution, and whether there was a warning; what it says is checked."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        found = conjugate_gradients(lambda V: K @ V, y, alpha, **options)
    (message,) = [str(w.message) for w in caught] or [""]
    assert (message == "") == found.converged.all()
    assert found.dual_coef.shape == y.shape
    assert np.isfinite(found.dual_coef).all()
    assert found.residuals.shape == (found.n_iter + 1, y.size // len(y))
    left = np.linalg.norm(y - K @ found.dual_coef - alpha * found.dual_coef, axis=0, keepdims=y.ndim == 1)
    left = left / np.linalg.norm(y, axis=0)
    # the residual is known up to its own rounding
    size = np.abs(found.dual_coef).sum(axis=0, keepdims=y.ndim == 1) / np.linalg.norm(y, axis=0)
    known = 2 * len(K) * EPS * (np.linalg.norm(K) + alpha) * size
    tol = options.get("tol", 1e-6)
    assert (left <= tol * (1 + 1e-6) + known)[found.converged].all()
    assert (left >= tol * (1 - 1e-6) - known)[~found.converged].all()
    assert (left <= 1 + known).all()  # zero would be better
    if message:
        said = float(re.search(r"residual of (\S+) in", message).group(1))
        assert said == pytest.approx(left.max(), rel=0.1, abs=known.max())
        assert "Raise alpha=" in message
    return found, bool(message)


@pytest.mark.parametrize("rank", [0, 3, 15, 100])
@pytest.mark.parametrize("name", [*DEFINITE, *SINGULAR, *BELOW_CUTOFF])
def test_with_a_ridge_every_matrix_is_solved(name, rank):
    K = {**DEFINITE, **SINGULAR, **BELOW_CUTOFF}[name].astype(float)
    values = np.linalg.eigvalsh(K)
    alpha = 1e-3 * max(np.abs(values).max(), 1e-300) + max(-values[0], 0) * 1.01
    y = targets(K)
    found, warned = solved(K, y, alpha, preconditioner=factored(K, rank) if rank else None, tol=1e-10)
    assert not warned
    expected = np.linalg.solve(K + alpha * np.eye(len(K)), y)
    condition = (values[-1] + alpha) / (values[0] + alpha)
    np.testing.assert_allclose(found.dual_coef, expected, rtol=0, atol=1e-9 * condition * np.abs(expected).max())


@pytest.mark.parametrize("rank", [0, 3, 15, 100])
@pytest.mark.parametrize("name", [*DEFINITE, *SINGULAR, *BELOW_CUTOFF])
def test_without_one_it_is_solved_or_there_is_a_warning(name, rank):
    K = {**DEFINITE, **SINGULAR, **BELOW_CUTOFF}[name].astype(float)
    for y in targets(K), K @ targets(K) + 1e-100:
        solved(K, y, preconditioner=factored(K, rank) if rank else None, max_iter=300)


@pytest.mark.parametrize("power", [2, 6, 10, 14])
def test_the_whole_factor_solves_at_once(power):
    K = spectrum(np.logspace(-power, 0, 60))
    y = targets(K)
    found, warned = solved(K, y, 1e-12, preconditioner=factored(K, 60), tol=1e-6)
    assert not warned
    assert found.n_iter <= 15


@pytest.mark.parametrize("n", [18, 100])
def test_the_whole_factor_without_a_ridge(n):
    K = spectrum(np.linspace(0.1, 1, n))
    for seed in range(5):
        F = pivoted_cholesky(K.diagonal(), lambda rows, columns: K[rows][:, columns], n, rng=seed)
        y = np.random.default_rng(seed).normal(size=(n, 1))
        found, warned = solved(K, y, preconditioner=F)
        assert not warned
        assert found.n_iter <= 12


def test_preconditioning_saves_iterations():
    K, alpha = rbf(points(200) / 2), 1e-4
    y = targets(K)
    plain, _ = solved(K, y, alpha, max_iter=5000)
    few, _ = solved(K, y, alpha, preconditioner=factored(K, 20))
    many, _ = solved(K, y, alpha, preconditioner=factored(K, 80))
    assert 5 * many.n_iter < 2 * few.n_iter < plain.n_iter
    np.testing.assert_allclose(K @ many.dual_coef, K @ plain.dual_coef, rtol=0, atol=1e-5)


def test_columns_stop_one_by_one():
    K = rbf(points(100))
    y = np.column_stack([np.linalg.eigh(K)[1][:, -1], targets(K, 1)[:, 0], np.zeros(100)])
    widths = []

    def matvec(V):
        widths.append(V.shape[1])
        return K @ V

    found = conjugate_gradients(matvec, y, 0.01, tol=1e-8)
    assert found.converged.all()
    assert widths[0] == 2
    assert widths.count(2) <= 4
    assert len(widths) == found.n_iter + 1
    assert (found.dual_coef[:, 2] == 0).all()
    for column, target in zip(found.dual_coef.T, y.T, strict=True):
        single = conjugate_gradients(lambda V: K @ V, target, 0.01, tol=1e-8).dual_coef
        np.testing.assert_allclose(column, single, rtol=0, atol=1e-6)


def test_products_in_float32_are_enough():
    X = points(150)
    K = rbf(X)
    y, K32 = targets(K), K.astype(np.float32)
    found = conjugate_gradients(lambda V: K32 @ V.astype(np.float32), y, 0.1, preconditioner=factored(K, 40), tol=1e-5)
    assert found.dual_coef.dtype == np.float64
    assert found.converged.all()
    np.testing.assert_allclose(found.dual_coef, np.linalg.solve(K + 0.1 * np.eye(150), y), rtol=0, atol=1e-3)


def test_an_inconsistent_system_does_not_blow_up():
    K = np.diag([1.0, 0.0, 2.0])
    with pytest.warns(ConvergenceWarning, match="residual of 0.8"):
        found = conjugate_gradients(lambda V: K @ V, np.ones(3))
    assert np.abs(found.dual_coef).max() < 10


def test_more_outputs_than_samples():
    K = spectrum(np.linspace(1, 2, 5))
    y = targets(K, 40)
    found, warned = solved(K, y, 0.5, tol=1e-12)
    assert not warned
    np.testing.assert_allclose(found.dual_coef, np.linalg.solve(K + 0.5 * np.eye(5), y), rtol=1e-10, atol=1e-12)


@given(
    X=st.lists(st.tuples(*[st.floats(-10, 10)] * 2), min_size=1, max_size=12),
    alpha=st.sampled_from([0.0, 1e-14, 1e-8, 1e-3, 1.0, 1e12]),
    scale=st.sampled_from([1e-100, 1e-8, 1.0, 1e8, 1e100]),
    rank=st.integers(0, 14),
)
def test_any_kernel_matrix(X, alpha, scale, rank):
    K = scale * rbf(np.array(X))
    y = np.random.default_rng(len(X)).normal(size=len(K))
    found, _ = solved(K, y, alpha, preconditioner=factored(K, rank) if rank else None, max_iter=200)
    if alpha >= 1e-3 * scale * len(K):
        assert found.converged.all()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"y": [1.0, np.nan]}, "y must be finite"),
        ({"y": 1.0}, r"y must be finite and of shape \(1,\)"),
        ({"alpha": -1.0}, "alpha must be finite and >= 0"),
        ({"tol": 0.0}, "tol and max_iter must be positive, found tol=0"),
        ({"tol": np.nan}, "tol and max_iter must be positive, found tol=nan"),
        ({"max_iter": 0}, "tol and max_iter must be positive, .* max_iter=0"),
        ({"matvec": lambda V: V * np.nan}, "A product with the matrix is NaN or infinite"),
    ],
)
def test_bad_input(arguments, message):
    with pytest.raises(ValueError, match=message):
        conjugate_gradients(**{"matvec": lambda V: V, "y": [1.0, 2.0], **arguments})
