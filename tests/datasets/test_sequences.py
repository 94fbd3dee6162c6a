"""Sequences of other libraries become arrays (T_i, m), or an error that says which one and why."""

import numpy as np
import pandas as pd
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from references.sequences import pad

from ntkkit.datasets import load_japanese_vowels, to_sequences
from ntkkit.kernels.sequences import as_sequences

RNG = np.random.default_rng(0)
LENGTHS = [4, 1, 3]
WANTED = [RNG.standard_normal((length, 2)) for length in LENGTHS]
EQUAL = RNG.standard_normal((3, 4, 2))
FIRST = [x[:, :1] for x in WANTED]
PADDED = pad(WANTED, 6)


def long_frame(sequences, names=("b", "a", "c")):
    """A "pd-multiindex", whose instances are not in alphabetical order."""
    frames = {name: pd.DataFrame(x, columns=["u", "v"]) for name, x in zip(names, sequences, strict=True)}
    return pd.concat(frames, names=["instance", "time"])


def nested_frame(sequences):
    return pd.DataFrame([{name: pd.Series(x[:, i]) for i, name in enumerate("uv")} for x in sequences])


LISTS = {
    "arrays": lambda x: x,
    "Fortran": np.asfortranarray,
    "lists": np.ndarray.tolist,
    "tables": pd.DataFrame,
}
GOOD = {  # what, its layout, the sequences that it holds
    "tslearn's": (PADDED, "time_first", WANTED),
    "tslearn's, of equal lengths": (EQUAL, "time_first", [*EQUAL]),
    "aeon's": (EQUAL.swapaxes(1, 2), "channels_first", [*EQUAL]),
    "aeon's, padded": (PADDED.swapaxes(1, 2), "channels_first", WANTED),
    "nested lists": (EQUAL.tolist(), "time_first", [*EQUAL]),
    "a padded list": ([*PADDED], "time_first", WANTED),
    "an array of arrays": (pd.Series(WANTED).to_numpy(), "time_first", WANTED),
    "pd-multiindex": (long_frame(WANTED), "time_first", WANTED),
    "pd-multiindex, mixed": (long_frame(WANTED).sample(frac=1, random_state=0).sort_index(level=1), "time_first", None),
    "nested_univ": (nested_frame(WANTED), "channels_first", WANTED),
    "nested arrays": (nested_frame(WANTED).map(np.asarray), "channels_first", WANTED),
}
for layout, turn in {"time_first": lambda x: x, "channels_first": np.transpose}.items():
    GOOD |= {f"{name}, {layout}": ([make(turn(x)) for x in WANTED], layout, WANTED) for name, make in LISTS.items()}
    GOOD[f"rows, {layout}"] = PADDED[..., 0], layout, FIRST
    GOOD[f"a table, {layout}"] = pd.DataFrame(PADDED[..., 0]), layout, FIRST
    GOOD[f"a table of polars, {layout}"] = pl.DataFrame(PADDED[..., 0]), layout, FIRST
    GOOD[f"list of rows, {layout}"] = [x[:, 0] for x in WANTED], layout, FIRST


@pytest.mark.parametrize(("X", "layout", "wanted"), GOOD.values(), ids=GOOD)
def test_what_libraries_have(X, layout, wanted):
    found = to_sequences(X, layout)
    assert type(found) is list
    if wanted is None:  # instances in the order in which they appear first
        order = X.index.get_level_values(0).unique()
        wanted = [WANTED["bac".index(name)] for name in order]
    assert len(found) == len(wanted)
    for one, other in zip(found, wanted, strict=True):
        assert one.dtype == np.float64
        assert one.flags.owndata
        np.testing.assert_array_equal(one, other)
    np.testing.assert_array_equal(as_sequences(found), as_sequences(wanted))


@pytest.mark.parametrize(
    ("dtype", "expected"),
    [(np.float32, np.float32), (np.float16, np.float64), (np.int8, np.float64), (bool, np.float64)],
)
def test_precision(dtype, expected):
    for X in (EQUAL.astype(dtype), [x.astype(dtype) for x in WANTED], long_frame(WANTED).astype(dtype)):
        assert {x.dtype for x in to_sequences(X, "time_first")} == {np.dtype(expected)}


@given(
    lengths=st.lists(st.integers(1, 9), min_size=1, max_size=5),
    n_channels=st.integers(1, 3),
    excess=st.integers(0, 3),
    layout=st.sampled_from(["time_first", "channels_first"]),
)
def test_padding_is_taken_off(lengths, n_channels, excess, layout):
    wanted = [RNG.standard_normal((length, n_channels)) for length in lengths]
    padded = pad(wanted, max(lengths) + excess)
    X = padded if layout == "time_first" else padded.swapaxes(1, 2)
    for given_as in (X, [*X]):
        for one, other in zip(to_sequences(given_as, layout), wanted, strict=True):
            np.testing.assert_array_equal(one, other)


def hole(X, *place):
    X = np.array(X)
    X[place] = np.nan
    return X


TIMES_TWICE = pd.concat([long_frame(WANTED), long_frame(WANTED).iloc[[0]]])
UNEQUAL = pd.DataFrame({"u": [np.arange(4.0), np.arange(5.0)], "v": [np.arange(4.0), np.arange(3.0)]})
BAD = {
    "layout": (EQUAL, "channels_last", r'layout must be "time_first", .*"channels_first", .*found \'channels_last\''),
    "no layout": (EQUAL, None, "layout must be .* found None"),
    "a number": (3.0, "time_first", r"an array \(n, T, m\), a list of arrays \(T, m\) or, .* \(n, T\); found 3.0"),
    "1-D": (np.ones(5), "channels_first", r"an array \(n, m, T\), a list of arrays \(m, T\) .*found shape \(5,\)"),
    "4-D": (np.ones((2, 3, 4, 5)), "time_first", r"found shape \(2, 3, 4, 5\)"),
    "list of numbers": ([1.0, 2.0], "time_first", r"Sequence 0 of X must be, with layout='time_first', .*\(T, m\)"),
    "list of cubes": ([EQUAL], "channels_first", r"Sequence 0 .* an array \(m, T\) or.*found shape \(3, 4, 2\)"),
    "the other layout": (
        [x.T for x in WANTED],
        "time_first",
        r"with layout='time_first' sequence 0 has 4, sequence 1 has 1. If that is time, give the other layout",
    ),
    "no sequences": ([], "time_first", "X must hold at least one sequence"),
    "empty": ([*WANTED, np.empty((0, 2))], "time_first", "Sequence 3 of X is empty: drop it"),
    "nothing but padding": (hole(EQUAL, 2), "time_first", "Sequence 2 of X is empty: drop it"),
    "hole": (hole(EQUAL, 1, 2), "time_first", "NaN inside sequence 1, at step 2 of 4.*Interpolate"),
    "hole in a channel": (hole(EQUAL, 1, 2, 0), "time_first", "NaN inside sequence 1, at step 2 of 4"),
    "shorter channel": (
        hole(EQUAL, 1, slice(3, None), 1).swapaxes(1, 2),
        "channels_first",
        r"Sequence 1 of X must be as long in every channel: channel 0 has 4 steps, channel 1 has 3\. Cut",
    ),
    "shorter series": (UNEQUAL, "channels_first", "Sequence 1 .*: channel 'u' has 5 steps, channel 'v' has 3. Cut"),
    "infinity": ([WANTED[0], [[0.0, -np.inf]]], "time_first", "infinity: sequence 1, step 0, feature 1"),
    "text": ([WANTED[0], [["a", "b"]]], "time_first", "Sequence 1 of X must be an array of real numbers: found dtype"),
    "complex": (EQUAL + 1j, "time_first", "Sequence 0 of X must be an array of real numbers: found dtype complex128"),
    "ragged step": ([[[1.0], [2.0, 3.0]]], "time_first", "Sequence 0 of X must be an array of real numbers"),
    "pd-multiindex, turned": (long_frame(WANTED), "channels_first", r'its layout is "time_first", found layout='),
    "nested_univ, turned": (nested_frame(WANTED), "time_first", r'its layout is "channels_first", found layout='),
    "three levels": (
        pd.concat({"group": long_frame(WANTED)}, names=["group"]),
        "time_first",
        r"index of 3 levels, \['group', 'instance', 'time'\]; it must have two",
    ),
    "times twice": (TIMES_TWICE, "time_first", r"Sequence 0 of X, instance 'b', has times .*sort_index\(\)"),
    "times backwards": (long_frame(WANTED)[::-1], "time_first", r"Sequence 0 of X, instance 'c', has times"),
    "a number among series": (
        nested_frame(WANTED).assign(age=[3.0, 4.0, 5.0]),
        "channels_first",
        "Channel 'age' of sequence 0 of X must be a series, found 3.0: drop the column",
    ),
    "hole in pd-multiindex": (long_frame([*hole(EQUAL, 1, 2)]), "time_first", "NaN inside sequence 1, at step 2"),
}


@pytest.mark.parametrize(("X", "layout", "message"), BAD.values(), ids=BAD)
def test_errors_name_the_row_and_what_to_do(X, layout, message):
    with pytest.raises(ValueError, match=message):
        to_sequences(X, layout)


def test_the_layout_is_asked_for():
    with pytest.raises(TypeError, match="layout"):
        to_sequences(EQUAL)


def test_shipped_sequences():
    vowels = load_japanese_vowels(subset="train")
    sequences = to_sequences(vowels.data, layout="time_first")
    assert [len(x) for x in sequences] == vowels.lengths.tolist()
    assert sequences[0].dtype == np.float32
