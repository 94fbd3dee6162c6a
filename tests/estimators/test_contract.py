"""What scikit-learn asks of an estimator: its own checks, and what its tools do with one."""

import pickle

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.datasets import make_blobs, make_classification, make_regression
from sklearn.gaussian_process.kernels import RBF, ConstantKernel, WhiteKernel
from sklearn.metrics.pairwise import rbf_kernel
from sklearn.model_selection import GridSearchCV, cross_val_predict, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils import get_tags
from sklearn.utils.estimator_checks import parametrize_with_checks

from ntkkit.engine import Engine
from ntkkit.estimators import NeuralKernelClassifier, NeuralKernelRegressor
from ntkkit.kernels import NNGP, NTK
from ntkkit.networks import FullyConnected

ESTIMATORS = [NeuralKernelRegressor, NeuralKernelClassifier]
KERNELS = [
    None,
    NNGP(FullyConnected(depth=1, activation="erf")) + 1.0,
    RBF(2.0),
    NTK(FullyConnected(depth=2)) + WhiteKernel(0.1),
    rbf_kernel,
    "precomputed",
]


def identity(value):
    return getattr(value, "__name__", None) or str(value)


@pytest.mark.filterwarnings("ignore::scipy.linalg.LinAlgWarning")  # the checks have nearly singular and indefinite data
@parametrize_with_checks(
    [Estimator(kernel) for Estimator in ESTIMATORS for kernel in (None, "precomputed", RBF())]
    + [NeuralKernelClassifier(NTK(FullyConnected()), alpha=0.1, solver="eigen", engine=Engine())]
)
def test_scikit_learn_checks(estimator, check):
    check(estimator)


@pytest.fixture
def regression():
    X, y = make_regression(40, 4, noise=1.0, random_state=0)
    return X, y / y.std()


@pytest.fixture
def classification():
    return make_classification(60, 4, class_sep=2.0, random_state=0)


@pytest.mark.parametrize("Estimator", ESTIMATORS)
@pytest.mark.parametrize("kernel", KERNELS, ids=identity)
def test_every_kind_of_kernel(Estimator, kernel, classification):
    X, y = classification
    score = cross_val_score(Estimator(kernel, alpha=0.1), RBF(2.0)(X) if kernel == "precomputed" else X, y, cv=4)
    assert score.shape == (4,)
    assert score.mean() > (0.5 if Estimator is NeuralKernelRegressor else 0.85)


@pytest.mark.parametrize("Estimator", ESTIMATORS)
def test_precomputed_is_the_same_machine(Estimator, classification):
    X, y = classification
    K = NTK(FullyConnected())(X)
    assert get_tags(Estimator("precomputed")).input_tags.pairwise
    assert not get_tags(Estimator()).input_tags.pairwise
    np.testing.assert_allclose(
        cross_val_predict(Estimator("precomputed", alpha=0.1), K, y), cross_val_predict(Estimator(alpha=0.1), X, y)
    )
    grid = {"alpha": [1e-3, 1e-1, 10.0]}
    on_matrix = GridSearchCV(Estimator("precomputed"), grid).fit(K, y)
    on_rows = GridSearchCV(Estimator(), grid).fit(X, y)
    np.testing.assert_allclose(on_matrix.cv_results_["mean_test_score"], on_rows.cv_results_["mean_test_score"])
    np.testing.assert_allclose(on_matrix.predict(K), on_rows.predict(X))


def test_the_gram_matrix_passed_in_is_left_alone(classification):
    X, y = classification
    K = X @ X.T
    before = K.copy()
    NeuralKernelClassifier("precomputed", alpha=0.1).fit(K, y)
    kept = NeuralKernelClassifier(lambda A, B: K, alpha=0.1).fit(X, y)
    np.testing.assert_array_equal(K, before)
    assert kept.solver_ == "cholesky"


@pytest.mark.parametrize("Estimator", ESTIMATORS)
@pytest.mark.parametrize("kernel", KERNELS, ids=identity)
def test_pickle_and_clone(Estimator, kernel, classification):
    X, y = classification
    X = X @ X.T if kernel == "precomputed" else X
    fitted = Estimator(kernel, alpha=0.1, solver="eigen", engine=Engine(memory="100MB")).fit(X, y)
    again = pickle.loads(pickle.dumps(fitted))
    np.testing.assert_allclose(again.predict(X), fitted.predict(X), rtol=1e-9)
    for name, value in vars(again).items():
        if name.endswith("_") and name not in ("kernel_", "n_features_in_", "solver_", "X_fit_"):
            assert type(value) in (np.ndarray, str, int, float), name
    fresh = clone(fitted)
    assert not hasattr(fresh, "dual_coef_")
    np.testing.assert_allclose(fresh.fit(X, y).predict(X), fitted.predict(X), rtol=1e-9)


def test_grid_search_over_a_network_in_two_processes(regression):
    X, y = regression
    kernel = NTK(FullyConnected(depth=2))
    grid = {"kernel__network__depth": [0, 1], "kernel__network__weight_var": [1.0, 3.0], "alpha": [1e-2, 1.0]}
    search = GridSearchCV(NeuralKernelRegressor(kernel), grid, cv=3, n_jobs=2).fit(X, y)
    assert kernel == NTK(FullyConnected(depth=2))
    assert search.best_estimator_.kernel_.network.depth == search.best_params_["kernel__network__depth"]
    by_hand = [
        cross_val_score(
            NeuralKernelRegressor(
                NTK(FullyConnected(depth=p["kernel__network__depth"], weight_var=p["kernel__network__weight_var"])),
                alpha=p["alpha"],
            ),
            X,
            y,
            cv=3,
        ).mean()
        for p in search.cv_results_["params"]
    ]
    np.testing.assert_allclose(search.cv_results_["mean_test_score"], by_hand)


def test_grid_search_through_a_pipeline_and_over_kernels(classification):
    X, y = classification
    pipeline = make_pipeline(StandardScaler(), NeuralKernelClassifier(NTK(FullyConnected(depth=1))))
    grid = [
        {"neuralkernelclassifier__kernel__network__activation": ["relu", "erf"]},
        {"neuralkernelclassifier__kernel": [RBF(0.3), RBF(3.0)]},
        {
            "neuralkernelclassifier__kernel": [ConstantKernel() * RBF()],
            "neuralkernelclassifier__kernel__k2__length_scale": [1.0],
        },
    ]
    search = GridSearchCV(pipeline, grid, error_score="raise").fit(X, y)
    assert search.best_score_ > 0.85


def test_set_params_never_changes_the_kernel_of_the_user():
    ours, theirs = NTK(FullyConnected()), RBF(1.0)
    estimator = NeuralKernelRegressor(ours)
    assert estimator.set_params(kernel__network__depth=5, alpha=1.0) is estimator
    assert estimator.kernel.network.depth == 5
    assert estimator.alpha == 1.0
    estimator.set_params(kernel=theirs, kernel__length_scale=7.0)
    assert estimator.kernel == RBF(7.0)
    assert ours == NTK(FullyConnected())
    assert theirs == RBF(1.0)
    assert estimator.get_params()["kernel__length_scale"] == 7.0
    with pytest.raises(ValueError, match="Invalid parameter"):
        estimator.set_params(kernel__nothing=1, alpha=2.0)
    assert estimator.alpha == 1.0


def test_fit_never_changes_the_kernel_of_the_user(regression):
    kernel = RBF(1.0)
    estimator = NeuralKernelRegressor(kernel).fit(*regression)
    assert estimator.kernel is kernel
    assert estimator.kernel_ is not kernel
    kernel.set_params(length_scale=5.0)
    assert estimator.kernel_ == RBF(1.0)


def test_probabilities_by_calibration():
    X, y = make_blobs(60, 4, centers=3, random_state=0)
    for labels in (y, y > 0, np.array(["ash", "birch", "cedar"])[y]):
        calibrated = CalibratedClassifierCV(NeuralKernelClassifier(alpha=0.1), cv=3).fit(X, labels)
        probabilities = calibrated.predict_proba(X)
        assert probabilities.shape == (60, len(np.unique(labels)))
        np.testing.assert_allclose(probabilities.sum(axis=1), 1.0)
        assert calibrated.score(X, labels) > 0.9
    assert not hasattr(NeuralKernelClassifier(), "predict_proba")


def test_a_white_kernel_is_noise_on_the_training_diagonal_alone(regression):
    X, y = regression
    with_noise = NeuralKernelRegressor(RBF() + WhiteKernel(0.5), alpha=0.25).fit(X, y)
    with_alpha = NeuralKernelRegressor(RBF(), alpha=0.75).fit(X, y)
    np.testing.assert_allclose(with_noise.predict(X), with_alpha.predict(X))
