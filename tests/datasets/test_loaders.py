"""Every file is what PROVENANCE.md says it is, and every loader gives what the file holds."""

import hashlib
import inspect
import pickle
import re

import numpy as np
import pytest

from ntkkit import datasets
from ntkkit.datasets import loaders

LOADERS = {name.removeprefix("load_"): getattr(datasets, name) for name in datasets.__all__ if name.startswith("load_")}
DIRECTORY = loaders._directory()
PROVENANCE = (DIRECTORY / "PROVENANCE.md").read_text(encoding="utf-8")
TABLE = re.findall(r"^\| (\w+)\.npz \| (\d+) \| (\(.*?\)) (\w+) \| (\(.*?\)) (\w+) \|$", PROVENANCE, flags=re.MULTILINE)
SPLIT = {
    "fashion_mnist": (1000, 500),
    "japanese_vowels": (270, 370),
    "gun_point": (50, 150),
    "italy_power_demand": (67, 1029),
    "vowel": (528, 462),
}
EXTRAS = {
    "fashion_mnist": {"source_idx"},
    "japanese_vowels": {"lengths"},
    "gun_point": {"lengths"},
    "italy_power_demand": {"lengths"},
    "vowel": {"groups"},
    "covid_serology": {"antigens", "receptors"},
}
each_set = pytest.mark.parametrize("name", sorted(LOADERS))


def shape(text):
    return tuple(int(size) for size in re.findall(r"\d+", text))


def test_every_set_of_the_table_has_a_loader_and_a_file():
    assert {row[0] for row in TABLE} == set(LOADERS)
    files = {entry.name.removesuffix(".npz") for entry in DIRECTORY.iterdir() if entry.name.endswith(".npz")}
    assert files == set(LOADERS)


@each_set
def test_file_has_the_size_and_sha256_of_its_provenance(name):
    content = (DIRECTORY / f"{name}.npz").read_bytes()
    assert f"- sha256: `{hashlib.sha256(content).hexdigest()}`" in LOADERS[name]().DESCR
    assert len(content) == int(next(row[1] for row in TABLE if row[0] == name))


@pytest.mark.parametrize("row", TABLE, ids=lambda row: row[0])
def test_shapes_and_dtypes_are_those_of_the_table(row):
    name, _, X_shape, X_dtype, y_shape, y_dtype = row
    X, y = LOADERS[name](return_X_y=True)
    assert (X.shape, X.dtype, y.shape, y.dtype) == (shape(X_shape), X_dtype, shape(y_shape), y_dtype)
    bunch = LOADERS[name]()
    np.testing.assert_array_equal(bunch.data, X)
    np.testing.assert_array_equal(bunch.target, y)


@each_set
def test_bunch_has_the_names_the_provenance_lists(name):
    bunch = LOADERS[name]()
    listed = set(re.findall(r"`(\w+)` \(", bunch.DESCR.split("- arrays:")[1].split("\n")[0]))
    renamed = {"X": "data", "y": "target", "classes": "target_names"}
    assert set(bunch) == {renamed.get(key, key) for key in listed} | {"DESCR"}
    assert EXTRAS.get(name, set()) <= set(bunch)
    assert bunch.DESCR.startswith("- what: ")
    assert bunch.DESCR.splitlines()[-1].startswith("- sha256: ")


@each_set
def test_targets_are_codes_of_all_classes_or_finite_measurements(name):
    bunch = LOADERS[name]()
    if name == "concrete":
        assert "target_names" not in bunch
        assert np.isfinite(bunch.target).all()
    else:
        assert set(bunch.target.tolist()) == set(range(len(bunch.target_names)))
    if "feature_names" in bunch:
        assert len(set(bunch.feature_names.tolist())) == bunch.data.shape[1]


@each_set
def test_nan_only_as_padding_at_the_end(name):
    bunch = LOADERS[name]()
    if "lengths" not in bunch:
        assert np.isfinite(bunch.data).all()
        return
    is_padding = np.arange(bunch.data.shape[1]) >= bunch.lengths[:, None]
    np.testing.assert_array_equal(np.isnan(bunch.data), np.broadcast_to(is_padding[..., None], bunch.data.shape))
    assert bunch.lengths.max() == bunch.data.shape[1]


@each_set
def test_official_split(name):
    whole = LOADERS[name]()
    if name not in SPLIT:
        assert not {"train_idx", "test_idx"} & set(whole)
        for subset in ("train", "test"):
            with pytest.raises(
                ValueError, match=f'subset must be "all" for {name}, .*no official split.*train_test_split'
            ):
                LOADERS[name](subset=subset)
        return
    assert sorted([*whole.train_idx, *whole.test_idx]) == list(range(len(whole.data)))
    assert (len(whole.train_idx), len(whole.test_idx)) == SPLIT[name]
    for subset, rows in {"train": whole.train_idx, "test": whole.test_idx}.items():
        part = LOADERS[name](subset=subset)
        assert set(part) == set(whole) - {"train_idx", "test_idx"}
        for key in set(part) - {"DESCR", "target_names", "feature_names"}:
            np.testing.assert_array_equal(part[key], whole[key][rows])
        X, y = LOADERS[name](subset=subset, return_X_y=True)
        np.testing.assert_array_equal(X, whole.data[rows])
        np.testing.assert_array_equal(y, whole.target[rows])


def test_vowel_is_split_by_speaker():
    assert not set(datasets.load_vowel(subset="train").groups) & set(datasets.load_vowel(subset="test").groups)


@pytest.mark.parametrize("name", ["fashion_mnist", "sonar"])
def test_unknown_subset(name):
    with pytest.raises(ValueError, match=r'subset must be "all", "train" or "test", got \'validation\''):
        LOADERS[name](subset="validation")


@each_set
def test_arrays_are_the_callers_own(name):
    X, _ = LOADERS[name](return_X_y=True)
    X[...] = 0
    assert np.any(LOADERS[name]().data != 0)


@each_set
def test_loader_is_an_ordinary_documented_function(name):
    loader = LOADERS[name]
    assert str(inspect.signature(loader)).startswith("(*, subset:")
    assert pickle.loads(pickle.dumps(loader)) is loader
    sections = re.findall(r"^(\w+)\n-{4,}$", inspect.getdoc(loader), flags=re.MULTILINE)
    assert sections == ["Parameters", "Returns", "Raises", "Notes", "Examples"]
    assert all(word in inspect.getdoc(loader) for word in ("Source: ", "Licence: "))
