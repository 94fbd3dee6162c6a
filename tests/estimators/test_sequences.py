"""Estimators on sequences: lists and padded arrays alike, in whatever scikit-learn does with data."""

import pickle

import numpy as np
import pandas as pd
import pytest
from references.sequences import Averages, averages, pad
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.gaussian_process.kernels import RBF
from sklearn.model_selection import GridSearchCV, cross_val_predict, cross_val_score
from sklearn.multioutput import MultiOutputRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from sklearn.svm import SVC, SVR

from ntkkit import (
    NNGP,
    NTK,
    Cache,
    Engine,
    FullyConnected,
    KernelSearchCV,
    NeuralKernelClassifier,
    NeuralKernelClassifierCV,
    NeuralKernelFeatures,
    NeuralKernelRegressor,
    NeuralKernelRegressorCV,
    NeuralKernelSVC,
    NeuralKernelSVR,
    Recurrent,
    certified_radius,
)
from ntkkit.datasets import to_sequences

# Few numbers of samples, steps and features share what is compiled: 24 (or all 32) to fit, 8 new.
RNG = np.random.default_rng(0)
X = [RNG.standard_normal((length, 2)) for length in RNG.integers(2, 8, 32)]
PADDED = pad(X)
Y = np.array([x[-1, 0] + 0.3 * len(x) for x in X])
LABELS = np.array(["ash", "birch", "cedar"])[np.digitize(Y, [0.8, 1.8])]
TRAIN, NEW = slice(24), slice(24, None)
KERNEL = NTK(Recurrent())
CHEAP = Averages()  # where many shapes are compiled
EVERY = {
    "regressor": (NeuralKernelRegressor(KERNEL, alpha=0.1), Y),
    "regressor, two targets": (NeuralKernelRegressor(KERNEL, alpha=0.1), np.c_[Y, -Y]),
    "regressor, pcg": (NeuralKernelRegressor(KERNEL, alpha=0.1, solver="pcg", n_components=8, random_state=0), Y),
    "regressor, centres": (
        NeuralKernelRegressor(CHEAP, alpha=0.1, solver="nystrom", n_components=9, random_state=0),
        Y,
    ),
    "regressor, at a time": (NeuralKernelRegressor(KERNEL, train_time=2.0), Y),
    "regressor, alphas": (NeuralKernelRegressorCV(KERNEL), Y),
    "classifier": (NeuralKernelClassifier(KERNEL, alpha=0.1, class_weight="balanced"), LABELS),
    "classifier, alphas": (NeuralKernelClassifierCV(KERNEL), LABELS),
    "svc": (NeuralKernelSVC(KERNEL), LABELS),
    "svc, no intercept": (NeuralKernelSVC(KERNEL, fit_intercept=False), LABELS),
    "svr": (NeuralKernelSVR(KERNEL, epsilon=0.01), Y),
    "scikit-learn's SVC": (SVC(kernel=KERNEL), LABELS),
    "scikit-learn's SVR": (SVR(kernel=KERNEL), Y),
}
every_estimator = pytest.mark.parametrize(("estimator", "y"), EVERY.values(), ids=EVERY)


@pytest.fixture(autouse=True)
def large_tiles(monkeypatch):
    """One tile for all samples: smaller ones would have to be compiled for each number of them."""
    monkeypatch.setattr(Recurrent, "tile_side", None)


@pytest.fixture
def model(large_tiles):
    return NeuralKernelRegressor(KERNEL, alpha=0.1).fit(X[TRAIN], Y[TRAIN])


@every_estimator
def test_lists_and_padded_arrays_are_alike(estimator, y):
    listed = clone(estimator).fit(X[TRAIN], y[TRAIN])
    predicted = listed.predict(X[NEW])
    for data in (PADDED, tuple(X), pd.Series(X)):
        fitted = clone(estimator).fit(data[TRAIN], y[TRAIN])
        np.testing.assert_array_equal(fitted.predict(data[NEW]), predicted)
        np.testing.assert_array_equal(listed.predict(data[NEW]), predicted)
    again = pickle.loads(pickle.dumps(listed))
    np.testing.assert_array_equal(again.predict(PADDED[NEW]), predicted)
    if y is LABELS:
        assert listed.score(X[TRAIN], y[TRAIN]) > 0.9
        np.testing.assert_array_equal(fitted.decision_function(X[NEW]), listed.decision_function(PADDED[NEW]))


@every_estimator
def test_they_are_the_machine_on_its_gram_matrix(estimator, y):
    K = estimator.kernel(X)
    precomputed = clone(estimator).set_params(kernel="precomputed")
    if getattr(estimator, "solver", None) == "nystrom":
        precomputed.set_params(solver="eigen")  # which is the same where centres span all
    precomputed = precomputed.fit(K[TRAIN, TRAIN], y[TRAIN])
    expected, found = precomputed.predict(K[NEW, TRAIN]), clone(estimator).fit(X[TRAIN], y[TRAIN]).predict(X[NEW])
    if y is LABELS:
        np.testing.assert_array_equal(found, expected)
    else:
        np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-6)


def test_what_is_fitted(model):
    assert model.n_features_in_ == 2
    assert not hasattr(model, "feature_names_in_")
    assert type(model.X_fit_) is np.ndarray
    assert model.X_fit_.shape == (24, 8, 2)
    assert model.X_fit_.dtype == np.float64


def test_single_precision():
    model = NeuralKernelRegressor(CHEAP, alpha=0.1).fit(X[TRAIN], Y[TRAIN])
    single = clone(model).fit([x.astype(np.float32) for x in X[TRAIN]], Y[TRAIN])
    assert single.X_fit_.dtype == np.float32
    np.testing.assert_allclose(single.predict(PADDED[NEW].astype(np.float32)), model.predict(X[NEW]), atol=1e-4)


def test_lengths_may_be_others_than_in_fit(model):
    longer = [np.concatenate([x, x]) for x in X[NEW]]
    mixed = [*longer[:4], *X[NEW][:3], X[0][:1]]
    expected = KERNEL(mixed, X[TRAIN]) @ model.dual_coef_
    np.testing.assert_allclose(model.predict(mixed), expected, rtol=1e-9)
    assert model.predict(X[:8]).shape == (8,)
    np.testing.assert_allclose(model.predict([x[:1] for x in X[:8]]).shape, (8,))


def test_other_features_than_in_fit(model):
    with pytest.raises(
        ValueError, match="X has 1 features a step, but NeuralKernelRegressor is expecting 2 features a"
    ):
        model.predict([x[:, :1] for x in X])
    with pytest.raises(ValueError, match="X has 3 features a step"):
        model.predict(np.ones((2, 7, 3)))
    with pytest.raises(ValueError, match="X has NaN inside sequence 1, at step 0 of 7"):
        model.predict(np.where(np.arange(14).reshape(2, 7, 1) == 7, np.nan, np.ones((2, 7, 2))))
    with pytest.raises(ValueError, match="Y must have as many features as X: found Y with 2 and X with 1"):
        SVC(kernel=KERNEL).fit(X[TRAIN], LABELS[TRAIN]).predict([x[:, :1] for x in X])


def test_a_failed_fit_leaves_no_trace(model):
    before = model.predict(X[NEW])
    for wrong in ([*X[:23], [[np.nan, 1.0], [1.0, 1.0]]], [*X[:23], np.ones((4, 3))], [*X[:23], []]):
        with pytest.raises(ValueError, match="equence 23"):
            model.fit(wrong, Y[TRAIN])
    np.testing.assert_array_equal(model.predict(X[NEW]), before)


def test_names_of_columns_are_let_go():
    """Columns of a table are steps, and other tables have more."""
    table = pd.DataFrame(PADDED[:, :, 0]).add_prefix("hour ")
    rows = NeuralKernelRegressor(RBF()).fit(table.fillna(0.0), Y)
    assert len(rows.feature_names_in_) == rows.n_features_in_ == 7
    rows.set_params(kernel=CHEAP).fit(table, Y)
    assert rows.n_features_in_ == 1
    assert not hasattr(rows, "feature_names_in_")


FC = NTK(FullyConnected(depth=1))


@pytest.mark.parametrize("data", [X, PADDED], ids=["list", "padded"])
def test_kernels_of_rows_say_who_reads_sequences(data):
    for kernel in (None, FC, lambda A, B: A @ B.T):
        with pytest.raises(ValueError, match=r"(?s)equences .*are read by kernels of Recurrent.*NTK\(Recurrent\(\)\)"):
            NeuralKernelRegressor(kernel).fit(data, Y)
    with pytest.raises(ValueError, match=r"certificate is for the kernel NTK\(FullyConnected.*found NTK\(network=Rec"):
        certified_radius(NeuralKernelRegressor(KERNEL).fit(data, Y), data)


class TestPerStep:
    """A readout that takes sequences of equal lengths."""

    kernel = NTK(Recurrent(readout="per_step"))
    lengths = r'readout="per_step" reads sequences of equal lengths: sequence 0 of '

    def test_fit_names_the_row(self):
        row = next(i for i, x in enumerate(X) if len(x) != len(X[0]))
        found = f"X has {len(X[0])} steps, sequence {row} of X has {len(X[row])}. Cut them, or use"
        for estimator in (
            NeuralKernelRegressor(self.kernel),
            NeuralKernelFeatures(self.kernel, n_components=4),
            NeuralKernelFeatures(self.kernel, n_components=4, method="random"),
        ):
            with pytest.raises(ValueError, match=self.lengths + found):
                estimator.fit(X, Y)
            assert not hasattr(estimator, "n_features_in_")

    def test_so_does_predict(self):
        short = [x[:2] for x in X]
        model = NeuralKernelRegressor(self.kernel).fit(short, Y)
        with pytest.raises(ValueError, match=self.lengths + "X has 3 steps, sequence 0 of Y has 2"):
            model.predict(np.ones((5, 3, 2)))
        features = NeuralKernelFeatures(self.kernel, n_components=4, method="random", random_state=0).fit(short)
        with pytest.raises(ValueError, match=self.lengths + "what fit was given has 2 steps, sequence 0 of X has 3"):
            features.transform(np.ones((5, 3, 2)))


class TestFeatures:
    @pytest.mark.parametrize("method", ["rpcholesky", "uniform"])
    def test_few_samples_make_a_kernel_of_low_rank(self, method):
        transformer = NeuralKernelFeatures(CHEAP, n_components=9, method=method, random_state=0)
        Z = transformer.fit_transform(X[TRAIN])
        np.testing.assert_allclose(Z @ Z.T, averages(X[TRAIN], X[TRAIN]), rtol=1e-6)
        np.testing.assert_allclose(transformer.transform(X[NEW]) @ Z.T, averages(X[NEW], X[TRAIN]), rtol=1e-6)
        np.testing.assert_array_equal(transformer.transform(PADDED[NEW]), transformer.transform(X[NEW]))
        assert transformer.components_.shape == (3, 8, 2)
        assert transformer.n_features_in_ == 2
        frame = clone(transformer).set_output(transform="pandas").fit_transform(PADDED[TRAIN])
        np.testing.assert_array_equal(frame, Z)

    @pytest.mark.parametrize(
        ("kernel", "steps"),
        [
            (KERNEL, None),
            (NNGP(Recurrent(readout="mean")), None),
            (NTK(Recurrent(readout="per_step")), 2),
        ],
        ids=["last", "mean", "per_step"],
    )
    def test_random_networks(self, kernel, steps):
        """Their features approach the kernel, to which padding adds nothing: two steps are stored as eight."""
        data = [x[:steps] for x in X]
        K = kernel(data)
        transformer = NeuralKernelFeatures(kernel, n_components=2000, method="random", random_state=0).fit(data)
        Z = transformer.transform(data)
        assert Z.shape == (32, 2000)
        scale = np.sqrt(np.outer(K.diagonal(), K.diagonal()))
        assert np.sqrt(np.mean(((Z @ Z.T - K) / scale) ** 2)) < 0.06


@pytest.mark.parametrize("data", [X, PADDED], ids=["list", "padded"])
class TestCrossValidation:
    def test_scores(self, data):
        machine = NeuralKernelRegressor(KERNEL, alpha=0.1)
        K, folds = KERNEL(X), np.arange(32).reshape(4, 8)
        expected = np.empty(32)
        for test in folds:
            train = np.setdiff1d(np.arange(32), test)
            expected[test] = K[np.ix_(test, train)] @ np.linalg.solve(
                K[np.ix_(train, train)] + 0.1 * np.eye(24), Y[train]
            )
        np.testing.assert_allclose(cross_val_predict(machine, data, Y, cv=4), expected, rtol=1e-8)
        assert cross_val_score(machine, data, Y, cv=4).mean() > 0.5
        assert cross_val_score(SVC(kernel=KERNEL), data, LABELS, cv=4).shape == (4,)

    def test_a_search_evaluates_the_kernel_once(self, data, monkeypatch):
        calls, gram = [], Engine.gram
        monkeypatch.setattr(Engine, "gram", lambda engine, *args: (calls.append(len(args[1])), gram(engine, *args))[1])
        machine, grid = NeuralKernelRegressor(KERNEL, engine=Engine(cache=Cache())), {"alpha": [1e-3, 0.1, 10.0]}
        ours = KernelSearchCV(machine, grid, cv=4).fit(data, Y)
        assert calls == [32, 32]  # the second finds it in the cache
        theirs = GridSearchCV(NeuralKernelRegressor(KERNEL), grid, cv=4).fit(data, Y)
        found, expected = (s.cv_results_["mean_test_score"] for s in (ours, theirs))
        np.testing.assert_allclose(found, expected, atol=1e-8)
        np.testing.assert_allclose(ours.predict(data), theirs.predict(data), atol=1e-8)
        assert machine.engine.cache.n_misses == 1

    def test_depths_share_a_pass(self, data, monkeypatch):
        calls, at_depths = [], Engine.gram_at_depths
        monkeypatch.setattr(
            Engine,
            "gram_at_depths",
            lambda engine, kernel, X, Y=None, *, depths: (
                calls.append((sorted(depths), len(X))),
                at_depths(engine, kernel, X, Y, depths=depths),
            )[1],
        )
        grid = {"kernel__network__depth": [1, 2], "alpha": [0.1, 1.0]}
        search = KernelSearchCV(NeuralKernelRegressor(KERNEL), grid, cv=4).fit(data, Y)
        assert calls == [([1, 2], 32)]
        scores = search.cv_results_["mean_test_score"]
        by_hand = cross_val_score(NeuralKernelRegressor(KERNEL, alpha=0.1), data, Y, cv=4).mean()
        place = search.cv_results_["params"].index({"kernel__network__depth": 1, "alpha": 0.1})
        np.testing.assert_allclose(scores[place], by_hand, atol=1e-8)
        assert len(set(scores.round(6))) == 4

    def test_searches_of_others(self, data):
        search = KernelSearchCV(SVC(kernel=KERNEL), {"C": [0.1, 10.0]}, cv=4).fit(data, LABELS)
        assert search.score(data, LABELS) > 0.9
        machine, grid = NeuralKernelRegressor(KERNEL), {"alpha": [0.1, 1.0]}
        scored = KernelSearchCV(machine, grid, cv=4, scoring=lambda model, A, b: float(len(A) == len(b) == 8))
        assert scored.fit(data, Y).best_score_ == 1.0

    def test_a_preparation_in_front(self, data):
        """Of aeon's layout; lists of arrays are passed on."""
        turned = [np.transpose(x) for x in data] if isinstance(data, list) else data.swapaxes(1, 2)
        prepare = FunctionTransformer(to_sequences, kw_args={"layout": "channels_first"})
        pipeline, grid = (
            make_pipeline(prepare, NeuralKernelRegressor(CHEAP)),
            {"neuralkernelregressor__alpha": [0.1, 1.0]},
        )
        ours, theirs = (Search(pipeline, grid, cv=4).fit(turned, Y) for Search in (KernelSearchCV, GridSearchCV))
        found, expected = (s.cv_results_["mean_test_score"] for s in (ours, theirs))
        np.testing.assert_allclose(found, expected, atol=1e-8)
        plain = NeuralKernelRegressor(CHEAP, alpha=0.1)
        np.testing.assert_allclose(found[0], cross_val_score(plain, data, Y, cv=4).mean(), atol=1e-8)

    def test_wrappers(self, data):
        several = MultiOutputRegressor(NeuralKernelRegressor(KERNEL)).fit(data, np.c_[Y, -Y])
        np.testing.assert_allclose(several.predict(data), np.c_[Y, -Y], atol=0.1)
        calibrated = CalibratedClassifierCV(NeuralKernelSVC(KERNEL), cv=4).fit(data, LABELS)
        np.testing.assert_allclose(calibrated.predict_proba(data).sum(axis=1), 1.0)


def test_rows_in_a_pipeline():
    """Plain rows (n, T) of one feature, which scikit-learn's scalers take, with NaN behind the ends."""
    for rows in (PADDED[..., 0], pd.DataFrame(PADDED[..., 0])):
        pipeline = make_pipeline(StandardScaler(), NeuralKernelRegressor(KERNEL)).fit(rows[TRAIN], Y[TRAIN])
        scaled = StandardScaler().fit(PADDED[TRAIN, :, 0]).transform(PADDED[..., 0])
        expected = NeuralKernelRegressor(KERNEL).fit(scaled[TRAIN], Y[TRAIN]).predict(scaled[NEW])
        np.testing.assert_allclose(pipeline.predict(rows[NEW]), expected, rtol=1e-10)
    search = KernelSearchCV(pipeline, {"neuralkernelregressor__alpha": [0.1, 1.0]}, cv=4).fit(PADDED[..., 0], Y)
    by_hand = GridSearchCV(pipeline, {"neuralkernelregressor__alpha": [0.1, 1.0]}, cv=4).fit(PADDED[..., 0], Y)
    found, expected = (s.cv_results_["mean_test_score"] for s in (search, by_hand))
    np.testing.assert_allclose(found, expected, atol=1e-8)


def test_the_spread():
    """The posterior's, by its formula, for lists and padded arrays."""
    prior, new = NNGP(Recurrent()), slice(8, None)
    machine = NeuralKernelRegressor(prior, alpha=0.1).fit(X[TRAIN], Y[TRAIN])
    K = prior(X)
    expected = K[new, new] - K[new, TRAIN] @ np.linalg.solve(K[TRAIN, TRAIN] + 0.1 * np.eye(24), K[TRAIN, new])
    for data in (X[new], PADDED[new]):
        np.testing.assert_allclose(machine.predict(data, return_cov=True)[1], expected, atol=1e-9)
        np.testing.assert_allclose(machine.predict(data, return_std=True)[1] ** 2, expected.diagonal(), atol=1e-9)


def test_weights_and_stores(tmp_path):
    weights = np.arange(24) % 4
    machine = NeuralKernelRegressor(KERNEL, alpha=0.1, engine=Engine(store=tmp_path / "K"))
    predicted = machine.fit(X[TRAIN], Y[TRAIN]).predict(X[NEW])
    np.testing.assert_array_equal(machine.fit(PADDED[TRAIN], Y[TRAIN]).predict(X[NEW]), predicted)
    kept = [i for i in range(24) if weights[i]]
    weighted = clone(machine).set_params(engine=None).fit(X[TRAIN], Y[TRAIN], sample_weight=weights)
    without = clone(weighted).fit([X[i] for i in kept], Y[kept], sample_weight=weights[kept])
    np.testing.assert_allclose(weighted.predict(X[NEW]), without.predict(X[NEW]), rtol=1e-8)


@pytest.mark.slow
def test_learned_hyperparameters():
    machine = NeuralKernelRegressor(KERNEL, alpha=0.1, optimizer="marginal_likelihood")
    before = NeuralKernelRegressor(KERNEL, alpha=0.1).fit(X[TRAIN], Y[TRAIN])
    after = machine.fit(PADDED[TRAIN], Y[TRAIN])
    likelihood, gradient = before.log_marginal_likelihood(eval_gradient=True)
    assert after.log_marginal_likelihood() > likelihood + 1
    theta, step = before.kernel_.theta, 1e-4 * np.array([1.0, -0.5, 0.3, 0.7])
    high, low = (before.log_marginal_likelihood(theta + sign * step) for sign in (0.5, -0.5))
    np.testing.assert_allclose(high - low, gradient @ step, rtol=1e-5)
