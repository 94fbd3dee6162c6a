"""Kernels averaged over flips: against the average by hand, and what users of images do with them."""

import numpy as np
import pytest
from sklearn.gaussian_process.kernels import RBF
from sklearn.model_selection import KFold
from sklearn.svm import SVC

from ntkkit import (
    NNGP,
    NTK,
    Augmented,
    Cache,
    Constant,
    Convolutional,
    Engine,
    FullyConnected,
    KernelSearchCV,
    NeuralKernelClassifier,
    NeuralKernelRegressor,
    Normalized,
)
from ntkkit.engine.fingerprint import describe, differences

SHAPE = (3, 4, 2)
CONVOLUTIONAL = NTK(Convolutional(depth=1, input_shape=SHAPE))
DENSE = NTK(FullyConnected(depth=1, input_shape=SHAPE))
KERNELS = [
    DENSE,
    CONVOLUTIONAL,
    NNGP(Convolutional(depth=1, filter_shape=(2,), pooling="flatten", padding="VALID", input_shape=(6, 2))),
    Normalized(DENSE),
]
every_kernel = pytest.mark.parametrize("kernel", KERNELS, ids=repr)


def flip(images):
    return images[:, :, ::-1] if images.ndim == 4 else images[:, ::-1]


def images_of(kernel, n, rng):
    """Images of which the first is its own mirror image, the second the third's, and the fourth black."""
    found = rng.standard_normal((n, *kernel.input_shape))
    found[:1] += flip(found[:1])
    found[2:3] = flip(found[1:2])
    found[3] = 0
    return found


@every_kernel
def test_the_average_over_all_pairs_of_flips(kernel, rng):
    X, Y = images_of(kernel, 9, rng), rng.standard_normal((9, *kernel.input_shape))
    augmented = Augmented(kernel, "flip")
    K, K_XY = augmented(X), augmented(X, Y)
    for found, Z, tolerance in ((K, X.copy(), 1e-7), (K_XY, Y, 1e-12)):  # equal images are exact on the triangle only
        expected = np.mean([kernel(A, B) for A in (X, flip(X)) for B in (Z, flip(Z))], axis=0)
        np.testing.assert_allclose(found, expected, rtol=0, atol=tolerance * K.max())
    np.testing.assert_array_equal(K, K.T)
    assert np.linalg.eigvalsh(K).min() > -1e-7 * K.max()
    np.testing.assert_allclose(augmented.diag(X), K.diagonal(), rtol=1e-7)
    np.testing.assert_allclose(augmented(flip(X), Y), K_XY, rtol=0, atol=1e-12 * K.max())
    np.testing.assert_allclose(K[1], K[2], rtol=0, atol=1e-7 * K.max())
    np.testing.assert_array_equal(augmented(X.reshape(9, -1)), K)
    assert np.abs(K - kernel(X)).max() > 0.01 * K.max()


def test_images_that_are_symmetric_keep_a_kernel_that_flips_with_them(rng):
    half = rng.standard_normal((6, 3, 2, 2))
    X = np.concatenate([half, half[:, :, ::-1]], axis=2)
    for kernel in (DENSE, CONVOLUTIONAL):
        np.testing.assert_allclose(Augmented(kernel)(X), kernel(X), rtol=1e-7)


def test_float32(rng):
    X = images_of(DENSE, 9, rng)
    K = Augmented(DENSE)(X.astype(np.float32))
    assert K.dtype == np.float32
    np.testing.assert_allclose(K, Augmented(DENSE)(X), rtol=0, atol=3e-6 * K.max())


def test_the_machine_is_the_one_of_augmented_data(rng):
    X, y, new = rng.standard_normal((9, *SHAPE)), rng.standard_normal(9), rng.standard_normal((9, *SHAPE))
    augmented = NeuralKernelRegressor(Augmented(CONVOLUTIONAL), alpha=0.1).fit(X, y)
    both = NeuralKernelRegressor(CONVOLUTIONAL, alpha=0.2).fit(np.concatenate([X, flip(X)]), np.tile(y, 2))
    np.testing.assert_allclose(augmented.predict(new), both.predict(new), rtol=1e-8)
    np.testing.assert_allclose(augmented.predict(flip(X)), augmented.predict(X), rtol=1e-8)


def test_parameters_are_reached_by_path_and_bounded():
    kernel = Augmented(NTK(FullyConnected(input_shape=SHAPE), bounds={"network__bias_var": "fixed"}))
    assert kernel.get_params()["kernel__network__depth"] == 3
    assert [h.name for h in kernel.hyperparameters if not h.fixed] == ["kernel__network__weight_var"]
    other = kernel.replace(kernel__network__depth=1)
    assert (other.kernel.network.depth, kernel.kernel.network.depth) == (1, 3)
    assert other != kernel
    assert kernel.set_params(kernel__network__depth=1) is kernel
    assert other == kernel
    with pytest.raises(ValueError, match="has the input_shape None"):
        kernel.set_params(kernel__network__input_shape=None)
    assert kernel == other


def test_descriptions_for_stores_and_caches(rng):
    kernel = Augmented(DENSE)
    assert differences(describe(kernel), describe(Augmented(kernel.kernel))) == []
    assert differences(describe(kernel), describe(DENSE))
    X, engine = rng.standard_normal((9, *SHAPE)), Engine(cache=Cache("1MB"))
    np.testing.assert_array_equal(engine.gram(kernel, X), engine.gram(kernel, X))
    assert np.abs(engine.gram(kernel, X) - engine.gram(DENSE, X)).max() > 0.01


def test_search_and_support_vectors(rng):
    X = rng.standard_normal((30, *SHAPE))
    X[::2, :, 0] += 1.5  # a bright edge, on the left or on the right
    y = np.arange(30) % 2
    X[::4] = flip(X[::4])
    grid = {"kernel__kernel__network__depth": [0, 1], "alpha": [1e-2, 1.0]}
    search = KernelSearchCV(NeuralKernelClassifier(Augmented(DENSE)), grid, cv=KFold(3)).fit(X, y)
    assert search.best_estimator_.kernel_.kernel.network.depth == search.best_params_["kernel__kernel__network__depth"]
    by_hand = NeuralKernelClassifier(**search.best_estimator_.get_params(deep=False)).fit(X, y)
    np.testing.assert_allclose(by_hand.decision_function(X), search.decision_function(X), rtol=1e-6)
    rows = X.reshape(30, -1)
    machine = SVC(kernel=Augmented(DENSE)).fit(rows, y)
    np.testing.assert_array_equal(machine.predict(flip(X).reshape(30, -1)), machine.predict(rows))


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: Augmented(NTK(FullyConnected())), ValueError, r"kernel=NTK.* has the input_shape None: give"),
        (lambda: Augmented(NTK(FullyConnected(input_shape=(5,)))), ValueError, r"input_shape \(5,\): give its network"),
        (lambda: Augmented(Constant()), ValueError, "has the input_shape None"),
        (lambda: Augmented(DENSE, "rotate"), ValueError, r"group must be one of \['flip'\], found 'rotate'"),
        (lambda: Augmented(DENSE, ["flip"]), ValueError, r"group must be one of \['flip'\], found \['flip'\]"),
        (lambda: Augmented(RBF()), TypeError, "kernel must be a kernel of ntkkit"),
        (lambda: Augmented(DENSE)(np.ones((2, 4, 3, 2))), ValueError, r"input_shape is \(3, 4, 2\)"),
        (lambda: Augmented(DENSE)(np.full((2, *SHAPE), np.nan)), ValueError, "Input X contains NaN"),
    ],
)
def test_what_cannot_be_averaged(make, error, message):
    with pytest.raises(error, match=message):
        make()
