"""Trained ensembles against closed forms: means, variances, and the powers of the width at which they come near."""

import numpy as np
import pytest

from ntkkit import NTK, FullyConnected, NeuralKernelRegressor
from ntkkit.finite import Comparison, compare
from ntkkit.finite._limit import trained_limit

NETWORK = FullyConnected(depth=1)


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(0)
    X, X_test = rng.standard_normal((10, 4)), rng.standard_normal((6, 4))
    return X, np.sign(X[:, 0]), X_test, np.sign(X_test[:, 0])


@pytest.fixture(scope="module")
def comparisons(data):
    """Of 64 networks of each width, at two times."""
    options = {"widths": [32, 128, 512], "n_networks": 64, "random_state": 0}
    return {time: compare(NETWORK, *data, train_time=time, **options) for time in (1.0, 10.0)}


@pytest.fixture
def comparison(comparisons):
    return comparisons[10.0]


def test_the_limit_is_that_of_gradient_flow_in_small_steps(data):
    X, y, X_test, _ = data
    points = np.concatenate([X, X_test])
    few, many = (trained_limit(NETWORK, X, y[:, None], points, train_time=time) for time in (None, 20.0))
    assert few.n_steps == 100
    assert many.n_steps > 200
    flow = NeuralKernelRegressor(NTK(NETWORK), alpha=0.0, train_time=many.time).fit(X, y)
    mean, std = flow.predict(points, return_std=True)
    np.testing.assert_allclose(many.mean[:, 0], mean, atol=2e-3)
    np.testing.assert_allclose(many.std, std, atol=2e-3)
    # a linear model of one feature: 1 - (1 - eta lambda)^s with eta lambda = 1 is learned in one step
    line = trained_limit(
        FullyConnected(depth=0, bias_var=0.0), np.ones((1, 1)), np.ones((1, 1)), np.ones((1, 1)), train_time=None
    )
    np.testing.assert_allclose([line.mean[0, 0], line.std[0]], [1, 0], atol=1e-7)


def test_what_was_said_before_training_counts(data):
    X, y, X_test, _ = data
    limit = trained_limit(NETWORK, X, y[:, None], np.concatenate([X, X_test]), train_time=None)
    np.testing.assert_array_equal(limit.continued(np.zeros((3, 16, 1))), np.broadcast_to(limit.mean, (3, 16, 1)))
    alike = limit.continued(limit.mean[None] * 0 + np.concatenate([y[:, None], np.zeros((6, 1))]))
    np.testing.assert_allclose(alike[0, :10], y[:, None], atol=1e-9)  # right from the start: stays


@pytest.mark.parametrize("time", [1.0, 10.0])
def test_means_and_variances_of_trained_ensembles(time, comparisons):
    """Within three standard errors and c / width, with c from the widths themselves."""
    comparison = comparisons[time]
    assert time <= comparison.limit.time < time + comparison.limit.learning_rate
    means = comparison.outputs.mean(axis=1) - comparison.limit.mean
    errors = comparison.outputs.std(axis=1, ddof=1) / 8
    widths = np.array(comparison.widths)[:, None, None]
    c = np.abs(comparison.deviations[:2].mean(axis=1) * widths[:2]).max()
    assert (np.abs(means) <= 3 * errors + c / widths).all()
    assert np.abs(comparison.z_scores()[-1, 10:]).mean() < 1.5  # where standard errors are not tiny, but of test points
    np.testing.assert_allclose(comparison.variance_ratios[1:], 1, atol=0.35)


def test_powers_of_the_width(comparison):
    powers = comparison.exponents
    assert -0.65 < powers["kernel_error"].value < -0.35
    assert -0.65 < powers["difference"].value < -0.35
    assert -1.2 < powers["drift"].value < -0.6
    for name in ("kernel_error", "difference", "drift"):  # the bias of 64 networks is mostly noise
        assert powers[name].low <= powers[name].value <= powers[name].high
    assert powers["kernel_error"].high - powers["kernel_error"].low < 0.3
    assert (comparison.biases < comparison.differences.mean(axis=1)).all()


def test_frame_and_sentence(comparison, data):
    frame = comparison.to_frame()
    assert list(frame.index) == [32, 128, 512, np.inf]
    assert frame.loc[np.inf, "test_error"] == comparison.limit_test_error
    np.testing.assert_allclose(frame["kernel_drift"][:-1], comparison.drifts.mean(axis=1))
    np.testing.assert_allclose(comparison.limit_test_error, np.mean((comparison.limit.mean[10:, 0] - data[3]) ** 2))
    found = comparison.summary()
    assert found.startswith("At width 512 a trained network is within ")
    assert f"{comparison.differences[-1].mean():.1%}" in found


def test_several_outputs_one_width_and_the_same_again(data):
    X, y, _, _ = data
    Y = np.stack([y, -y, np.ones(10)], axis=1)
    one, again = (compare(NETWORK, X, Y, widths=[32], n_networks=2, random_state=3, train_time=0.5) for _ in range(2))
    assert one.outputs.shape == (1, 2, 10, 3)
    np.testing.assert_array_equal(one.outputs, again.outputs)
    assert np.isnan(one.exponents["drift"].value)
    assert "width^" not in one.summary()
    assert "test_error" not in one.to_frame()
    assert isinstance(one, Comparison)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"widths": []}, r"widths must be a list of integers, found \[\]"),
        ({"widths": [8, 4]}, r"widths must increase, found \[8, 4\]"),
        ({"n_networks": 1}, "n_networks"),
        ({"train_time": 0.0}, "train_time must be positive"),
        ({"y": [1.0]}, "inconsistent numbers of samples"),
        ({"y": ["a"] * 10}, "could not convert string to float"),
        ({"X": np.full((10, 4), np.nan)}, "X contains NaN"),
        ({"X_test": None}, "y_test needs X_test"),
        ({"X_test": np.ones((6, 3))}, "X_test and y_test must have the columns of X and y"),
    ],
)
def test_bad_input(change, message, data):
    given = dict(zip(("X", "y", "X_test", "y_test"), data, strict=True)) | {"widths": [8]} | change
    with pytest.raises(ValueError, match=message):
        compare(NETWORK, **given)


def test_other_networks(data):
    with pytest.raises(TypeError, match="network must be a network such as"):
        compare("relu", *data)
