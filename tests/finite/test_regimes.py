"""Trained networks beside the NTK and mean-field theory."""

import numpy as np
import pytest

from ntkkit import FullyConnected
from ntkkit.finite import regime_report

RNG = np.random.default_rng(1)
X, OTHERS = RNG.standard_normal((4, 5)), RNG.standard_normal((2, 5))
Y = np.array([1.0, -0.8, 0.6, -0.4])
NETWORK = FullyConnected(1, "erf", weight_var=1.5)


@pytest.fixture(scope="module")
def report():
    return regime_report(NETWORK, X, Y, OTHERS, gamma0=3.0, n_steps=40, widths=[16, 512], n_networks=24, random_state=0)


def test_mean_field_theory_is_nearer_than_a_kernel_that_stays(report):
    assert report.outputs.shape == (2, 24, 21, 6)
    assert report.mean_field_distances[1] < 3 * report.noise[1]
    assert report.lazy_distances[1] > 4 * report.mean_field_distances[1]
    assert report.noise[1] < report.noise[0] / 3  # of 1 / sqrt(width)
    np.testing.assert_array_equal(report.outputs[:, :, 0], 0)
    table = report.to_frame()
    assert list(table.index) == [16, 512]
    assert table.loc[512, "mean_field_distance"] == report.mean_field_distances[1]


def test_a_sentence_says_what_was_found(report):
    sentence = report.summary()
    assert sentence.startswith("At gamma0 = 3 and width 512 the NTK that stays errs by")
    assert f"mean-field theory by {report.mean_field_distances[1]:.1%}" in sentence
    change = np.linalg.norm(report.theory.ntk[-1] - report.theory.ntk[0]) / np.linalg.norm(report.theory.ntk[0])
    assert f"{change:.0%}" in sentence


def test_without_feature_learning_both_theories_hold():
    report = regime_report(NETWORK, X, Y, OTHERS, gamma0=1e-2, n_steps=40, widths=[512], n_networks=24, random_state=0)
    assert report.lazy_distances[0] == pytest.approx(report.mean_field_distances[0], rel=1e-2)
    assert report.lazy_distances[0] < 3 * report.noise[0]


@pytest.mark.parametrize(
    ("changes", "match"),
    [({"widths": [64, 16]}, "widths must increase"), ({"n_networks": 1}, "n_networks"), ({"y": Y[:3]}, "inconsistent")],
)
def test_bad_input_is_refused(changes, match):
    with pytest.raises(ValueError, match=match):
        regime_report(**{"network": NETWORK, "X": X, "y": Y, "n_steps": 2, **changes})
