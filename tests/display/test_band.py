import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.stats import norm
from sklearn.base import BaseEstimator
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF, WhiteKernel
from sklearn.linear_model import Ridge
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from ntkkit import NNGP, NTK, FullyConnected, NeuralKernelRegressor
from ntkkit.display import PredictionBandDisplay

NET = FullyConnected(depth=1)


@pytest.fixture(scope="module")
def wave():
    rng = np.random.default_rng(0)
    X = rng.uniform(-1, 1, (30, 1))
    return X, np.sin(3 * X[:, 0]) + 0.3 * rng.standard_normal(30)


@pytest.fixture(scope="module")
def surface():
    rng = np.random.default_rng(1)
    X = rng.standard_normal((50, 3))
    return X, X[:, 0] + 0.3 * rng.standard_normal(50)


def edges(band, x):
    """The lower and upper edge of what fill_between drew."""
    vertices = band.get_paths()[0].vertices
    n = len(x)
    assert_allclose(vertices[1 : n + 1, 0], x)
    return vertices[1 : n + 1, 1], vertices[n + 2 : 2 * n + 2, 1][::-1]


def test_a_curve_has_the_bands_of_f_and_of_observations(wave):
    model = NeuralKernelRegressor(NNGP(NET), alpha=0.09).fit(*wave)
    display = PredictionBandDisplay.from_estimator(model, *wave, level=0.8)
    x, mean = display.line_.get_data()
    assert (x[0], x[-1]) == (wave[0].min(), wave[0].max())
    expected, std = model.predict(x[:, None], return_std=True)
    assert_allclose(mean, expected)
    z = norm.ppf(0.9)
    assert_allclose(edges(display.band_, x), [mean - z * np.hypot(std, 0.3), mean + z * np.hypot(std, 0.3)])
    assert_allclose(edges(display.inner_band_, x), [mean - z * std, mean + z * std])
    assert_allclose(display.points_[0].get_data(), [wave[0][:, 0], wave[1]])
    assert PredictionBandDisplay.from_estimator(model, wave[0]).points_ == []


def test_samples_in_ascending_order_with_the_coverage(surface):
    X, y = surface
    model = NeuralKernelRegressor(NNGP(NET), alpha=0.09).fit(X[:30], y[:30])
    display = PredictionBandDisplay.from_estimator(model, X[30:], y[30:])
    mean, std = model.predict(X[30:], return_std=True)
    half, order = norm.ppf(0.95) * np.hypot(std, 0.3), np.argsort(mean)
    segments = np.array(display.bars_.get_segments())
    assert_allclose(segments[:, 0, 1], (mean - half)[order])
    assert_allclose(segments[:, 1, 1], (mean + half)[order])
    assert_allclose(display.line_.get_ydata(), np.sort(mean))
    inside = (abs(y[30:] - mean) <= half)[order]
    covered, outside = display.points_
    assert_array_equal(covered.get_xdata(), np.flatnonzero(inside))
    assert_array_equal(outside.get_ydata(), y[30:][order][~inside])
    assert display.coverage == inside.mean()
    assert f"90% band: covers {inside.mean():.1%} of 20" in display.ax_.get_legend().get_texts()[0].get_text()


def test_the_band_covers_its_level_where_the_model_is_true(rng):
    """Over draws from the prior, with noise: the share has a spread of 1% over seeds; without the noise it is 47%."""
    X = rng.standard_normal((240, 2))
    K = NNGP(NET)(X)
    draws = rng.multivariate_normal(np.zeros(240), K, size=5) + 0.5 * rng.standard_normal((5, 240))
    found = []
    for y in draws:
        model = NeuralKernelRegressor(NNGP(NET), alpha=0.25).fit(X[:40], y[:40])
        found.append(PredictionBandDisplay.from_estimator(model, X[40:], y[40:]).coverage)
    assert abs(np.mean(found) - 0.9) < 0.05


@pytest.mark.parametrize(
    "model",
    [
        NeuralKernelRegressor(NTK(NET), alpha=0.09),
        NeuralKernelRegressor(NNGP(NET), alpha=0.09, train_time=1.0),
        GaussianProcessRegressor(RBF() + WhiteKernel(0.09), alpha=0.5, optimizer=None),
    ],
    ids=["NTK", "finite time", "scikit-learn"],
)
def test_noise_is_added_to_posteriors_only(model, wave):
    display = PredictionBandDisplay.from_estimator(model.fit(*wave), *wave)
    assert display.noise_var == 0
    assert display.inner_band_ is None
    _, std = model.predict(display.x[:, None], return_std=True)
    low, high = edges(display.band_, display.x)
    assert_allclose(high - low, 2 * norm.ppf(0.95) * std, atol=1e-12)


def test_pipelines_searches_and_column_names(surface):
    X, y = pd.DataFrame(surface[0], columns=["one", "two", "three"]), surface[1]
    model = make_pipeline(StandardScaler(), NeuralKernelRegressor(NNGP(NET), alpha=0.09))
    search = GridSearchCV(model, {"neuralkernelregressor__alpha": [0.09]}, cv=2).fit(X, y)
    display = PredictionBandDisplay.from_estimator(search, X, y)
    assert display.noise_var == 0.09
    assert_allclose(display.y_pred, search.predict(X))
    display = PredictionBandDisplay.from_estimator(search, X, feature=1)
    rows = np.tile(X.median().to_numpy(), (len(display.x), 1))
    rows[:, 1] = np.linspace(X["two"].min(), X["two"].max(), len(rows))
    assert_allclose(display.y_pred, search.predict(pd.DataFrame(rows, columns=X.columns)))
    assert display.ax_.get_xlabel() == "two"
    assert display.points_ == []


class Ends(BaseEstimator):
    """Predicts the last number of a sequence, of a spread that is its length."""

    def fit(self, X, y):
        self.fitted_ = True
        return self

    def predict(self, X, return_std=False):
        steps = [x[~np.isnan(x)] for x in X]
        return np.array([x[-1] for x in steps]), np.array([float(len(x)) for x in steps])


def test_sequences_are_drawn_in_ascending_order():
    X, y = [np.arange(3.0), np.array([5.0]), np.arange(2.0)], np.array([1.0, 5.0, 9.0])
    padded = np.array([[0.0, 1.0, 2.0], [5.0, np.nan, np.nan], [0.0, 1.0, np.nan]])
    for data in (X, padded, [x[:, None] for x in X], padded[..., None]):
        model = Ends().fit(data, y)
        display = PredictionBandDisplay.from_estimator(model, data, y)
        assert_array_equal(display.line_.get_ydata(), [1.0, 2.0, 5.0])
        assert display.coverage == 2 / 3
        with pytest.raises(ValueError, match=r"y is None; for X of shape \(3,.*\) give y"):
            PredictionBandDisplay.from_estimator(model, data)
    for data in (X, padded[..., None]):
        with pytest.raises(ValueError, match=r"feature=1 is for rows; X is of shape \(3,.*: leave feature out"):
            PredictionBandDisplay.from_estimator(model, data, y, feature=1)


def test_from_predictions_thins_out_many_samples(rng):
    y_pred, y_std = rng.standard_normal(2000), rng.uniform(1, 2, 2000)
    y_true = y_pred + y_std * rng.standard_normal(2000)
    display = PredictionBandDisplay.from_predictions(y_true, y_pred, y_std=y_std, level=0.5)
    assert abs(display.coverage - 0.5) < 0.04  # of all
    assert len(display.bars_.get_segments()) == 200
    assert "200 of 2,000 samples" in display.ax_.get_title(loc="left")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"y_std": [-1.0, 1.0]}, "y_std must be >= 0"),
        ({"y_std": [1.0]}, "inconsistent numbers of samples"),
        ({"y_pred": [0.0, np.nan]}, "y_pred contains NaN"),
        ({"y_true": [[0.0], [1.0]]}, "y_true must be 1-D"),
        ({"level": 90}, r"level must be a number in \(0, 1\)"),
        ({"level": "0.9"}, r"level must be a number in \(0, 1\)"),
    ],
)
def test_refuses_predictions_it_cannot_use(change, message):
    with pytest.raises(ValueError, match=message):
        PredictionBandDisplay.from_predictions(
            **{"y_true": [0.0, 1.0], "y_pred": [0.0, 1.0], "y_std": [1.0, 1.0], **change}
        )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"y": None}, "give y, or, of rows, feature="),
        ({"feature": 3}, "feature must be a column of X, 0 to 2"),
        ({"feature": "x"}, "feature must be a column of X, 0 to 2"),
        ({"y": np.zeros(3)}, "inconsistent numbers of samples"),
        ({"level": 1.0}, "level must be"),
    ],
)
def test_refuses_arguments_it_cannot_use(surface, change, message):
    model = NeuralKernelRegressor(NNGP(NET)).fit(*surface)
    with pytest.raises(ValueError, match=message):
        PredictionBandDisplay.from_estimator(model, **{"X": surface[0], "y": surface[1], **change})


def test_refuses_regressors_without_spread_and_several_targets(surface):
    X, y = surface
    with pytest.raises(TypeError, match=r"must have predict\(X, return_std=True\)"):
        PredictionBandDisplay.from_estimator(Ridge().fit(X, y), X, y)
    with pytest.raises(ValueError, match="predicts 2 targets"):
        PredictionBandDisplay.from_estimator(NeuralKernelRegressor(NNGP(NET)).fit(X, np.c_[y, y]), X, y)
    with pytest.raises(ValueError, match="which is no network's kernel"):
        PredictionBandDisplay.from_estimator(NeuralKernelRegressor(RBF()).fit(X, y), X, y)
