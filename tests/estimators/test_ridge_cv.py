"""Ridge terms chosen by leave-one-out, against refitting without each sample."""

import numpy as np
import pytest
from sklearn.datasets import make_blobs
from sklearn.gaussian_process.kernels import RBF
from sklearn.utils.estimator_checks import parametrize_with_checks

from ntkkit import (
    NNGP,
    NTK,
    FullyConnected,
    NeuralKernelClassifier,
    NeuralKernelClassifierCV,
    NeuralKernelRegressor,
    NeuralKernelRegressorCV,
)

KERNEL = NTK(FullyConnected(depth=1))
ALPHAS = [1e-3, 0.1, 3.0, 100.0]


@parametrize_with_checks(
    [
        Estimator(kernel)
        for Estimator in (NeuralKernelRegressorCV, NeuralKernelClassifierCV)
        for kernel in (None, "precomputed")
    ]
    + [NeuralKernelClassifierCV(RBF(), criterion="error_rate"), NeuralKernelRegressorCV(RBF(), criterion="gcv")]
)
def test_scikit_learn_checks(estimator, check):
    check(estimator)


@pytest.fixture
def regression(rng):
    X = rng.standard_normal((25, 3))
    return X, np.stack([np.sin(X[:, 0]), X[:, 1] + 2.0 * rng.standard_normal(25)], axis=1), rng.standard_normal((7, 3))


def brute_force(model, X, y, weights, method="predict"):
    """Predictions of each sample by the machine fitted to the others."""
    others = ~np.eye(len(X), dtype=bool)
    fitted = (model.fit(X[o], y[o], sample_weight=weights[o]) for o in others)
    return np.stack([getattr(m, method)(X[[i]])[0] for i, m in enumerate(fitted)])


@pytest.mark.parametrize("weighted", [False, True])
def test_errors_are_those_of_refitting(regression, weighted):
    X, y, X_test = regression
    weights = np.linspace(0.5, 2, 25) if weighted else np.ones(25)
    model = NeuralKernelRegressorCV(KERNEL, alphas=ALPHAS).fit(X, y, sample_weight=weights if weighted else None)
    found = [brute_force(NeuralKernelRegressor(KERNEL, alpha=alpha), X, y, weights) for alpha in ALPHAS]
    errors = [np.average((predictions - y) ** 2, axis=0, weights=weights).mean() for predictions in found]
    np.testing.assert_allclose(model.cv_errors_, errors, rtol=1e-8)
    best = int(np.argmin(errors))
    assert model.alpha_ == ALPHAS[best]
    np.testing.assert_allclose(model.cv_predictions_, found[best], rtol=1e-8, atol=1e-8)
    plain = NeuralKernelRegressor(KERNEL, alpha=model.alpha_).fit(X, y, sample_weight=weights)
    np.testing.assert_allclose(model.predict(X_test), plain.predict(X_test), rtol=1e-8, atol=1e-10)


def test_a_ridge_term_a_target(regression):
    X, y, X_test = regression
    model = NeuralKernelRegressorCV(KERNEL, alphas=ALPHAS, alpha_per_target=True).fit(X, y)
    assert model.alpha_[0] < model.alpha_[1]  # the second target is mostly noise
    for i in range(2):
        alone = NeuralKernelRegressorCV(KERNEL, alphas=ALPHAS).fit(X, y[:, i])
        assert model.alpha_[i] == alone.alpha_
        np.testing.assert_allclose(model.predict(X_test)[:, i], alone.predict(X_test), rtol=1e-9)
        np.testing.assert_allclose(model.cv_errors_[:, i], alone.cv_errors_, rtol=1e-9)
    together = NeuralKernelRegressor(KERNEL, alpha=model.alpha_).fit(X, y)
    np.testing.assert_allclose(together.predict(X_test), model.predict(X_test), rtol=1e-8)


def test_default_ridge_terms_scale_with_the_kernel(regression):
    X, y, _ = regression
    small, large = (NeuralKernelRegressorCV(scale * NNGP(FullyConnected())).fit(X, y) for scale in (1.0, 100.0))
    np.testing.assert_allclose(large.alphas_, 100 * small.alphas_)
    diagonal = NNGP(FullyConnected()).diag(X).mean()
    np.testing.assert_allclose(small.alphas_[[0, -1]], [1e-8 * diagonal, 10 * diagonal])


def test_default_ridge_terms_are_above_the_rounding_of_the_kernel(regression):
    X, y, _ = regression
    model = NeuralKernelRegressorCV(KERNEL).fit(X.astype(np.float32), y)
    assert 1e-7 < model.alphas_[0] / KERNEL.diag(X).mean() < 1e-5
    exact = NeuralKernelRegressorCV(KERNEL, alphas=model.alphas_).fit(X, y)
    np.testing.assert_allclose(model.cv_errors_, exact.cv_errors_, rtol=2e-2)


def test_samples_of_weight_zero_are_left_out(regression):
    X, y, X_test = regression
    weights = np.r_[np.zeros(5), np.ones(20)]
    model = NeuralKernelRegressorCV(KERNEL).fit(X, y, sample_weight=weights)
    rest = NeuralKernelRegressorCV(KERNEL).fit(X[5:], y[5:])
    np.testing.assert_allclose(model.cv_predictions_[5:], rest.cv_predictions_, rtol=1e-9)
    assert np.isnan(model.cv_predictions_[:5]).all()
    np.testing.assert_allclose(model.predict(X_test), rest.predict(X_test), rtol=1e-9)


@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("class_weight", [None, "balanced"])
def test_error_rates_are_those_of_refitting(n_classes, class_weight):
    X, y = make_blobs([20, 12, 8][:n_classes], random_state=3, cluster_std=3.0, n_features=2)
    X /= 10.0
    model = NeuralKernelClassifierCV(KERNEL, alphas=ALPHAS, criterion="error_rate", class_weight=class_weight).fit(X, y)
    weights = np.ones(len(y)) if class_weight is None else len(y) / n_classes / np.bincount(y)[y]
    rates = []
    for alpha in ALPHAS:
        # targets are +1 and -1 around their mean over all samples, with weights
        targets = np.where(y[:, None] == np.arange(n_classes), 1.0, -1.0)
        mean = 0.0 if class_weight is None else np.average(targets, axis=0, weights=weights)
        scores = brute_force(NeuralKernelRegressor(KERNEL, alpha=alpha), X, targets - mean, weights) + mean
        rates.append(np.average(scores.argmax(axis=1) != y, weights=weights))
    np.testing.assert_allclose(model.cv_errors_, rates, rtol=1e-8)
    assert model.cv_errors_[model.alphas_ == model.alpha_] == min(rates)
    plain = NeuralKernelClassifier(KERNEL, alpha=model.alpha_, class_weight=class_weight).fit(X, y)
    np.testing.assert_allclose(model.decision_function(X), plain.decision_function(X), rtol=1e-8, atol=1e-9)


def test_several_labels(rng):
    X = rng.standard_normal((40, 3))
    y = (X[:, :2] > 0).astype(int)
    model = NeuralKernelClassifierCV(criterion="error_rate").fit(X, y)
    assert model.predict(X).shape == model.cv_predictions_.shape == (40, 2)
    assert model.score(X, y) > 0.8


@pytest.mark.parametrize("alphas", [[], [-1.0], [np.nan], [[1.0]], [np.inf]])
def test_bad_alphas(alphas):
    with pytest.raises(ValueError, match="alphas must be one or more finite numbers >= 0"):
        NeuralKernelRegressorCV(alphas=alphas).fit([[1.0], [2.0]], [1.0, 2.0])


def test_equal_rows_are_left_out_together(rng):
    X = rng.standard_normal((12, 2))
    twice = np.r_[X, X[:6]]
    y = rng.standard_normal(18)
    model = NeuralKernelRegressorCV(KERNEL, alphas=ALPHAS).fit(twice, y)
    errors = []
    for alpha in ALPHAS:
        squares = []
        for i in range(18):
            others = (twice != twice[i]).any(axis=1)
            left = NeuralKernelRegressor(KERNEL, alpha=alpha).fit(twice[others], y[others])
            squares.append((left.predict(twice[[i]])[0] - y[i]) ** 2)
        errors.append(np.mean(squares))
    np.testing.assert_allclose(model.cv_errors_, errors, rtol=1e-8)
    plain = NeuralKernelRegressor(KERNEL, alpha=model.alpha_).fit(twice, y)
    np.testing.assert_allclose(model.predict(X), plain.predict(X), rtol=1e-8, atol=1e-10)
