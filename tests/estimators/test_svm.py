"""Support vector machines: scikit-learn's with intercept, those of infinitely wide networks without."""

import pickle

import numpy as np
import pytest
from references.losses import minimise_pieces, minimise_smooth, train_by_subgradients
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.datasets import make_blobs, make_classification
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.gaussian_process.kernels import RBF, WhiteKernel
from sklearn.linear_model import LogisticRegression
from sklearn.metrics.pairwise import rbf_kernel
from sklearn.model_selection import GridSearchCV, cross_val_predict
from sklearn.svm import SVC, SVR, LinearSVC, LinearSVR
from sklearn.utils import get_tags
from sklearn.utils.estimator_checks import parametrize_with_checks

from ntkkit.engine import Engine
from ntkkit.estimators import NeuralKernelRegressor, NeuralKernelSVC, NeuralKernelSVR
from ntkkit.kernels import NNGP, NTK
from ntkkit.networks import FullyConnected

NETWORK_KERNEL = NTK(FullyConnected(depth=1))
KERNELS = [None, NNGP(FullyConnected(depth=1, activation="erf")) + 1.0, RBF(2.0), rbf_kernel, "precomputed"]


def identity(value):
    return getattr(value, "__name__", None) or str(value)


# Not NeuralKernelSVC(RBF(), fit_intercept=False): one check wants class weights to win far from all samples, where
# without an intercept f is zero.
@parametrize_with_checks(
    [Estimator(kernel) for Estimator in (NeuralKernelSVC, NeuralKernelSVR) for kernel in (None, "precomputed", RBF())]
    + [NeuralKernelSVC(fit_intercept=False), NeuralKernelSVR(RBF(), fit_intercept=False)]
)
def test_scikit_learn_checks(estimator, check):
    check(estimator)


@pytest.fixture(scope="module")
def classification():
    X, y = make_classification(60, 4, n_informative=3, n_redundant=1, n_classes=3, flip_y=0.1, random_state=0)
    return X, np.array(["ash", "birch", "cedar"])[y]


@pytest.fixture(scope="module")
def numbers():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(40, 4))
    return X, np.sin(X[:, 0]) + 0.3 * rng.normal(size=40)


# ---- with intercept: scikit-learn's machines


@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("class_weight", [None, "balanced", {"ash": 3.0, "birch": 0.5}])
@pytest.mark.parametrize("weighted", [False, True])
def test_equal_to_svc(classification, n_classes, class_weight, weighted):
    X, y = classification
    kept = y != "cedar" if n_classes == 2 else y != ""
    X, y = X[kept], y[kept]
    weights = np.random.default_rng(1).uniform(0.5, 2, len(y)) if weighted else None
    for shape in ("ovr", "ovo"):
        arguments = {"C": 0.7, "class_weight": class_weight, "decision_function_shape": shape, "tol": 1e-8}
        ours = NeuralKernelSVC(NETWORK_KERNEL, **arguments).fit(X, y, weights)
        theirs = SVC(kernel=NETWORK_KERNEL, **arguments).fit(X, y, weights)
        new = X[::-1] + 0.1
        np.testing.assert_allclose(ours.decision_function(new), theirs.decision_function(new), rtol=0, atol=1e-10)
        np.testing.assert_array_equal(ours.predict(new), theirs.predict(new))
        for name in ("support_", "n_support_", "classes_"):
            np.testing.assert_array_equal(getattr(ours, name), getattr(theirs, name), err_msg=name)
        for name in ("dual_coef_", "intercept_"):
            np.testing.assert_allclose(getattr(ours, name), getattr(theirs, name), atol=1e-10, err_msg=name)


@pytest.mark.parametrize("weighted", [False, True])
def test_equal_to_svr(numbers, weighted):
    X, y = numbers
    weights = np.random.default_rng(1).uniform(0.5, 2, len(y)) if weighted else None
    arguments = {"C": 0.7, "epsilon": 0.2, "tol": 1e-8}
    ours = NeuralKernelSVR(NETWORK_KERNEL, **arguments).fit(X, y, weights)
    theirs = SVR(kernel=NETWORK_KERNEL, **arguments).fit(X, y, weights)
    np.testing.assert_allclose(ours.predict(X + 0.1), theirs.predict(X + 0.1), rtol=0, atol=1e-10)
    for name in ("support_", "n_support_", "dual_coef_", "intercept_", "n_iter_"):
        np.testing.assert_array_equal(getattr(ours, name), getattr(theirs, name), err_msg=name)


def test_only_support_vectors_are_kept_and_evaluated(numbers):
    X, y = numbers
    shapes = []

    def kernel(A, B):
        shapes.append((len(A), len(B)))
        return rbf_kernel(A, B)

    for machine in (
        NeuralKernelSVC(kernel).fit(X, y > 0),
        NeuralKernelSVC(kernel, fit_intercept=False).fit(X, y > 0),
        NeuralKernelSVR(kernel, epsilon=0.3).fit(X, y),
        NeuralKernelSVR(kernel, epsilon=0.3, fit_intercept=False).fit(X, y),
    ):
        shapes.clear()
        machine.predict(X[:5])
        assert shapes == [(5, len(machine.support_))]
        assert 0 < len(machine.support_) < len(X)
        assert machine.n_support_.sum() == len(machine.support_)
        np.testing.assert_array_equal(machine.X_fit_, X[machine.support_])


def test_no_support_vectors_at_all(numbers):
    X, y = numbers
    for fit_intercept in (True, False):
        machine = NeuralKernelSVR(epsilon=100.0, fit_intercept=fit_intercept).fit(X, y)
        assert len(machine.support_) == 0
        np.testing.assert_array_equal(machine.predict(X), np.full(len(X), machine.intercept_[0]))
    on_matrix = NeuralKernelSVR("precomputed", epsilon=100.0).fit(X @ X.T, y)
    np.testing.assert_array_equal(on_matrix.predict(X @ X.T), machine.predict(X) + on_matrix.intercept_)


# ---- without intercept: what infinitely wide networks are


DECAY = 0.8
EPSILON = 0.2


@pytest.fixture(scope="module")
def small():
    rng = np.random.default_rng(3)
    X = rng.normal(size=(20, 3))
    y = np.where(X[:, 0] * X[:, 1] + 0.3 * rng.normal(size=20) > 0, 1.0, -1.0)
    return X, y, NETWORK_KERNEL(X)


def rows_of_factor(machine):
    """A linear machine on the rows of a Cholesky factor is a kernel machine."""

    def fitted(X, y, K):
        L = np.linalg.cholesky(K)
        machine.fit(L, y)
        return L @ machine.coef_.ravel()

    return fitted


def ours(machine):
    def fitted(X, y, K):
        machine.fit(X, y)
        return machine.decision_function(X) if hasattr(machine, "decision_function") else machine.predict(X)

    return fitted


LINEAR = {"fit_intercept": False, "dual": True, "C": 1 / DECAY, "tol": 1e-10, "max_iter": 1_000_000}
MACHINES = {
    "squares": ("squares", ours(NeuralKernelRegressor(NETWORK_KERNEL, alpha=DECAY / 2))),
    "hinge": ("hinge", ours(NeuralKernelSVC(NETWORK_KERNEL, C=1 / DECAY, fit_intercept=False))),
    "hinge by liblinear": ("hinge", rows_of_factor(LinearSVC(loss="hinge", **LINEAR))),
    "squared hinge": ("squared hinge", rows_of_factor(LinearSVC(loss="squared_hinge", **LINEAR))),
    "insensitive": (
        "insensitive",
        ours(NeuralKernelSVR(NETWORK_KERNEL, C=1 / DECAY, epsilon=EPSILON, fit_intercept=False)),
    ),
    "insensitive by liblinear": ("insensitive", rows_of_factor(LinearSVR(epsilon=EPSILON, **LINEAR))),
    "logistic": (
        "logistic",
        rows_of_factor(LogisticRegression(C=1 / DECAY, fit_intercept=False, tol=1e-9, max_iter=10_000)),
    ),
}


def minimum(loss, K, y):
    zeros, ones = np.zeros_like(y), np.ones_like(y)
    if loss == "hinge":
        return minimise_pieces(K, [zeros, -y], [zeros, ones], DECAY)
    if loss == "insensitive":
        return minimise_pieces(K, [zeros, ones, -ones], [zeros, -y - EPSILON, y - EPSILON], DECAY)
    value, slope = {
        "squares": (lambda f: (y - f) ** 2, lambda f: 2 * (f - y)),
        "squared hinge": (lambda f: np.maximum(1 - y * f, 0) ** 2, lambda f: -2 * y * np.maximum(1 - y * f, 0)),
        "logistic": (lambda f: np.logaddexp(0, -y * f), lambda f: -y / (1 + np.exp(y * f))),
    }[loss]
    return minimise_smooth(K, value, slope, DECAY)


@pytest.mark.parametrize("name", MACHINES)
def test_every_loss_has_its_machine(name, small):
    loss, machine = MACHINES[name]
    np.testing.assert_allclose(machine(*small), minimum(loss, small[2], small[1]), atol=2e-6)


def test_squared_hinge_is_the_hard_margin_of_another_kernel(small):
    _, y, K = small
    hard = NeuralKernelSVC("precomputed", C=1e6, fit_intercept=False).fit(K + DECAY / 2 * np.eye(len(K)), y)
    np.testing.assert_allclose(hard.decision_function(K), minimum("squared hinge", K, y), atol=1e-6)


def test_training_by_subgradients_ends_at_the_machine(small):
    X, y, K = small
    schedule = [(1e-2, 2_000), (1e-3, 5_000), (1e-4, 10_000), (1e-5, 20_000)]
    trained = train_by_subgradients(K, y, 1.0, schedule)
    machine = NeuralKernelSVC(NETWORK_KERNEL, C=1.0, fit_intercept=False).fit(X, y)
    np.testing.assert_allclose(K @ trained, machine.decision_function(X), atol=1e-4)


def test_more_classes_are_one_machine_each(classification):
    X, y = classification
    weights = np.random.default_rng(1).uniform(0.5, 2, len(y))
    machine = NeuralKernelSVC(NETWORK_KERNEL, C=0.5, fit_intercept=False, class_weight={"ash": 3.0, "birch": 0.5})
    machine.fit(X, y, weights)
    L = np.linalg.cholesky(NETWORK_KERNEL(X))
    values = machine.decision_function(X)
    assert values.shape == (60, 3)
    weights = weights * np.select([y == "ash", y == "birch"], [3.0, 0.5], 1.0)
    for column, label in enumerate(machine.classes_):
        linear = LinearSVC(loss="hinge", fit_intercept=False, C=0.5, tol=1e-9, max_iter=1_000_000)
        linear.fit(L, y == label, weights)
        np.testing.assert_allclose(values[:, column], linear.decision_function(L), atol=1e-6)
    np.testing.assert_array_equal(machine.predict(X), machine.classes_[values.argmax(axis=1)])
    assert machine.dual_coef_.shape == (3, len(machine.support_))
    np.testing.assert_array_equal(machine.intercept_, 0.0)


def test_a_singular_gram_matrix_is_no_trouble(small):
    X, y, _ = small
    twice, labels = np.tile(X, (2, 1)), np.tile(y, 2)
    doubled = NeuralKernelSVC(NETWORK_KERNEL, C=0.5, fit_intercept=False).fit(twice, labels)
    single = NeuralKernelSVC(NETWORK_KERNEL, C=1.0, fit_intercept=False).fit(X, y)
    np.testing.assert_allclose(doubled.decision_function(X), single.decision_function(X), atol=1e-6)


# ---- what every estimator of ours does


@pytest.mark.parametrize("fit_intercept", [True, False])
@pytest.mark.parametrize("kernel", KERNELS, ids=identity)
def test_every_kind_of_kernel_and_pickle(kernel, fit_intercept, classification):
    X, y = classification
    for Estimator, target in ((NeuralKernelSVC, y), (NeuralKernelSVR, X[:, 0])):
        inputs = RBF(2.0)(X) if kernel == "precomputed" else X
        machine = Estimator(kernel, C=10.0, fit_intercept=fit_intercept, engine=Engine(memory="100MB"))
        machine.fit(inputs, target)
        assert machine.score(inputs, target) > 0.7
        again = pickle.loads(pickle.dumps(machine))
        np.testing.assert_array_equal(again.predict(inputs), machine.predict(inputs))
        np.testing.assert_array_equal(again.dual_coef_, machine.dual_coef_)
        assert not hasattr(clone(machine), "dual_coef_")


@pytest.mark.parametrize("fit_intercept", [True, False])
def test_precomputed_is_the_same_machine(fit_intercept, classification):
    X, y = classification
    K = NETWORK_KERNEL(X)
    assert get_tags(NeuralKernelSVC("precomputed")).input_tags.pairwise
    on_matrix = NeuralKernelSVC("precomputed", fit_intercept=fit_intercept)
    on_rows = NeuralKernelSVC(NETWORK_KERNEL, fit_intercept=fit_intercept)
    np.testing.assert_array_equal(cross_val_predict(on_matrix, K, y), cross_val_predict(on_rows, X, y))
    grid = {"C": [0.1, 10.0]}
    scores = [
        GridSearchCV(machine, grid, cv=3).fit(inputs, y).cv_results_["mean_test_score"]
        for machine, inputs in ((on_matrix, K), (on_rows, X))
    ]
    np.testing.assert_array_equal(*scores)


def test_weight_zero_is_as_good_as_removing(classification):
    X, y = classification
    weights = np.where(y == "birch", 0.0, 1.0)
    for kernel, inputs in ((rbf_kernel, X), ("precomputed", rbf_kernel(X))):
        weighted = NeuralKernelSVC(kernel).fit(inputs, y, weights)
        removed = NeuralKernelSVC(rbf_kernel).fit(X[weights > 0], y[weights > 0])
        np.testing.assert_array_equal(weighted.classes_, ["ash", "cedar"])
        np.testing.assert_allclose(weighted.decision_function(inputs), removed.decision_function(X), atol=1e-12)
        assert (weights[weighted.support_] > 0).all()


def test_probabilities_by_calibration():
    X, y = make_blobs(60, 4, centers=3, random_state=0)
    for fit_intercept in (True, False):
        machine = NeuralKernelSVC(fit_intercept=fit_intercept)
        calibrated = CalibratedClassifierCV(machine, cv=3).fit(X, y)
        np.testing.assert_allclose(calibrated.predict_proba(X).sum(axis=1), 1.0)
        assert calibrated.score(X, y) > 0.9


def test_float32_is_the_same_machine(small):
    X, y, _ = small
    double = NeuralKernelSVC(NETWORK_KERNEL, fit_intercept=False).fit(X, y)
    single = NeuralKernelSVC(NETWORK_KERNEL, fit_intercept=False).fit(X.astype(np.float32), y)
    assert single.X_fit_.dtype == np.float32
    np.testing.assert_allclose(single.decision_function(X.astype(np.float32)), double.decision_function(X), atol=1e-4)


def test_images():
    X = np.random.default_rng(0).normal(size=(12, 2, 2, 1))
    y = X[:, 0, 0, 0] > 0
    machine = NeuralKernelSVC(NTK(FullyConnected(depth=1, input_shape=(2, 2, 1))), C=10.0).fit(X, y)
    np.testing.assert_array_equal(machine.predict(X), y)
    np.testing.assert_array_equal(machine.predict(X.reshape(12, 4)), y)


def test_a_white_kernel_is_noise_on_the_training_diagonal_alone(small):
    X, y, K = small
    noisy = NeuralKernelSVC(NETWORK_KERNEL + WhiteKernel(0.5), fit_intercept=False).fit(X, y)
    by_matrix = NeuralKernelSVC("precomputed", fit_intercept=False).fit(K + 0.5 * np.eye(len(K)), y)
    np.testing.assert_allclose(noisy.decision_function(X), by_matrix.decision_function(K), atol=1e-9)


BAD = {
    "C": (NeuralKernelSVC, {"C": 0.0}, {}, r"'C' parameter .* Got 0.0"),
    "epsilon": (NeuralKernelSVR, {"epsilon": -1.0}, {}, r"'epsilon' parameter .* Got -1.0"),
    "tol": (NeuralKernelSVR, {"tol": 0.0}, {}, r"'tol' parameter .* Got 0.0"),
    "fit_intercept": (NeuralKernelSVC, {"fit_intercept": "no"}, {}, r"'fit_intercept' parameter .* Got 'no'"),
    "shape": (NeuralKernelSVC, {"decision_function_shape": "all"}, {}, "'decision_function_shape' parameter"),
    "ovo": (
        NeuralKernelSVC,
        {"decision_function_shape": "ovo", "fit_intercept": False},
        {},
        "'ovo' needs fit_intercept=True.*Use decision_function_shape='ovr'",
    ),
    "class weight": (NeuralKernelSVC, {"class_weight": {0: 0.0}}, {}, "class_weight must be finite and positive"),
    "kernel": (NeuralKernelSVR, {"kernel": "rbf"}, {}, r"'kernel' parameter .* Got 'rbf'"),
    "one class": (NeuralKernelSVC, {}, {"y": np.ones(6)}, "at least two classes"),
    "several": (NeuralKernelSVC, {}, {"y": np.eye(6, dtype=int)[:, :2]}, "y must be 1-D.*MultiOutputClassifier"),
    "NaN": (NeuralKernelSVR, {}, {"X": np.full((6, 3), np.nan)}, "Input X contains NaN"),
    "weights": (NeuralKernelSVC, {}, {"sample_weight": -np.ones(6)}, "sample_weight must be >= 0"),
    "overflow": (NeuralKernelSVC, {}, {"X": 1e200 * np.ones((6, 3))}, "StandardScaler"),
    "not square": (NeuralKernelSVR, {"kernel": "precomputed"}, {}, r"square matrix .*\(6, 3\)"),
}


@pytest.mark.parametrize("name", BAD)
def test_the_error_names_what_and_the_remedy_and_leaves_no_trace(name):
    Estimator, parameters, changes, message = BAD[name]
    good = {"X": np.random.default_rng(0).normal(size=(6, 3)), "y": np.array([0, 1, 0, 1, 1, 0])}
    fitted = Estimator().fit(**good)
    predicted = fitted.predict(good["X"])
    with pytest.raises((ValueError, TypeError), match=message):
        fitted.set_params(**parameters).fit(**good | changes)
    fitted.set_params(**Estimator().get_params(deep=False))
    np.testing.assert_array_equal(fitted.predict(good["X"]), predicted)


def test_before_fit():
    for machine in (NeuralKernelSVC(), NeuralKernelSVR()):
        with pytest.raises(NotFittedError, match=r"not fitted yet"):
            machine.predict([[1.0]])


def test_too_few_iterations_warn(small):
    X, y, _ = small
    for fit_intercept in (True, False):
        for machine in (
            NeuralKernelSVC(max_iter=1, fit_intercept=fit_intercept),
            NeuralKernelSVR(max_iter=1, fit_intercept=fit_intercept),
        ):
            with pytest.warns(ConvergenceWarning, match="max_iter=1"):
                machine.fit(X, y)
