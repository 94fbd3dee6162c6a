"""Explicit features: their inner products are the kernel, and linear models on them kernel machines."""

import pickle

import numpy as np
import pytest
from references.hostile import hostile_rows
from scipy.linalg import LinAlgWarning
from sklearn.base import clone
from sklearn.datasets import make_regression
from sklearn.gaussian_process.kernels import RBF, WhiteKernel
from sklearn.linear_model import Ridge, RidgeClassifier
from sklearn.metrics.pairwise import rbf_kernel
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.utils.estimator_checks import parametrize_with_checks

from ntkkit import NNGP, NTK, FullyConnected, NeuralKernelFeatures, NeuralKernelRegressor
from ntkkit.networks import Dense, Relu, Residual, Serial

METHODS = ["rpcholesky", "uniform", "random"]
ON_ROWS = METHODS[:2]


@pytest.fixture
def rows(rng):
    return rng.normal(size=(50, 4))


@pytest.mark.filterwarnings("ignore:n_components=", "ignore::scipy.linalg.LinAlgWarning")  # of indefinite data
@parametrize_with_checks(
    [NeuralKernelFeatures(n_components=5, method=method) for method in METHODS]
    + [
        NeuralKernelFeatures(NNGP(FullyConnected(depth=1)), n_components=5, method="random"),
        NeuralKernelFeatures("precomputed"),
        NeuralKernelFeatures(RBF()),
    ]
)
def test_scikit_learn_checks(estimator, check):
    check(estimator)


@pytest.mark.parametrize("method", ON_ROWS)
@pytest.mark.parametrize(
    "kernel", [None, RBF(2.0), rbf_kernel, "precomputed"], ids=["ours", "scikit-learn", "callable", "precomputed"]
)
def test_as_many_features_as_samples_are_the_kernel(method, kernel, rows):
    new = rows[:7] + 0.1
    evaluate = NTK(FullyConnected()) if kernel is None else RBF(2.0) if kernel == "precomputed" else kernel
    K, K_new = evaluate(rows, rows), evaluate(new, rows)
    features = NeuralKernelFeatures(kernel, n_components=50, method=method, random_state=0)
    X, X_new = (K, K_new) if kernel == "precomputed" else (rows, new)
    Z = features.fit_transform(X)
    np.testing.assert_allclose(Z @ Z.T, K, rtol=0, atol=1e-9 * K.max())
    np.testing.assert_allclose(features.transform(X_new) @ Z.T, K_new, rtol=0, atol=1e-7 * K.max())
    np.testing.assert_allclose(features.transform(X), Z, rtol=0, atol=1e-6 * np.sqrt(K.max()))
    np.testing.assert_allclose(clone(features).fit(X).transform(X), Z, rtol=0, atol=1e-6 * np.sqrt(K.max()))


@pytest.mark.parametrize("method", ON_ROWS)
def test_fewer_are_nystroms_approximation(method, rows):
    K = NTK(FullyConnected())(rows)
    features = NeuralKernelFeatures(n_components=12, method=method, random_state=0).fit(rows)
    S = features.component_indices_
    Z = features.transform(rows)
    np.testing.assert_allclose(Z @ Z.T, K[:, S] @ np.linalg.solve(K[np.ix_(S, S)], K[S]), rtol=0, atol=1e-9 * K.max())
    np.testing.assert_array_equal(features.components_, rows[S])
    assert features.factor_.shape == (features.n_components_, 12)


def test_a_linear_model_on_them_is_the_kernel_machine(rows):
    X, y = make_regression(50, 4, noise=5.0, random_state=0)
    y = y / y.std()
    machine = NeuralKernelRegressor(alpha=0.1).fit(X, y)
    errors = []
    for n_components in (50, 25):
        features = NeuralKernelFeatures(n_components=n_components, random_state=0)
        linear = make_pipeline(features, Ridge(0.1, fit_intercept=False, solver="svd")).fit(X, y)
        errors.append(np.abs(linear.predict(rows) - machine.predict(rows)).max())
    assert errors[0] < 1e-7 < errors[1] < 0.3


@pytest.mark.slow
@pytest.mark.parametrize(
    "kernel",
    [
        NTK(FullyConnected(depth=2)),
        NNGP(FullyConnected(depth=1, activation="erf")),
        NTK(Serial([Dense(), Relu(), Residual(Serial([Dense(1.0), Relu(), Dense(1.0, 0.0)])), Dense()])),
        NTK(FullyConnected(depth=2, n_frozen_layers=1, input_scale=0.5)),
    ],
    ids=["NTK", "NNGP", "residual", "frozen"],
)
def test_the_error_of_random_features_falls_like_one_over_root_number(kernel, rows):
    K, X = kernel(rows), rows.astype(np.float32)
    errors = []
    for n_components in (32, 512):
        features = [
            NeuralKernelFeatures(kernel, n_components=n_components, method="random", random_state=i) for i in range(8)
        ]
        Z = [f.fit_transform(X).astype(float) for f in features]
        assert {z.shape for z in Z} == {(50, n_components)}
        errors.append(np.mean([np.linalg.norm(z @ z.T - K) for z in Z]) / np.linalg.norm(K))
    slope = np.log(errors[1] / errors[0]) / np.log(512 / 32)
    assert -0.65 < slope < -0.35
    average = np.linalg.norm(np.mean([z @ z.T for z in Z], axis=0) - K) / np.linalg.norm(K)
    assert average < 2 * errors[1] / np.sqrt(8)  # and nothing but chance is in it


@pytest.mark.parametrize("method", METHODS)
def test_one_seed_one_result_in_both_precisions(method, rows):
    features = NeuralKernelFeatures(n_components=10, method=method, random_state=3)
    Z = features.fit_transform(rows)
    np.testing.assert_array_equal(clone(features).fit_transform(rows), Z)
    assert np.abs(clone(features).set_params(random_state=4).fit_transform(rows) - Z).max() > 0.1
    low = features.fit(rows.astype(np.float32)).transform(rows.astype(np.float32))
    assert (Z.dtype, low.dtype) == (np.float64, np.float32)
    # near ties may change the order of the chosen rows
    np.testing.assert_allclose(low.astype(float) @ low.T, Z @ Z.T, rtol=0, atol=1e-3 * np.square(Z).max())
    again = pickle.loads(pickle.dumps(features))
    np.testing.assert_array_equal(again.transform(rows.astype(np.float32)), low)


@pytest.mark.parametrize("method", ON_ROWS)
def test_hostile_rows_in_float32(method):
    X = hostile_rows()
    K = NTK(FullyConnected())(X.astype(float))
    with pytest.warns(UserWarning, match=f"n_components=1000 is more than the {len(X)} samples"):
        features = NeuralKernelFeatures(n_components=1000, method=method, random_state=0).fit(X)
    Z = features.transform(X).astype(float)
    assert 40 < features.n_components_ < len(X)
    scale = np.sqrt(np.outer(K.diagonal(), K.diagonal()))
    assert np.abs((Z @ Z.T - K) / scale).max() < 2e-3


def test_equal_rows_take_one_feature(rows):
    X = np.repeat(rows[:5], 10, axis=0)
    features = NeuralKernelFeatures(n_components=20).fit(X)
    assert features.n_components_ == 5
    assert list(features.get_feature_names_out()) == [f"neuralkernelfeatures{i}" for i in range(5)]


def test_the_noise_of_a_white_kernel_is_no_feature(rows):
    features = NeuralKernelFeatures(RBF(), n_components=30, random_state=0)
    Z = features.fit_transform(rows)
    np.testing.assert_allclose(features.set_params(kernel=RBF() + WhiteKernel(5.0)).fit_transform(rows), Z)


def test_an_indefinite_kernel_is_a_warning():
    K = np.ones((3, 3)) - 0.5 * np.eye(3)
    with pytest.warns(LinAlgWarning, match="not positive semi-definite"):
        Z = NeuralKernelFeatures("precomputed", n_components=3).fit_transform(K)
    assert np.isfinite(Z).all()


@pytest.mark.parametrize("method", METHODS)
def test_images(method, rng):
    images = rng.normal(size=(9, 2, 3, 1))
    kernel = NTK(FullyConnected(depth=1, input_shape=(2, 3, 1)))
    features = NeuralKernelFeatures(kernel, n_components=9, method=method, random_state=0).fit(images)
    np.testing.assert_array_equal(features.transform(images), features.transform(images.reshape(9, -1)))


def test_search_in_a_pipeline():
    X, y = make_regression(60, 4, noise=1.0, random_state=0)
    pipeline = make_pipeline(NeuralKernelFeatures(NTK(FullyConnected()), random_state=0), RidgeClassifier())
    grid = {
        "neuralkernelfeatures__kernel__network__depth": [1, 2],
        "neuralkernelfeatures__method": ["rpcholesky", "uniform"],
        "neuralkernelfeatures__n_components": [3, 20],
    }
    search = GridSearchCV(pipeline, grid, error_score="raise").fit(X, y > 0)
    assert search.best_score_ > 0.8
    assert search.best_params_["neuralkernelfeatures__n_components"] == 20


@pytest.mark.parametrize(
    ("params", "X", "error", "message"),
    [
        (
            {"kernel": NTK(FullyConnected()) + 1.0, "method": "random"},
            None,
            ValueError,
            "NTK.network. and NNGP.*Sum",
        ),
        ({"kernel": RBF(), "method": "random"}, None, ValueError, r"found kernel=RBF.*'rpcholesky'"),
        ({"kernel": "precomputed", "method": "random"}, np.eye(3), ValueError, "found kernel='precomputed'"),
        ({"n_components": 0}, None, ValueError, "'n_components' parameter .* Got 0"),
        ({"method": "svd"}, None, ValueError, "'method' parameter .* Got 'svd'"),
        ({"kernel": "precomputed"}, np.triu(np.ones((3, 3))), ValueError, "must be symmetric"),
        ({"kernel": "precomputed"}, np.ones((3, 4)), ValueError, "must be a square matrix"),
        ({"kernel": "precomputed"}, np.zeros((3, 3)), ValueError, "there are no features"),
        ({"kernel": "precomputed"}, -np.eye(3), ValueError, "there are no features"),
    ],
)
@pytest.mark.filterwarnings("ignore:n_components=", "ignore::scipy.linalg.LinAlgWarning")
def test_a_failed_fit_says_why_and_leaves_no_trace(params, X, error, message, rows):
    features = NeuralKernelFeatures(n_components=4, random_state=0).fit(rows)
    Z = features.transform(rows)
    features.set_params(**params)
    before = sorted(vars(features))
    with pytest.raises(error, match=message):
        features.fit(rows if X is None else X)
    assert sorted(vars(features)) == before
    np.testing.assert_array_equal(features.transform(rows), Z)
