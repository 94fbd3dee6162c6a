"""Kernels inside scikit-learn: everything there that takes a kernel takes ours."""

import numpy as np
import pytest
from sklearn.cluster import SpectralClustering
from sklearn.datasets import make_moons
from sklearn.decomposition import KernelPCA
from sklearn.gaussian_process import GaussianProcessClassifier, GaussianProcessRegressor
from sklearn.gaussian_process.kernels import WhiteKernel
from sklearn.kernel_approximation import Nystroem
from sklearn.kernel_ridge import KernelRidge
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.svm import SVC, SVR, OneClassSVM

from ntkkit import NNGP, NTK, FullyConnected, Kernel
from ntkkit.engine import compile as engine_compile

KERNEL = NTK(FullyConnected(depth=1))


@pytest.fixture(scope="module")
def moons():
    return make_moons(60, noise=0.1, random_state=0)


def test_svc_and_svr(moons):
    X, y = moons
    assert SVC(kernel=KERNEL, C=10).fit(X, y).score(X, y) > 0.95
    assert np.isfinite(SVR(kernel=KERNEL).fit(X, y).predict(X)).all()
    np.testing.assert_array_equal(
        SVC(kernel=KERNEL).fit(X, y).predict(X), SVC(kernel="precomputed").fit(KERNEL(X), y).predict(KERNEL(X))
    )


def test_svc_reads_images_and_cross_validates_them(moons):
    X, y = moons
    images = np.repeat(X, 2, axis=1).reshape(60, 2, 2, 1)
    kernel = NTK(FullyConnected(depth=1, input_shape=(2, 2, 1)))
    np.testing.assert_array_equal(
        cross_val_score(SVC(kernel=kernel), images, y, cv=3),
        cross_val_score(SVC(kernel=kernel), images.reshape(60, -1), y, cv=3),
    )


def test_svc_with_nan_is_told_by_the_kernel(moons):
    X, y = moons
    with pytest.raises(ValueError, match="Input X contains NaN"):
        SVC(kernel=KERNEL).fit(np.where(X > 1, np.nan, X), y)


def test_kernel_ridge(moons):
    X, y = moons
    model = KernelRidge(kernel=KERNEL, alpha=0.1).fit(X, y)
    dual = np.linalg.solve(KERNEL(X) + 0.1 * np.eye(60), y)
    np.testing.assert_allclose(model.predict(X[:5]), KERNEL(X[:5], X) @ dual, rtol=1e-6)


def test_gaussian_process_regressor_learns_hyperparameters(moons):
    X, _ = moons
    y = np.sin(3 * X[:, 0])
    kernel = NNGP(FullyConnected(depth=1), bounds={"network__weight_var": (1e-2, 1e2)})
    model = GaussianProcessRegressor(kernel=kernel, alpha=1e-4).fit(X, y)
    fixed = GaussianProcessRegressor(kernel=kernel, alpha=1e-4, optimizer=None).fit(X, y)
    assert model.log_marginal_likelihood_value_ > fixed.log_marginal_likelihood_value_ + 1
    assert model.kernel_ != kernel
    np.testing.assert_allclose(fixed.kernel_.theta, kernel.theta)  # not equal: theta is a logarithm
    assert repr(kernel) == repr(NNGP(FullyConnected(depth=1), bounds={"network__weight_var": (1e-2, 1e2)}))
    mean, std = model.predict(X[:4], return_std=True)
    assert np.isfinite(mean).all()
    assert (std >= 0).all()
    theta, step = kernel.theta, 1e-5
    _, gradient = fixed.log_marginal_likelihood(theta, eval_gradient=True)
    for i in range(len(theta)):
        shift = step * np.eye(len(theta))[i]
        up, down = (fixed.log_marginal_likelihood(theta + s) for s in (shift, -shift))
        assert gradient[i] == pytest.approx((up - down) / (2 * step), rel=1e-5)


def test_gaussian_process_with_a_kernel_of_scikit_learn_beside(moons):
    X, y = moons
    model = GaussianProcessRegressor(kernel=NNGP(FullyConnected(depth=1)) + WhiteKernel(0.1)).fit(X, y)
    assert np.isfinite(model.predict(X)).all()


def test_gaussian_process_classifier(moons):
    X, y = moons
    model = GaussianProcessClassifier(kernel=NNGP(FullyConnected(depth=1)), max_iter_predict=20).fit(X, y)
    assert model.score(X, y) > 0.9


def test_one_class_pca_nystroem_spectral(moons):
    X, _ = moons
    assert set(OneClassSVM(kernel=KERNEL, nu=0.2).fit_predict(X)) == {-1, 1}
    assert KernelPCA(3, kernel=KERNEL).fit_transform(X).shape == (60, 3)
    features = Nystroem(KERNEL, n_components=60, random_state=0).fit_transform(X)
    np.testing.assert_allclose(features @ features.T, KERNEL(X), atol=1e-6)
    labels = SpectralClustering(2, affinity=KERNEL, random_state=0).fit_predict(X - X.mean(axis=0) + 3)
    assert set(labels) == {0, 1}


@pytest.mark.parametrize("make", [lambda k: SVC(kernel=k), lambda k: KernelRidge(kernel=k)])
def test_grid_search_in_two_processes(make, moons):
    X, y = moons
    grid = {"kernel__network__depth": [1, 2], "kernel__network__weight_var": [1.0, 2.0]}
    search = GridSearchCV(make(KERNEL), grid, cv=2, n_jobs=2).fit(X, y)
    assert len(search.cv_results_["params"]) == 4
    assert search.best_estimator_.kernel.network.depth == search.best_params_["kernel__network__depth"]
    assert KERNEL.network.depth == 1


def test_one_trace_for_ten_values_of_weight_var(moons):
    traces = []

    class Counting(Kernel):
        _leaves = ("weight_var",)

        def __init__(self, weight_var=1.0):
            self.weight_var = weight_var

        def tile(self, X, Y, *, same=False):
            traces.append(same)
            return FullyConnected(weight_var=self.weight_var).limits(X, Y, same=same)[1]

        def tile_diag(self, X):
            return FullyConnected(weight_var=self.weight_var).limits_diag(X)[1]

    X = moons[0]
    for weight_var in (1, 2, 0.5, np.float64(1.5), np.float32(0.25), np.int64(3), 4.0, 5.0, 6.0, 7.0):
        Counting(weight_var)(X)
    assert traces == [True]
    compiled_before = engine_compile._slot.cache_info().misses
    GaussianProcessRegressor(kernel=Counting(1.0), optimizer=None).fit(X, X[:, 0]).predict(X[:5])
    assert engine_compile._slot.cache_info().misses == compiled_before + 1  # the rectangle K(X*, X)
