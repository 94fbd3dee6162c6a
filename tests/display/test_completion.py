import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_rgb
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import BaseEstimator
from sklearn.impute import KNNImputer, SimpleImputer
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from ntkkit import NeuralInpainter
from ntkkit.display import CompletionDisplay
from ntkkit.display.completion import MOST_COLUMNS, MOST_ROWS
from ntkkit.display.style import LIGHT_BLUE

PANELS = ["observed", "mask", "completed", "truth", "error"]


@pytest.fixture
def table(rng):
    """A table in different units, whole and with holes."""
    truth = rng.standard_normal((30, 4)) * [1, 10, 100, 1000] + [0, 5, 0, 5000]
    return truth, np.where(rng.random(truth.shape) < 0.2, np.nan, truth)


def drawn(display, name):
    return np.ma.filled(display.images_[name].get_array(), np.nan)


def test_panels_show_columns_in_their_standard_deviations(table):
    truth, observed = table
    display = CompletionDisplay.from_estimator(SimpleImputer().fit(observed), observed, truth=truth)
    missing = np.isnan(observed)
    mean, std = np.nanmean(observed, axis=0), np.nanstd(observed, axis=0)
    assert list(display.axes_) == PANELS
    assert_allclose(drawn(display, "observed"), (observed - mean) / std)
    assert_array_equal(drawn(display, "mask"), missing)
    assert_allclose(drawn(display, "completed"), np.where(missing, 0, (truth - mean) / std), atol=1e-12)
    assert_allclose(drawn(display, "truth"), (truth - mean) / std)
    error = np.where(missing, (mean - truth) / std, np.nan)
    assert_allclose(drawn(display, "error"), error)
    assert display.rmse == pytest.approx(np.sqrt(np.nanmean(error**2)))
    assert display.axes_["error"].get_title(loc="left") == f"Error: RMSE {display.rmse:.3g}"
    assert f"{100 * missing.mean():.3g}% missing" in display.axes_["mask"].get_title(loc="left")


def test_one_scale_of_values_and_one_of_errors_around_zero(table):
    truth, observed = table
    display = CompletionDisplay(observed=observed, completed=truth + 1, truth=truth, standardize=False).plot()
    limits = np.nanquantile(observed, [0.005, 0.995])
    for name in ("observed", "completed", "truth"):
        assert_allclose(display.images_[name].get_clim(), limits)
    assert display.images_["error"].get_clim() == (-1, 1)
    assert display.rmse == pytest.approx(1.0)


def test_without_truth_and_with_truth_that_is_known_in_part(table):
    truth, observed = table
    display = CompletionDisplay(observed=observed, completed=truth).plot()
    assert list(display.axes_) == PANELS[:3]
    assert display.rmse is None
    place = tuple(np.argwhere(np.isnan(observed))[0])
    known = np.full_like(truth, np.nan)
    known[place] = truth[place] - 3
    display = CompletionDisplay(observed=observed, completed=truth, truth=known, standardize=False).plot()
    assert display.rmse == pytest.approx(3.0)
    assert np.isfinite(drawn(display, "error")).sum() == 1


def test_columns_without_spread_or_value_are_not_scaled():
    observed = np.array([[0.1, np.nan, 1.0], [0.1, np.nan, 3.0], [0.1, np.nan, np.nan]])
    completed = np.array([[0.1, 7.0, 1.0], [0.1, 7.0, 3.0], [0.1, 7.0, 4.0]])
    display = CompletionDisplay(observed=observed, completed=completed, truth=completed + 1).plot()
    assert_allclose(drawn(display, "completed"), [[0, 0, -1], [0, 0, 1], [0, 0, 2]], atol=1e-12)
    assert display.rmse == pytest.approx(1.0)


def test_names_of_columns_in_data_frames(table):
    frame = pd.DataFrame(table[1], columns=["one", "two", "three", "four"])
    for imputer in (SimpleImputer(), SimpleImputer().set_output(transform="pandas")):
        display = CompletionDisplay.from_estimator(imputer.fit(frame), frame)
        assert [label.get_text() for label in display.ax_.get_xticklabels()] == list(frame.columns)


def test_pipelines_show_what_reaches_the_imputer(table):
    truth, observed = table
    model = make_pipeline(StandardScaler(), KNNImputer()).fit(observed)
    display = CompletionDisplay.from_estimator(model, observed, truth=truth)
    assert_allclose(display.observed, model[0].transform(observed))
    assert_allclose(display.truth, model[0].transform(truth))
    assert_allclose(display.completed, model.transform(observed))


def test_large_tables_are_drawn_in_part_where_entries_are_missing(rng):
    truth = rng.standard_normal((2000, 300))
    observed = truth.copy()
    observed[100:110, 7] = observed[1999, 299] = np.nan
    display = CompletionDisplay(observed=observed, completed=truth, truth=truth + 1, standardize=False).plot()
    assert drawn(display, "mask").shape == (MOST_ROWS, MOST_COLUMNS)
    assert drawn(display, "mask").sum() == 11
    assert "150 of 2,000" in display.ax_.get_ylabel()
    assert "150 of 300" in display.ax_.get_xlabel()
    observed[rng.random(truth.shape) < 0.5] = np.nan
    display = CompletionDisplay(observed=observed, completed=truth, standardize=False).plot()
    assert display.ax_.get_yticklabels()[-1].get_text() == "1,999"
    expected = observed[np.linspace(0, 1999, 150).round().astype(int)]
    assert_array_equal(drawn(display, "observed"), expected[:, np.linspace(0, 299, 150).round().astype(int)])


@pytest.mark.parametrize("scale", [1.0, 255.0])
def test_colour_pictures_are_drawn_as_they_are(rng, scale):
    truth = rng.uniform(0, scale, (6, 5, 3))
    observed, completed = truth.copy(), truth.copy()
    truth[0, 0, 0] = scale
    observed[1, 2], observed[3, 3, 0] = np.nan, np.nan
    completed[1, 2] += np.array([0.1, 0.2, 0.6]) * scale
    display = CompletionDisplay(observed=observed, completed=completed, truth=truth).plot()
    assert_allclose(drawn(display, "truth"), truth / scale)
    assert_allclose(drawn(display, "completed")[1, 2], np.minimum(completed[1, 2] / scale, 1))
    for pixel in ((1, 2), (3, 3)):
        assert_allclose(drawn(display, "observed")[pixel], to_rgb(LIGHT_BLUE))
    assert drawn(display, "mask").sum() == 2
    assert drawn(display, "error")[1, 2] == pytest.approx(0.3 * scale)
    assert display.rmse == pytest.approx(scale * np.sqrt((0.1**2 + 0.2**2 + 0.6**2) / 4))


def test_grey_pictures_of_one_channel_and_of_none(rng):
    truth = rng.uniform(-1, 2, (6, 5))
    observed = np.where(np.eye(6, 5) > 0, np.nan, truth)
    for shape in ((6, 5), (6, 5, 1)):
        display = CompletionDisplay(
            observed=observed.reshape(shape), completed=truth.reshape(shape), truth=truth.reshape(shape), image=True
        ).plot()
        assert display.images_["truth"].get_cmap().name == "gray"
        assert display.images_["truth"].get_clim() == (np.nanmin(observed), np.nanmax(observed))
        assert_array_equal(drawn(display, "observed"), observed)
        assert display.ax_.get_aspect() == 1
    flat = CompletionDisplay(observed=np.where(np.eye(4), np.nan, -2)[..., None], completed=np.full((4, 4), -2)).plot()
    assert drawn(flat, "completed").shape == (4, 4)


def test_the_inpainter_makes_pictures(rng):
    grey = rng.uniform(size=(12, 10))
    observed = np.where(rng.random(grey.shape) < 0.3, np.nan, grey)
    model = NeuralInpainter(depth=1).fit(observed)
    display = CompletionDisplay.from_estimator(model, observed, truth=grey)
    assert display.image
    assert_allclose(drawn(display, "completed"), model.transform(observed))
    assert not CompletionDisplay.from_estimator(model, observed, image=False).image


class AddsRowFeatures(BaseEstimator):
    """Fills with the sum of the row's features."""

    def fit(self, X):
        self.fitted_ = True
        return self

    def transform(self, X, row_features=None):
        return np.where(np.isnan(X), np.sum(row_features, axis=1, keepdims=True), X)


def test_row_features_reach_transform(table):
    _, observed = table
    features = np.arange(60.0).reshape(30, 2)
    display = CompletionDisplay.from_estimator(AddsRowFeatures().fit(observed), observed, row_features=features)
    rows, columns = np.nonzero(np.isnan(observed))
    assert_array_equal(display.completed[rows, columns], features.sum(axis=1)[rows])


WHOLE, HOLE = np.ones((3, 2)), np.where(np.arange(6).reshape(3, 2) == 2, np.nan, 1.0)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"observed": WHOLE}, "no missing"),
        ({"observed": np.full((3, 2), np.nan)}, "every entry is missing"),
        ({"observed": np.ones(3)}, "must be a table .* found shape"),
        ({"observed": np.ones((2, 3, 4))}, r"or one picture \(H, W\).* found shape \(2, 3, 4\)"),
        ({"observed": [["a", "b"]]}, "could not convert"),
        ({"completed": HOLE}, "completed contains NaN"),
        ({"completed": WHOLE.T}, r"completed has shape \(2, 3\), but observed \(3, 2\)"),
        ({"truth": WHOLE[:2]}, r"truth has shape \(2, 2\)"),
        ({"truth": HOLE}, "truth is NaN wherever observed is"),
        ({"truth": WHOLE * np.inf}, "truth contains infinity"),
        ({"feature_names": ["a"]}, "feature_names has 1 names for 2 columns"),
    ],
)
def test_refuses_what_it_cannot_show(change, message):
    with pytest.raises(ValueError, match=message):
        CompletionDisplay(**{"observed": HOLE, "completed": WHOLE, **change})


def test_refuses_estimators_that_complete_nothing_and_other_numbers_of_axes(table):
    truth, observed = table
    with pytest.raises(TypeError, match="must have transform"):
        CompletionDisplay.from_estimator(Ridge().fit(truth, truth[:, 0]), observed)
    keeps_none = SimpleImputer(keep_empty_features=False)
    empty = np.column_stack([observed, np.full(30, np.nan)])
    with (
        pytest.warns(UserWarning, match="Skipping features"),
        pytest.raises(ValueError, match=r"shape \(30, 4\) of one of shape \(30, 5\): imputers must keep empty columns"),
    ):
        CompletionDisplay.from_estimator(keeps_none.fit(empty), empty)
    three = plt.subplots(1, 3)[1]
    with pytest.raises(ValueError, match=r"ax must be one, or 5: observed, mask, .*; found 3"):
        CompletionDisplay(observed=observed, completed=truth, truth=truth).plot(three)
    display = CompletionDisplay(observed=observed, completed=truth).plot(three)
    assert list(display.axes_.values()) == list(three)
