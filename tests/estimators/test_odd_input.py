"""Good input of odd kinds."""

import numpy as np
import pandas as pd
import polars as pl
import pytest
from scipy.linalg import LinAlgWarning
from sklearn.gaussian_process.kernels import RBF
from sklearn.kernel_ridge import KernelRidge

from ntkkit.estimators import NeuralKernelClassifier, NeuralKernelRegressor
from ntkkit.kernels import NTK
from ntkkit.networks import FullyConnected

RNG = np.random.default_rng(0)
X = RNG.integers(-3, 4, size=(20, 3)).astype(float) + RNG.normal(size=(20, 3)).round()
X = np.unique(X, axis=0)
Y = RNG.normal(size=len(X))


def fitted(X, y=Y, **kwargs):
    return NeuralKernelRegressor(**kwargs).fit(X, y)


@pytest.mark.parametrize(
    "convert",
    [
        lambda X: X.astype(np.int8),
        lambda X: X.astype(np.int64),
        lambda X: X.astype(np.float16),
        lambda X: X.tolist(),
        lambda X: X.astype(object),
        lambda X: np.asfortranarray(X),
        lambda X: np.repeat(X, 2, axis=0)[::2],
        lambda X: pd.DataFrame(X, columns=["a", "b", "c"]),
        lambda X: pd.DataFrame(X.astype(int), columns=["a", "b", "c"]).astype({"a": "int8", "b": "Int64"}),
        lambda X: pl.DataFrame(X, schema=["a", "b", "c"]),
    ],
    ids=["int8", "int64", "float16", "list", "object", "Fortran", "strided", "pandas", "pandas, mixed", "polars"],
)
def test_containers_and_dtypes(convert):
    model = fitted(convert(X))
    assert model.X_fit_.dtype == np.float64
    np.testing.assert_allclose(model.predict(convert(X)), fitted(X).predict(X), rtol=1e-12)


@pytest.mark.parametrize(
    "frame",
    [pd.DataFrame(X, columns=["a", "b", "c"]), pl.DataFrame(X, schema=["a", "b", "c"])],
    ids=["pandas", "polars"],
)
def test_frames_leave_their_names(frame):
    model = NeuralKernelClassifier().fit(frame, frame["a"] > 0)
    # which frames have names depends on the version of scikit-learn
    expected = getattr(KernelRidge().fit(frame, frame["a"]), "feature_names_in_", None)
    np.testing.assert_array_equal(getattr(model, "feature_names_in_", None), expected)
    assert set(model.predict(frame)) == {True, False}
    assert not hasattr(model.fit(X, X[:, 0] > 0), "feature_names_in_")


def test_columns_in_another_order_are_an_error():
    frame = pd.DataFrame(X, columns=["a", "b", "c"])
    with pytest.raises(ValueError, match="feature names should match"):
        fitted(frame).predict(frame[["c", "b", "a"]])


def test_bool_columns():
    bits = np.array([[i >> 2 & 1, i >> 1 & 1, i & 1] for i in range(8)], dtype=bool)
    parity = bits.sum(axis=1) % 2 == 1
    model = NeuralKernelClassifier(alpha=0).fit(bits, parity)
    np.testing.assert_array_equal(model.predict(bits), parity)


def test_one_sample():
    for alpha, expected in ((0, 7.0), (NTK(FullyConnected())(X[:1])[0, 0], 3.5)):
        assert fitted(X[:1], [7.0], alpha=alpha).predict(X[:1]) == pytest.approx([expected])


def test_one_feature():
    x = np.linspace(-2, 2, 9)[:, None]
    np.testing.assert_allclose(fitted(x, np.abs(x[:, 0]), alpha=0).predict(x), np.abs(x[:, 0]), atol=1e-9)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e3])
@pytest.mark.parametrize("kernel", [None, RBF()], ids=["ntk", "rbf"])
def test_duplicate_rows_without_a_ridge_give_the_mean_of_their_targets(dtype, scale, kernel):
    wide = (scale * np.random.default_rng(1).normal(size=(20, 5))).astype(dtype)
    if kernel is not None:
        wide /= dtype(scale)
    groups = np.r_[np.arange(20), 3, 3, 9, 19, 0]
    y = np.random.default_rng(2).normal(size=len(groups))
    with pytest.warns(LinAlgWarning, match="Raise alpha to .* left out 5 of 25"):
        model = fitted(wide[groups], y, alpha=0, kernel=kernel)
    assert model.solver_ == "eigen"
    means = np.bincount(groups, y) / np.bincount(groups)
    tolerance = 1e-8 if dtype == np.float64 else 1e-4
    np.testing.assert_allclose(model.predict(wide), means, atol=tolerance)
    # minimum norm: duplicates share their coefficient
    np.testing.assert_allclose(model.dual_coef_[[3, 3, 9]], model.dual_coef_[[20, 21, 22]], rtol=1e-6)


def test_constant_columns_and_constant_rows():
    constant = np.full((6, 2), 3.0)
    y = np.arange(6.0)
    with pytest.warns(LinAlgWarning, match="left out 5 of 6"):
        np.testing.assert_allclose(fitted(constant, y, alpha=0).predict(constant), y.mean())
    k = NTK(FullyConnected())(constant[:1])[0, 0]
    np.testing.assert_allclose(fitted(constant, y, alpha=0.5).predict(constant), y.sum() * k / (6 * k + 0.5))
    labels = NeuralKernelClassifier().fit(constant, [0, 0, 0, 0, 1, 1]).predict(constant)
    np.testing.assert_array_equal(labels, 0)


def test_all_zero_rows():
    without_bias = NTK(FullyConnected(bias_var=0.0))
    with pytest.warns(LinAlgWarning, match="left out 4 of 4"):
        model = fitted(np.zeros((4, 2)), np.ones(4), alpha=0, kernel=without_bias)
    np.testing.assert_array_equal(model.predict(np.zeros((4, 2))), 0.0)


def test_constant_targets():
    np.testing.assert_allclose(fitted(X, np.full(len(X), 2.0), alpha=0).predict(X), 2.0, rtol=1e-8)


def test_integer_and_bool_targets():
    np.testing.assert_allclose(fitted(X, Y > 0, alpha=0).predict(X), Y > 0, atol=1e-8)
    np.testing.assert_allclose(fitted(X, (10 * Y).astype(int), alpha=0).predict(X), (10 * Y).astype(int), atol=1e-7)


def test_read_only_arrays():
    frozen, y = X.copy(), Y.copy()
    K = RBF()(X)
    for array in (frozen, y, K):
        array.flags.writeable = False
    np.testing.assert_allclose(fitted(frozen, y).predict(frozen), fitted(X).predict(X))
    np.testing.assert_allclose(fitted(K, y, kernel="precomputed").predict(K), fitted(X, kernel=RBF()).predict(X))
