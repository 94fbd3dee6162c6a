"""Transformers of images: formulas in numpy, layouts, precision, and pipelines of them."""

import pickle

import numpy as np
import pandas as pd
import pytest
from scipy.sparse import csr_matrix
from sklearn.base import clone
from sklearn.decomposition import PCA
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

from ntkkit import NTK, Convolutional, ImageStandardizer, KernelSearchCV, NeuralKernelClassifier, ZCAWhitener

SHAPE = (4, 3, 2)
TRANSFORMERS = [ImageStandardizer(), ZCAWhitener(), ZCAWhitener(regularization=1e-3)]
both = pytest.mark.parametrize("transformer", [ImageStandardizer(), ZCAWhitener()], ids=repr)


@pytest.fixture
def images(rng):
    """Correlated, of channels far from 0 and on scales of their own."""
    mixed = rng.standard_normal((40, 24)) @ rng.standard_normal((24, 24))
    return mixed.reshape(40, *SHAPE) * [1.0, 50.0] + [3.0, 1e4]


def whitening(rows, regularization):
    """W by its formula."""
    values, vectors = np.linalg.eigh(np.cov(rows.T, bias=True))
    return vectors @ np.diag((values + regularization * values.mean()) ** -0.5) @ vectors.T


@parametrize_with_checks(TRANSFORMERS)
def test_scikit_learn_checks(estimator, check):
    check(estimator)


def test_standardizer_is_numpys_mean_and_deviation_of_each_channel(images):
    standardizer = ImageStandardizer().fit(images)
    mean, scale = images.mean(axis=(0, 1, 2)), images.std(axis=(0, 1, 2))
    np.testing.assert_allclose(standardizer.mean_, mean, rtol=1e-13)
    np.testing.assert_allclose(standardizer.scale_, scale, rtol=1e-11)
    np.testing.assert_allclose(standardizer.transform(images[:5]), (images[:5] - mean) / scale, rtol=1e-9)
    assert standardizer.input_shape_ == SHAPE
    assert standardizer.n_features_in_ == 24


def test_constant_channels_are_centred_only(images):
    images[..., 0] = 7.1
    standardizer = ImageStandardizer().fit(images)
    Z = standardizer.transform(images)
    assert standardizer.scale_[0] == 1
    np.testing.assert_allclose(Z[..., 0], 0, atol=1e-12)
    np.testing.assert_allclose(Z[..., 1].std(), 1)


def test_rows_are_of_one_channel_unless_the_shape_is_known(images):
    rows = images.reshape(40, -1)
    grey = ImageStandardizer().fit(rows)
    assert (grey.input_shape_, grey.mean_.shape) == ((24, 1), (1,))
    np.testing.assert_allclose(grey.transform(rows), (rows - rows.mean()) / rows.std(), rtol=1e-9)
    known = ImageStandardizer(input_shape=[4, 3, 2]).fit(rows)
    np.testing.assert_array_equal(known.transform(rows), ImageStandardizer().fit(images).transform(rows))
    of_positions = ImageStandardizer().fit(images.reshape(40, 12, 2))
    np.testing.assert_array_equal(of_positions.transform(rows), known.transform(rows))
    by_pixel = ImageStandardizer(input_shape=(1, 24)).fit_transform(rows)
    np.testing.assert_allclose(by_pixel, StandardScaler().fit_transform(rows), rtol=1e-9)


@pytest.mark.parametrize("n", [40, 24, 9, 2])
@pytest.mark.parametrize("regularization", [1e-4, 0.1, 10.0])
def test_whitener_is_its_formula(n, regularization, images):
    rows, new = images.reshape(40, -1)[:n], images.reshape(40, -1)[::-1]
    whitener = ZCAWhitener(regularization).fit(images[:n])
    W = whitening(rows, regularization)
    found = whitener.transform(new)
    np.testing.assert_allclose(found, (new - rows.mean(axis=0)) @ W, rtol=0, atol=1e-8 * np.abs(found).max())
    np.testing.assert_allclose(whitener.inverse_transform(found), new, rtol=1e-9)
    k = min(n, 24)
    assert whitener.components_.shape == (k, 24)
    np.testing.assert_allclose(whitener.components_ @ whitener.components_.T, np.eye(k), atol=1e-12)
    assert np.all(np.diff(whitener.explained_variance_) <= 0)
    np.testing.assert_allclose(whitener.regularization_, regularization * rows.var(axis=0).sum() / 24)


def test_hardly_regularized_the_covariance_is_the_identity_and_pca_turned_back(images):
    rows = images.reshape(40, -1)
    Z = ZCAWhitener(1e-12).fit_transform(rows)
    np.testing.assert_allclose(np.cov(Z.T, bias=True), np.eye(24), atol=1e-6)
    pca = PCA(whiten=True).fit(rows)
    np.testing.assert_allclose(Z, pca.transform(rows) @ pca.components_ * np.sqrt(40 / 39), atol=1e-5)


def test_fitted_to_flips_too_it_commutes_with_them(images):
    for X, commutes in ((images, False), (np.concatenate([images, images[:, :, ::-1]]), True)):
        whitener = ZCAWhitener().fit(X)
        gap = whitener.transform(images[:, :, ::-1])[:, :, ::-1] - whitener.transform(images)
        assert (np.abs(gap).max() < 1e-9) == commutes


@pytest.mark.parametrize("n", [40, 9])
def test_whitening_does_not_depend_on_the_scale(n, images):
    X = images[:n]
    np.testing.assert_allclose(ZCAWhitener().fit_transform(255 * X), ZCAWhitener().fit_transform(X), rtol=0, atol=1e-8)


@pytest.mark.parametrize(
    "images", [np.full((3, *SHAPE), 0.1), np.full((30, *SHAPE), 0.1), np.ones((1, *SHAPE))], ids=["few", "many", "one"]
)
def test_images_without_variance_are_centred_only(images):
    whitener = ZCAWhitener().fit(images)
    np.testing.assert_allclose(whitener.transform(images), 0, atol=1e-15)
    np.testing.assert_allclose(whitener.transform(images + 1.5), 1.5, rtol=1e-14)


@both
def test_layout_precision_and_inverse(transformer, images):
    Z = transformer.fit_transform(images)
    assert (Z.shape, Z.dtype) == (images.shape, np.float64)
    np.testing.assert_array_equal(transformer.transform(images.reshape(40, -1)), Z.reshape(40, -1))
    np.testing.assert_allclose(transformer.inverse_transform(Z), images, rtol=1e-10)
    np.testing.assert_array_equal(
        transformer.inverse_transform(Z.reshape(40, -1)), transformer.inverse_transform(Z).reshape(40, -1)
    )
    low = images.astype(np.float32)
    exact = clone(transformer).fit(low.astype(float)).transform(low.astype(float))
    for order in "CF":
        found = clone(transformer).fit(np.asarray(low, order=order)).transform(np.asarray(low, order=order))
        assert found.dtype == np.float32
        np.testing.assert_allclose(found, exact, rtol=1e-6, atol=1e-6)
    assert transformer.inverse_transform(found).dtype == np.float32
    grey = (images[..., :1] % 256).astype(np.uint8)
    np.testing.assert_array_equal(
        clone(transformer).fit_transform(grey), clone(transformer).fit_transform(grey.astype(float))
    )


@both
def test_names_frames_and_pickles(transformer, images):
    frame = pd.DataFrame(images.reshape(40, -1)).add_prefix("pixel")
    fitted = clone(transformer).fit(frame)
    assert list(fitted.get_feature_names_out()) == list(frame.columns)
    Z = fitted.transform(frame)
    assert type(Z) is np.ndarray
    np.testing.assert_array_equal(clone(fitted).set_output(transform="pandas").fit(frame).transform(frame), Z)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(fitted)).transform(frame), Z)
    fitted.fit(images)
    assert fitted.get_feature_names_out()[-1] == "x23"
    assert not hasattr(fitted, "feature_names_in_")


def test_pipelines_in_front_of_a_convolutional_kernel(images):
    y = np.arange(40) % 2
    images[y == 1, :2] += 30
    machine = NeuralKernelClassifier(NTK(Convolutional(depth=1, pooling="flatten", input_shape=SHAPE)), alpha=0.1)
    pipeline = make_pipeline(ImageStandardizer(SHAPE), ZCAWhitener(), machine).fit(images, y)
    rows = clone(pipeline).fit(images.reshape(40, -1), y)
    np.testing.assert_allclose(
        rows.decision_function(images.reshape(40, -1)), pipeline.decision_function(images), rtol=1e-8
    )
    by_hand = ZCAWhitener().fit_transform(ImageStandardizer().fit_transform(images))
    np.testing.assert_allclose(
        machine.fit(by_hand, y).decision_function(by_hand), pipeline.decision_function(images), rtol=1e-8
    )
    search = KernelSearchCV(pipeline, {"zcawhitener__regularization": [1e-3, 1.0]}, cv=2).fit(images, y)
    assert search.best_score_ > 0.6


@pytest.mark.parametrize(
    ("params", "X", "error", "message"),
    [
        ({}, np.full((3, *SHAPE), np.nan), ValueError, "Input X contains NaN"),
        ({}, np.full((3, 5), np.inf), ValueError, "Input X contains infinity"),
        ({}, np.full((3, *SHAPE), "a"), ValueError, "could not convert string to float"),
        ({}, np.ones((0, *SHAPE)), ValueError, "0 sample"),
        ({}, np.ones((3, 4, 0)), ValueError, r"X must be rows, or images of the shape .* found \(4, 0\)"),
        ({}, np.ones((3, 2, 2, 2, 1)), ValueError, r"X must be rows, or images of the shape .* found \(2, 2, 2, 1\)"),
        ({}, np.ones(5), ValueError, "(?s)Expected 2D array.*X must be 2-D"),
        ({}, csr_matrix(np.eye(3)), TypeError, "[Ss]parse"),
        ({"input_shape": SHAPE}, np.ones((3, 4, 3, 1)), ValueError, r"X has shape \(3, 4, 3, 1\), but input_shape is"),
        ({"input_shape": SHAPE}, np.ones((3, 23)), ValueError, r"X has shape \(3, 23\).*rows of 24 features"),
        ({"input_shape": (24,)}, np.ones((3, 24)), ValueError, r"input_shape must be .* found \(24,\)"),
        ({"input_shape": (4, -6)}, np.ones((3, 24)), ValueError, "input_shape must be >= 1"),
        ({"input_shape": "4x6"}, np.ones((3, 24)), ValueError, "'input_shape' parameter"),
    ],
)
@both
def test_a_failed_fit_says_why_and_leaves_no_trace(transformer, params, X, error, message, images):
    fitted = clone(transformer).fit(images)
    Z = fitted.transform(images)
    with pytest.raises(error, match=message):
        fitted.set_params(**params).fit(X)
    np.testing.assert_array_equal(fitted.transform(images), Z)


@pytest.mark.parametrize("regularization", [0, -1.0, np.nan, "0.1", None])
def test_regularization_is_positive(regularization, images):
    with pytest.raises(ValueError, match="'regularization' parameter of ZCAWhitener"):
        ZCAWhitener(regularization).fit(images)


@both
@pytest.mark.parametrize("method", ["transform", "inverse_transform"])
def test_other_images_than_in_fit(transformer, method, images):
    call = getattr(clone(transformer).fit(images), method)
    with pytest.raises(ValueError, match=r"X has shape \(40, 3, 4, 2\), but input_shape is \(4, 3, 2\)"):
        call(images.reshape(40, 3, 4, 2))
    with pytest.raises(ValueError, match=r"X has 23 features|X has shape \(40, 23\)"):
        call(images.reshape(40, -1)[:, 1:])
    with pytest.raises(ValueError, match="Input X contains NaN"):
        call(images * np.nan)
