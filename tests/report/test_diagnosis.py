"""The leave-one-out path and the bands: right on data whose noise is known."""

from types import SimpleNamespace

import numpy as np
import pytest
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF, ConstantKernel
from sklearn.preprocessing import StandardScaler

from ntkkit import NTK, FullyConnected
from ntkkit.report.diagnosis import LEVELS, diagnose, likeliest_noise
from ntkkit.report.problem import Problem
from ntkkit.report.text import format_diagnosis

CHOSEN = SimpleNamespace(chosen={"alpha": 0.3}, kernel=NTK(FullyConnected(depth=1)))


def problem(task, rng, n=400):
    X = 5 + 3 * rng.standard_normal((n, 3))
    signal = np.sin(X[:, 0] / 2) + 0.1 * X[:, 1]
    y = 100 + 10 * (signal + 0.5 * rng.standard_normal(n))
    if task == "classification":
        y = np.array(["low", "middle", "high"])[np.digitize(y, np.quantile(y, [0.3, 0.7]))]
    half = n // 2
    return Problem(
        title="made up",
        task=task,
        X_train=X[:half],
        y_train=y[:half],
        X_test=X[half:],
        y_test=y[half:],
        target="y",
        prepare=StandardScaler(),
    )


@pytest.mark.parametrize("task", ["classification", "regression"])
def test_bands_hold_as_often_as_they_should(task, rng):
    made_up = problem(task, rng)
    diagnosis = diagnose(made_up, CHOSEN, random_state=0)
    np.testing.assert_allclose(diagnosis.coverage, LEVELS, atol=0.12)  # 200 rows, and a model that was estimated
    assert (np.diff(diagnosis.coverage) >= 0).all()
    text = format_diagnosis(diagnosis, made_up)
    assert f"{diagnosis.covered:.1%} of the test rows (standard error 2.1%)" in text
    assert "the search chose 0.3" in text
    if task == "regression":
        assert 0.8 * 1.645 * 5 < diagnosis.size < 1.5 * 1.645 * 5  # the noise's band, and what is not known besides
        assert 4.5 < diagnosis.errors.min() < 7.5
    else:
        assert 1 <= diagnosis.size <= 3
        assert 0.1 < diagnosis.errors.min() < 0.6


def test_the_likeliest_noise_is_that_of_a_gaussian_process(rng):
    X = rng.standard_normal((40, 2))
    y = np.sin(X[:, 0]) + 0.3 * rng.standard_normal(40)
    alphas = np.logspace(-3, 1, 9)
    alpha, square = likeliest_noise(RBF()(X), y, alphas)

    def likelihood(alpha, square):
        kernel = ConstantKernel(square) * RBF()
        gp = GaussianProcessRegressor(kernel, alpha=square * alpha, optimizer=None).fit(X, y)
        return gp.log_marginal_likelihood_value_

    others = [likelihood(other, factor * square) for other in alphas for factor in (0.5, 0.9, 1.0, 1.1, 2.0)]
    assert max(others) == likelihood(alpha, square)


def test_labels_that_were_never_seen_are_not_held(rng):
    made_up = problem("classification", rng)
    made_up.y_test[:] = "unheard of"
    np.testing.assert_array_equal(diagnose(made_up, CHOSEN, random_state=0).coverage, 0)
