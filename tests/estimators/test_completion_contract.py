"""NeuralMatrixCompleter among scikit-learn's tools: checks, frames, pipelines, metadata, parameters, mistakes."""

import pickle

import numpy as np
import pandas as pd
import polars as pl
import pytest
from scipy.linalg import LinAlgError
from sklearn import config_context
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.gaussian_process.kernels import RBF
from sklearn.linear_model import LogisticRegression
from sklearn.metrics.pairwise import rbf_kernel
from sklearn.model_selection import GridSearchCV, KFold, cross_val_score, cross_validate
from sklearn.pipeline import make_pipeline
from sklearn.utils import get_tags
from sklearn.utils.estimator_checks import parametrize_with_checks

from ntkkit import NTK, FullyConnected, NeuralMatrixCompleter, Recurrent

X = np.array([[1.0, np.nan, 3.0], [2.0, 0.5, np.nan], [-1.0, 1.0, 2.0], [np.nan, np.nan, 1.0]])
R, C = np.array([[0.0], [1.0], [2.0], [3.0]]), np.array([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]])
OURS = NTK(FullyConnected(depth=2))


@parametrize_with_checks(
    [NeuralMatrixCompleter(), NeuralMatrixCompleter(column_features="data", standardize=True, alpha=0.1)]
)
def test_scikit_learn_checks(estimator, check):
    check(estimator)


def test_tags():
    tags = get_tags(NeuralMatrixCompleter())
    assert tags.input_tags.allow_nan
    assert not tags.input_tags.pairwise
    assert tags.transformer_tags.preserves_dtype == ["float64", "float32"]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_frames_of_pandas(dtype):
    frame = pd.DataFrame(X.astype(dtype), columns=["ash", "birch", "cedar"], index=list("wxyz"))
    completer = NeuralMatrixCompleter(RBF()).set_output(transform="pandas")
    for found in (completer.fit_transform(frame), completer.transform(frame)):
        assert list(found.columns) == list(frame.columns)
        assert list(found.index) == list(frame.index)
        assert (found.dtypes == dtype).all()
        np.testing.assert_array_equal(found, NeuralMatrixCompleter(RBF()).fit_transform(X.astype(dtype)))
    assert list(completer.feature_names_in_) == list(completer.get_feature_names_out()) == list(frame.columns)
    assert isinstance(completer.predict(frame), np.ndarray)
    with pytest.raises(ValueError, match="feature names should match"):
        completer.transform(frame[["cedar", "birch", "ash"]])
    features = pd.DataFrame({"age": R[:, 0]}, index=frame.index)
    by_rows = NeuralMatrixCompleter(RBF(), column_features=pd.DataFrame(C)).set_output(transform="pandas")
    found = by_rows.fit_transform(frame, row_features=features)
    assert list(found.index) == list(frame.index)
    expected = NeuralMatrixCompleter(RBF(), column_features=C).fit_transform(X.astype(dtype), row_features=R)
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize(
    "convert",
    [
        lambda X: pd.DataFrame(X).convert_dtypes(),
        lambda X: pl.DataFrame(X, schema=["a", "b", "c"], nan_to_null=True),
        lambda X: np.where(np.isnan(X), None, X),
        lambda X: X.tolist(),
        np.asfortranarray,
    ],
    ids=["pandas NA", "polars null", "object None", "list", "Fortran"],
)
def test_containers_and_what_they_have_for_missing(convert):
    expected = NeuralMatrixCompleter(RBF()).fit_transform(X)
    np.testing.assert_array_equal(NeuralMatrixCompleter(RBF()).fit_transform(convert(X)), expected)


def test_frames_of_polars():
    frame = pl.DataFrame(X, schema=["ash", "birch", "cedar"])
    found = NeuralMatrixCompleter(RBF()).set_output(transform="polars").fit_transform(frame)
    assert found.columns == frame.columns
    np.testing.assert_array_equal(found, NeuralMatrixCompleter(RBF()).fit_transform(X))


def test_the_matrix_and_its_copy_are_apart():
    mine = X.copy()
    fitted = NeuralMatrixCompleter(RBF()).fit(mine)
    before = fitted.transform(X)
    mine[:] = 7.0
    np.testing.assert_array_equal(fitted.transform(X), before)
    found = fitted.transform(X)
    assert found.flags.writeable
    assert not np.shares_memory(found, fitted.X_fit_)


@pytest.fixture(scope="module")
def classification():
    """Rows whose features tell of them, and of missing entries: X, y, R."""
    rng = np.random.default_rng(0)
    features = rng.normal(size=(60, 2))
    full = np.sin(features @ rng.normal(size=(2, 5)) * 2)
    return np.where(rng.random(full.shape) < 0.4, np.nan, full), (full.sum(axis=1) > 0).astype(int), features


def test_in_front_of_a_classifier(classification):
    data, y, _ = classification
    pipeline = make_pipeline(
        NeuralMatrixCompleter(rbf_kernel, column_features="data", standardize=True, alpha=0.1), LogisticRegression()
    )
    assert cross_val_score(pipeline, data, y, cv=4).mean() > 0.75
    grid = {"neuralmatrixcompleter__alpha": [0.1, 10.0], "neuralmatrixcompleter__kernel": [rbf_kernel, RBF()]}
    search = GridSearchCV(pipeline, grid, cv=2, error_score="raise").fit(data, y)
    assert search.cv_results_["mean_test_score"].shape == (4,)


@pytest.mark.parametrize("row_kernel", [None, RBF()], ids=["concatenated", "product"])
def test_cross_validation_cuts_row_features_as_it_does_rows(classification, row_kernel):
    data, y, features = classification
    completer = NeuralMatrixCompleter(RBF(), row_kernel=row_kernel, alpha=0.1, identity_weight=0.2)
    folds = list(KFold(3, shuffle=True, random_state=0).split(data))
    with config_context(enable_metadata_routing=True):
        routed = clone(completer).set_fit_request(row_features=True).set_transform_request(row_features=True)
        pipeline, params = make_pipeline(routed, LogisticRegression()), {"row_features": features}
        found = cross_validate(pipeline, data, y, params=params, cv=folds, return_estimator=True, error_score="raise")
        pipelines = found["estimator"]
        filled = [
            pipelines[i][:-1].transform(data[test], row_features=features[test]) for i, (_, test) in enumerate(folds)
        ]
    for i, (train, test) in enumerate(folds):
        learned = completer.fit_transform(data[train], row_features=features[train])
        expected = completer.transform(data[test], row_features=features[test])
        np.testing.assert_allclose(filled[i], expected, rtol=0, atol=1e-12)
        assert found["test_score"][i] == LogisticRegression().fit(learned, y[train]).score(expected, y[test])
    others = completer.fit(data[train], row_features=features[train[::-1]]).transform(data[test], features[test])
    assert np.abs(others - expected).max() > 0.1


@pytest.mark.parametrize("features", [None, R])
def test_pickle_and_clone(features):
    completer = NeuralMatrixCompleter(RBF(), alpha=0.1, column_features=C, standardize=True)
    fitted = completer.fit(X, row_features=features)
    again = pickle.loads(pickle.dumps(fitted))
    np.testing.assert_array_equal(again.transform(X, features), fitted.transform(X, features))
    np.testing.assert_array_equal(again.predict_entries([0], [1]), fitted.predict_entries([0], [1]))
    for name in ("X_fit_", "mean_", "scale_"):
        assert type(getattr(again, name)) is np.ndarray
    fresh = clone(fitted)
    assert not hasattr(fresh, "X_fit_")
    np.testing.assert_array_equal(
        fresh.fit(X, row_features=features).transform(X, features), fitted.transform(X, features)
    )


def test_parameters_inside_kernels_never_change_the_kernels_of_the_user():
    theirs = RBF(1.0)
    completer = NeuralMatrixCompleter(OURS, row_kernel=theirs)
    assert completer.get_params()["kernel__network__depth"] == 2
    assert completer.get_params()["row_kernel__length_scale"] == 1.0
    assert completer.set_params(kernel__network__depth=5, row_kernel__length_scale=3.0, alpha=2.0) is completer
    assert (completer.kernel.network.depth, completer.row_kernel, completer.alpha) == (5, RBF(3.0), 2.0)
    completer.set_params(row_kernel=OURS, row_kernel__network__depth=1)
    assert completer.row_kernel.network.depth == 1
    assert completer.kernel.network.depth == 5
    assert NTK(FullyConnected(depth=2)) == OURS
    assert theirs == RBF(1.0)
    completer.set_params(kernel=theirs, row_kernel=None).fit(X)
    assert completer.kernel is theirs
    assert completer.kernel_ is not theirs
    for name in ("kernel__nothing", "row_kernel__network__depth"):
        with pytest.raises(ValueError, match=r"Invalid parameter|row_kernel is None, which has no parameters to set"):
            completer.set_params(**{name: 1, "alpha": 7.0})
    assert completer.alpha == 2.0


def changed(value, found=X):
    wrong = found.astype(object)
    wrong[0, 0] = value
    return wrong


IMAGES, SEQUENCES = NTK(FullyConnected(input_shape=(2, 1, 1))), NTK(Recurrent())
BAD = {  # name: what differs from a good fit, and what the message says
    "inf": ({"X": changed(np.inf)}, r"Input X contains infinity(.|\n)*Clip or drop infinite values of X"),
    "text": ({"X": changed("a")}, r"could not convert .*'a'(.|\n)*X, .* must hold numbers"),
    "complex": ({"X": changed(1j)}, r"[Cc]omplex(.|\n)*real|complex"),
    "1-D": ({"X": X[0]}, r"got 1D array instead(.|\n)*X must be 2-D, one row a sample"),
    "no rows": ({"X": X[:0]}, r"0 sample\(s\)(.|\n)*X must have at least one row"),
    "no entries": ({"X": np.full((2, 3), np.nan)}, r"X must have at least one entry .* none in shape \(2, 3\)"),
    "precomputed": ({"kernel": "precomputed"}, "kernel must be a kernel of rows, found 'precomputed'.* Give, for"),
    "images": ({"kernel": IMAGES}, "kernel must be a kernel of rows, found NTK.*input_shape.* features of coordinates"),
    "sequences": ({"kernel": SEQUENCES}, r"kernel must be a kernel of rows, found NTK\(network=Recurrent\(\)\)"),
    "row images": ({"row_kernel": IMAGES, "row_features": R}, "row_kernel must be a kernel of rows, found NTK"),
    "row precomputed": ({"row_kernel": "precomputed", "row_features": R}, "row_kernel must be .* found 'precomputed'"),
    "a network": ({"kernel": FullyConnected()}, r"'kernel' parameter .* NTK\(network\)"),
    "kernel by name": (
        {"row_kernel": "rbf", "row_features": R},
        r"'row_kernel' parameter .* Got 'rbf' .* as an object",
    ),
    "NaN kernel": ({"kernel": lambda A, B: A @ B.T * np.nan}, "kernel returned NaN or infinity"),
    "pairs": ({"kernel": lambda x, y: 1.0}, r"must return an array of shape \(3, 3\), found \(\).*whole matrices"),
    "asymmetric": ({"kernel": lambda A, B: A @ np.triu(np.ones((4, 4))) @ B.T}, "must be symmetric"),
    "row kernel alone": (
        {"row_kernel": RBF()},
        "row_kernel is a kernel of row features: give fit row_features=, or le",
    ),
    "nystrom": (
        {"row_kernel": RBF(), "row_features": R, "solver": "nystrom"},
        "solver='nystrom' does not go with row_kernel, .*use 'pcg'",
    ),
    "long column features": ({"column_features": R}, "column_features must have one row a column of X, 3, found 4"),
    "NaN column features": (
        {"column_features": changed(np.nan, C)},
        "column_features must be finite numbers, one row a column of X.*contains NaN",
    ),
    "flat column features": ({"column_features": [1.0, 2.0, 3.0]}, "column_features must be finite .* got 1D array"),
    "text column features": ({"column_features": changed("a", C)}, "column_features must be finite .*'a'"),
    "unknown features": ({"column_features": "learn"}, "'column_features' parameter .*'data'.* Got 'learn'"),
    "long row features": ({"row_features": R[:3]}, "row_features must have one row a row of X, 4, found 3"),
    "inf row features": (
        {"row_features": changed(np.inf, R)},
        "row_features must be finite .* row a row of X.*infinity",
    ),
    "flat row features": ({"row_features": R[:, 0]}, "row_features must be finite numbers.* got 1D array"),
    "nothing tells columns apart": (
        {"identity_weight": 0.0},
        r"column_features has no feature .* Give features, or ide",
    ),
    "nothing tells rows apart": (
        {"identity_weight": 0.0, "column_features": C, "row_features": 0 * R},
        "row_features has no feature that is not zero, and identity_weight=0",
    ),
    "alpha": ({"alpha": -1.0}, r"'alpha' parameter .* in the range \[0.0, inf\).* Got -1.0"),
    "alpha NaN": ({"alpha": np.nan}, r"'alpha' parameter .* Got nan"),
    "identity_weight": ({"identity_weight": -0.5}, r"'identity_weight' parameter .* \[0.0, inf\) or None.* Got -0.5"),
    "row_weight": ({"row_weight": 0.0}, r"'row_weight' parameter .* in the range \(0.0, inf\).* Got 0.0"),
    "standardize": ({"standardize": "yes"}, "'standardize' parameter .* Got 'yes'"),
    "solver": ({"solver": "svd"}, "'solver' parameter .*'auto'.* Got 'svd'"),
    "engine": ({"engine": 4}, "'engine' parameter .*Engine' or None. Got 4"),
    "singular": (
        {"solver": "cholesky", "alpha": 0.0, "row_features": [[1.0]] * 4, "identity_weight": 0.0, "column_features": C},
        "at alpha=0: .* Raise alpha to .* or use solver='auto'",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_the_error_names_what_where_and_the_remedy_and_leaves_no_trace(name):
    changes, message = BAD[name]
    parameters = {"kernel": RBF(), "alpha": 0.1, **changes}
    at_fit = {"X": X, "row_features": None} | {k: parameters.pop(k) for k in ("X", "row_features") if k in parameters}
    completer = NeuralMatrixCompleter(**parameters)
    before = set(vars(completer))
    with pytest.raises((ValueError, TypeError, LinAlgError), match=message):
        completer.fit(**at_fit)
    assert set(vars(completer)) == before
    good = NeuralMatrixCompleter(RBF(), alpha=0.1)
    filled, fitted = good.fit_transform(X), vars(good).copy()
    with pytest.raises((ValueError, TypeError, LinAlgError), match=message):
        good.set_params(**parameters).fit(**at_fit)
    good.set_params(**{key: fitted[key] for key in parameters})
    np.testing.assert_array_equal(good.transform(X), filled)


PLAIN, WITH_ROWS = (NeuralMatrixCompleter(RBF(), column_features=features) for features in (None, C))


@pytest.mark.parametrize(
    ("fitted", "call", "message"),
    [
        ("plain", lambda m: m.transform(X, R), "row_features must be None, as in fit"),
        ("plain", lambda m: m.transform(X[:, :2]), r"X has 2 features, but \w+ is expecting 3(.|\n)*it had in fit"),
        ("plain", lambda m: m.transform(changed(np.inf)), "Input X contains infinity"),
        ("rows", lambda m: m.transform(X), "row_features is None, but fit had some: give those of the rows of X"),
        ("rows", lambda m: m.transform(X, R[:2]), "row_features must have one row a row of X, 4, found 2"),
        ("rows", lambda m: m.transform(X, np.hstack([R, R])), "row_features must have 1 features, as in fit, found 2"),
        ("rows", lambda m: m.predict(X, changed(np.nan, R)), "row_features must be finite numbers"),
        ("plain", lambda m: m.predict_entries([0, 4], [0, 0]), "rows must be from 0 to 3, found 0 to 4"),
        ("plain", lambda m: m.predict_entries([0], [-1]), "columns must be from 0 to 2, found -1 to -1"),
        ("plain", lambda m: m.predict_entries([0, 1], [0]), "rows and columns must be of one length, found 2 and 1"),
        ("plain", lambda m: m.predict_entries([0.5], [0]), r"rows must be a list of whole numbers, found \[0.5\]"),
        ("plain", lambda m: m.predict_entries(0, 0), "rows must be a list of whole numbers, found 0"),
        ("plain", lambda m: m.predict_entries([True], [0]), "rows must be a list of whole numbers"),
        ("plain", lambda m: m.predict_entries([0], [0], row_features=R), "row_features must be None, as in fit"),
        ("plain", lambda m: m.predict_entries([0], [0], column_features=C), "columns had no features in the constr"),
        (
            "rows",
            lambda m: m.predict_entries([0], [1], row_features=R[:1], column_features=C[:1]),
            "columns must be from",
        ),
        (
            "rows",
            lambda m: m.predict_entries([1], [0], row_features=R[:1], column_features=C[:1]),
            "rows must be from 0",
        ),
        ("rows", lambda m: m.predict_entries([0], [0], row_features=C), "row_features must have 1 features"),
        ("rows", lambda m: m.predict_entries([0], [0], column_features=R), "column_features must have 2 features"),
        ("plain", lambda m: m.score_entries(X, X), r"Y has no entry that X lacks.* hide_entries\(X, 0.1\)"),
        ("plain", lambda m: m.score_entries(X, X[:2]), r"Y must have the shape of X, \(4, 3\), found \(2, 3\)"),
        ("plain", lambda m: m.score_entries(X, changed(np.inf)), "Input Y contains infinity"),
        ("rows", lambda m: m.score_entries(X, X), "row_features is None, but fit had some"),
    ],
)
def test_mistakes_after_fit(fitted, call, message):
    model = PLAIN.fit(X) if fitted == "plain" else WITH_ROWS.fit(X, row_features=R)
    with pytest.raises(ValueError, match=message):
        call(model)


@pytest.mark.parametrize(
    "call",
    [
        lambda m: m.transform(X),
        lambda m: m.predict(X),
        lambda m: m.predict_entries([0], [0]),
        lambda m: m.score_entries(X, X),
    ],
)
def test_before_fit(call):
    with pytest.raises(NotFittedError, match=r"not fitted yet\. Call 'fit'"):
        call(NeuralMatrixCompleter())
