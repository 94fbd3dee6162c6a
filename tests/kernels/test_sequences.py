"""Sequences in every form become one padded array, or an error that names the row and what to do."""

from fractions import Fraction

import numpy as np
import pandas as pd
import polars as pl
import pytest
import scipy.sparse
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from references.sequences import Averages, averages, pad

from ntkkit import NTK, FullyConnected, Normalized, Recurrent, gram
from ntkkit.kernels.sequences import as_sequences
from ntkkit.networks.sequences import lengths

RNG = np.random.default_rng(0)
LENGTHS = [3, 1, 2]
LIST = [RNG.standard_normal((length, 2)).round(2) for length in LENGTHS]
NAN = np.nan


EXPECTED = pad(LIST, 8)
FIRST = [x[:, 0] for x in LIST]
FORMS = {
    "list": LIST,
    "tuple": tuple(LIST),
    "lists": [x.tolist() for x in LIST],
    "tuples": tuple(tuple(map(tuple, x.tolist())) for x in LIST),
    "fractions": [[[Fraction(a).limit_denominator(100) for a in step] for step in x.tolist()] for x in LIST],
    "array of arrays": pd.Series(LIST).to_numpy(),
    "series of arrays": pd.Series(LIST, index=[7, 8, 9]),
    "tables": [pd.DataFrame(x) for x in LIST],
    "tables of polars": [pl.DataFrame(x) for x in LIST],
    "padded": pad(LIST, 3),
    "padded beyond the longest": pad(LIST, 40),
    "padded objects": pad(LIST, 3).astype(object),
    "padded, Fortran": np.asfortranarray(pad(LIST, 3)),
    "list of padded": [*pad(LIST, 11)],
}
ONE_FEATURE = {
    "rows": FIRST,
    "lists": [x.tolist() for x in FIRST],
    "columns": [x[:, None] for x in FIRST],
    "both": [FIRST[0][:, None], FIRST[1], FIRST[2].tolist()],
    "series": [pd.Series(x, index=range(5, 5 + len(x))) for x in FIRST],
    "array": pad(LIST, 3)[..., 0],
    "array with None": np.where(np.isnan(pad(LIST, 3)[..., 0]), None, pad(LIST, 3)[..., 0]),
    "table": pd.DataFrame(pad(LIST, 3)[..., 0], columns=["Mon", "Tue", "Wed"]),
    "table of polars": pl.DataFrame(pad(LIST, 3)[..., 0]),
}


@pytest.mark.parametrize("X", FORMS.values(), ids=FORMS)
def test_forms(X):
    found = as_sequences(X)
    np.testing.assert_array_equal(found, EXPECTED)
    assert found.dtype == np.float64
    assert lengths(found).tolist() == LENGTHS


@pytest.mark.parametrize("X", ONE_FEATURE.values(), ids=ONE_FEATURE)
def test_forms_of_one_feature(X):
    np.testing.assert_array_equal(as_sequences(X), EXPECTED[..., :1])


@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.float16, np.longdouble, np.int8, np.uint64, bool])
def test_precision(dtype):
    expected = np.float32 if dtype == np.float32 else np.float64
    values = np.ones((3, 4), dtype)
    for X in (values, values[..., None], [*values], [*values[..., None]]):
        found = as_sequences(X)
        assert found.dtype == expected
        np.testing.assert_array_equal(found[:, :4, 0], 1.0)
    assert as_sequences([np.ones(2, np.float32), np.ones(3, dtype)]).dtype == expected


def test_the_result_is_ones_own_and_the_input_unchanged():
    for X in (np.ones((2, 8)), np.ones((2, 8, 1)), [np.ones((8, 1))] * 2):
        found = as_sequences(X)
        found[:] = 5
        np.testing.assert_array_equal(X, np.ones_like(X))


@pytest.mark.parametrize(("longest", "n_steps"), [(1, 8), (8, 8), (9, 16), (129, 144), (1000, 1024), (10_000, 10_240)])
def test_few_distinct_shapes(longest, n_steps):
    assert as_sequences([np.ones(longest), [0.0]]).shape == (2, n_steps, 1)


sequences = st.integers(1, 3).flatmap(
    lambda m: st.lists(
        st.integers(1, 9).flatmap(lambda length: hnp.arrays(np.float64, (length, m), elements=st.floats(-9, 9))),
        min_size=1,
        max_size=6,
    )
)


@given(X=sequences, excess=st.integers(0, 9))
def test_padded_and_listed_are_the_same_bits(X, excess):
    listed = as_sequences(X)
    padded = pad(X, max(map(len, X)) + excess)
    other_nan = np.where(np.isnan(padded), np.copysign(NAN, -1), padded)
    for form in (padded, [*padded], padded.astype(object), other_nan):
        assert as_sequences(form).tobytes() == listed.tobytes()
    assert lengths(listed).tolist() == [len(x) for x in X]
    assert as_sequences(listed).tobytes() == listed.tobytes()
    some = as_sequences(listed[::2])  # a fold has no more steps than its own longest
    assert some.tobytes() == as_sequences(X[::2]).tobytes()


def changed(value, *place):
    X = pad(LIST, 3)
    X[place] = value
    return X


BAD = {  # what, and the message
    "NaN inside": (
        changed(NAN, 0, 1),
        r"X has NaN inside sequence 0, at step 1 of 3; .*Interpolate .* or drop the step",
    ),
    "NaN at the start": (changed(NAN, 2, 0), "X has NaN inside sequence 2, at step 0 of 2"),
    "NaN in one feature": (changed(NAN, 0, 2, 1), "X has NaN inside sequence 0, at step 2 of 3"),
    "NaN inside one of a list": ([*LIST, [[0.0, 1.0], [NAN, 1.0]]], "X has NaN inside sequence 3, at step 1 of 2"),
    "empty": ([LIST[0], np.empty((0, 2))], "Sequence 1 of X is empty: drop it"),
    "empty list": ([*LIST, []], "Sequence 3 of X is empty: drop it"),
    "empty, first": ([[], [], *LIST], "Sequence 0 of X is empty: drop it"),
    "nothing but padding": (changed(NAN, 1), "Sequence 1 of X is empty: drop it"),
    "no sequences": ([], r"X must hold at least one sequence, .* found \(n, T, m\) = \(0, 0, 0\)"),
    "no rows": (np.empty((0, 3, 2)), r"at least one sequence, .* found \(n, T, m\) = \(0, 3, 2\)"),
    "no steps": (np.empty((2, 0)), r"at least one step .* found \(n, T, m\) = \(2, 0, 1\)"),
    "no features": ([np.empty((2, 0))], r"one feature; found \(n, T, m\) = \(1, 2, 0\)"),
    "features": (
        [*LIST, np.ones((4, 3))],
        r"X must have the same features .* sequence 0 has 2, sequence 3 has 3. If rows are features .*to_sequences",
    ),
    "channels first": ([x.T for x in LIST], "sequence 0 has 3, sequence 1 has 1. .*ntkkit.datasets.to_sequences"),
    "infinity": (changed(-np.inf, 2, 1, 0), "X contains infinity: sequence 2, step 1, feature 0. Clip it, or drop"),
    "infinity behind padding": (changed([[NAN] * 2, [NAN] * 2, [np.inf] * 2], 1), "infinity: sequence 1, step 2"),
    "infinity in a list": ([*LIST, [[0.0, np.inf]]], "X contains infinity: sequence 3, step 0, feature 1"),
    "overflow of Python's": ([[10**400]], "Sequence 0 of X must be an array of real numbers: "),
    "text": (np.array([["a", "b"]]), "X must be an array of real numbers: found dtype <U1"),
    "numbers as text": ([[1.0], ["2.0"]], "Sequence 1 of X must be an array of real numbers: found dtype <U3"),
    "objects of text": (np.array([[1.0, "b"]], object), "X must be an array of real numbers: could not convert .*'b'"),
    "dates": (np.array([["2020-01-01"]], "M8[D]"), r"X must be an array of real numbers: found dtype datetime64\[D\]"),
    "complex": (np.ones((2, 3)) + 1j, "X must be an array of real numbers: found dtype complex128"),
    "complex in a list": ([[1.0], [1j]], "Sequence 1 of X must be an array of real numbers: found dtype complex128"),
    "dictionaries": ([{"a": 1.0}], "Sequence 0 of X must be an array of real numbers: float"),
    "features that change": (
        [[[1.0, 2.0], [3.0]]],
        "Sequence 0 of X must be an array of real numbers: .*inhomogeneous",
    ),
    "steps as rows": (pd.concat({"a": pd.DataFrame(LIST[0])}), "X is a data frame .* index of 2 levels.*to_numpy"),
    "series in cells": (pd.DataFrame({"u": FIRST}), "X is a data frame with series .*datasets.to_sequences"),
    "a number": (3.0, r"X must be sequences: a list of arrays \(T_i, m\), .*; found 3.0. One sequence x is the list"),
    "None": (None, "X must be sequences: .*; found None"),
    "a word": ("abc", "X must be sequences: .*; found 'abc'"),
    "sparse": (scipy.sparse.csr_array(np.eye(3)), r"(?s)X must be sequences: .*; found .*[Ss]parse"),
    "one sequence": (np.ones(5), r"X must be sequences: .* found an array of shape \(5,\). One sequence x is the list"),
    "one sequence in a list": ([1.0, 2.0], r"Sequence 0 of X must be .*; found shape \(\). One sequence x is the list"),
    "4-D": (np.ones((2, 3, 4, 5)), r"X must be sequences: .* found an array of shape \(2, 3, 4, 5\)"),
    "a list of 3-D": ([np.ones((3, 2)), np.ones((3, 4, 5))], r"Sequence 1 of X must be .* found shape \(3, 4, 5\)"),
}


@pytest.mark.parametrize(("X", "message"), BAD.values(), ids=BAD)
def test_errors(X, message):
    with pytest.raises(ValueError, match=message):
        as_sequences(X)
    with pytest.raises(ValueError, match=message.replace(" X ", " A ").replace("X ", "A ", 1)):
        as_sequences(X, "A")


@pytest.fixture(scope="module")
def kernel():
    return NTK(Recurrent())


def test_kernels_read_every_form(kernel):
    K = kernel(LIST)
    for X in (pad(LIST, 3), pad(LIST, 40), tuple(LIST), pd.Series(LIST)):
        np.testing.assert_array_equal(kernel(X), K)
        np.testing.assert_array_equal(gram(kernel, LIST, X), kernel(LIST, list(LIST)))
        np.testing.assert_array_equal(kernel.diag(X), kernel.diag(LIST))
    assert kernel([x.astype(np.float32) for x in LIST]).dtype == np.float32


def test_kernels_name_what_they_cannot_read(kernel):
    for call in (kernel, kernel.diag, lambda X: kernel(LIST, X), lambda X: kernel(X, eval_gradient=True)):
        with pytest.raises(ValueError, match=r"[XY] has NaN inside sequence 0, at step 1 of 3"):
            call(changed(NAN, 0, 1))
    with pytest.raises(ValueError, match="Sequence 1 of Y is empty"):
        kernel(LIST, [LIST[0], []])
    with pytest.raises(ValueError, match="Y must have as many features as X: found Y with 3 and X with 2"):
        kernel(LIST, [np.ones((5, 3))])


@pytest.mark.parametrize("readout", ["last", "mean", "per_step"])
def test_equal_lengths_are_asked_for_by_name(readout):
    """Only one readout does so; the others take any."""
    kernel = NTK(Recurrent(readout=readout))
    for X, Y in ((LIST, None), (LIST[:1], LIST[1:2])):
        X, Y = kernel.check_inputs(X), None if Y is None else kernel.check_inputs(Y)
        if readout != "per_step":
            kernel.examine(X, Y)
            continue
        where = "sequence 1 of X has 1" if Y is None else "sequence 0 of Y has 1"
        with pytest.raises(ValueError, match=rf"equal lengths: sequence 0 of X has 3 steps, {where}\. Cut .*readout="):
            kernel.examine(X, Y)


ROWS = NTK(FullyConnected(depth=1))


def test_sums_and_products_with_kernels_of_rows_are_refused(kernel):
    for make in (lambda: kernel + ROWS, lambda: ROWS * kernel, lambda: Normalized(ROWS) + (kernel + 1.0)):
        with pytest.raises(
            ValueError, match=r"k1 and k2 must read the same .*(sequences|rows) and (rows|sequences): combine"
        ):
            make()


@pytest.mark.parametrize("X", [LIST, [x.tolist() for x in FIRST], pad(LIST, 3)], ids=["arrays", "lists", "padded"])
def test_kernels_of_rows_say_who_reads_sequences(X):
    with pytest.raises(ValueError, match=r"X .*[Ss]equences .*are read by kernels of Recurrent"):
        ROWS(X)


def test_kernels_of_kernels_read_sequences():
    K, kernel = averages(LIST, LIST), Averages()
    np.testing.assert_allclose((2.0 * kernel * kernel + 0.5)(LIST), 2 * K**2 + 0.5, rtol=1e-12)
    roots = np.sqrt(K.diagonal())
    np.testing.assert_allclose(Normalized(kernel)(pad(LIST)), K / np.outer(roots, roots), rtol=1e-12)
