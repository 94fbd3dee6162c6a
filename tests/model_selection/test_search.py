"""KernelSearchCV finds what GridSearchCV finds, and evaluates every kernel once."""

import pickle
import warnings
from functools import partial
from typing import ClassVar

import numpy as np
import pandas as pd
import pytest
from scipy.stats import loguniform
from sklearn import config_context
from sklearn.base import BaseEstimator, TransformerMixin, clone
from sklearn.compose import TransformedTargetRegressor
from sklearn.datasets import make_regression
from sklearn.ensemble import RandomForestRegressor
from sklearn.exceptions import FitFailedWarning
from sklearn.feature_selection import SelectKBest
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF, WhiteKernel
from sklearn.kernel_ridge import KernelRidge
from sklearn.metrics import make_scorer, mean_absolute_error
from sklearn.metrics.pairwise import rbf_kernel
from sklearn.model_selection import (
    GridSearchCV,
    GroupKFold,
    LeaveOneGroupOut,
    ParameterSampler,
    PredefinedSplit,
    RepeatedKFold,
    ShuffleSplit,
    cross_val_predict,
)
from sklearn.multioutput import MultiOutputClassifier
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import MinMaxScaler, StandardScaler, TargetEncoder
from sklearn.svm import SVC, SVR
from sklearn.utils.estimator_checks import parametrize_with_checks

import ntkkit.model_selection.blocks
from ntkkit import (
    NNGP,
    NTK,
    Engine,
    FullyConnected,
    KernelSearchCV,
    NeuralKernelClassifier,
    NeuralKernelRegressor,
    NeuralKernelRegressorCV,
    NeuralKernelSVC,
    NeuralKernelSVR,
)

NET = FullyConnected(depth=1)
RNG = np.random.default_rng(0)
N = 60
X, y = make_regression(N, 3, noise=20.0, random_state=0)
y = y / y.std()
LABELS = np.array(["ash", "birch", "cedar"])[np.digitize(y, [-0.5, 0.5])]
WEIGHTS = RNG.integers(0, 3, N).astype(float)
GROUPS = np.arange(N) % 7
DEPTHS = {"kernel__network__depth": [1, 2]}
ALPHAS = {"alpha": [0.01, 1.0]}
RIDGE = {**DEPTHS, "kernel__network__weight_var": [1.0, 2.0], **ALPHAS}
SLOW = {"frozen layers", "kernels", "small splits", "nngp"}  # many kernels to compile
BOTH = np.c_[y, -y + X[:, 0]]
regressor, classifier = NeuralKernelRegressor(NTK(NET)), NeuralKernelClassifier(NTK(NET))


def behind(estimator, *steps):
    return Pipeline([*((f"step{i}", step) for i, step in enumerate(steps)), ("model", estimator)])


def within(prefix, grid):
    return {f"{prefix}__{name}": values for name, values in grid.items()}


def assert_same(estimator, grid, X, y, *, tolerance=1e-10, params=None, names=(), **settings):
    """Both searches on the same problem: the same results, warnings and predictions, or the same error."""
    settings = {"cv": 3, **settings}
    theirs = GridSearchCV(estimator, grid, **settings).fit(X, y, **(params or {}))
    ours = KernelSearchCV(estimator, grid, **settings)
    assert ours.fit(X, y, **(params or {})) is ours
    compare(theirs, ours, X, tolerance=tolerance)
    return ours


def compare(theirs, ours, X, *, tolerance=1e-10):
    assert list(ours.cv_results_) == list(theirs.cv_results_)
    for name, expected in theirs.cv_results_.items():
        found = ours.cv_results_[name]
        if name == "params":
            assert found == expected
        elif name.startswith("param_"):
            assert found.dtype == expected.dtype
            assert found.tolist() == expected.tolist()
        elif name.startswith("rank_"):
            np.testing.assert_array_equal(found, expected)
        elif "_time" in name:
            assert (found >= 0).all()
        else:
            np.testing.assert_allclose(found, expected, rtol=0, atol=tolerance, err_msg=name)
    for name in ("best_index_", "best_params_", "multimetric_", "n_splits_"):
        assert getattr(ours, name, None) == getattr(theirs, name, None)
    fitted = {name for name in vars(theirs) if name.endswith("_")}
    assert {name for name in vars(ours) if name.endswith("_")} == fitted | {"gram_time_"}
    if hasattr(theirs, "best_score_"):
        np.testing.assert_allclose(ours.best_score_, theirs.best_score_, rtol=0, atol=tolerance)
    if hasattr(theirs, "best_estimator_"):
        assert type(ours.best_estimator_) is type(theirs.best_estimator_)
        a, b = ours.predict(X), theirs.predict(X)
        np.testing.assert_array_equal(a, b) if b.dtype.kind in "USO" else np.testing.assert_allclose(a, b, atol=1e-8)


def spread(estimator, X, y):
    """A scoring function that looks at the data, at other inputs, and at the estimator."""
    nearby = X + 0.01 if isinstance(X, np.ndarray) else X
    return -float(np.mean((estimator.predict(X) - y) ** 2 * np.abs(np.asarray(X)[:, 0]))) + float(
        np.mean(estimator.predict(nearby)) + estimator.alpha
    )


def two_scores(estimator, X, y):
    residual = y - estimator.predict(X)
    return {"bias": float(residual.mean()), "error": -float(np.abs(residual).mean())}


CASES = {
    "regression": (regressor, RIDGE, y, {}),
    "two outputs": (regressor, RIDGE, BOTH, {"scoring": "neg_mean_absolute_error"}),
    "train scores": (regressor, RIDGE, y, {"return_train_score": True}),
    "classes": (classifier, RIDGE, LABELS, {"return_train_score": True}),
    "nngp": (NeuralKernelRegressor(NNGP(NET)), RIDGE, y, {}),
    "frozen layers": (
        regressor,
        [{"kernel__network__depth": [2, 3], "kernel__network__n_frozen_layers": [1, 2], **ALPHAS}, RIDGE],
        y,
        {},
    ),
    "solver": (regressor, {"solver": ["cholesky", "eigen", "pcg"], "random_state": [0], "alpha": [0.1, 1.0]}, y, {}),
    "kernels": (
        regressor,
        [
            {"kernel": [NTK(NET), None, RBF(1.0), RBF() + WhiteKernel(0.1), 2.0 * NTK(NET) + 1.0], **ALPHAS},
            {"kernel": [partial(rbf_kernel, gamma=0.1)], **ALPHAS},
            {"kernel": [RBF()], "kernel__length_scale": [0.5, 1.0]},
        ],
        y,
        {"return_train_score": True},
    ),
    "no grid": (regressor, {}, y, {}),
    "groups": (regressor, ALPHAS, y, {"cv": GroupKFold(3), "params": {"groups": GROUPS}}),
    "a group left out": (regressor, ALPHAS, y, {"cv": LeaveOneGroupOut(), "params": {"groups": GROUPS}}),
    "repeated": (regressor, ALPHAS, y, {"cv": RepeatedKFold(n_splits=3, n_repeats=2, random_state=0)}),
    "small splits": (
        regressor,
        RIDGE,
        y,
        {"cv": ShuffleSplit(2, train_size=10, test_size=4, random_state=0), "return_train_score": True},
    ),
    "some rows never tested": (regressor, ALPHAS, y, {"cv": PredefinedSplit(np.arange(N) % 4 - 1)}),
    "an iterable": (regressor, ALPHAS, y, {"cv": [([*range(40)], [*range(40, 50)]), (range(30, 60), range(5))]}),
    "masks": (regressor, ALPHAS, y, {"cv": [(np.arange(N) > 20, np.arange(N) <= 20)]}),
    "overlap": (
        NeuralKernelRegressor(RBF() + WhiteKernel(0.1)),
        ALPHAS,
        y,
        {"cv": [(np.r_[0:40, 0:10], np.r_[30:60]), (np.r_[10:60], np.r_[0:20])]},
    ),
    "the same training rows twice": (
        regressor,
        ALPHAS,
        y,
        {"cv": [(np.arange(40), np.arange(40, 50)), (np.arange(40), np.arange(50, 60))]},
    ),
    "several scores": (
        regressor,
        RIDGE,
        y,
        {"scoring": ["r2", "neg_mean_absolute_error"], "refit": "neg_mean_absolute_error"},
    ),
    "scores by name": (
        classifier,
        ALPHAS,
        LABELS,
        {"scoring": {"a": "accuracy", "b": "balanced_accuracy"}, "refit": False},
    ),
    "decisions": (classifier, RIDGE, LABELS == "ash", {"scoring": "roc_auc"}),
    "a scorer": (regressor, ALPHAS, y, {"scoring": make_scorer(mean_absolute_error, greater_is_better=False)}),
    "a scoring function": (regressor, ALPHAS, y, {"scoring": spread, "return_train_score": True}),
    "a scoring function of two": (regressor, ALPHAS, y, {"scoring": two_scores, "refit": "error"}),
    "a choice of one's own": (regressor, RIDGE, y, {"refit": lambda results: 3}),
    "no refit": (regressor, RIDGE, y, {"refit": False}),
    "weights": (regressor, RIDGE, y, {"params": {"sample_weight": WEIGHTS}}),
    "weights of a pipeline": (
        behind(regressor, StandardScaler()),
        within("model", RIDGE),
        y,
        {"params": {"model__sample_weight": WEIGHTS, "step0__sample_weight": WEIGHTS + 1}},
    ),
    "svc": (
        SVC(),
        {"kernel": [NTK(NET), RBF(), rbf_kernel], "C": [0.1, 10.0], "class_weight": [None, "balanced"]},
        LABELS,
        {},
    ),
    "svr": (SVR(), {"kernel": [NTK(NET), RBF() + WhiteKernel()], "C": [0.1, 10.0]}, y, {"return_train_score": True}),
    "our svc": (
        NeuralKernelSVC(NTK(NET)),
        {**DEPTHS, "C": [0.1, 10.0], "fit_intercept": [True, False], "class_weight": [None, "balanced"]},
        LABELS,
        {"return_train_score": True, "params": {"sample_weight": WEIGHTS}},
    ),
    "our svr": (NeuralKernelSVR(NTK(NET)), {**DEPTHS, "C": [0.1, 10.0]}, y, {}),
    "leave-one-out inside": (NeuralKernelRegressorCV(NTK(NET), alphas=[0.1, 1.0]), DEPTHS, y, {}),
    "kernel ridge": (
        KernelRidge(),
        {"kernel": [NTK(NET), RBF() + WhiteKernel()], "alpha": [0.1, 10.0]},
        y,
        {"return_train_score": True},
    ),
    "a pipeline": (
        behind(regressor, StandardScaler()),
        {**within("model", RIDGE), "step0__with_mean": [True, False]},
        y,
        {"return_train_score": True},
    ),
    "preparations": (
        behind(regressor, "passthrough"),
        {"step0": [StandardScaler(), MinMaxScaler(), "passthrough"], **within("model", ALPHAS)},
        y,
        {},
    ),
    "preparation by labels": (
        behind(classifier, StandardScaler(), SelectKBest(k=2)),
        {**within("model", ALPHAS), "step1__k": [1, 2]},
        LABELS,
        {},
    ),
    "scaled targets": (
        behind(TransformedTargetRegressor(regressor, transformer=StandardScaler()), StandardScaler()),
        within("model__regressor", RIDGE),
        y * 100 + 5,
        {},
    ),
    "scaled targets outside": (
        TransformedTargetRegressor(regressor, transformer=StandardScaler()),
        {**within("regressor", ALPHAS), "transformer": [None, StandardScaler()]},
        y * 100 + 5,
        {},
    ),
    "several labels": (
        MultiOutputClassifier(classifier),
        within("estimator", ALPHAS),
        np.c_[LABELS == "ash", X[:, 0] > 0].astype(int),
        {},
    ),
    "models": (
        behind(regressor, StandardScaler()),
        [{"model": [regressor, SVR(kernel=NTK(NET))]}, {"model": [regressor], "model__alpha": [0.1, 1.0]}],
        y,
        {},
    ),
}


@pytest.mark.filterwarnings("ignore:The scoring .* does not support sample_weight")
@pytest.mark.parametrize("case", [pytest.param(name, marks=[pytest.mark.slow] * (name in SLOW)) for name in CASES])
def test_same_results(case):
    estimator, grid, target, settings = CASES[case]
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message="Some kernel matrices")
        assert_same(estimator, grid, X, target, **settings)


def test_precomputed():
    K = NTK(NET)(X)
    assert_same(NeuralKernelRegressor("precomputed"), ALPHAS, K, y)
    assert_same(SVC(kernel="precomputed"), {"C": [0.1, 1.0]}, K, LABELS)


@pytest.mark.slow
def test_a_frame():
    frame = pd.DataFrame(X, columns=list("abc"), index=RNG.permutation(N))
    search = assert_same(regressor, ALPHAS, frame, pd.Series(y, index=frame.index))
    assert search.feature_names_in_.tolist() == ["a", "b", "c"]
    frame["d"] = LABELS
    encoder = make_pipeline(TargetEncoder(cv=2, random_state=0, target_type="continuous"), StandardScaler())
    prepared = behind(regressor, encoder)
    search = assert_same(prepared, within("model", RIDGE), frame[["d"]], y, return_train_score=True)
    assert search.n_features_in_ == 1


@pytest.mark.slow
def test_images():
    images = RNG.standard_normal((N, 2, 2, 1)).astype(np.float32)
    for estimator in (NeuralKernelClassifier(NTK(FullyConnected(1, input_shape=(2, 2, 1)))), SVC()):
        grid = {"kernel": [NTK(FullyConnected(depth, input_shape=(2, 2, 1))) for depth in (1, 2)]}
        assert_same(estimator, grid, images, LABELS)


@pytest.mark.parametrize("n_jobs", [2, -1])
def test_n_jobs_changes_nothing(n_jobs):
    for estimator, grid in ((regressor, RIDGE), (behind(regressor, StandardScaler()), within("model", RIDGE))):
        one, several = (KernelSearchCV(estimator, grid, n_jobs=n).fit(X, y) for n in (None, n_jobs))
        np.testing.assert_allclose(
            several.cv_results_["mean_test_score"], one.cv_results_["mean_test_score"], rtol=0, atol=1e-12
        )
        assert several.best_params_ == one.best_params_


class Counting(Engine):
    """Counts evaluations: (kernels, pairs)."""

    calls: ClassVar[list] = []

    def gram(self, kernel, X, Y=None):
        self.calls.append((1, len(X), None if Y is None else len(Y)))
        return super().gram(kernel, X, Y)

    def gram_at_depths(self, kernel, X, Y=None, *, depths):
        self.calls.append((len(depths), len(X), None if Y is None else len(Y)))
        return super().gram_at_depths(kernel, X, Y, depths=depths)


@pytest.fixture
def calls():
    Counting.calls.clear()
    return Counting.calls


@pytest.mark.parametrize("n_jobs", [None, 2])
def test_a_kernel_is_evaluated_once_and_all_depths_in_one_pass(calls, n_jobs):
    model = clone(regressor).set_params(engine=Counting())
    search = KernelSearchCV(model, RIDGE, cv=3, n_jobs=n_jobs, return_train_score=True).fit(X, y)
    assert calls == [(2, N, None), (2, N, None), (1, N, None)]  # the last to refit
    assert search.gram_time_ > 0


@pytest.mark.slow
def test_a_depth_at_a_time_where_memory_is_short(calls):
    model = clone(regressor).set_params(engine=Counting(memory=N * N * 8 * 3 // 2 + 2**20))
    few = {**RIDGE, "kernel__network__depth": [1, 2]}
    KernelSearchCV(model, few, cv=3, refit=False).fit(X, y)
    assert calls == [(2, N, None)] * 2
    calls.clear()
    rows = np.concatenate([X] * 10)
    model.set_params(engine=Counting(memory=600 * 600 * 8 * 3 // 2))
    KernelSearchCV(model, few, cv=3, refit=False).fit(rows, np.tile(y, 10))
    assert calls == [(1, 600, None)] * 4


def test_a_preparation_is_fitted_to_training_rows_and_each_fold_evaluated_once(calls):
    seen = []

    class Spy(TransformerMixin, BaseEstimator):
        def __init__(self, shift=0.0):
            self.shift = shift

        def fit(self, X, y=None):
            seen.append(len(X))
            self.mean_ = X.mean(axis=0) + self.shift
            return self

        def transform(self, X):
            return X - self.mean_

    model = behind(clone(regressor).set_params(engine=Counting()), Spy())
    grid = {**within("model", RIDGE), "step0__shift": [0.0, 1.0]}
    KernelSearchCV(model, grid, cv=3, refit=False, return_train_score=True).fit(X, y)
    assert seen == [40] * 3 * 2  # folds; settings of the preparation
    assert calls == [(2, 40, None), (2, 20, 40)] * 3 * 4  # folds; settings of the preparation and of the kernel


def test_matrices_are_forgotten(monkeypatch):
    alive = []

    class Watched(ntkkit.model_selection.blocks.Matrices):
        def __init__(self, *args):
            super().__init__(*args)
            alive.append(1)

        def __del__(self):
            alive.pop()

    most = []
    monkeypatch.setattr(ntkkit.model_selection.blocks, "Matrices", Watched)

    def scoring(estimator, X, y):
        most.append(len(alive))
        return 0.0

    grid = {"kernel": [RBF(scale) for scale in (0.5, 1.0, 2.0, 3.0)], **ALPHAS}
    KernelSearchCV(regressor, grid, scoring=scoring).fit(X, y)
    assert set(most) == {1}
    assert not alive


def test_one_fit_that_fails():
    grid = [{"alpha": [-1.0, 0.1]}, {"kernel": [NET], "alpha": [0.1]}, {"kernel": [lambda A, B: np.ones(3)]}]
    with pytest.warns(FitFailedWarning, match="9 fits failed out of a total of 12"):
        theirs = GridSearchCV(regressor, grid, cv=3).fit(X, y)
    with pytest.warns(FitFailedWarning, match="9 fits failed out of a total of 12"):
        ours = KernelSearchCV(regressor, grid, cv=3).fit(X, y)
    compare(theirs, ours, X)
    for error_score, expected in (("raise", "alpha"), (0.5, None)):
        search = KernelSearchCV(regressor, grid, cv=3, error_score=error_score)
        if expected:
            with pytest.raises(ValueError, match=expected):
                search.fit(X, y)
        else:
            with pytest.warns(FitFailedWarning):
                assert search.fit(X, y).cv_results_["mean_test_score"][0] == error_score


def test_one_depth_that_overflows():
    grid = {"kernel__network__weight_var": [1e60], "kernel__network__depth": [1, 5], "alpha": [1.0]}
    with pytest.warns(FitFailedWarning, match="3 fits failed out of a total of 6"):
        search = KernelSearchCV(regressor, grid, cv=3, refit=False).fit(X, y)
    assert np.isfinite(search.cv_results_["mean_test_score"]).tolist() == [True, False]


def test_a_failed_fit_leaves_the_search_as_it_was():
    search = KernelSearchCV(regressor, ALPHAS, cv=3).fit(X, y)
    before = {**vars(search)}
    with pytest.raises(ValueError, match="fits failed"):
        search.fit(np.full_like(X, np.nan), y)
    assert vars(search) == before
    with pytest.raises(ValueError, match="Invalid parameter"):
        KernelSearchCV(regressor, {"alhpa": [1.0]}).fit(X, y)


@pytest.mark.parametrize(
    ("estimator", "grid", "reason"),
    [
        (GaussianProcessRegressor(optimizer=None), {"kernel": [NTK(NET)], "alpha": [0.1, 1.0]}, "GaussianProcess"),
        (NeuralKernelRegressor(RBF(), optimizer="loo"), ALPHAS, "optimizer='loo'"),
        (NeuralKernelRegressor(RBF(), solver="nystrom", n_components=20, random_state=0), ALPHAS, "solver='nystrom'"),
        (SVR(), {"kernel": ["rbf", "linear"], "C": [0.1, 1.0]}, "kernel='rbf'"),
        (RandomForestRegressor(2, random_state=0), {"max_depth": [1, 2]}, "RandomForest"),
        (
            TransformedTargetRegressor(behind(regressor, StandardScaler())),
            within("regressor__model", ALPHAS),
            "Pipeline",
        ),
    ],
)
def test_what_cannot_be_shared_is_evaluated_as_ever(estimator, grid, reason):
    with pytest.warns(UserWarning, match=f"Some kernel matrices.*{reason}"):
        assert_same(estimator, grid, X, y)


def test_metadata_routing():
    for Search in (GridSearchCV, KernelSearchCV):
        with config_context(enable_metadata_routing=True):
            model = clone(regressor).set_fit_request(sample_weight=True)
            scorer = make_scorer(mean_absolute_error).set_score_request(sample_weight=True)
            search = Search(model, ALPHAS, scoring=scorer, cv=GroupKFold(3))
            search.fit(X, y, sample_weight=WEIGHTS, groups=GROUPS)
            if Search is GridSearchCV:
                theirs = search
            else:
                compare(theirs, search, X)
            prepared = behind(model, StandardScaler().set_fit_request(sample_weight=True))
            if Search is KernelSearchCV:
                with pytest.warns(UserWarning, match="metadata"):
                    Search(prepared, within("model", ALPHAS), cv=3).fit(X, y, sample_weight=WEIGHTS)


def test_random_search():
    points = ParameterSampler({"alpha": loguniform(1e-3, 1e3), "kernel__network__depth": [1, 2]}, 4, random_state=0)
    search = KernelSearchCV(regressor, [{k: [v] for k, v in point.items()} for point in points], cv=3).fit(X, y)
    assert search.cv_results_["params"] == list(points)


def test_pickle_keeps_no_data():
    search = KernelSearchCV(regressor, RIDGE, cv=3).fit(X, y)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(search)).predict(X), search.predict(X))
    assert len(pickle.dumps(search)) < len(pickle.dumps(GridSearchCV(regressor, RIDGE, cv=3).fit(X, y))) + 1000
    nested = cross_val_predict(KernelSearchCV(classifier, ALPHAS, cv=2), X, LABELS, cv=2, method="decision_function")
    assert nested.shape == (N, 3)


@pytest.mark.filterwarnings("ignore::scipy.linalg.LinAlgWarning")  # the checks have nearly singular and indefinite data
@parametrize_with_checks(
    [
        KernelSearchCV(NeuralKernelClassifier(RBF()), ALPHAS, cv=2),
        KernelSearchCV(NeuralKernelRegressor(RBF()), ALPHAS, cv=2),
        KernelSearchCV(make_pipeline(StandardScaler(), NeuralKernelRegressor(RBF())), {}, cv=2),
    ]
)
def test_scikit_learn_checks(estimator, check):
    check(estimator)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::scipy.linalg.LinAlgWarning")
@parametrize_with_checks([KernelSearchCV(NeuralKernelClassifier(), ALPHAS, cv=2)])
def test_scikit_learn_checks_with_a_network(estimator, check):
    check(estimator)
