"""NeuralMatrixCompleterCV and hide_entries: folds of entries by hand, and scikit-learn's contract."""

import pickle
import warnings

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from joblib import parallel_config
from sklearn import config_context
from sklearn.base import clone
from sklearn.gaussian_process.kernels import RBF
from sklearn.linear_model import LogisticRegression
from sklearn.metrics.pairwise import rbf_kernel
from sklearn.model_selection import KFold, ShuffleSplit
from sklearn.pipeline import make_pipeline
from sklearn.utils.estimator_checks import parametrize_with_checks

from ntkkit import NeuralMatrixCompleter, NeuralMatrixCompleterCV
from ntkkit.model_selection import hide_entries

RNG = np.random.default_rng(0)
FACTORS, C = RNG.normal(size=(12, 2)), RNG.normal(size=(5, 2))
TRUTH = FACTORS @ C.T + 0.1 * RNG.normal(size=(12, 5))
X = np.where(RNG.random(TRUTH.shape) < 0.3, np.nan, TRUTH)
GRID = {"alpha": [0.01, 1.0, 100.0]}


@parametrize_with_checks([NeuralMatrixCompleterCV(NeuralMatrixCompleter(RBF(3.0)), {"alpha": [0.1, 1.0]}, cv=2)])
def test_scikit_learn_checks(estimator, check):
    check(estimator)


@pytest.mark.parametrize("features", [None, FACTORS])
@pytest.mark.parametrize("standardize", [False, True])
def test_folds_by_hand(features, standardize):
    completer = NeuralMatrixCompleter(RBF(3.0), column_features=C, standardize=standardize)
    search = NeuralMatrixCompleterCV(completer, GRID, cv=3, random_state=0).fit(X, row_features=features)
    places = np.argwhere(np.isfinite(X))
    for i, alpha in enumerate(GRID["alpha"]):
        for fold, (_, test) in enumerate(KFold(3, shuffle=True, random_state=0).split(places)):
            hidden = X.copy()
            hidden[tuple(places[test].T)] = np.nan
            fitted = clone(completer).set_params(alpha=alpha).fit(hidden, row_features=features)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", UserWarning)  # a row may lose all that it has
                score = fitted.score_entries(hidden, X, row_features=features)
            assert search.cv_results_[f"split{fold}_test_score"][i] == pytest.approx(score, rel=1e-9)
    assert search.best_index_ == np.argmax(search.cv_results_["mean_test_score"])
    assert search.best_params_ == search.cv_results_["params"][search.best_index_]
    assert search.best_score_ == search.cv_results_["mean_test_score"].max()
    best = clone(completer).set_params(**search.best_params_).fit(X, row_features=features)
    np.testing.assert_array_equal(search.transform(X, features), best.transform(X, features))
    np.testing.assert_array_equal(search.predict(X, features), best.predict(X, features))
    np.testing.assert_array_equal(search.predict_entries([3], [1]), best.predict_entries([3], [1]))
    new = search.predict_entries([0], [1], column_features=C[::-1])
    np.testing.assert_array_equal(new, best.predict_entries([0], [1], column_features=C[::-1]))
    scores = [model.score_entries(X, TRUTH, row_features=features) for model in (search, best)]
    assert scores[0] == scores[1]
    assert not hasattr(completer, "X_fit_")


@pytest.mark.parametrize(
    ("completer", "features", "parameters"),
    [
        (None, None, {"alpha"}),
        (NeuralMatrixCompleter(RBF(3.0), column_features=C), None, {"alpha", "identity_weight"}),
        (NeuralMatrixCompleter(RBF(3.0)), FACTORS, {"alpha", "identity_weight"}),
        (
            NeuralMatrixCompleter(rbf_kernel, column_features="data", standardize=True),
            None,
            {"alpha", "identity_weight"},
        ),
    ],
)
def test_grids_of_its_own(completer, features, parameters):
    search = NeuralMatrixCompleterCV(completer, cv=2, random_state=0).fit(X, row_features=features)
    assert set(search.best_params_) == parameters
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()


def test_parameters_of_kernels_two_at_a_time():
    grid = [{"kernel__length_scale": [0.5, 2.0], "identity_weight": [0.0, 1.0]}, {"kernel": [rbf_kernel]}]
    completer = NeuralMatrixCompleter(RBF(3.0), alpha=0.1, column_features=C)
    with parallel_config(backend="threading"):
        alone, together = (
            NeuralMatrixCompleterCV(completer, grid, cv=2, random_state=0, n_jobs=n_jobs).fit(X) for n_jobs in (None, 2)
        )
    np.testing.assert_array_equal(alone.cv_results_["mean_test_score"], together.cv_results_["mean_test_score"])
    assert len(np.unique(alone.cv_results_["mean_test_score"])) == 5
    assert completer.kernel == RBF(3.0)


def test_splitters_and_folds_at_random():
    completer = NeuralMatrixCompleter(RBF(3.0), column_features=C)
    first, again, other = (
        NeuralMatrixCompleterCV(completer, GRID, random_state=seed).fit(X).cv_results_["mean_test_score"]
        for seed in (0, 0, 1)
    )
    np.testing.assert_array_equal(first, again)
    assert (first != other).all()
    split = ShuffleSplit(4, test_size=0.2, random_state=0)
    assert "split3_test_score" in NeuralMatrixCompleterCV(completer, GRID, cv=split).fit(X).cv_results_
    integer = NeuralMatrixCompleterCV(completer, GRID, cv=np.int64(5), random_state=0).fit(X)
    np.testing.assert_array_equal(integer.cv_results_["mean_test_score"], first)


def test_constant_columns_have_scores():
    """Nothing to explain: right is 1, and wrong 0."""
    grid = {"alpha": [0.0, 1.0]}
    learned = NeuralMatrixCompleter(RBF(3.0), column_features="data")
    search = NeuralMatrixCompleterCV(learned, grid, cv=2, random_state=0).fit(np.full((4, 3), 0.1))
    np.testing.assert_array_equal(search.cv_results_["mean_test_score"], 1.0)
    search = NeuralMatrixCompleterCV(NeuralMatrixCompleter(RBF(3.0)), grid, cv=2, random_state=0).fit(
        np.full((4, 3), 0.1)
    )
    np.testing.assert_array_equal(search.cv_results_["mean_test_score"], 0.0)


def test_frames_pickle_and_clone():
    frame = pd.DataFrame(X, columns=list("abcde"), index=range(50, 62))
    search = NeuralMatrixCompleterCV(NeuralMatrixCompleter(RBF(3.0)), GRID, random_state=0).set_output(
        transform="pandas"
    )
    found = search.fit_transform(frame)
    assert (
        list(found.columns) == list(search.feature_names_in_) == list(search.get_feature_names_out()) == list("abcde")
    )
    assert list(found.index) == list(frame.index)
    again = pickle.loads(pickle.dumps(search))
    pd.testing.assert_frame_equal(again.transform(frame), found)
    assert again.best_params_ == search.best_params_
    assert not hasattr(clone(search), "best_estimator_")


def test_row_features_by_routing():
    with config_context(enable_metadata_routing=True):
        search = NeuralMatrixCompleterCV(NeuralMatrixCompleter(RBF(3.0)), GRID, random_state=0)
        search.set_fit_request(row_features=True).set_transform_request(row_features=True)
        pipeline = make_pipeline(search, LogisticRegression())
        pipeline.fit(X, FACTORS[:, 0] > 0, row_features=FACTORS)
        assert pipeline.score(X, FACTORS[:, 0] > 0, row_features=FACTORS) > 0.9


@pytest.mark.parametrize(
    ("parameters", "data", "message"),
    [
        ({}, [[1.0, np.nan, 3.0]], "X must have an entry for each of cv=5 folds, found 2"),
        ({}, [[1.0, np.inf, 3.0]], r"Input X contains infinity(.|\n)*Clip or drop"),
        ({}, [[np.nan]], "found 0"),
        ({"cv": 1}, X, "'cv' parameter"),
        ({"cv": "five"}, X, "'cv' parameter"),
        ({"completer": RBF()}, X, "'completer' parameter .* instance of '.*NeuralMatrixCompleter' or None"),
        ({"param_grid": "alpha"}, X, "'param_grid' parameter"),
        ({"param_grid": {"nothing": [1]}}, X, "Invalid parameter 'nothing'"),
        ({"param_grid": {"alpha": [-1.0]}}, X, "'alpha' parameter .* Got -1.0"),
        ({"param_grid": {"alpha": []}}, X, "alpha.* non-empty"),
    ],
)
def test_bad_input(parameters, data, message):
    search = NeuralMatrixCompleterCV(**{"completer": NeuralMatrixCompleter(RBF(3.0)), "param_grid": GRID, **parameters})
    before = set(vars(search))
    with pytest.raises(ValueError, match=message):
        search.fit(data)
    assert set(vars(search)) == before


@given(
    missing=st.floats(0, 0.9),
    share=st.floats(1e-9, 1, exclude_max=True),
    dtype=st.sampled_from(["f4", "f8"]),
    order=st.sampled_from("CF"),
)
def test_hidden_entries(missing, share, dtype, order):
    rng = np.random.default_rng(1)
    full = np.where(rng.random((6, 4)) < missing, np.nan, rng.normal(size=(6, 4))).astype(dtype, order=order)
    full[0, :2] = 1.0
    before = full.copy()
    hidden = hide_entries(full, share, random_state=0)
    np.testing.assert_array_equal(full, before)
    there = np.isfinite(full)
    n_hidden = there.sum() - np.isfinite(hidden).sum()
    assert n_hidden == np.clip(round(share * there.sum()), 1, there.sum() - 1)
    assert hidden.dtype == dtype
    np.testing.assert_array_equal(np.where(np.isnan(hidden) & there, full, hidden), full)
    np.testing.assert_array_equal(hide_entries(full, share, random_state=0), hidden)


def test_which_entries_are_hidden_is_random():
    often = np.mean([np.isnan(hide_entries(np.ones((4, 5)), 0.3, random_state=seed)) for seed in range(400)], axis=0)
    np.testing.assert_allclose(often, 0.3, atol=0.1)
    assert hide_entries(np.ones((2, 2), dtype=int), 0.5, random_state=0).dtype == np.float64
    np.testing.assert_array_equal(
        hide_entries(pd.DataFrame(X), 0.3, random_state=0), hide_entries(X.tolist(), 0.3, random_state=0)
    )


@pytest.mark.parametrize(
    ("data", "share", "message"),
    [
        (X, 0.0, r"share must be in \(0, 1\), found 0.0"),
        (X, 1.0, "share must be in"),
        (X, np.nan, "share must be in"),
        ([[1.0, np.nan]], 0.5, "X must have at least two entries, of which one can be hidden, found 1"),
        ([["a", "b"]], 0.5, "X, .* must hold numbers"),
        ([[1.0, 2.0, np.inf]], 0.5, r"Input X contains infinity(.|\n)*Clip or drop"),
        ([1.0, 2.0, 3.0], 0.5, "X must be 2-D"),
    ],
)
def test_bad_input_to_hide(data, share, message):
    with pytest.raises(ValueError, match=message):
        hide_entries(data, share)
