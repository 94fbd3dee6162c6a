"""The regressor against scikit-learn's machines and the textbook."""

from typing import ClassVar

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import config_context
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF
from sklearn.kernel_ridge import KernelRidge

from ntkkit.engine import Engine
from ntkkit.estimators import NeuralKernelRegressor
from ntkkit.kernels import NNGP, NTK
from ntkkit.networks import FullyConnected

SOLVERS = ["auto", "cholesky", "eigen"]


def data(n=30, d=3, n_targets=None, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, d))
    shape = (n,) if n_targets is None else (n, n_targets)
    return X, rng.normal(size=shape), rng.normal(size=(7, d))


@pytest.mark.parametrize("n_targets", [None, 1, 4, 40])
@pytest.mark.parametrize("solver", SOLVERS)
def test_equal_to_kernel_ridge(solver, n_targets):
    X, y, X_test = data(n_targets=n_targets)
    weights = np.random.default_rng(1).uniform(0.1, 3.0, size=30)
    for sample_weight in (None, 2.5, weights):
        ours = NeuralKernelRegressor(RBF(1.5), alpha=0.1, solver=solver).fit(X, y, sample_weight)
        theirs = KernelRidge(alpha=0.1, kernel="rbf", gamma=1 / (2 * 1.5**2)).fit(X, y, sample_weight)
        np.testing.assert_allclose(ours.predict(X_test), theirs.predict(X_test), rtol=1e-9, atol=1e-12)
        np.testing.assert_allclose(ours.dual_coef_, theirs.dual_coef_, rtol=1e-9, atol=1e-12)
        assert ours.predict(X_test).shape == (7, *y.shape[1:])
        assert ours.solver_ == ("eigen" if solver == "eigen" else "cholesky")


def test_equal_to_the_posterior_mean_of_a_gaussian_process():
    X, y, X_test = data()
    kernel = NNGP(FullyConnected(depth=2))
    ours = NeuralKernelRegressor(kernel, alpha=0.3).fit(X, y).predict(X_test)
    theirs = GaussianProcessRegressor(kernel, alpha=0.3, optimizer=None).fit(X, y).predict(X_test)
    np.testing.assert_allclose(ours, theirs, rtol=1e-9)


def test_the_default_kernel_is_the_ntk_of_the_default_network():
    X, y, X_test = data()
    default = NeuralKernelRegressor().fit(X, y)
    assert default.kernel is None
    assert default.kernel_ == NTK(FullyConnected())
    K = NTK(FullyConnected())(X)
    expected = NTK(FullyConnected())(X_test, X) @ np.linalg.solve(K + 1e-3 * np.eye(30), y)
    np.testing.assert_allclose(default.predict(X_test), expected, rtol=1e-8)


@pytest.mark.parametrize("solver", SOLVERS)
def test_without_a_ridge_it_interpolates(solver):
    X, y, _ = data(n_targets=2)
    model = NeuralKernelRegressor(alpha=0, solver=solver).fit(X, y)
    np.testing.assert_allclose(model.predict(X), y, atol=1e-10)


@given(
    weights=st.lists(st.integers(0, 4), min_size=8, max_size=8).filter(any), alpha=st.sampled_from([1e-3, 0.1, 10.0])
)
def test_weights_are_repetitions_and_zero_is_removal(weights, alpha):
    X, y, X_test = data(8, n_targets=2)
    repeated = np.repeat(np.arange(8), weights)
    for solver in SOLVERS:
        model = NeuralKernelRegressor(alpha=alpha, solver=solver)
        weighted = model.fit(X, y, sample_weight=weights).predict(X_test)
        np.testing.assert_array_equal(model.dual_coef_[np.array(weights) == 0], 0.0)
        long = model.fit(X[repeated], y[repeated]).predict(X_test)
        np.testing.assert_allclose(weighted, long, rtol=1e-7, atol=1e-9)


def test_zero_weights_with_a_precomputed_kernel():
    X, y, X_test = data()
    weights = np.r_[np.zeros(10), np.ones(10), np.full(10, 2.0)]
    kernel = NTK(FullyConnected())
    rows = NeuralKernelRegressor(kernel).fit(X, y, weights).predict(X_test)
    matrix = NeuralKernelRegressor("precomputed").fit(kernel(X), y, weights).predict(kernel(X_test, X))
    np.testing.assert_allclose(matrix, rows, rtol=1e-10)


def test_float32_inputs_are_solved_in_float64():
    X, y, X_test = data(60)
    wide = NeuralKernelRegressor(alpha=1e-2).fit(X, y)
    narrow = NeuralKernelRegressor(alpha=1e-2).fit(X.astype(np.float32), y)
    assert narrow.X_fit_.dtype == np.float32
    assert narrow.dual_coef_.dtype == narrow.predict(X_test.astype(np.float32)).dtype == np.float64
    np.testing.assert_allclose(narrow.predict(X_test.astype(np.float32)), wide.predict(X_test), atol=1e-3)


def test_prediction_in_chunks_is_the_same():
    X, y, _ = data(50, n_targets=2)
    model = NeuralKernelRegressor(RBF()).fit(X, y)
    with config_context(working_memory=1e-3):  # two rows at a time
        in_chunks = model.predict(X)
    np.testing.assert_allclose(in_chunks, model.predict(X), rtol=1e-12)


def test_the_engine_is_handed_on():
    class Spy(Engine):
        calls: ClassVar[list] = []

        def gram(self, *args):
            Spy.calls.append("gram")
            return super().gram(*args)

        def panels(self, *args, **kwargs):
            Spy.calls.append("panels")
            return super().panels(*args, **kwargs)

    X, y, X_test = data()
    NeuralKernelRegressor(engine=Spy(memory="50MB")).fit(X, y).predict(X_test)
    assert Spy.calls == ["gram", "panels"]


@pytest.mark.parametrize("kernel", [RBF(), NTK(FullyConnected(input_shape=(3, 1, 1)))], ids=["rows", "images"])
def test_what_happens_to_X_after_fit_changes_nothing(kernel):
    X, y, X_test = data()
    model = NeuralKernelRegressor(kernel).fit(X, y)
    before = model.predict(X_test)
    X[:], y[:] = 0.0, 0.0
    np.testing.assert_array_equal(model.predict(X_test), before)


def test_images_and_their_rows_are_the_same():
    rng = np.random.default_rng(0)
    images, y = rng.normal(size=(12, 3, 2, 1)), rng.normal(size=12)
    kernel = NTK(FullyConnected(input_shape=(3, 2, 1)))
    model = NeuralKernelRegressor(kernel).fit(images, y)
    assert model.n_features_in_ == 6
    expected = NeuralKernelRegressor().fit(images.reshape(12, 6), y).predict(images.reshape(12, 6))
    np.testing.assert_allclose(model.predict(images), expected)
    np.testing.assert_allclose(model.predict(images.reshape(12, 6)), expected)
    np.testing.assert_allclose(model.fit(images.reshape(12, 6), y).predict(images), expected)
