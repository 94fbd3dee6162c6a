"""The log loss: minimisers against scikit-learn's logistic regression, training times against neural-tangents."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.linalg import LinAlgWarning
from scipy.special import expit
from sklearn.datasets import make_blobs
from sklearn.exceptions import ConvergenceWarning
from sklearn.gaussian_process.kernels import RBF, DotProduct
from sklearn.linear_model import LogisticRegression
from sklearn.metrics.pairwise import rbf_kernel
from sklearn.model_selection import GridSearchCV
from sklearn.utils.estimator_checks import parametrize_with_checks

from ntkkit import KernelSearchCV, NeuralKernelClassifier, NeuralKernelRegressor
from ntkkit.interop.neural_tangents import import_neural_tangents
from ntkkit.linalg.logistic import SigmoidLoss, SoftmaxLoss, minimise


def log_machine(kernel=None, **parameters):
    return NeuralKernelClassifier(kernel, **{"loss": "log", **parameters})


@pytest.mark.filterwarnings("ignore::scipy.linalg.LinAlgWarning")  # the checks have indefinite data
@parametrize_with_checks([log_machine(RBF()), log_machine(RBF(), train_time=3.0)])
def test_scikit_learn_checks(estimator, check):
    check(estimator)


@pytest.fixture(scope="module")
def data():
    X, labels = make_blobs(45, 3, centers=3, cluster_std=3.0, random_state=0)
    return X[:30], labels[:30], X[30:]


@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("weighted", [False, True])
def test_equal_to_logistic_regression_with_the_linear_kernel(data, n_classes, weighted):
    X, y, X_test = data
    y = np.minimum(y, n_classes - 1)
    weights = np.random.default_rng(0).uniform(0.1, 2, size=30) if weighted else None
    ours = log_machine(DotProduct(0.0), alpha=2.0).fit(X, y, weights)
    theirs = LogisticRegression(C=0.5, fit_intercept=False, tol=1e-12, solver="newton-cholesky").fit(X, y, weights)
    np.testing.assert_allclose(ours.predict_proba(X_test), theirs.predict_proba(X_test), rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose(ours.predict_log_proba(X_test), theirs.predict_log_proba(X_test), rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose(ours.predict_proba(X_test).sum(axis=1), 1.0, rtol=1e-14)
    np.testing.assert_array_equal(ours.predict(X_test), theirs.predict(X_test))
    assert ours.dual_coef_.shape == ((30,) if n_classes == 2 else (30, 3))
    assert ours.solver_ == "newton"
    assert 1 < ours.n_iter_ < 20


@pytest.mark.parametrize("alpha", [1e3, 1.0, 1e-4, 1e-9])
@pytest.mark.parametrize("n_outputs", [1, 3])
def test_minimisers_are_stationary(n_outputs, alpha):
    """To rounding, for eigenvalues of K from 1e-6 to 1e3: alpha a = -l'(K a)."""
    rng = np.random.default_rng(0)
    vectors = np.linalg.qr(rng.standard_normal((30, 30)))[0]
    K, y = (vectors * np.geomspace(1e-6, 1e3, 30)) @ vectors.T, rng.integers(0, max(n_outputs, 2), 30)
    weights = rng.uniform(0.5, 2, (30, 1))
    sigmoid = SigmoidLoss(np.where(y, 1.0, -1.0)[:, None], weights)
    loss = sigmoid if n_outputs == 1 else SoftmaxLoss(np.eye(3)[y], weights)
    found = minimise(K, loss, alpha, start=np.zeros((30, n_outputs)))
    assert found.converged
    residual = loss.slope(K @ found.dual_coef) + alpha * found.dual_coef
    assert np.abs(residual).max() < 1e-6 * np.abs(alpha * found.dual_coef).max()


@pytest.mark.parametrize("n_classes", [2, 3])
def test_training_times_are_neural_tangents(data, n_classes):
    X, y, X_test = data
    y, K, K_test = np.minimum(y, n_classes - 1), rbf_kernel(X, gamma=0.05), rbf_kernel(X_test, X, gamma=0.05)
    targets = np.where(y, 1.0, -1.0)[:, None] if n_classes == 2 else np.eye(3)[y]

    def loss(f, y):  # their time is ours times the number of entries of y: they descend a mean
        return jnp.mean(jnp.logaddexp(0, -y * f) if n_classes == 2 else -jax.nn.log_softmax(f) * y)

    nt = import_neural_tangents()
    with jax.enable_x64(True):
        predict = nt.predict.gradient_descent(loss, jnp.asarray(K), jnp.asarray(targets))
        start = jnp.zeros((15, targets.shape[1]))
        _, expected = predict(4.0 * targets.size, jnp.zeros(targets.shape), start, jnp.asarray(K_test))
    model = log_machine(RBF(np.sqrt(10.0)), alpha=0, train_time=4.0).fit(X, y)
    found = model.decision_function(X_test)
    np.testing.assert_allclose(found.reshape(expected.shape), expected, rtol=0, atol=1e-6)
    assert model.solver_ == "lsoda"


def test_training_ends_at_the_minimiser(data):
    X, y, X_test = data
    for labels in (y, y > 0):
        end = log_machine(RBF(3.0), alpha=0.5).fit(X, labels)
        late = log_machine(RBF(3.0), alpha=0.5, train_time=100.0).fit(X, labels)
        np.testing.assert_allclose(late.predict_proba(X_test), end.predict_proba(X_test), rtol=1e-6)
        start = log_machine(RBF(3.0), alpha=0.5, train_time=0.0).fit(X, labels)
        np.testing.assert_allclose(start.predict_proba(X_test), 1 / len(start.classes_))


def test_probability_rises_with_training_and_falls_with_alpha():
    X, y = [[0.0], [1.0]], ["no", "yes"]
    trained = [log_machine(RBF(0.3), train_time=t).fit(X, y).predict_proba(X)[1, 1] for t in (0.1, 1.0, 10.0)]
    ridge = [log_machine(RBF(0.3), alpha=alpha).fit(X, y).predict_proba(X)[1, 1] for alpha in (10.0, 1.0, 0.1, 1e-3)]
    assert (np.diff([0.5, *trained, 1.0]) > 0).all()
    assert (np.diff([0.5, *ridge, 1.0]) > 0).all()


def test_squared_loss_stops_where_the_regressor_does(data):
    X, y, X_test = data
    found = NeuralKernelClassifier(RBF(3.0), alpha=0.1, train_time=0.7).fit(X, y > 0)
    expected = NeuralKernelRegressor(RBF(3.0), alpha=0.1, train_time=0.7).fit(X, np.where(y > 0, 1.0, -1.0))
    np.testing.assert_allclose(found.decision_function(X_test), expected.predict(X_test), rtol=1e-12)
    assert not hasattr(found, "predict_proba")
    assert not hasattr(found, "predict_log_proba")


@pytest.mark.parametrize("train_time", [None, 2.0])
def test_several_labels_are_a_machine_each(data, train_time):
    X, y, X_test = data
    Y = np.stack([y > 0, y == 1, X[:, 0] > 0], axis=1).astype(int)
    model = log_machine(RBF(3.0), train_time=train_time).fit(X, Y)
    assert model.predict(X_test).shape == (15, 3)
    for i in range(3):
        alone = log_machine(RBF(3.0), train_time=train_time).fit(X, Y[:, i])
        np.testing.assert_allclose(model.predict_proba(X_test)[:, i], alone.predict_proba(X_test)[:, 1], rtol=1e-8)


def test_class_weights_multiply_losses_around_the_log_odds_of_their_shares(data):
    X, y, X_test = data
    for labels, class_weight in ((y, {0: 1.0, 1: 3.0, 2: 0.5}), (y > 0, {False: 1.0, True: 3.0})):
        weights = np.array([class_weight[label] for label in labels])
        model = log_machine(RBF(3.0), alpha=0.5, class_weight=class_weight).fit(X, labels)
        shares = np.array([weights[labels == label].sum() for label in model.classes_]) / weights.sum()
        np.testing.assert_allclose(model.predict_proba(X_test[:1] + 1e3)[0], shares, rtol=1e-12)
        slopes = model.predict_proba(X) - (labels[:, None] == model.classes_)
        slopes = slopes if len(shares) == 3 else slopes[:, 1]
        np.testing.assert_allclose(0.5 * model.dual_coef_, -(weights * slopes.T).T, rtol=1e-8, atol=1e-12)
        early = model.set_params(train_time=1e-6).fit(X, labels).predict_proba(X_test)
        np.testing.assert_allclose(early, np.tile(shares, (15, 1)), rtol=1e-3)
    balanced = log_machine(RBF(3.0), class_weight="balanced").fit(X, y)
    np.testing.assert_allclose(balanced.intercept_, 0, atol=1e-12)


@pytest.mark.parametrize("train_time", [None, 2.0])
def test_weights_are_repetitions_and_zero_is_removal(data, train_time):
    X, y, X_test = data
    weights = np.arange(30) % 3
    repeated = np.repeat(np.arange(30), weights)
    model = log_machine(RBF(3.0), train_time=train_time)
    for labels in (y, y > 0):
        weighted = model.fit(X, labels, sample_weight=weights).predict_proba(X_test)
        assert (model.dual_coef_[weights == 0] == 0).all()
        long = model.fit(X[repeated], labels[repeated]).predict_proba(X_test)
        np.testing.assert_allclose(weighted, long, rtol=1e-6)


def test_precomputed_and_search(data):
    X, y, X_test = data
    on_rows = log_machine(RBF(3.0)).fit(X, y).predict_proba(X_test)
    on_matrix = log_machine("precomputed").fit(RBF(3.0)(X), y).predict_proba(RBF(3.0)(X_test, X))
    np.testing.assert_allclose(on_matrix, on_rows, rtol=1e-8)
    grid = {"loss": ["log"], "alpha": [0.01, 1.0], "train_time": [None, 2.0], "kernel__length_scale": [1.0, 3.0]}
    ours = KernelSearchCV(log_machine(RBF()), grid, cv=3, scoring="neg_log_loss", n_jobs=2).fit(X, y)
    theirs = GridSearchCV(log_machine(RBF()), grid, cv=3, scoring="neg_log_loss").fit(X, y)
    found, expected = (search.cv_results_["mean_test_score"] for search in (ours, theirs))
    np.testing.assert_allclose(found, expected, rtol=1e-10)
    assert np.isfinite(found).all()
    np.testing.assert_allclose(ours.predict_proba(X_test), theirs.predict_proba(X_test), rtol=1e-9)


def test_indefinite_matrices_lose_their_negative_part():
    values = np.array([4.0, 2.0, 1.0, -0.5])
    vectors = np.linalg.qr(np.random.default_rng(0).standard_normal((4, 4)))[0]
    y = [0, 1, 0, 1]
    with pytest.warns(LinAlgWarning, match="not positive semi-definite.*1 of 4 were left out"):
        found = log_machine("precomputed").fit((vectors * values) @ vectors.T, y)
    positive = log_machine("precomputed").fit((vectors * np.maximum(values, 0)) @ vectors.T, y)
    K = (vectors * np.maximum(values, 0)) @ vectors.T
    np.testing.assert_allclose(found.decision_function(K), positive.decision_function(K), rtol=1e-9)
    np.testing.assert_allclose(expit(found.decision_function(K)), found.predict_proba(K)[:, 1])


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"alpha": 0}, "no minimiser. Raise alpha, or give a train_time"),
        ({"solver": "pcg"}, "solver='pcg' solves least squares"),
        ({"solver": "cholesky", "train_time": 1.0}, "solver='cholesky' solves least squares"),
        ({"loss": "hinge"}, "loss"),
        ({"train_time": -1.0}, "train_time"),
        ({"train_time": 1.0, "loss": "squared", "solver": "cholesky"}, "no training times"),
    ],
)
def test_refusals(data, parameters, message):
    X, y, _ = data
    model = log_machine(RBF(), **parameters)
    with pytest.raises(ValueError, match=message):
        model.fit(X, y)
    assert not hasattr(model, "dual_coef_")


def test_too_few_steps_are_said(data):
    X, y, _ = data
    with pytest.warns(ConvergenceWarning, match="max_iter=2"):
        log_machine(RBF(), max_iter=2).fit(X, y)
