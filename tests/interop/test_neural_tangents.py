"""neural-tangents on current jax, and its kernels as ours."""

import functools
import importlib
import pickle
import subprocess
import sys
from importlib import metadata

import jax
import numpy as np
import pytest
from sklearn.base import clone
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.kernel_ridge import KernelRidge
from sklearn.svm import SVC

from ntkkit import NTK, Engine, FullyConnected
from ntkkit.estimators import NeuralKernelClassifier
from ntkkit.interop.neural_tangents import SUPPORTED_VERSION, from_stax, import_neural_tangents
from ntkkit.kernels import Normalized

IMAGE = (4, 3, 2)


def run(code, *arguments):
    """Run code in a fresh interpreter that turns warnings of deprecation into errors."""
    command = [sys.executable, "-W", "error::DeprecationWarning", "-c", code, *arguments]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


# ---- the import


FRESH = """
import importlib, sys
from concurrent.futures import ThreadPoolExecutor

import jax, jax.core, jax.interpreters.ad

import ntkkit.interop.neural_tangents as interop

assert "neural_tangents" not in sys.modules
if sys.argv[1] == "after a plain try":
    try:
        import neural_tangents
    except ImportError:
        pass
watched = lambda: [dict(names) for names in (vars(jax.core), vars(jax.interpreters.ad), jax.config.values)]
before = watched()

with ThreadPoolExecutor(4) as pool:
    first, *others = pool.map(lambda _: interop.import_neural_tangents(), range(4))

assert watched() == before
assert "jax.util" not in sys.modules or hasattr(jax, "util")
assert not {"tensorflow", "neural_tangents.experimental"} & set(sys.modules)
assert not hasattr(first, "experimental")

import neural_tangents

assert all(module is neural_tangents for module in (first, *others))
"""


@pytest.mark.parametrize("when", ["at first", "after a plain try"])
def test_import_leaves_no_trace_in_jax(when):
    run(FRESH, when)


def test_import_again_is_the_same():
    package = import_neural_tangents()
    assert package.__version__ == SUPPORTED_VERSION == "0.6.5"
    assert import_neural_tangents.__wrapped__() is package


def test_not_installed(monkeypatch):
    def missing(name):
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "version", missing)
    with pytest.raises(ImportError, match=r"not installed: pip install --no-deps neural-tangents==0\.6\.5 frozendict"):
        import_neural_tangents.__wrapped__()


def test_another_version(monkeypatch):
    monkeypatch.setattr(metadata, "version", lambda name: "0.7.0")
    with pytest.raises(ImportError, match=r"0\.7\.0 is installed, ntkkit supports 0\.6\.5 only: pip install --no-deps"):
        import_neural_tangents.__wrapped__()


def test_a_requirement_is_missing(monkeypatch):
    for name in [name for name in sys.modules if name.partition(".")[0] in ("neural_tangents", "frozendict")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "frozendict", None)
    with pytest.raises(ImportError, match=r"does not import with jax .*frozendict.*pip install --no-deps"):
        import_neural_tangents.__wrapped__()
    assert not [name for name in sys.modules if name.startswith("neural_tangents")]


# ---- what it offers runs


@pytest.fixture(scope="module")
def stax():
    return import_neural_tangents().stax


@pytest.fixture(scope="module")
def linear_model(stax):
    """A readout alone: its NTK at any width is x.y w / d + b, with w = 1.5 and b = 0.2."""
    return stax.serial(stax.Dense(1, W_std=np.sqrt(1.5), b_std=np.sqrt(0.2)))


@pytest.fixture
def rows():
    return np.random.default_rng(0).normal(size=(12, np.prod(IMAGE)))


def test_batch_empirical_and_monte_carlo(linear_model, rows):
    package = import_neural_tangents()
    init_fn, apply_fn, kernel_fn = linear_model
    exact = 1.5 * rows @ rows.T / rows.shape[1] + 0.2
    with jax.enable_x64(True):
        key = jax.random.key(0)
        _, params = init_fn(key, rows.shape)
        kernels = [
            package.batch(kernel_fn, batch_size=4)(rows, None, "ntk"),
            package.empirical_ntk_fn(apply_fn)(rows, None, params),
            package.monte_carlo_kernel_fn(init_fn, apply_fn, key, n_samples=2)(rows, None, "ntk"),
        ]
        for kernel in kernels:
            np.testing.assert_allclose(kernel, exact, rtol=1e-12, atol=1e-12)


def test_predict_is_our_kernel_ridge(networks, rows):
    package = import_neural_tangents()
    kernel_fn, _ = networks["dense"]
    y = np.sin(rows[:, :1])
    with jax.enable_x64(True):
        predict = package.predict.gradient_descent_mse_ensemble(kernel_fn, rows[:8], y[:8], diag_reg=1e-3)
        theirs = np.array(predict(x_test=rows[8:], get="ntk", t=None))
    kernel = from_stax(kernel_fn)
    alpha = 1e-3 * kernel.diag(rows[:8]).mean()  # their ridge is relative to the mean of the diagonal
    ours = KernelRidge(kernel=kernel, alpha=alpha).fit(rows[:8], y[:8]).predict(rows[8:])
    np.testing.assert_allclose(ours, theirs, rtol=1e-6)


# ---- kernels


@pytest.fixture(scope="module")
def networks(stax):
    """kernel_fn and input_shape of a network of rows, one of images and one of sequences."""
    dense = stax.serial(stax.Dense(1, W_std=1.4, b_std=0.3), stax.Relu(), stax.Dense(1))
    convolutional = stax.serial(
        stax.Conv(1, (3, 3), padding="SAME", W_std=1.4, b_std=0.3),
        stax.Relu(),
        stax.GlobalAvgPool(),
        stax.Dense(1),
    )
    temporal = stax.serial(stax.Conv(1, (3,), padding="SAME"), stax.Relu(), stax.Flatten(), stax.Dense(1))
    return {"dense": (dense[2], None), "images": (convolutional[2], IMAGE), "sequences": (temporal[2], (8, 3))}


@pytest.mark.parametrize(
    ("name", "get"), [("dense", "ntk"), ("dense", "nngp"), ("images", "ntk"), ("sequences", "ntk")]
)
def test_kernel_is_kernel_fn(networks, rows, name, get):
    kernel_fn, input_shape = networks[name]
    kernel = from_stax(kernel_fn, get, input_shape=input_shape)
    shape = (-1, *(input_shape or rows.shape[1:]))
    X, Y = rows.reshape(shape), 1.5 * rows[:5].reshape(shape) + 1
    with jax.enable_x64(True):
        cross = np.array(jax.jit(lambda X, Y: kernel_fn(X, Y, get))(X, Y))
        gram = np.array(jax.jit(lambda X: kernel_fn(X, None, get))(X))
    assert cross.dtype == np.float64
    np.testing.assert_allclose(kernel(X, Y), cross, rtol=1e-12)
    np.testing.assert_array_equal(kernel(rows, Y.reshape(5, -1)), kernel(X, Y))
    np.testing.assert_array_equal(kernel(X), kernel(X).T)
    # on the diagonal theirs takes an arccos of a rounded 1
    np.testing.assert_allclose(kernel(X), gram, rtol=1e-7)
    np.testing.assert_allclose(kernel.diag(X), np.diag(gram), rtol=1e-7)


def test_float32_inputs(networks, rows):
    kernel = from_stax(networks["dense"][0])
    single = kernel(rows.astype(np.float32), rows[:5].astype(np.float32) + 1)
    assert single.dtype == kernel.diag(rows.astype(np.float32)).dtype == np.float32
    np.testing.assert_allclose(single, kernel(rows, rows[:5] + 1), atol=1e-6)


def test_many_tiles(networks):
    kernel = from_stax(networks["dense"][0])
    X = np.random.default_rng(1).normal(size=(70, 3))
    small = Engine(memory="100kB")
    assert small.plan(kernel, X).tile[0] < len(X)
    np.testing.assert_allclose(small.gram(kernel, X), Engine().gram(kernel, X), rtol=1e-7)
    np.testing.assert_allclose(small.gram(kernel, X, X[:40] + 1), Engine().gram(kernel, X, X[:40] + 1), rtol=1e-12)
    np.testing.assert_allclose(kernel.diag(X), np.diag(kernel(X)), rtol=1e-7)


def test_it_agrees_with_our_network(networks, rows):
    ours = NTK(
        FullyConnected(depth=1, weight_var=1.4**2, bias_var=0.3**2, readout_weight_var=1.0, readout_bias_var=0.0)
    )
    np.testing.assert_allclose(from_stax(networks["dense"][0])(rows, rows + 1), ours(rows, rows + 1), rtol=1e-12)


def test_in_scikit_learn(networks, rows):
    kernel_fn, input_shape = networks["images"]
    kernel = from_stax(kernel_fn, input_shape=input_shape)
    images, labels = rows.reshape(-1, *IMAGE), np.arange(len(rows)) % 2
    K = kernel(images)
    assert SVC(kernel=kernel, C=1e6).fit(images, labels).score(images, labels) == 1
    np.testing.assert_allclose(
        KernelRidge(kernel=kernel, alpha=0.1).fit(rows, labels).predict(rows),
        K @ np.linalg.solve(K + 0.1 * np.eye(len(K)), labels),
    )
    np.testing.assert_allclose(
        GaussianProcessRegressor(kernel=kernel, alpha=0.1).fit(rows, labels).predict(rows),
        KernelRidge(kernel=kernel, alpha=0.1).fit(rows, labels).predict(rows),
    )


def test_in_our_estimator_and_algebra(networks, rows):
    kernel_fn, input_shape = networks["images"]
    kernel = from_stax(kernel_fn, input_shape=input_shape)
    images, labels = rows.reshape(-1, *IMAGE), np.array(["cat", "dog"])[np.arange(len(rows)) % 2]
    classifier = NeuralKernelClassifier(kernel, alpha=1e-6).fit(images, labels)
    np.testing.assert_array_equal(classifier.predict(images), labels)
    np.testing.assert_allclose(np.diag(Normalized(kernel)(images)), 1)
    np.testing.assert_allclose((2.0 * kernel + 1.0)(images), 2 * kernel(images) + 1)
    together = kernel + NTK(FullyConnected(input_shape=IMAGE))
    np.testing.assert_allclose(together(rows), kernel(rows) + NTK(FullyConnected())(rows))


def test_clone_keeps_the_function(networks):
    kernel_fn, input_shape = networks["images"]
    kernel = from_stax(functools.partial(kernel_fn, diagonal_spatial=False), "nngp", input_shape=list(input_shape))
    copy = clone(kernel)
    assert copy is not kernel
    assert copy == kernel
    assert hash(copy) == hash(kernel)
    assert copy.kernel_fn is kernel.kernel_fn
    assert copy.get_params() == {"kernel_fn": kernel.kernel_fn, "get": "nngp", "input_shape": IMAGE}
    assert kernel != from_stax(kernel.kernel_fn, "ntk", input_shape=input_shape)
    assert kernel.hyperparameters == []


def test_pickle_into_another_process(networks, rows, tmp_path):
    kernels = [from_stax(kernel_fn, input_shape=shape) for kernel_fn, shape in networks.values()]
    (tmp_path / "kernels").write_bytes(pickle.dumps([(kernel, kernel(rows, rows + 1)) for kernel in kernels]))
    np.save(tmp_path / "rows.npy", rows)
    run(
        "import pickle, sys, numpy as np\n"
        "rows = np.load(sys.argv[1] + '/rows.npy')\n"
        "for kernel, K in pickle.load(open(sys.argv[1] + '/kernels', 'rb')):\n"
        "    np.testing.assert_allclose(kernel(rows, rows + 1), K, rtol=1e-14)\n",
        str(tmp_path),
    )


def test_what_cannot_be_pickled(stax):
    attention = stax.GlobalSelfAttention(n_chan_out=1, n_chan_key=1, n_chan_val=1, n_heads=1, linear_scaling=False)
    kernel = from_stax(stax.serial(attention, stax.Flatten())[2], input_shape=(8, 3))
    with pytest.raises(pickle.PicklingError, match="kernel_fn cannot be pickled"):
        pickle.dumps(kernel)


def test_errors(stax, networks, rows):
    layers = stax.serial(stax.Dense(1))
    with pytest.raises(TypeError, match=r"kernel_fn must be .* third of .* found tuple"):
        from_stax(layers)
    with pytest.raises(ValueError, match="get must be 'ntk' or 'nngp', found 'cov1'"):
        from_stax(layers[2], "cov1")
    with pytest.raises(TypeError, match="input_shape must be a tuple"):
        from_stax(layers[2], input_shape=28)
    with pytest.raises(ValueError, match=r"returned an array of shape \(\d+, \d+, 3, 3, 4, 4\) .* stax\.Flatten\(\)"):
        from_stax(stax.Conv(1, (1, 1))[2], input_shape=IMAGE)(rows)
    with pytest.raises(ValueError, match="returned a AnalyticKernel"):
        from_stax(lambda x1, x2, get: layers[2](x1, x2, (get,)))(rows)
    with pytest.raises(ValueError, match=r"input_shape is \(4, 3, 2\)"):
        from_stax(networks["images"][0], input_shape=IMAGE)(rows[:, :-1])
    with pytest.raises(ValueError, match="broadcast") as caught:
        from_stax(networks["images"][0])(rows)
    assert "input_shape=" in "".join(caught.value.__notes__)


# ---- padded convolutions


@pytest.mark.parametrize(("filter_shape", "strides"), [((3, 3), (1, 1)), ((4, 2), (2, 1))])
def test_covariance_of_a_padded_convolution(filter_shape, strides):
    """The mean over filter positions o of K[i + o, j + o], zero outside, against the definition."""
    import_neural_tangents()
    linear = importlib.import_module("neural_tangents._src.stax.linear")
    K = np.random.default_rng(0).normal(size=(2, 3, 6, 6, 5, 5))
    (above, below), (left, right) = jax.lax.padtype_to_pads((6, 5), filter_shape, strides, "SAME")
    padded = np.pad(K, [(0, 0), (0, 0), (above, below), (above, below), (left, right), (left, right)])
    expected = 0
    for a in range(filter_shape[0]):
        for b in range(filter_shape[1]):
            h = slice(a, a + 6, strides[0])
            w = slice(b, b + 5, strides[1])
            expected = expected + padded[:, :, h, h, w, w] / np.prod(filter_shape)
    with jax.enable_x64(True):
        convolve = linear._conv_kernel_full_spatial_shared
        found = np.array(jax.jit(lambda K: convolve(K, filter_shape, strides, linear.Padding.SAME, 2))(K))
    # theirs leaves the two pairs of spatial axes in the other order
    np.testing.assert_allclose(found, expected.transpose(0, 1, 4, 5, 2, 3), rtol=1e-12, atol=1e-14)


def test_padded_convolutions_do_not_crash(stax):
    """XLA's own padding killed the process here, on CPUs with AVX-512."""
    layers = [stax.Conv(1, (3, 3), padding="SAME"), stax.AvgPool((2, 2), (2, 2)), stax.Conv(1, (3, 3))]
    kernel = from_stax(stax.serial(*layers, stax.Flatten())[2], "nngp", input_shape=(8, 8, 2))
    X = np.random.default_rng(0).normal(size=(5, 8, 8, 2))
    for _ in range(5):
        assert np.isfinite(kernel(X)).all()
