"""Inputs of kernels: bad ones get an error that names argument, finding and remedy; odd ones work."""

import numpy as np
import pandas as pd
import polars as pl
import pytest
import scipy.sparse

from ntkkit import NTK, FullyConnected, gram

KERNEL = NTK(FullyConnected(depth=1))
GOOD = np.arange(6.0).reshape(3, 2)


@pytest.mark.parametrize(
    ("X", "Y", "error", "message"),
    [
        ([[1.0, np.nan]], None, ValueError, "Input X contains NaN"),
        ([[1.0, np.inf]], None, ValueError, "Input X contains infinity"),
        (GOOD, [[1.0, np.nan]], ValueError, "Input Y contains NaN"),
        ([1.0, 2.0], None, ValueError, "Expected 2D array, got 1D array"),
        (3.0, None, ValueError, "Expected 2D array, got scalar array"),
        ([["a", "b"]], None, ValueError, "could not convert string to float|dtype='numeric'"),
        (np.array([["a", 1.0]], object), None, ValueError, "could not convert string to float"),
        (np.empty((0, 2)), None, ValueError, "0 sample"),
        (np.empty((2, 0)), None, ValueError, "0 feature"),
        (scipy.sparse.csr_matrix(GOOD), None, TypeError, r"[Ss]parse"),
        (GOOD, np.ones((2, 3)), ValueError, "Y must have as many features as X: found Y with 3 and X with 2"),
        (np.ones((2, 4, 4, 1)), None, ValueError, r"X has shape \(2, 4, 4, 1\).*input_shape=\(4, 4, 1\)"),
        (GOOD + 1j, None, ValueError, "Complex data not supported"),
    ],
)
def test_bad_inputs(X, Y, error, message):
    for call in (KERNEL, lambda X, Y: gram(KERNEL, X, Y)):
        with pytest.raises(error, match=message):
            call(X, Y)
    if Y is None:
        with pytest.raises(error, match=message):
            KERNEL.diag(X)


def test_images_of_another_shape():
    kernel = NTK(FullyConnected(depth=1, input_shape=(4, 3, 1)))
    for shape in ((2, 3, 4, 1), (2, 11), (2, 4, 3)):
        with pytest.raises(
            ValueError, match=r"input_shape is \(4, 3, 1\): pass images of shape \(n, 4, 3, 1\) or rows of 12"
        ):
            kernel(np.ones(shape))
    with pytest.raises(ValueError, match="Input X contains NaN"):
        kernel(np.full((2, 4, 3, 1), np.nan))


def test_gram_of_what_is_no_kernel():
    with pytest.raises(TypeError, match="kernel must be a kernel of ntkkit"):
        gram("rbf", GOOD)


@pytest.mark.parametrize(
    "X",
    [
        GOOD.astype(np.int8),
        GOOD.astype(np.uint8),
        GOOD.tolist(),
        pd.DataFrame(GOOD, columns=["a", "b"]),
        pl.DataFrame(GOOD, schema=["a", "b"]),
        np.asfortranarray(GOOD),
        GOOD.astype(object),
    ],
    ids=lambda X: f"{type(X).__name__}-{getattr(X, 'dtype', '')}",
)
def test_odd_but_good_inputs(X):
    np.testing.assert_allclose(KERNEL(X), KERNEL(GOOD), rtol=1e-15)


def test_bool_one_sample_one_feature_constant():
    np.testing.assert_allclose(KERNEL(np.array([[True, False]])), KERNEL(np.array([[1.0, 0.0]])), rtol=1e-15)
    assert KERNEL([[3.0]]).shape == (1, 1)
    K = KERNEL(np.ones((4, 3)))
    np.testing.assert_allclose(K, K[0, 0], rtol=1e-14)


def test_inputs_are_not_changed():
    X = GOOD.copy()
    KERNEL(X)
    np.testing.assert_array_equal(X, GOOD)
