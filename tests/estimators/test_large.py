"""Iterative solvers in the estimators: the same machine where they can be, few centres where they cannot."""

import numpy as np
import pytest
from sklearn.gaussian_process.kernels import RBF, WhiteKernel
from sklearn.metrics.pairwise import rbf_kernel
from sklearn.utils.estimator_checks import parametrize_with_checks

from ntkkit import NTK, Engine, FullyConnected, NeuralKernelClassifier, NeuralKernelRegressor
from ntkkit.estimators._large import choose_solver

KERNEL = NTK(FullyConnected(depth=1))
SOLVERS = ["pcg", "nystrom"]


@pytest.mark.filterwarnings("ignore::scipy.linalg.LinAlgWarning", "ignore::sklearn.exceptions.ConvergenceWarning")
@parametrize_with_checks(
    [
        NeuralKernelRegressor(RBF(), solver="pcg", tol=1e-12, random_state=0),
        NeuralKernelClassifier(RBF(), solver="nystrom", tol=1e-12, random_state=0),
        NeuralKernelRegressor(RBF(), solver="nystrom", tol=1e-12, random_state=0),
    ]
)
def test_scikit_learn_checks(estimator, check):
    check(estimator)


@pytest.fixture
def data(rng):
    X = rng.standard_normal((300, 3))
    return X, np.stack([np.sin(X[:, 0]), X[:, 1] * X[:, 2]], axis=1), rng.standard_normal((50, 3))


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("kernel", [KERNEL, RBF(2.0), rbf_kernel], ids=["ours", "scikit-learn", "callable"])
@pytest.mark.parametrize("weighted", [False, True])
def test_with_a_centre_a_sample_it_is_the_exact_machine(solver, kernel, weighted, data):
    X, y, X_test = data
    weights = np.r_[np.zeros(10), np.linspace(0.5, 2, 290)] if weighted else None
    exact = NeuralKernelRegressor(kernel, alpha=0.1).fit(X, y, sample_weight=weights)
    model = NeuralKernelRegressor(kernel, alpha=0.1, solver=solver, tol=1e-10, random_state=0)
    found = model.fit(X, y, sample_weight=weights)
    assert found.solver_ == solver
    np.testing.assert_allclose(found.predict(X_test), exact.predict(X_test), atol=1e-6)


@pytest.mark.parametrize("weighted", [False, True])
def test_a_matrix_that_does_not_fit_is_streamed(weighted, data):
    X, y, X_test = data
    weights = np.r_[np.zeros(10), np.linspace(0.5, 2, 290)] if weighted else None
    model = NeuralKernelRegressor(KERNEL, alpha=0.1, solver="pcg", n_components=60, tol=1e-10, random_state=0)
    stored = model.fit(X, y, sample_weight=weights).predict(X_test)
    assert model.solver_reason_ == "as asked"
    model.set_params(engine=Engine(memory="400KB"))
    streamed = model.fit(X, y, sample_weight=weights).predict(X_test)
    assert "evaluated in every iteration" in model.solver_reason_
    np.testing.assert_allclose(streamed, stored, atol=1e-8)


@pytest.mark.parametrize("solver", SOLVERS)
def test_few_components(solver, data):
    X, y, X_test = data
    exact = NeuralKernelRegressor(KERNEL, alpha=0.1).fit(X, y).predict(X_test)
    model = NeuralKernelRegressor(KERNEL, alpha=0.1, solver=solver, n_components=60, random_state=0).fit(X, y)
    again = NeuralKernelRegressor(KERNEL, alpha=0.1, solver=solver, n_components=60, random_state=0).fit(X, y)
    error = np.abs(model.predict(X_test) - exact).max()
    assert error < (1e-3 if solver == "pcg" else 0.3)
    np.testing.assert_array_equal(model.predict(X_test), again.predict(X_test))
    assert model.X_fit_.shape == ((300, 3) if solver == "pcg" else (60, 3))
    assert model.n_iter_ >= 1


@pytest.mark.parametrize("solver", SOLVERS)
def test_float32(solver, data):
    X, y, X_test = data
    exact = NeuralKernelRegressor(KERNEL, alpha=0.1).fit(X, y).predict(X_test)
    model = NeuralKernelRegressor(KERNEL, alpha=0.1, solver=solver, random_state=0).fit(X.astype(np.float32), y)
    np.testing.assert_allclose(model.predict(X_test.astype(np.float32)), exact, atol=1e-3)


def test_classes(data):
    X, y, X_test = data
    labels = np.where(y[:, 0] > 0, "up", "down")
    exact = NeuralKernelClassifier(KERNEL).fit(X, labels)
    for solver in SOLVERS:
        model = NeuralKernelClassifier(KERNEL, solver=solver, n_components=100, random_state=0).fit(X, labels)
        assert np.mean(model.predict(X_test) == exact.predict(X_test)) > 0.95


@pytest.mark.parametrize(
    ("n", "memory", "alpha", "rectangles", "expected", "reason"),
    [
        (1000, "1GB", 0.1, True, "auto", "a factorisation in float64 needs 0.016 GB"),
        (20_000, "20GB", 0.1, True, "pcg", "the Gram matrix of 3.2 GB is kept"),
        (20_000, "20GB", 0.0, True, "auto", "alpha=0.0 asks for a factorisation"),
        (20_000, "1GB", 0.1, True, "nystrom", "would need 3.2 GB"),
        (20_000, "1GB", 0.1, False, "auto", "the Gram matrix is there"),
    ],
)
def test_the_automatic_choice(n, memory, alpha, rectangles, expected, reason):
    found, why = choose_solver(n, alpha=alpha, itemsize=8, engine=Engine(memory=memory), rectangles=rectangles)
    assert found == expected
    assert reason in why
    assert f"n = {n}, memory" in why


def test_little_memory_takes_centres_and_says_so(data):
    X, y, _ = data
    model = NeuralKernelRegressor(KERNEL, n_components=20, engine=Engine(memory="200kB")).fit(X, y)
    assert model.solver_ == "nystrom"
    assert "the Gram matrix would need" in model.solver_reason_


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"solver": "pcg", "train_time": 1.0}, "takes one alpha and no train_time"),
        ({"solver": "nystrom", "alpha": [0.1, 0.2]}, "takes one alpha and no train_time"),
        ({"solver": "nystrom", "kernel": "precomputed"}, "evaluates parts of the kernel"),
        ({"solver": "nystrom", "n_components": 0}, "n_components"),
        ({"solver": "pcg", "tol": 0.0}, "tol"),
        ({"solver": "nystrom", "kernel": KERNEL + WhiteKernel(0.1)}, "the noise that .* adds to its diagonal"),
        (
            {"solver": "pcg", "kernel": KERNEL + WhiteKernel(0.1), "engine": Engine(memory="400KB")},
            "the noise that .* adds to its diagonal",
        ),
    ],
)
def test_what_they_cannot_do(params, message, data):
    X, y, _ = data
    X = np.eye(300) if params.get("kernel") == "precomputed" else X
    with pytest.raises(ValueError, match=message):
        NeuralKernelRegressor(**{"kernel": KERNEL, **params}).fit(X, y)


def test_centres_have_no_posterior(data):
    X, y, X_test = data
    model = NeuralKernelRegressor(KERNEL, solver="nystrom", n_components=20).fit(X, y)
    with pytest.raises(ValueError, match="no posterior"):
        model.predict(X_test, return_std=True)
