"""Empirical kernels against neural-tangents, finite differences of their definition, and the analytic limits."""

import pickle
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from references.finite import normal_params
from sklearn.base import clone
from sklearn.svm import SVC

from ntkkit import NNGP, NTK, Engine, FullyConnected, KernelSearchCV, NeuralKernelRegressor, Recurrent
from ntkkit.finite import (
    EmpiricalNTK,
    empirical_nngp,
    empirical_ntk,
    empirical_ntk_by_layer,
    empirical_ntk_matvec,
    linearize,
    taylor,
    top_eigenpairs,
)
from ntkkit.finite._taps import Equations
from ntkkit.interop.neural_tangents import import_neural_tangents
from ntkkit.networks import Conv, Dense, Erf, Flatten, GlobalAvgPool, Relu, Residual, Serial

K = 2  # outputs
NETWORKS = {
    "fully connected": (FullyConnected(depth=2, activation="erf"), (4,)),
    "frozen": (FullyConnected(depth=2, n_frozen_layers=1), (4,)),
    "branches": (Serial([Dense(), Residual(Serial([Erf(), Dense()])), Relu(), Dense()]), (4,)),
    "convolutional": (
        Serial([Conv((3, 2)), Relu(), Conv((2, 2), strides=(2, 2)), Relu(), Flatten(), Dense()], input_shape=(4, 4, 2)),
        (4, 4, 2),
    ),
    "pooled": (Serial([Conv((3,), padding="CIRCULAR"), Erf(), GlobalAvgPool(), Dense()], input_shape=(6, 2)), (6, 2)),
    "recurrent": (Recurrent(activation="erf"), (5, 3)),
}
IMPLEMENTATIONS = ["structured", "jacobian_contraction", "ntk_vector_products"]


def drawn(name):
    """A network of width 6 with its parameters in float64, and some inputs."""
    network, shape = NETWORKS[name]
    X = np.random.default_rng(1).standard_normal((5, *shape))
    return network, normal_params(network, shape, width=6, n_outputs=K), X if name == "recurrent" else X.reshape(5, -1)


def plain(a, params):
    """Our networks, the readout's factor and all, as somebody would write one in jax."""
    h = jnp.tanh(a @ params["first"]["kernel"].T + params["first"]["bias"])
    return jnp.exp(params["scale"]) * jax.jit(jnp.matmul)(h, params["last"])


# ---- against neural-tangents


@pytest.mark.filterwarnings("ignore:size requires ndarray:DeprecationWarning")
@pytest.mark.parametrize("name", ["fully connected", "convolutional", "recurrent"])
def test_as_neural_tangents_has_it(name):
    nt = import_neural_tangents()
    network, params, X = drawn(name)
    with jax.enable_x64(True):
        functions = [nt.empirical_ntk_fn(network.apply, trace_axes=(), implementation=i) for i in (1, 2)]
        pairs, again = (np.asarray(jax.jit(function)(X, X[:3], params)) for function in functions)
    largest = np.abs(pairs).max()
    np.testing.assert_allclose(again, pairs, atol=1e-12 * largest)
    for implementation in IMPLEMENTATIONS:
        settings = {"batch_size": 2, "implementation": implementation}
        found = empirical_ntk(network, params, X, X[:3], trace_outputs=False, **settings)
        assert found.dtype == np.float64
        np.testing.assert_allclose(found, pairs, atol=1e-12 * largest)
        mean = empirical_ntk(network, params, X, X[:3], **settings)
        np.testing.assert_allclose(mean, np.einsum("ijaa->ij", pairs) / K, atol=1e-12 * largest)


@pytest.mark.parametrize("name", ["frozen", "branches", "pooled"])
def test_factors_are_jacobians(name):
    network, params, X = drawn(name)
    expected = empirical_ntk(network, params, X, batch_size=2, implementation="jacobian_contraction")
    found = empirical_ntk(network, params, X, batch_size=2, implementation="structured")
    np.testing.assert_allclose(found, expected, rtol=1e-11)


@pytest.mark.filterwarnings("ignore:size requires ndarray:DeprecationWarning")
def test_the_mean_over_outputs_is_neural_tangents_default():
    network, params, X = drawn("fully connected")
    with jax.enable_x64(True):
        expected = jax.jit(import_neural_tangents().empirical_ntk_fn(network.apply))(X, X[:3], params)
    np.testing.assert_allclose(empirical_ntk(network, params, X, X[:3], batch_size=2), expected, rtol=1e-10)


def test_nngp_as_neural_tangents_has_it():
    nt = import_neural_tangents()
    network, params, X = drawn("fully connected")
    for trace_outputs, axes in ((True, (-1,)), (False, ())):
        with jax.enable_x64(True):
            expected = nt.empirical_nngp_fn(network.apply, trace_axes=axes)(X, X[:3], params)
        np.testing.assert_allclose(
            empirical_nngp(network, params, X, X[:3], trace_outputs=trace_outputs), expected, rtol=1e-12
        )
        np.testing.assert_allclose(
            empirical_nngp(network, params, X, trace_outputs=trace_outputs)[:, :3], expected, rtol=1e-12
        )


# ---- symmetric matrices, blocks, precision


@pytest.mark.parametrize("name", ["convolutional", "recurrent"])
@pytest.mark.parametrize("trace_outputs", [True, False], ids=["mean", "pairs"])
def test_one_triangle_is_enough(name, trace_outputs):
    network, params, X = drawn(name)
    settings = {"trace_outputs": trace_outputs, "batch_size": 2}
    found, whole = (
        empirical_ntk(network, params, X, **settings),
        empirical_ntk(network, params, X, X.copy(), **settings),
    )
    np.testing.assert_allclose(found, whole, rtol=1e-12, atol=1e-13)
    flat = found if trace_outputs else np.moveaxis(found, 2, 1).reshape(5 * K, 5 * K)
    np.testing.assert_array_equal(flat, flat.T)
    assert np.linalg.eigvalsh(flat).min() > -1e-12 * flat.max()


def test_jacobians_that_do_not_fit_are_made_again(monkeypatch):
    network, params, X = drawn("convolutional")
    expected = empirical_ntk(network, params, X, batch_size=2)
    monkeypatch.setattr("ntkkit.finite._blocks.MOST_BYTES", 2 * 5 * 3000.0)
    np.testing.assert_allclose(empirical_ntk(network, params, X, batch_size=2), expected, rtol=1e-13)
    monkeypatch.setattr("ntkkit.finite._blocks.MOST_BYTES", 2.0)
    np.testing.assert_allclose(empirical_ntk(network, params, X, batch_size=2), expected, rtol=1e-12)  # by products
    with pytest.raises(MemoryError, match="use implementation='ntk_vector_products'"):
        empirical_ntk(network, params, X, implementation="structured")


def test_precision_is_that_of_the_inputs():
    network, params, X = drawn("fully connected")
    single = empirical_ntk(network, params, X.astype(np.float32))
    assert single.dtype == np.float32
    np.testing.assert_allclose(single, empirical_ntk(network, params, X), rtol=2e-5, atol=1e-5)
    assert empirical_ntk(network, params, (3 * X).astype(int)).dtype == np.float64
    single[0, 0] = 0  # is one's own


def test_layers_add_up():
    network, params, X = drawn("branches")
    parts = empirical_ntk_by_layer(network, params, X, batch_size=2)
    assert list(parts) == ["0", "1/1/1", "3"]
    np.testing.assert_allclose(sum(parts.values()), empirical_ntk(network, params, X, batch_size=2), rtol=1e-12)
    frozen, params, X = drawn("frozen")
    assert not empirical_ntk_by_layer(frozen, params, X)["0"].any()


# ---- where weights meet inputs


def test_functions_of_jax():
    rng = np.random.default_rng(0)
    params = {"first": {"kernel": rng.normal(size=(7, 3)), "bias": rng.normal(size=7)}, "last": rng.normal(size=(7, K))}
    params["scale"] = np.array(0.3)

    def apply(params, X):
        return plain(X, params)

    X = rng.normal(size=(5, 3))
    with jax.enable_x64(True):
        jacobian = jax.jacrev(apply)(params, X)
    rows = np.concatenate([np.reshape(leaf, (5, K, -1)) for leaf in jax.tree.leaves(jacobian)], axis=-1)
    pairs = np.einsum("iap,jbp->ijab", rows, rows)
    for implementation in IMPLEMENTATIONS:
        settings = {"batch_size": 2, "implementation": implementation}
        np.testing.assert_allclose(empirical_ntk(apply, params, X, trace_outputs=False, **settings), pairs, rtol=1e-10)
        mean = empirical_ntk(apply, params, X, **settings)
        np.testing.assert_allclose(mean, np.einsum("ijaa->ij", pairs) / K, rtol=1e-10)


@pytest.mark.parametrize(
    ("apply", "tapped"),
    [
        (lambda p, x: p["w"] @ x, {"w"}),
        (lambda p, x: jax.jit(jnp.matmul)(x, p["w"].T), {"w"}),
        (lambda p, x: p["w"] @ p["w"] @ x, set()),  # read twice
        (lambda p, x: jax.lax.scan(lambda h, _: (p["w"] @ h, None), x, length=2)[0], set()),
        (lambda p, x: (p["w"] * 2) @ x, set()),
    ],
    ids=["product", "transposed and jitted", "shared", "in a loop", "scaled before"],
)
def test_taps_are_weights_read_once(apply, tapped):
    w, x = jnp.ones((3, 3)), jnp.ones(3)
    equations = Equations(lambda leaves, x: apply({"w": leaves[0]}, x), [w], x)
    assert ({"w"} if equations.taps else set()) == tapped
    changes = equations.changes()
    output, inputs = equations([w], x, changes)
    np.testing.assert_allclose(output, apply({"w": w}, x))
    assert len(inputs) == len(changes) == len(tapped)


@pytest.mark.parametrize(
    "settings",
    [
        {"window_strides": (2, 1), "padding": ((1, 0), (0, 2))},
        {"window_strides": (1, 1), "padding": ((0, 0), (1, 0)), "lhs_dilation": (2, 1), "rhs_dilation": (1, 2)},
    ],
    ids=["strides", "dilations"],
)
@pytest.mark.parametrize("layout", [("NHWC", "HWIO", "NHWC"), ("NCHW", "OIHW", "NCHW")], ids=lambda x: x[0])
def test_any_convolution(settings, layout):
    rng = np.random.default_rng(0)
    W, X = rng.normal(size=(2, 2, 3, 2)), rng.normal(size=(4, 4, 3, 3))
    if layout[0] == "NCHW":
        W, X = np.moveaxis(W, (3, 2), (0, 1)), np.moveaxis(X, 3, 1)

    def apply(W, X):
        outputs = jax.lax.conv_general_dilated(X, W, dimension_numbers=layout, **settings)
        return jnp.tanh(outputs).sum(axis=(2, 3) if layout[0] == "NCHW" else (1, 2))

    found = empirical_ntk(apply, W, X)
    np.testing.assert_allclose(found, empirical_ntk(apply, W, X, implementation="jacobian_contraction"), rtol=1e-11)


# ---- against the limits


def test_distance_to_the_limits_falls_with_the_root_of_the_width():
    network, X = FullyConnected(depth=1), np.random.default_rng(0).standard_normal((6, 5))
    widths, n_seeds, limit = (16, 64, 256), 16, NTK(network)(X)
    errors = []
    for width in widths:
        networks = [normal_params(network, (5,), width=width, n_outputs=4, seed=seed) for seed in range(n_seeds)]
        kernels = np.stack([empirical_ntk(network, params, X) for params in networks])
        errors.append(np.sqrt(np.mean((kernels - limit) ** 2)))
    assert -0.65 < np.polyfit(np.log(widths), np.log(errors), 1)[0] < -0.35
    products = np.mean([empirical_nngp(network, params, X) for params in networks], axis=0)  # of 64 outputs
    limit = NNGP(network)(X)
    assert np.abs(products - limit).max() < 5 / np.sqrt(64) * limit.diagonal().max()


# ---- without the matrix


@pytest.mark.parametrize("trace_outputs", [True, False], ids=["mean", "pairs"])
def test_products_and_eigenpairs(trace_outputs):
    network, params, X = drawn("fully connected")
    K_XY = empirical_ntk(network, params, X, X[:3], trace_outputs=trace_outputs)
    v = np.random.default_rng(0).standard_normal((3, 2) if trace_outputs else (3, K, 2))
    expected = np.einsum("ij,jr->ir" if trace_outputs else "ijab,jbr->iar", K_XY, v)
    product = empirical_ntk_matvec(network, params, X, v, X[:3], trace_outputs=trace_outputs, batch_size=2)
    np.testing.assert_allclose(product, expected, rtol=1e-11)
    one = empirical_ntk_matvec(network, params, X, v[..., 0], X[:3], trace_outputs=trace_outputs, batch_size=2)
    np.testing.assert_allclose(one, expected[..., 0], rtol=1e-11)

    whole = empirical_ntk(network, params, X, trace_outputs=trace_outputs)
    flat = whole if trace_outputs else np.moveaxis(whole, 2, 1).reshape(5 * K, 5 * K)
    values, vectors = top_eigenpairs(network, params, X, 2, trace_outputs=trace_outputs, batch_size=2, random_state=0)
    np.testing.assert_allclose(values, np.linalg.eigvalsh(flat)[:-3:-1], rtol=1e-10)
    assert vectors.shape == (5, 2) if trace_outputs else (5, K, 2)
    rows = vectors.reshape(-1, 2)
    np.testing.assert_allclose(flat @ rows, rows * values, atol=1e-9 * values[0])


def test_bad_vectors():
    network, params, X = drawn("fully connected")
    with pytest.raises(ValueError, match=r"v must be finite and of shape \(5,\)"):
        empirical_ntk_matvec(network, params, X, np.ones(4))
    with pytest.raises(ValueError, match="n_eigenpairs must be less than the 5 rows"):
        top_eigenpairs(network, params, X, 5)


# ---- the tangent


def test_linearize_and_taylor():
    network, params, X = drawn("fully connected")
    with jax.enable_x64(True):
        direction = jax.tree.map(lambda a: np.random.default_rng(2).standard_normal(a.shape), params)
        residuals = {}
        for order, polynomial in ((1, linearize(network, params)), (3, taylor(network.apply, params, 3))):
            np.testing.assert_allclose(polynomial(params, X), network.apply(params, X), rtol=1e-12)
            for step in (0.02, 0.01):
                near = jax.tree.map(lambda a, d: a + step * d, params, direction)  # noqa: B023
                residuals[order, step] = np.linalg.norm(polynomial(near, X) - network.apply(near, X))
        for order in (1, 3):
            rate = np.log2(residuals[order, 0.02] / residuals[order, 0.01])
            assert order + 0.7 < rate < order + 1.3
        near = jax.tree.map(lambda a, d: a + d, params, direction)
        along = empirical_ntk(linearize(network, params), near, X)  # the tangent's kernel is the same everywhere
    np.testing.assert_allclose(along, empirical_ntk(network, params, X), rtol=1e-10)


# ---- the kernel


def test_kernel_is_empirical_ntk_for_the_engine_and_scikit_learn():
    network, params, X = drawn("convolutional")
    kernel, y = EmpiricalNTK(network.apply, params), np.array([0, 1, 0, 1, 1])
    expected = empirical_ntk(network, params, X)
    images = X.reshape(5, 4, 4, 2)
    np.testing.assert_allclose(Engine(memory="100MB").gram(kernel, images), expected, rtol=1e-11)
    np.testing.assert_allclose(kernel.diag(X), expected.diagonal(), rtol=1e-11)
    assert repr(kernel).endswith("params=<278 numbers in 6 arrays>)")
    assert kernel == EmpiricalNTK(network, params) != EmpiricalNTK(network, jax.tree.map(lambda a: a + 1e-9, params))
    again = pickle.loads(pickle.dumps(kernel))
    assert again == kernel
    assert hash(again) == hash(kernel)
    assert clone(kernel).params[0]["weight"] is kernel.params[0]["weight"]
    assert len((kernel + 1.0).theta) == 1
    SVC(kernel=kernel).fit(X, y).predict(X)
    model = NeuralKernelRegressor(kernel, alpha=0.1).fit(X, y)
    weights = np.linalg.solve(expected + 0.1 * np.eye(5), y)
    np.testing.assert_allclose(model.predict(X), expected @ weights, atol=1e-8)
    search = KernelSearchCV(NeuralKernelRegressor(kernel), {"alpha": [0.1, 1.0]}, cv=2).fit(X, y)
    assert search.best_estimator_.kernel_ == kernel


def of_images(params, X):
    return X.reshape(len(X), -1) @ params


def test_kernel_of_a_function_of_images(tmp_path):
    X = np.random.default_rng(0).standard_normal((4, 2, 3))
    params = np.ones(6)
    kernel = EmpiricalNTK(of_images, params, input_shape=(2, 3))
    params[0] = np.nan  # the kernel has its own
    expected = X.reshape(4, 6) @ X.reshape(4, 6).T
    np.testing.assert_allclose(kernel(X), expected)
    np.testing.assert_allclose(Engine(store=tmp_path / "store").gram(kernel, X)[:], expected)
    other = EmpiricalNTK(of_images, np.zeros(6), input_shape=(2, 3))
    with pytest.raises(ValueError, match=r"kernel\.params"):
        Engine(store=tmp_path / "store").gram(other, X)
    with pytest.raises(ValueError, match="no other process could recognise"):
        Engine(store=tmp_path / "another").gram(EmpiricalNTK(lambda p, x: x @ p, np.ones(6)), X.reshape(4, 6))


# ---- errors


class Unhashable:
    __hash__ = None

    def __call__(self, params, X):
        return X


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda f, p, X: empirical_ntk("relu", p, X), TypeError, "apply must be a function of"),
        (lambda f, p, X: empirical_ntk(Unhashable(), p, X), TypeError, "apply must have a hash"),
        (lambda f, p, X: empirical_ntk(f, [], X), ValueError, "params must hold at least one array"),
        (
            lambda f, p, X: empirical_ntk(f, np.ones(2, int), X),
            TypeError,
            "floating-point numbers, found dtype int",
        ),
        (lambda f, p, X: empirical_ntk(f, np.array([np.nan]), X), ValueError, "has training diverged"),
        (lambda f, p, X: empirical_ntk(lambda p, X: p, p, X), ValueError, "must return one row of outputs"),
        (lambda f, p, X: empirical_ntk(f, p, X * np.inf), ValueError, "X contains"),
        (lambda f, p, X: empirical_ntk(f, p, X, X * np.nan), ValueError, "Y contains"),
        (lambda f, p, X: empirical_ntk(f, p, X, implementation="fast"), ValueError, "implementation must be one of"),
        (lambda f, p, X: empirical_ntk(f, p, X, batch_size=0), ValueError, "batch_size must be >= 1"),
        (lambda f, p, X: taylor(f, p, -1), ValueError, "order must be >= 0"),
        (
            lambda f, p, X: EmpiricalNTK(FullyConnected(), p, input_shape=(2,)),
            ValueError,
            "input_shape is for functions",
        ),
    ],
)
def test_bad_arguments(call, error, message):
    with pytest.raises(error, match=message):
        call(lambda p, X: X @ p, np.ones(2), np.ones((3, 2)))


# ---- memory

TEN_MILLION = """
import resource, numpy as np, jax
from ntkkit import FullyConnected
from ntkkit.finite import empirical_ntk

net = FullyConnected(depth=3)
params = net.init(0, 100, width=2200)
assert sum(leaf.size for leaf in jax.tree.leaves(params)) > 9.8e6
X = np.random.default_rng(0).standard_normal((500, 100)).astype(np.float32)
K = empirical_ntk(net, params, X)
few = empirical_ntk(net, params, X[:4], implementation="jacobian_contraction", batch_size=2)
np.testing.assert_allclose(K[:4, :4], few, rtol=2e-4)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6)
"""


@pytest.mark.slow
def test_ten_million_parameters_and_500_rows_take_less_than_3_gb():
    done = subprocess.run([sys.executable, "-c", TEN_MILLION], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert float(done.stdout) < 3
