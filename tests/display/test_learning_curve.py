from types import SimpleNamespace

import matplotlib.pyplot as plt
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from ntkkit import NNGP, NTK, FullyConnected
from ntkkit.display import LearningCurveDisplay
from ntkkit.dynamics import NDK, LearningCurve, learning_curve

NET = FullyConnected(depth=1, activation="erf", bias_var=0.3)
SOLVED = NDK(NET, temperature=0.2)


@pytest.fixture(scope="module")
def samples():
    rng = np.random.default_rng(0)
    X = rng.standard_normal((9, 3))
    return X[:5], np.sign(X[:5, 0]), X[5:], np.sign(X[5:, 0])


@pytest.fixture(scope="module")
def curve(samples):
    return learning_curve(SOLVED, *samples[:3], n_steps=40, return_std=True)


@pytest.fixture
def outputs():
    """Of three points and two targets at three times, the first of them 0."""
    values = np.random.default_rng(1).standard_normal((3, 3, 2))
    return LearningCurve(np.array([0.0, 1.0, 10.0]), values)


def test_lines_and_bands_are_the_curve(samples, curve):
    display = LearningCurveDisplay.from_ndk(SOLVED, *samples[:3], rows=[3, 1], n_steps=40, return_std=True)
    assert_array_equal(display.values, curve.test[:, [3, 1]])
    times = curve.times[1:]
    for line, band, row in zip(display.lines_, display.bands_, (3, 1), strict=True):
        assert_array_equal(line.get_data(), [times, curve.test[1:, row]])
        edges = band.get_paths()[0].vertices
        assert_allclose(edges[1 : len(times) + 1, 1], curve.test[1:, row] - curve.test_std[1:, row])
    assert display.ax_.get_xscale() == "log"
    assert display.ax_.get_xlim() == (times[0], times[-1])
    names = [text.get_text() for text in display.ax_.get_legend().get_texts()]
    assert names == ["point 3", "point 1", "theory ± 1 std of networks", "gradient flow, NTK", "posterior, NNGP"]


@pytest.mark.parametrize("init_var", [1.0, 0.4])
def test_limits_are_those_of_the_ntk_and_the_nngp(samples, init_var):
    X, y, X_test, _ = samples
    display = LearningCurveDisplay.from_ndk(NDK(NET, 0.2, init_var, 1.0), X, y, X_test, n_steps=20)
    theta = NTK(NET.replace(weight_var=2 * init_var, bias_var=0.3 * init_var))
    assert_allclose(display.gradient_flow[0], 0)
    values, vectors = np.linalg.eigh(theta(X) / init_var)
    late = vectors @ (-np.expm1(-display.times[-1] * values) / values * (vectors.T @ y))
    assert_allclose(display.gradient_flow[-1], theta(X_test, X) / init_var @ late, rtol=1e-8)
    posterior = NNGP(NET)(X_test, X) @ np.linalg.solve(NNGP(NET)(X) + 0.2 * np.eye(5), y)
    assert_allclose(display.posterior, posterior, rtol=1e-10)
    assert [line.get_ydata()[0] for line in display.posterior_lines_] == list(display.posterior)


def test_the_curve_starts_as_gradient_flow_and_ends_in_the_posterior(samples):
    display = LearningCurveDisplay.from_ndk(SOLVED, *samples[:3], n_steps=800)
    early = display.times < 0.02
    assert_allclose(display.values[early], display.gradient_flow[early], atol=2e-3)
    assert_allclose(display.values[-1], display.posterior, atol=2e-3)
    assert display.diffusion_start == pytest.approx(0.5)  # a tenth of prior_var / T
    assert display.phase_.get_x() == display.diffusion_start


def test_without_noise_there_is_one_phase_and_no_posterior(samples):
    display = LearningCurveDisplay.from_ndk(NDK(NET, 0.0), *samples[:3], times=np.linspace(0, 5, 11))
    assert display.posterior is None
    assert display.posterior_lines_ == []
    assert display.phase_ is None
    assert_allclose(display.values, display.gradient_flow, atol=1e-3)


def test_errors_of_the_mean_predictor(samples, curve):
    X, y, X_test, y_test = samples
    display = LearningCurveDisplay.from_ndk(SOLVED, X, y, X_test, y_test, metric="mse", n_steps=40)
    assert_allclose(display.values[:, 0], ((curve.test - y_test) ** 2).mean(axis=1))
    assert display.posterior.shape == (1,)
    assert display.ax_.get_ylabel() == "mean squared error"
    display = LearningCurveDisplay.from_curve(curve, y_test, metric="error_rate")
    assert_allclose(display.values[1:, 0], np.mean(np.sign(curve.test[1:]) != y_test, axis=1))
    assert display.ax_.get_legend() is None


def test_several_targets(outputs):
    display = LearningCurveDisplay.from_curve(outputs)
    assert_array_equal(display.values, outputs.train.reshape(3, 6))
    assert display.names[:3] == ["point 0, 0", "point 0, 1", "point 1, 0"]
    classes = np.array([[1, 0], [0, 1], [0, 1]])
    display = LearningCurveDisplay.from_curve(outputs, classes, metric="error_rate")
    assert_allclose(display.values[:, 0], np.mean(outputs.train.argmax(axis=2) != [0, 1, 1], axis=1))


def test_simulations_have_the_standard_error_of_their_mean(outputs):
    networks = np.random.default_rng(2).standard_normal((3, 7, 3, 2))
    simulation = SimpleNamespace(times=np.array([0.0, 2.0, 5.0]), train=SimpleNamespace(values=networks))
    display = LearningCurveDisplay.from_curve(outputs, rows=[2], simulation=simulation)
    assert_allclose(display.simulated, networks[:, :, 2].mean(axis=1))
    assert_allclose(display.simulated_errors, networks[:, :, 2].std(axis=1, ddof=1) / np.sqrt(7))
    assert len(display.errorbars_) == 2
    points, _, (bars,) = display.errorbars_[0]
    assert_array_equal(points.get_xdata(), [2.0, 5.0])
    assert np.ptp(bars.get_segments()[0][:, 1]) == pytest.approx(2 * display.simulated_errors[1, 0])
    y = np.zeros((3, 2))
    display = LearningCurveDisplay.from_curve(outputs, y, metric="mse", simulation=simulation)
    assert_allclose(display.simulated[:, 0], (networks.mean(axis=1) ** 2).mean(axis=(1, 2)))


def test_plain_arrays_are_enough():
    display = LearningCurveDisplay(times=[1.0, 2.0], values=[0.5, 0.7], posterior=0.9, value_name="accuracy").plot()
    assert display.values.shape == (2, 1)
    assert display.ax_.get_ylabel() == "accuracy"
    assert display.phase_ is None
    wide = LearningCurveDisplay(times=[1.0, 2.0], values=np.arange(2 * 9).reshape(2, 9), diffusion_start=5.0).plot()
    assert len(wide.lines_) == 9
    assert wide.phase_ is None  # the curve ends before
    plt.gcf().canvas.draw()


GOOD = {"times": [0.0, 1.0, 2.0], "values": np.ones((3, 2))}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"times": [0.0, 2.0, 1.0]}, "times must increase"),
        ({"times": [-1.0, 1.0, 2.0]}, "times must increase"),
        ({"times": [0.0]}, "times must have a time > 0"),
        ({"values": np.ones((2, 2))}, r"values must be of shape \(3, 2\), \(times, lines\); found \(2, 2\)"),
        ({"values": np.full((3, 2), np.nan)}, "values contains NaN"),
        ({"stds": np.ones((3, 1))}, "stds must be of shape"),
        ({"gradient_flow": np.ones(3)}, "gradient_flow must be of shape"),
        ({"posterior": np.ones(3)}, "posterior must be of shape"),
        ({"simulated": np.ones((3, 2))}, "belong together"),
        ({"simulated_errors": np.ones((3, 2))}, "belong together"),
        ({"simulated_times": [1.0], "simulated": np.ones((1, 3))}, "simulated must be of shape"),
        ({"names": ["a"]}, "1 names for 2 lines"),
    ],
)
def test_refuses_arrays_that_do_not_fit(change, message):
    with pytest.raises(ValueError, match=message):
        LearningCurveDisplay(**{**GOOD, **change})


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"metric": "accuracy"}, "metric must be one of output, mse, error_rate"),
        ({"metric": "mse"}, "needs the targets"),
        ({"metric": "mse", "y": np.ones(2)}, r"Targets .* shape \(2,\), outputs \(4,\)"),
        ({"metric": "mse", "y": np.ones(4), "rows": [0]}, "leave rows out"),
        ({"rows": [4]}, "rows must be integers from 0 to 3"),
        ({"rows": [0.5]}, "rows must be integers"),
    ],
)
def test_refuses_what_it_cannot_show(curve, arguments, message):
    with pytest.raises(ValueError, match=message):
        LearningCurveDisplay.from_curve(curve, **arguments)


def test_refuses_deviations_of_errors(samples):
    with pytest.raises(ValueError, match="leave return_std out"):
        LearningCurveDisplay.from_ndk(SOLVED, *samples, metric="mse", return_std=True)
