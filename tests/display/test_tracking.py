import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from ntkkit.display import KernelTrackingDisplay
from ntkkit.finite import FiniteNetwork, KernelTracker, TrainedNetworks
from ntkkit.networks import Dense, Serial

X = np.eye(3)
LINE = FiniteNetwork(Serial([Dense(bias_var=0.0)]))


@pytest.fixture(scope="module")
def tracker():
    """Of three networks without training: their parameters are given, in two runs of two epochs."""
    tracker = KernelTracker(X, n_networks=3, metrics={"scale": lambda K: K[0, 0], "moved": "distance"})
    for epoch in (0, 1, 2, 0, 1, 2):
        params = [{"weight": np.ones((3, 3, 1)), "bias": np.zeros((3, 1))}]
        tracker(TrainedNetworks(LINE, params, params, False, 0.1, epoch, epoch, losses=np.ones((epoch, 3))))
    return tracker


def test_lines_are_networks_and_the_mean(tracker):
    display = KernelTrackingDisplay.from_tracker(tracker, "scale")
    assert len(display.lines_) == 3
    for i, line in enumerate(display.lines_):
        assert_allclose(line.get_data(), [[0, 1, 2, 3, 4], tracker.measure(lambda K: K[0, 0])[:, i]])
    assert_allclose(display.mean_.get_ydata(), tracker.measure(lambda K: K[0, 0]).mean(axis=1))
    [boundary] = display.boundaries_
    assert_array_equal(boundary.get_xdata(), [2, 2])
    assert display.ax_.get_ylabel() == "scale"
    assert display.ax_.get_title(loc="left") == "3 networks and their mean"
    assert display.ax_.get_yscale() == "linear"


def test_names_in_words(tracker):
    def largest_entry(K):
        return K.max()

    names = {"velocity": "kernel velocity", largest_entry: "largest entry", "moved": "moved"}
    for metric, name in names.items():
        assert KernelTrackingDisplay.from_tracker(tracker, metric).ax_.get_ylabel() == name


def test_wide_ranges_are_logarithmic():
    display = KernelTrackingDisplay(epochs=[0, 1, 2], values=[[np.nan], [1e-6], [1e-2]], value_name="v").plot()
    assert display.ax_.get_yscale() == "log"
    assert display.mean_ is display.lines_[0]
    assert display.ax_.get_title(loc="left") == "One network"


def test_errors(tracker):
    with pytest.raises(ValueError, match="no snapshots yet"):
        KernelTrackingDisplay.from_tracker(KernelTracker(X))
    with pytest.raises(ValueError, match="found 'speed'"):
        KernelTrackingDisplay.from_tracker(tracker, "speed")
    with pytest.raises(ValueError, match=r"values must be of shape .* \(2,\) and \(3,\)"):
        KernelTrackingDisplay(epochs=[0, 1, 2], values=[1.0, 2.0], value_name="v")
