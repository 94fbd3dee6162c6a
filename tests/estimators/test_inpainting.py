"""NeuralInpainter: dense solutions on small pictures, what holds for any picture and mask, and the contract."""

import pickle
import tracemalloc
import warnings

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils.estimator_checks import parametrize_with_checks

from ntkkit import NeuralInpainter
from ntkkit.datasets import load_photos
from ntkkit.linalg import PeriodicMatrix, periodic_matrix
from ntkkit.networks.hourglass import hourglass_kernel

SHALLOW = NeuralInpainter(depth=1, tol=1e-12)
SIDE = 12


@parametrize_with_checks([NeuralInpainter(depth=1), NeuralInpainter(1, 0.01, n_convs=1, upsampling="nearest")])
def test_scikit_learn_checks(estimator, check):
    check(estimator)


@pytest.fixture(scope="module")
def photo():
    return load_photos().data[0, 40:104, 30:94] / 255


@pytest.fixture
def picture():
    return np.random.default_rng(0).normal(size=(8, 11, 3))


@pytest.fixture
def gap():
    return np.random.default_rng(1).random((8, 11)) < 0.5


@pytest.mark.parametrize(
    ("shape", "options"),
    [
        ((8, 8), {"depth": 1}),
        ((8, 8), {"depth": 2, "alpha": 0.1}),
        ((16, 16), {"depth": 2, "upsampling": "nearest"}),
        ((7, 16), {"depth": 1, "alpha": 0.5, "n_convs": 1}),
    ],
)
def test_a_dense_solution(shape, options):
    """The same by all entries of the kernel, on a torus where the picture's edges are far from each other."""
    rng = np.random.default_rng(0)
    X, gap = rng.normal(size=shape), rng.random(shape) < 0.6
    table = hourglass_kernel(options["depth"], **{k: v for k, v in options.items() if k in ("n_convs", "upsampling")})
    K = periodic_matrix(table, (40, 40)).product(np.eye(1600))
    p = np.ravel_multi_index(np.indices(shape), (40, 40))
    observed, missing = p[~gap], p[gap]
    ridge = options.get("alpha", 0.0) * np.eye(len(observed))
    mean = X[~gap].mean()
    dual_coef = np.linalg.solve(K[np.ix_(observed, observed)] + ridge, X[~gap] - mean)
    found = NeuralInpainter(**options, tol=1e-13).fit_transform(X, mask=gap)
    np.testing.assert_allclose(found[gap], mean + K[np.ix_(missing, observed)] @ dual_coef, rtol=0, atol=1e-9)


gaps = arrays(bool, (SIDE, SIDE), elements=st.booleans(), fill=st.booleans()).filter(lambda gap: not gap.all())


@settings(max_examples=20, deadline=None)
@given(gap=gaps, a=st.floats(-10, 10), b=st.floats(-1e3, 1e3))
def test_any_mask(gap, a, b):
    """Observed pixels stay; the rest is linear in them, and constants are continued."""
    X = np.random.default_rng(0).normal(size=(SIDE, SIDE, 2))
    X = np.concatenate([X, a * X[..., :1] + X[..., 1:] + b], axis=2)
    before = X.copy()
    found = SHALLOW.fit(X).transform(X, gap)
    np.testing.assert_array_equal(X, before)
    np.testing.assert_array_equal(found[~gap], X[~gap])
    assert np.isfinite(found).all()
    np.testing.assert_allclose(found[..., 2], a * found[..., 0] + found[..., 1] + b, rtol=0, atol=1e-8 * (1 + abs(b)))


@settings(max_examples=10, deadline=None)
@given(gap=gaps, y=st.integers(0, 3), x=st.integers(0, 5))
def test_shifts_by_whole_cells(gap, y, x):
    """A picture on a larger canvas is completed alike wherever it lies, on the grid of the network."""
    X = np.full((SIDE + 6, SIDE + 10), np.nan)
    X[:SIDE, :SIDE] = np.where(gap, np.nan, np.random.default_rng(0).normal(size=gap.shape))
    inpainter = SHALLOW.fit(X)
    here = inpainter.transform(X)[:SIDE, :SIDE]
    there = inpainter.transform(np.roll(X, (2 * y, 2 * x), axis=(0, 1)))[2 * y :, 2 * x :][:SIDE, :SIDE]
    np.testing.assert_allclose(there, here, rtol=0, atol=1e-9)


@pytest.mark.parametrize("mask", ["half", "most", "rectangle", "rows", "one pixel"])
def test_photographs(photo, mask):
    """Nearer to the truth than the mean of what is observed nearby, by far."""
    rng, gap = np.random.default_rng(0), np.zeros((64, 64), dtype=bool)
    rows, columns = np.indices(gap.shape)
    gap |= {
        "half": rng.random(gap.shape) < 0.5,
        "most": rng.random(gap.shape) < 0.9,
        "rectangle": (abs(rows - 30) < 6) & (abs(columns - 40) < 5),
        "rows": rows % 4 == 0,
        "one pixel": (rows == 17) & (columns == 63),
    }[mask]
    found = NeuralInpainter(depth=3).fit_transform(photo, mask=gap)
    spread = np.sqrt(np.mean((photo[gap] - photo[~gap].mean(axis=0)) ** 2))
    assert np.sqrt(np.mean((found - photo)[gap] ** 2)) < (0.6 if mask in ("most", "rectangle") else 0.25) * spread


def test_few_products_and_no_matrix_of_all_pixels(photo, monkeypatch):
    """All pairs of pixels would be 134 MB; without values continued into the gap it would be some 100 products."""
    products, product = [], PeriodicMatrix.product
    monkeypatch.setattr(PeriodicMatrix, "product", lambda matrix, V: products.append(1) or product(matrix, V))
    gap = np.random.default_rng(0).random((64, 64)) < 0.5
    tracemalloc.start()
    NeuralInpainter(depth=3).fit_transform(photo, mask=gap)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 40e6
    assert len(products) < 40


def test_layouts_agree(picture, gap):
    grey, inpainter = picture[..., 0], NeuralInpainter(depth=1)
    expected = inpainter.fit_transform(grey, mask=gap)
    for layout in ((8, 11, 1), (1, 8, 11, 1)):
        found = inpainter.fit_transform(grey.reshape(layout), mask=gap)
        np.testing.assert_allclose(found, expected.reshape(layout), rtol=1e-12)
    np.testing.assert_array_equal(inpainter.fit_transform(np.where(gap, np.nan, grey)), expected)
    np.testing.assert_array_equal(inpainter.fit_transform(np.where(gap, np.nan, grey).tolist()), expected)


def test_pictures_and_channels_with_masks_of_their_own(picture):
    X = np.stack([picture, picture[::-1], picture + 1])
    gap = np.random.default_rng(2).random(X.shape) < 0.5
    gap[2], gap[0, :, :, 1] = gap[0], False
    inpainter = SHALLOW.fit(X)
    together = inpainter.transform(X, gap)
    for i, c in np.ndindex(3, 3):
        alone = inpainter.transform(X[i, :, :, [c]].reshape(8, 11, 1).repeat(3, axis=2), gap[i, :, :, c])
        np.testing.assert_allclose(together[i, :, :, c], alone[..., 0], rtol=0, atol=1e-9)
    np.testing.assert_array_equal(together[0, :, :, 1], X[0, :, :, 1])
    np.testing.assert_allclose(inpainter.transform(X, gap[0, :, :, 0])[1], inpainter.transform(X[1], gap[0, :, :, 0]))
    each = gap[..., 0]
    np.testing.assert_allclose(inpainter.transform(X, each)[1], inpainter.transform(X[1], each[1]))


def test_many_planes_are_solved_some_at_a_time(gap):
    X = np.random.default_rng(0).normal(size=(8, 11, 40))
    inpainter = SHALLOW.fit(X)
    found = inpainter.transform(X, gap)
    np.testing.assert_allclose(found[..., 35:], SHALLOW.fit_transform(X[..., 35:], mask=gap), rtol=0, atol=1e-9)


def test_constants_and_large_values(gap):
    for value in (0.0, -3.5, 1e305):
        np.testing.assert_allclose(SHALLOW.fit_transform(np.full((8, 11), value), mask=gap), value, rtol=1e-14)
    alone = np.full((8, 11), np.nan)
    alone[3, 3] = 5.0
    np.testing.assert_allclose(SHALLOW.fit_transform(alone), 5.0)


def test_dtypes_and_clipping(gap):
    X = np.random.default_rng(0).integers(0, 256, size=(8, 11), dtype=np.uint8)
    found = SHALLOW.fit_transform(X, mask=gap)
    assert found.dtype == np.float64
    assert found.min() < 0 or found.max() > 255
    clipped = clone(SHALLOW).set_params(clip=(10, 200)).fit_transform(X, mask=gap)
    np.testing.assert_array_equal(clipped[gap], found[gap].clip(10, 200))
    np.testing.assert_array_equal(clipped[~gap], X[~gap])
    single = SHALLOW.fit_transform(X.astype(np.float32), mask=gap)
    assert single.dtype == np.float32
    np.testing.assert_array_equal(single, found.astype(np.float32))


def test_frames(gap):
    X = pd.DataFrame(np.random.default_rng(0).normal(size=(8, 11)), columns=list("abcdefghijk"))
    found = NeuralInpainter(depth=1).set_output(transform="pandas").fit_transform(X.mask(gap))
    assert list(found.columns) == list(X.columns)
    np.testing.assert_array_equal(found, NeuralInpainter(depth=1).fit_transform(X.to_numpy(), mask=gap))


def test_pickle_clone_and_pictures_of_other_sizes(picture, gap):
    fitted = NeuralInpainter(depth=1, alpha=0.1).fit(picture)
    again = pickle.loads(pickle.dumps(fitted))
    np.testing.assert_array_equal(again.transform(picture, gap), fitted.transform(picture, gap))
    assert not hasattr(clone(fitted), "position_kernel_")
    assert fitted.transform(picture[:3, :5], gap[:3, :5]).shape == (3, 5, 3)
    assert fitted.transform(picture[None]).shape == (1, *picture.shape)


def test_an_unsolved_system_warns(picture, gap):
    with pytest.warns(ConvergenceWarning, match=r"Raise alpha=1e-15"):
        found = NeuralInpainter(1, 1e-15, n_convs=1).fit_transform(picture, mask=np.arange(11) == gap[:, :1] * 3)
    assert np.isfinite(found).all()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        NeuralInpainter(depth=2).fit_transform(picture, mask=np.arange(11) == gap[:, :1] * 3)


IMAGE = np.zeros((4, 5, 3))


@pytest.mark.parametrize(
    ("params", "X", "mask", "message"),
    [
        ({}, np.zeros((2, 2, 4, 5, 3)), None, r"X must be a picture of shape \(H, W\).* found shape \(2, 2, 4, 5, 3\)"),
        ({}, np.zeros(5), None, "X must be 2-D"),
        ({}, np.zeros((0, 5, 3)), None, r"found shape \(0, 5, 3\)"),
        ({}, np.zeros((0, 5)), None, "X must have at least one row"),
        ({}, np.full((4, 5), np.inf), None, "infinite values of X"),
        ({}, np.full((4, 5, 1), "a"), None, "X, and y in regression, must hold numbers"),
        ({}, 1j * IMAGE, None, "X and y must be real"),
        ({}, IMAGE, np.zeros((5, 4), bool), r"mask must be of shape \(4, 5, 3\) or \(4, 5\).* found \(5, 4\)"),
        ({}, IMAGE[None], np.zeros(3, bool), r"\(1, 4, 5, 3\) or \(1, 4, 5\) or \(4, 5\) for X .* found \(3,\)"),
        ({}, IMAGE[..., 0], np.zeros(4, bool), r"mask must be of shape \(4, 5\) for X of shape \(4, 5\), found \(4,\)"),
        ({}, IMAGE, np.zeros((4, 5)), "mask must be boolean.* found dtype float64: give mask > 0"),
        ({}, IMAGE, np.ones((4, 5), bool), "no observed pixel in channel 0 of picture 0.* leave that channel"),
        ({"alpha": -1.0}, IMAGE, None, "'alpha' parameter of NeuralInpainter must be a float in the range"),
        ({"depth": 0}, IMAGE, None, r"'depth' parameter of NeuralInpainter must be an int in the range \[1, 6\]"),
        ({"upsampling": "cubic"}, IMAGE, None, "'upsampling' parameter"),
        ({"n_convs": 1}, IMAGE, None, "n_convs=1 and alpha=0: the kernel is singular. Set n_convs=2, or alpha=0.01"),
        ({"clip": (1, 0)}, IMAGE, None, r"clip must be None or a pair \(low, high\) with low < high, found \(1, 0\)"),
    ],
)
def test_bad_input(params, X, mask, message):
    with pytest.raises(ValueError, match=message):
        NeuralInpainter(**{"depth": 1, **params}).fit_transform(X, mask=mask)


def test_a_failed_fit_leaves_what_was(picture, gap):
    fitted = NeuralInpainter(depth=1).fit(picture)
    expected = fitted.transform(picture, gap)
    with pytest.raises(ValueError, match="singular"):
        fitted.set_params(n_convs=1).fit(picture[..., :1])
    np.testing.assert_array_equal(fitted.transform(picture, gap), expected)
    with pytest.raises(ValueError, match="X must have the columns it had in fit"):
        fitted.transform(picture[..., :1])
