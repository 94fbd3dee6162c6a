"""NeuralMatrixCompleter: against ridge regression between entries, one by one, and what holds for any matrix."""

import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from references.completion import (
    complete,
    concatenated,
    coordinates,
    gaussian,
    joined,
    product,
    relu_ntk,
    within_rows,
)
from scipy.linalg import LinAlgWarning
from sklearn.gaussian_process.kernels import RBF, WhiteKernel
from sklearn.metrics.pairwise import rbf_kernel

from ntkkit import NTK, FullyConnected, NeuralMatrixCompleter
from ntkkit.datasets import load_covid_serology
from ntkkit.estimators import _entries

RNG = np.random.default_rng(0)
SHAPE = (6, 5)
TRUTH = RNG.normal(size=SHAPE)
X = np.where(RNG.random(SHAPE) < 0.4, np.nan, TRUTH)
C, R = RNG.normal(size=(5, 2)), RNG.normal(size=(6, 3))
NEW_X = np.where(RNG.random((4, 5)) < 0.4, np.nan, RNG.normal(size=(4, 5)))
NEW_X[1] = np.nan
NEW_C, NEW_R = RNG.normal(size=(3, 2)), RNG.normal(size=(4, 3))
DEEP = NTK(FullyConnected(2, weight_var=1.5, bias_var=0.2))
deep = relu_ntk(2, weight_var=1.5, readout_weight_var=1.5, bias_var=0.2, readout_bias_var=0.2)
NO_FEATURES = np.zeros((5, 0))


def assert_near(found, expected, atol=1e-11):
    np.testing.assert_allclose(found, expected, rtol=0, atol=atol)


def test_closed_form():
    rng = np.random.default_rng(1)
    Y = np.where(rng.random((200, 5)) < 0.5, np.nan, rng.normal(size=(200, 5)) * np.logspace(-3, 3, 200)[:, None])
    Y[0] = [1.0, 2.0, np.nan, 4.0, 5.0]
    Y = Y[~np.isnan(Y).all(axis=1)]
    sums, n = np.nansum(Y, axis=1, keepdims=True), np.isfinite(Y).sum(axis=1, keepdims=True)
    expected = np.where(np.isnan(Y), sums / (2 * np.pi - 1 + n), Y)
    np.testing.assert_allclose(NeuralMatrixCompleter().fit_transform(Y), expected, rtol=1e-12, atol=1e-15)
    assert expected[0, 2] == pytest.approx(12 / (2 * np.pi + 3))


@pytest.mark.parametrize(
    ("kernel", "reference"),
    [
        (None, relu_ntk()),
        (DEEP, deep),
        (0.5 * DEEP + 1.0, lambda x, y: 0.5 * deep(x, y) + 1.0),
        (RBF(2.0), gaussian(2.0)),
        (lambda A, B: rbf_kernel(A, B, gamma=0.5), gaussian()),
    ],
    ids=["default", "deep", "algebra", "RBF", "callable"],
)
@pytest.mark.parametrize("alpha", [0.0, 0.3])
def test_rows_by_themselves(kernel, reference, alpha):
    plain = NeuralMatrixCompleter(kernel, alpha=alpha).fit(X)
    assert_near(plain.predict(X), complete(X, within_rows(reference, coordinates(NO_FEATURES)), alpha))
    for weight in (None, 0.4):
        model = NeuralMatrixCompleter(kernel, alpha=alpha, column_features=C, identity_weight=weight).fit(X)
        expected = complete(X, within_rows(reference, coordinates(C, weight or 1.5)), alpha)
        assert_near(model.predict(X), expected)
        assert_near(model.transform(X), np.where(np.isnan(X), expected, X))
    assert (model.solver_, model.n_iter_, model.n_entries_) == ("cholesky", 1, np.isfinite(X).sum())


def test_features_alone():
    model = NeuralMatrixCompleter(RBF(2.0), alpha=0.1, column_features=C, identity_weight=0.0).fit(X)
    assert_near(model.predict(X), complete(X, within_rows(gaussian(2.0), coordinates(C, 0.0)), 0.1))


ROW_KERNELS = {
    "concatenated": (None, lambda rows, columns: concatenated(gaussian(2.0), rows, columns, 0.7)),
    "product": (RBF(3.0), lambda rows, columns: product(gaussian(3.0), gaussian(2.0), rows, columns)),
}
SOLVERS = [("auto", 0.0), ("auto", 0.3), ("eigen", 0.0), ("pcg", 0.0), ("pcg", 0.3), ("nystrom", 0.3)]


def with_row_features(kind, **parameters):
    """A completer, and the kernel between entries that it should have, from coordinates of rows and columns."""
    row_kernel, reference = ROW_KERNELS[kind]
    defaults = {"row_kernel": row_kernel, "row_weight": 0.7, "column_features": C, "tol": 1e-12, "random_state": 0}
    return NeuralMatrixCompleter(RBF(2.0), **{**defaults, **parameters}), reference


@pytest.mark.parametrize("kind", ROW_KERNELS)
@pytest.mark.parametrize(("solver", "alpha"), SOLVERS)
def test_entries_of_all_rows_and_of_new_ones(kind, solver, alpha):
    """A new row is as if it had been the only one more in fit."""
    if solver == "nystrom" and kind == "product":
        return
    model, kernel = with_row_features(kind, alpha=alpha, solver=solver)
    model.fit(X, row_features=R)
    assert model.solver_ == (solver if solver != "auto" else "cholesky")
    atol = 1e-6 if solver in ("pcg", "nystrom") else 1e-11
    expected = complete(X, kernel(coordinates(R), coordinates(C)), alpha)
    assert_near(model.predict(X, row_features=R), expected, atol)
    found = model.predict(NEW_X, row_features=NEW_R)
    for new, x, features in zip(found, NEW_X, NEW_R, strict=True):
        extended = kernel(coordinates(R, new=[features]), coordinates(C))
        assert_near(new, complete(np.vstack([X, x]), extended, alpha)[-1], atol)


def test_a_network_of_both_coordinates():
    """The default kernel, and one of ours between rows; without column features."""
    rows, columns = coordinates(R, 0.5), coordinates(NO_FEATURES, 0.5)
    plain = NeuralMatrixCompleter(identity_weight=0.5, alpha=0.01)
    assert_near(
        plain.fit(X, row_features=R).predict(X, R), complete(X, concatenated(relu_ntk(), rows, columns), 0.01), 1e-10
    )
    product_of_two = NeuralMatrixCompleter(RBF(), row_kernel=DEEP, identity_weight=0.5)
    expected = complete(X, product(deep, gaussian(), rows, columns))
    assert_near(product_of_two.fit(X, row_features=R).predict(X, R), expected)


@pytest.mark.parametrize("kind", ROW_KERNELS)
def test_new_rows_do_not_tell_of_each_other(kind, monkeypatch):
    model, _ = with_row_features(kind, alpha=0.1)
    model.fit(X, row_features=R)
    Z, features = np.vstack([NEW_X, X]), np.vstack([NEW_R, R])
    together = model.transform(Z, features)
    for order in ([3], [2, 0], [9, 1, 4, 2], [1], [5, 5]):
        assert_near(model.transform(Z[order], features[order]), together[order], 1e-13)
    monkeypatch.setattr(_entries, "SOLVED_AT_ONCE", 3 * model.n_entries_)  # some three entries at a time
    assert_near(model.transform(Z, features), together, 1e-13)


@pytest.mark.parametrize(
    ("kind", "model"), [("concatenated", _entries.ConcatenatedEntries), ("product", _entries.ProductEntries)]
)
def test_new_rows_are_evaluated_for_entries_of_their_own(kind, model, monkeypatch):
    """Not for those of all others that are solved for together: work would grow with the square of the rows."""
    evaluate, widths = model.evaluate, []

    def recorded(*args):
        widths.append(evaluate(*args).shape[2])
        return evaluate(*args)

    monkeypatch.setattr(model, "evaluate", recorded)
    completer, _ = with_row_features(kind, alpha=0.1)
    completer.fit(X, row_features=R).transform(NEW_X, NEW_R)
    assert widths == [1, *(n for n in np.isfinite(NEW_X).sum(axis=1) if n)]


def test_what_a_new_row_has_counts():
    """Of two rows with the same features, each is nearer to what it has."""
    model, _ = with_row_features("product", alpha=0.01)
    model.fit(X, row_features=R)
    high, low = model.predict([[9.0, 9.0, *3 * [np.nan]], [-9.0, -9.0, *3 * [np.nan]]], np.repeat(NEW_R[:1], 2, axis=0))
    assert (high > low + 0.5).all()
    assert_near(high[:2], 9.0, 0.5)


@pytest.mark.parametrize("kind", [None, *ROW_KERNELS])
def test_rows_of_fit_are_those_rows(kind):
    model, features = NeuralMatrixCompleter(RBF(2.0), alpha=0.5, column_features=C), None
    Z = np.vstack([X, X[:1], np.full((2, 5), np.nan)])
    if kind:
        (model, _), features = with_row_features(kind, alpha=0.5), np.vstack([R, R[:1], R[1:2], R[1:2]])
    some = [3, 6, 0] if kind is None else [3, 6, 0, 8]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # rows without entries
        fitted = model.fit(Z, row_features=features)
        first = fitted.transform(Z, features)
        np.testing.assert_array_equal(model.fit_transform(Z, row_features=features), first)
    found = fitted.transform(Z[some], None if kind is None else features[some])
    assert_near(found, first[some], 1e-13)
    assert_near(first[6], first[0], 1e-13)


@pytest.mark.parametrize("kind", ROW_KERNELS)
@pytest.mark.parametrize("features", [{}, {"row_features": NEW_R}, {"column_features": NEW_C}, "both"])
def test_single_entries(kind, features):
    """Rows and columns that fit has not seen are as if they had been there, without entries."""
    features = {"row_features": NEW_R, "column_features": NEW_C} if features == "both" else features
    model, kernel = with_row_features(kind, alpha=0.2)
    new = coordinates(R, new=features.get("row_features", [])), coordinates(C, new=features.get("column_features", []))
    Y = np.pad(X, [(0, len(new[0]) - 6), (0, len(new[1]) - 5)], constant_values=np.nan)
    expected = complete(Y, kernel(*new), 0.2)
    if "row_features" in features:
        expected = expected[6:]
    if "column_features" in features:
        expected = expected[:, 5:]
    rows, columns = np.array([3, 0, 3, 1, 3]), [2, 1, 1, 2, 2]
    found = model.fit(X, row_features=R).predict_entries(rows, columns, **features)
    assert found.dtype == np.float64
    assert_near(found, expected[rows, columns])


def test_single_entries_of_rows_by_themselves():
    model = NeuralMatrixCompleter(RBF(2.0), alpha=0.2, column_features=C).fit(X)
    rows, columns = np.indices(SHAPE).reshape(2, -1)
    assert_near(model.predict_entries(rows, columns), model.predict(X).ravel())
    Y = np.pad(X, [(0, 0), (0, 3)], constant_values=np.nan)
    expected = complete(Y, within_rows(gaussian(2.0), coordinates(C, new=NEW_C)), 0.2)[:, 5:]
    rows, columns = np.indices((6, 3)).reshape(2, -1)
    assert_near(model.predict_entries(rows, columns, column_features=NEW_C), expected.ravel())


@pytest.mark.parametrize("features", [None, R])
def test_standardize(features):
    """As by hand; columns in other units are completed alike."""
    kwargs = {"alpha": 0.1, "column_features": C}
    mean, scale = np.nanmean(X, axis=0), np.nanstd(X, axis=0)
    plain = NeuralMatrixCompleter(RBF(2.0), **kwargs).fit((X - mean) / scale, row_features=features)
    model = NeuralMatrixCompleter(RBF(2.0), standardize=True, **kwargs).fit(X, row_features=features)
    assert_near(model.mean_, mean)
    assert_near(model.scale_, scale)
    expected = plain.predict((X - mean) / scale, features) * scale + mean
    assert_near(model.predict(X, features), expected)
    places = np.array([[0, 5, 2], [1, 1, 4]])
    assert_near(model.predict_entries(*places), expected[tuple(places)])
    new = plain.predict_entries(*places[:, :2] % 3, column_features=NEW_C) * scale.mean() + mean.mean()
    assert_near(model.predict_entries(*places[:, :2] % 3, column_features=NEW_C), new)
    units, zeros = np.array([1e-6, 1.0, 3.0, 1e5, 7.0]), np.array([0.0, 1e3, 1.0, -1e7, 0.0])
    other = model.fit(X * units + zeros, row_features=features).predict(X * units + zeros, features)
    np.testing.assert_allclose((other - zeros) / units, expected, rtol=0, atol=1e-6)


def test_score_of_entries():
    Y = TRUTH.copy()
    Y[0, 0] = np.nan
    for standardize in (False, True):
        model = NeuralMatrixCompleter(RBF(2.0), alpha=0.2, standardize=standardize).fit(X)
        held_out = np.isnan(X) & np.isfinite(Y)
        unit = np.nanstd(X, axis=0) if standardize else np.ones(5)
        errors = ((Y - model.transform(X)) / unit)[held_out]
        deviations = ((Y - np.nanmean(X, axis=0)) / unit)[held_out]
        assert model.score_entries(X, Y) == pytest.approx(1 - np.mean(errors**2) / np.mean(deviations**2))
        assert model.score_entries(X, model.transform(X)) == 1.0
        assert model.score_entries(X, np.where(np.isnan(X), model.mean_, X)) == 0.0
    model, _ = with_row_features("product", alpha=0.2)
    assert model.fit(X, row_features=R).score_entries(X, model.transform(X, R), row_features=R) == 1.0


def test_scores_are_of_what_transform_fills():
    Y = TRUTH.copy() + 10
    Y[3] = np.nan
    with pytest.warns(UserWarning, match=r"Rows without any entry .* \[3\]"):
        score = NeuralMatrixCompleter(RBF()).fit(Y).score_entries(Y, np.where(np.isnan(Y), TRUTH + 10, np.nan))
    assert score == 0.0


masks = arrays(bool, SHAPE, elements=st.booleans(), fill=st.booleans()).filter(lambda missing: not missing.all())
COMPLETERS = {
    "plain": NeuralMatrixCompleter(RBF(2.0)),
    "column features": NeuralMatrixCompleter(RBF(2.0), column_features=C, alpha=0.1),
    "from data": NeuralMatrixCompleter(RBF(2.0), column_features="data", standardize=True, alpha=0.1),
    "from data, without means": NeuralMatrixCompleter(lambda A, B: A @ B.T, column_features="data"),
    "concatenated": with_row_features("concatenated", column_features=None, tol=1e-6)[0],
    "product": with_row_features("product", standardize=True, tol=1e-6)[0],
}


@pytest.mark.parametrize("name", COMPLETERS)
@given(missing=masks, scale=st.sampled_from([1e-200, 1.0, 1e100]), shift=st.sampled_from([0.0, 1e5]))
def test_any_mask(name, missing, scale, shift):
    """Finite numbers, the observed ones as they were; a warning names rows and columns of which nothing is known."""
    Y = np.where(missing, np.nan, (TRUTH + shift) * scale)
    before, features = Y.copy(), R if name in ROW_KERNELS else None
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        filled = COMPLETERS[name].fit_transform(Y, row_features=features)
    np.testing.assert_array_equal(Y, before)
    assert np.isfinite(filled).all()
    np.testing.assert_array_equal(filled[~missing], before[~missing])
    messages = [str(warning.message) for warning in caught if not issubclass(warning.category, LinAlgWarning)]
    rows, columns = (np.flatnonzero(missing.all(axis=axis)).tolist() for axis in (1, 0))
    expected = []
    if rows and features is None:
        expected.append(f"Rows without any entry are filled with the columns' means: {rows}. Drop them, or give fit")
    if columns and features is None and name != "column features":
        expected.append(f"Columns that had no entry in fit are filled with the mean of all others: {columns}. Drop")
    assert len(messages) == len(expected)
    assert all(message.startswith(start) for message, start in zip(messages, expected, strict=True))


def test_means_where_nothing_is_known():
    Y = TRUTH.copy() + 10
    Y[2], Y[:, 3], Y[0, 0] = np.nan, np.nan, np.nan
    mean = np.insert(np.nanmean(Y[:, [0, 1, 2, 4]], axis=0), 3, np.nan)
    mean[3] = np.nanmean(mean)
    model = NeuralMatrixCompleter(RBF()).fit(Y)
    with pytest.warns(UserWarning, match="Rows without"), pytest.warns(UserWarning, match="Columns that had no entry"):
        found = model.predict(Y)
    assert_near(found[2], mean)
    assert_near(found[:, 3], mean[3])
    assert_near(model.predict_entries([2, 1, 2], [0, 3, 3]), mean[[0, 3, 3]])
    given = NeuralMatrixCompleter(RBF(), column_features=C).fit(Y)
    with pytest.warns(UserWarning, match="Rows without") as caught:
        found = given.predict(Y)
    assert len(caught) == 1
    assert_near(found[2], mean)
    some = [0, 1, 3, 4, 5]
    assert_near(found[some], complete(Y[some], within_rows(gaussian(), coordinates(C))))


def test_many_rows_without_entries_are_counted():
    with pytest.warns(UserWarning, match=r"\[1, 2, 3, 4, 5, 6, 7, 8, 9, 10\] and 4 more"):
        NeuralMatrixCompleter(RBF()).fit_transform(np.vstack([np.ones((1, 2)), np.full((14, 2), np.nan)]))


@pytest.mark.parametrize("standardize", [False, True])
@pytest.mark.parametrize("value", [0.0, 0.1, 5.0, 1e6 + 0.1])
def test_a_constant_column_is_continued_and_changes_nothing(value, standardize):
    """Features learned from it would be rounding."""
    rng = np.random.default_rng(0)
    low_rank = rng.normal(size=(40, 2)) @ rng.normal(size=(2, 4))
    missing = rng.random((40, 5)) < 0.3
    Y = np.where(missing, np.nan, np.column_stack([low_rank, np.full(40, value)]))
    model = NeuralMatrixCompleter(lambda A, B: A @ B.T, alpha=0.1, column_features="data", standardize=standardize)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        filled = model.fit_transform(Y)
    np.testing.assert_array_equal(filled[:, 4], value)
    assert_near(filled[:, :4], model.fit_transform(Y[:, :4]))
    assert model.score_entries(Y[:, :4], low_rank) > 0.5


def test_features_learned_from_a_real_table():
    """Much better than columns' means, and than without features."""
    truth = load_covid_serology().data.reshape(438, 66)
    hidden = np.where(np.random.default_rng(0).random(truth.shape) < 0.3, np.nan, truth)
    learned = NeuralMatrixCompleter(column_features="data", standardize=True, alpha=0.1).fit(hidden)
    plain = NeuralMatrixCompleter(standardize=True, alpha=0.1).fit(hidden)
    assert learned.score_entries(hidden, truth) > 0.8
    assert plain.score_entries(hidden, truth) < 0.7
    filled = learned.transform(hidden)
    assert filled.dtype == np.float32
    np.testing.assert_array_equal(filled[~np.isnan(hidden)], truth[~np.isnan(hidden)])


def test_single_precision():
    expected = NeuralMatrixCompleter(RBF(2.0), alpha=0.1).fit_transform(X.astype(np.float32).astype(float))
    model = NeuralMatrixCompleter(RBF(2.0), alpha=0.1).fit(X.astype(np.float32))
    found = model.transform(X.astype(np.float32))
    assert found.dtype == model.predict(X.astype(np.float32)).dtype == np.float32
    np.testing.assert_array_equal(found, expected.astype(np.float32))
    assert model.transform(X).dtype == np.float64


@pytest.mark.parametrize("kind", [None, *ROW_KERNELS])
def test_noise_in_a_kernel_is_refused(kind):
    """Between coordinates it would be lost."""
    model = NeuralMatrixCompleter(RBF() + WhiteKernel(0.1))
    if kind:
        model, _ = with_row_features(kind)
        model.set_params(**{"row_kernel" if kind == "product" else "kernel": RBF() + WhiteKernel(0.1)})
    with pytest.raises(ValueError, match="leave the WhiteKernel out, and add its variance to alpha"):
        model.fit(X, row_features=R if kind else None)


def test_joined_features_have_mean_square_one():
    """The reference: cosines of entries are means of those of rows and columns, by weight."""
    rows, columns = coordinates(R), coordinates(C)
    z, w = joined(rows[0], columns[0], 2.0), joined(rows[1], columns[2], 2.0)
    cosines = [a @ b / len(a) for a, b in ((rows[0], rows[1]), (columns[0], columns[2]))]
    assert np.mean(z * w) == pytest.approx((4 * cosines[0] + cosines[1]) / 5)
