"""The contract of every kernel, ours and users': one table of kernels, one list of what each must do."""

import pickle

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from references.finite import normal_params
from sklearn.base import clone
from sklearn.gaussian_process.kernels import RBF, WhiteKernel
from sklearn.gaussian_process.kernels import Kernel as SklearnKernel
from sklearn.gaussian_process.kernels import Product as SklearnProduct
from sklearn.gaussian_process.kernels import Sum as SklearnSum

from ntkkit import (
    NNGP,
    NTK,
    Augmented,
    Constant,
    Engine,
    FullyConnected,
    Kernel,
    Normalized,
    PolynomialNetwork,
    Product,
    Recurrent,
    Scaled,
    Sum,
)
from ntkkit.finite import EmpiricalNTK
from ntkkit.networks import Dense, Erf, Relu, Serial


class Linear(Kernel):
    """What a user would write: x.y + offset."""

    _leaves = ("offset",)

    def __init__(self, offset=1.0):
        self.offset = offset

    def tile(self, X, Y, *, same=False):
        return X @ Y.T + self.offset

    def tile_diag(self, X):
        return jnp.sum(X * X, axis=-1) + self.offset


NTK2 = NTK(FullyConnected(depth=1, weight_var=1.5))
TRAINED = FullyConnected(depth=1, activation="erf")
KERNELS = [
    NTK2,
    NNGP(FullyConnected(depth=1, activation="erf", readout_weight_var=1.5)),
    NTK(FullyConnected(depth=1, bias_var=0.0)),
    NTK(FullyConnected(depth=0)),
    NTK(FullyConnected(depth=2, activation=jax.nn.relu, n_frozen_layers=1)),
    NTK(Serial([Dense(1.0, 0.2), Erf(), Dense(1.5, 0.1, trainable=False), Relu(), Dense()])),
    NTK(FullyConnected(depth=2), bounds={"network__weight_var": (0.1, 10.0), "network__bias_var": "fixed"}),
    Sum(NTK2, Constant(0.5)),
    Product(NTK2, NNGP(FullyConnected(depth=1))),
    Scaled(NTK2, 0.5, bounds={"scale": (0.1, 2.0)}),
    Constant(2.0),
    Normalized(NTK2),
    (NTK2 + 1.0) * Normalized(Linear(0.3) + 2.0),
    Linear(2.0),
    Augmented(NTK(FullyConnected(depth=1, input_shape=(1, 4, 1)))),
    NTK(PolynomialNetwork()),
    NTK(Recurrent(initial_state_var=0.5)),
    EmpiricalNTK(TRAINED, normal_params(TRAINED, (4,), width=20, n_outputs=2)),
]
every_kernel = pytest.mark.parametrize("kernel", KERNELS, ids=repr)


@pytest.fixture(scope="module")
def X():
    return np.random.default_rng(0).standard_normal((70, 4))


@every_kernel
def test_symmetric_positive_semidefinite_with_its_diagonal(kernel, X):
    K = kernel(X)
    assert K.shape == (70, 70)
    np.testing.assert_array_equal(K, K.T)
    assert np.linalg.eigvalsh(K).min() >= -1e-12 * K.diagonal().max()
    np.testing.assert_allclose(kernel.diag(X), K.diagonal(), rtol=1e-13)


@every_kernel
def test_tiles_assemble_to_the_whole(kernel, X):
    with jax.enable_x64(True):
        whole = np.asarray(jax.jit(lambda rows: kernel.tile(rows, rows, same=True))(X))
    np.testing.assert_allclose(kernel(X), whole, rtol=1e-13, atol=1e-14)
    np.testing.assert_allclose(kernel(X, X.copy()), whole, rtol=1e-10, atol=1e-7)
    np.testing.assert_allclose(kernel(X[:3], X[5:]), whole[:3, 5:], rtol=1e-13, atol=1e-14)
    np.testing.assert_allclose(Engine(memory="100KB").gram(kernel, X), whole, rtol=1e-13, atol=1e-14)


@every_kernel
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int8, bool, np.float16])
def test_dtype_and_ownership(kernel, X, dtype):
    K, diag = kernel((3 * X[:5]).astype(dtype)), kernel.diag((3 * X[:5]).astype(dtype))
    expected = np.float32 if dtype == np.float32 else np.float64
    assert K.dtype == diag.dtype == expected
    assert type(K) is type(diag) is np.ndarray
    K[0, 0] = diag[0] = 7.0  # writable: scikit-learn adds to the diagonal in place


def test_joint_dtype_is_numpys(X):
    X32 = X[:3].astype(np.float32)
    assert NTK2(X32, X32.copy()).dtype == np.float32
    assert NTK2(X32, X[:3]).dtype == np.float64
    assert NTK2(X32, np.ones((2, 4), np.int8)).dtype == np.float32


@every_kernel
def test_is_a_pytree_that_jit_vmap_and_grad_take(kernel, X):
    floats = jax.tree.map(lambda leaf: np.float64(leaf) if np.ndim(leaf) else float(leaf), kernel)
    with jax.enable_x64(True):
        A = jnp.asarray(X[:5])
        jitted = jax.jit(lambda k, a: k.tile(a, a))(floats, A)
        np.testing.assert_allclose(jitted, kernel.tile(A, A), rtol=1e-12, atol=1e-12)
        rows = jax.jit(jax.vmap(lambda a: kernel.tile(a[None], A)[0]))(A)
        np.testing.assert_allclose(rows, jitted, rtol=1e-10, atol=1e-7)
        gradients = jax.jit(jax.grad(lambda k: k.tile(A, A, same=True).sum()))(floats)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(gradients))


@every_kernel
def test_clone_pickle_replace_and_hash(kernel, X):
    for copy in (
        clone(kernel),
        pickle.loads(pickle.dumps(kernel)),
        kernel.replace(),
        type(kernel)(**kernel.get_params(deep=False)),
    ):
        assert copy == kernel
        assert hash(copy) == hash(kernel)
        assert repr(copy) == repr(kernel)
        np.testing.assert_array_equal(copy(X[:5]), kernel(X[:5]))
    assert isinstance(kernel, SklearnKernel)


@every_kernel
def test_theta_round_trip(kernel):
    free = [h.name for h in kernel.hyperparameters if not h.fixed]
    assert kernel.n_dims == len(kernel.theta) == len(kernel.bounds) == len(free)
    before, other = repr(kernel), kernel.clone_with_theta(kernel.theta + 0.1)
    np.testing.assert_allclose(other.theta, kernel.theta + 0.1)
    assert repr(kernel) == before
    for name in free:
        assert other.get_params()[name] == pytest.approx(np.exp(0.1) * kernel.get_params()[name])


@every_kernel
def test_gradient_against_finite_differences(kernel, X):
    A, step = X[:6], 1e-5
    K, gradient = kernel(A, eval_gradient=True)
    np.testing.assert_allclose(K, kernel(A), rtol=1e-13)
    assert gradient.shape == (6, 6, kernel.n_dims)
    for i in range(kernel.n_dims):
        shift = step * np.eye(kernel.n_dims)[i]
        up, down = (kernel.clone_with_theta(kernel.theta + s)(A) for s in (shift, -shift))
        np.testing.assert_allclose(gradient[..., i], (up - down) / (2 * step), atol=1e-8, rtol=1e-7)


def test_gradients_in_float32_follow_those_in_float64(X):
    gradient32 = NTK2(X.astype(np.float32), eval_gradient=True)[1]
    assert gradient32.dtype == np.float32
    np.testing.assert_allclose(
        gradient32, NTK2(X.astype(np.float32).astype(float), eval_gradient=True)[1], rtol=2e-5, atol=2e-5
    )


def test_gradient_needs_one_argument(X):
    with pytest.raises(ValueError, match="eval_gradient=True needs Y=None"):
        NTK2(X, X[:3], eval_gradient=True)


@given(
    X=hnp.arrays(np.float64, st.tuples(st.integers(1, 12), st.just(3)), elements=st.floats(-1e3, 1e3, width=32)),
    depth=st.integers(0, 3),
    weight_var=st.floats(0.1, 4),
    bias_var=st.sampled_from([0.0, 0.1, 1.0]),
)
def test_any_rows_give_a_positive_semidefinite_matrix_in_both_precisions(X, depth, weight_var, bias_var):
    kernel = NTK(FullyConnected(depth=depth, weight_var=weight_var, bias_var=bias_var))
    for dtype, tolerance in ((np.float64, 1e-12), (np.float32, 1e-6)):
        K = kernel(X.astype(dtype)).astype(float)
        assert np.isfinite(K).all()
        assert np.linalg.eigvalsh(K).min() >= -tolerance * max(K.diagonal().max(), 1e-30)


# ---- algebra


def test_operators_make_our_own_kernels(X):
    A = X[:4]
    for kernel, expected in [
        (NTK2 + NTK2, 2 * NTK2(A)),
        (NTK2 + 1.0, NTK2(A) + 1),
        (1 + NTK2, NTK2(A) + 1),
        (3 * NTK2, 3 * NTK2(A)),
        (NTK2 * np.float64(3), 3 * NTK2(A)),
        (NTK2 * NTK2, NTK2(A) ** 2),
        ((NTK2 + 1.0) * (NTK2 + 2.0), (NTK2(A) + 1) * (NTK2(A) + 2)),
    ]:
        assert isinstance(kernel, Kernel)
        np.testing.assert_allclose(kernel(A), expected, rtol=1e-13)
    assert Sum(NTK2, Constant(1.0)) == NTK2 + 1.0


def test_mixing_with_scikit_learn_gives_scikit_learns_classes(X):
    A = X[:4]
    for kernel, kind in [(NTK2 + RBF(), SklearnSum), (RBF() + NTK2, SklearnSum), (NTK2 * RBF(), SklearnProduct)]:
        assert type(kernel) is kind
        assert kernel(A).shape == (4, 4)
    noisy = NTK2 + WhiteKernel(0.5)
    np.testing.assert_allclose(noisy(A), NTK2(A) + 0.5 * np.eye(4))
    np.testing.assert_allclose(noisy(A, A[:2]), NTK2(A, A[:2]))
    np.testing.assert_allclose((NTK2**2)(A), NTK2(A) ** 2)


def test_normalized_is_one_on_the_diagonal_and_zero_for_zero_rows():
    A = np.array([[1.0, 2.0], [1.0, 2.0], [0.0, 0.0], [1e-8, 1e8]])
    K = Normalized(NTK(FullyConnected(bias_var=0.0)))(A)
    np.testing.assert_array_equal(K.diagonal(), [1, 1, 0, 1])
    np.testing.assert_allclose(K[0, 1], 1, rtol=1e-15)
    assert np.all(K[2] == 0)


def test_set_params_rebinds_and_leaves_shared_networks_alone():
    network = FullyConnected()
    one, other = NTK(network), NNGP(network)
    assert one.set_params(network__depth=7) is one
    assert (one.network.depth, other.network.depth, network.depth) == (7, 3, 3)
    total = one + other
    total.set_params(k1__network__depth=1, k2__network__weight_var=1.0)
    assert (total.k1.network.depth, total.k2.network.weight_var, one.network.depth, other.network.weight_var) == (
        1,
        1.0,
        7,
        2.0,
    )


def test_bounds():
    kernel = NTK(FullyConnected(bias_var=0.0), bounds={"network__weight_var": (0.5, 4.0)})
    np.testing.assert_allclose(np.exp(kernel.bounds), [[0.5, 4.0]])
    assert {h.name: h.fixed for h in kernel.hyperparameters} == {
        "network__weight_var": False,
        "network__bias_var": True,
    }
    assert len(NTK(FullyConnected(), bounds={"network__bias_var": "fixed"}).theta) == 1
    np.testing.assert_allclose(np.exp(NTK(FullyConnected()).bounds), [[1e-5, 1e5]] * 2)
    inside = Scaled(kernel, 2.0, bounds={"scale": "fixed"}) + 1.0
    assert [h.name for h in inside.hyperparameters if not h.fixed] == ["k1__kernel__network__weight_var", "k2__value"]


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: NTK("relu"), TypeError, "network must be a network such as FullyConnected"),
        (
            lambda: NTK(FullyConnected(), bounds={"weight_var": (1, 2)}),
            ValueError,
            "bounds names 'weight_var'.*network__weight_var",
        ),
        (
            lambda: NTK(FullyConnected(), bounds={"network__weight_var": (2, 1)}),
            ValueError,
            r"must be 'fixed' or \(low, high\)",
        ),
        (lambda: Scaled(NTK2, -1.0), ValueError, "scale must be finite and >= 0"),
        (lambda: -1 * NTK2, ValueError, "scale must be finite and >= 0"),
        (lambda: Constant(np.nan), ValueError, "value must be finite and >= 0"),
        (lambda: Sum(NTK2, RBF()), TypeError, "k2 must be a kernel of ntkkit"),
        (lambda: Normalized(RBF()), TypeError, "kernel must be a kernel of ntkkit"),
        (lambda: NTK2 + NTK(FullyConnected(input_shape=(2, 2))), ValueError, "k1 and k2 must read the same inputs"),
    ],
)
def test_bad_kernels(make, error, message):
    with pytest.raises(error, match=message):
        make()


def test_a_constant_reads_what_its_partner_reads(rng):
    images = rng.standard_normal((3, 2, 2, 1))
    network = FullyConnected(input_shape=(2, 2, 1))
    for kernel in (Constant(1.0) + NTK(network), NTK(network) + 1.0):
        np.testing.assert_allclose(kernel(images), NTK(network)(images) + 1)
