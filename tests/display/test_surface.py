import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.datasets import load_iris
from sklearn.model_selection import GridSearchCV
from sklearn.svm import SVC

from ntkkit.display import SearchSurfaceDisplay

GRID = {"C": [10, 0.1, 1], "gamma": [0.01, 0.1], "kernel": ["rbf", "poly"]}


@pytest.fixture(scope="module")
def search():
    return GridSearchCV(SVC(), GRID, cv=3).fit(*load_iris(return_X_y=True))


def score(search, **params):
    """The best mean test score of the candidates with these parameters, by search."""
    found = search.cv_results_
    return max(
        mean
        for mean, candidate in zip(found["mean_test_score"], found["params"], strict=True)
        if params.items() <= candidate.items()
    )


def test_every_cell_is_the_best_over_the_others(search):
    display = SearchSurfaceDisplay.from_estimator(search, params=("C", "gamma"))
    assert display.values == ([0.1, 1, 10], [0.01, 0.1])
    expected = [[score(search, C=C, gamma=gamma) for gamma in (0.01, 0.1)] for C in (0.1, 1, 10)]
    assert_array_equal(display.mean_scores, expected)
    assert_array_equal(display.image_.get_array(), np.transpose(expected))
    written = {text.get_position(): text.get_text() for text in display.ax_.texts}
    assert written[2, 1] == f"{expected[2][1]:.3f}"
    assert len(written) == 6
    assert [label.get_text() for label in display.ax_.get_xticklabels()] == ["0.1", "1", "10"]
    assert "Each score is the best over kernel" in display.ax_.get_title(loc="left")


def test_the_best_is_marked(search):
    display = SearchSurfaceDisplay.from_estimator(search, params=("gamma", "kernel"))
    place = [
        values.index(search.best_params_[name]) for name, values in zip(display.params, display.values, strict=True)
    ]
    assert display.mean_scores[display.best] == search.best_score_
    assert list(display.best) == place
    assert_allclose(display.best_mark_.get_xy(), np.array(place) - 0.5)


def test_one_parameter_is_a_curve_with_bars(search):
    display = SearchSurfaceDisplay.from_estimator(search, params="C")
    line, _, (bars,) = display.errorbar_
    assert_allclose(line.get_data(), [[0.1, 1, 10], [score(search, C=C) for C in (0.1, 1, 10)]])
    means, stds = (search.cv_results_[f"{kind}_test_score"] for kind in ("mean", "std"))
    assert np.ptp(bars.get_segments()[display.best[0]][:, 1]) == pytest.approx(2 * stds[means.argmax()])
    assert display.ax_.get_xscale() == "log"
    assert display.best_mark_.get_xdata()[0] == search.best_params_["C"]
    assert display.ax_.get_title(loc="left").endswith("Each score is the best over gamma, kernel")


def test_parameters_that_are_no_numbers(search):
    display = SearchSurfaceDisplay.from_estimator(search, params="kernel")
    assert [label.get_text() for label in display.ax_.get_xticklabels()] == display.values[0]
    mixed = make_results([{"gamma": "scale"}, {"gamma": 0.1}, {"gamma": None}], [1, 2, 3])
    assert SearchSurfaceDisplay.from_cv_results(mixed).values == (["scale", 0.1, None],)


def make_results(params, means, **more):
    return {"params": params, "mean_test_score": means, "std_test_score": np.zeros(len(means)), **more}


def test_failed_fits_and_missing_candidates_are_empty_cells():
    candidates = [{"a": 1, "b": 1}, {"a": 2, "b": 1}, {"a": 2, "b": 2, "c": 1}, {"a": 3}]
    display = SearchSurfaceDisplay.from_cv_results(
        make_results(candidates, [0.5, np.nan, -0.5, 0.9]), params=("a", "b")
    )
    assert_array_equal(display.mean_scores, [[0.5, np.nan], [np.nan, -0.5], [np.nan, np.nan]])
    assert display.best == (0, 0)
    assert sorted(text.get_text() for text in display.ax_.texts) == ["-0.500", "0.500"]


def test_of_equal_scores_the_first_is_the_best():
    results = make_results([{"a": 3}, {"a": 1}, {"a": 2}], [0.5, 0.5, 0.5])
    assert SearchSurfaceDisplay.from_cv_results(results).best == (2,)


def test_several_scores():
    X, y = load_iris(return_X_y=True)
    scores = ["accuracy", "f1_macro"]
    search = GridSearchCV(SVC(), {"C": [0.1, 1]}, cv=3, scoring=scores, refit="f1_macro").fit(X, y)
    display = SearchSurfaceDisplay.from_estimator(search)
    assert_array_equal(display.mean_scores, search.cv_results_["mean_test_f1_macro"])
    assert "f1_macro" in display.ax_.get_ylabel()
    display = SearchSurfaceDisplay.from_cv_results(search.cv_results_, metric="accuracy")
    assert_array_equal(display.mean_scores, search.cv_results_["mean_test_accuracy"])
    with pytest.raises(ValueError, match="cv_results has no 'mean_test_score'"):
        SearchSurfaceDisplay.from_cv_results(search.cv_results_)
    search.refit = False
    with pytest.raises(ValueError, match="several scores, of which refit=False names none"):
        SearchSurfaceDisplay.from_estimator(search)


@pytest.mark.parametrize(
    ("params", "message"),
    [
        (None, "The search varied C, gamma, kernel: give params="),
        ("degree", "params has 'degree', which the search does not: it has C, gamma, kernel"),
        (("C", "gamma", "kernel"), "one name or two different ones"),
        (("C", "C"), "one name or two different ones"),
        ((), "one name or two different ones"),
    ],
)
def test_refuses_other_parameters(search, params, message):
    with pytest.raises(ValueError, match=message):
        SearchSurfaceDisplay.from_estimator(search, params=params)


def test_a_search_without_refit():
    search = GridSearchCV(SVC(), {"C": [0.1, 1]}, cv=3, refit=False).fit(*load_iris(return_X_y=True))
    assert_array_equal(SearchSurfaceDisplay.from_estimator(search).mean_scores, search.cv_results_["mean_test_score"])


def test_refuses_what_is_no_search_and_searches_without_scores():
    X, y = load_iris(return_X_y=True)
    with pytest.raises(TypeError, match="must be a search such as GridSearchCV"):
        SearchSurfaceDisplay.from_estimator(SVC().fit(X, y))
    with pytest.raises(ValueError, match="No candidate with a has a finite score"):
        SearchSurfaceDisplay.from_cv_results(make_results([{"a": 1}, {"a": 2}], [np.nan, np.nan]))
