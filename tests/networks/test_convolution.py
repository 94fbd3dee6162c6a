"""Convolutions, pools and their families against neural-tangents, against finite networks, and in estimators."""

import jax
import numpy as np
import pytest

from ntkkit import NTK, Convolutional, Engine, KernelSearchCV, Myrtle, NeuralKernelClassifier, ResNet
from ntkkit.interop.neural_tangents import import_neural_tangents
from ntkkit.networks import (
    AvgPool,
    Conv,
    Dense,
    Dropout,
    Erf,
    Flatten,
    Gelu,
    GlobalAvgPool,
    GlobalSumPool,
    LayerNorm,
    LocalAvgPool,
    Relu,
    Residual,
    Serial,
    SumPool,
)

pytestmark = pytest.mark.slow  # all together: numbers that no version of a library changes

stax = import_neural_tangents().stax
THEIRS = {"W_std": np.sqrt(1.7), "b_std": np.sqrt(0.2)}


def their_limits(layers, X, Y):
    """Compiled without LLVM's optimisations, in half the time."""
    limits = jax.jit(lambda X, Y: stax.serial(*layers)[2](X, Y, get=("nngp", "ntk")))
    return limits.lower(X, Y).compile({"xla_backend_optimization_level": 0})(X, Y)


def conv(filter_shape, strides=None, padding="SAME"):
    return Conv(filter_shape, 1.7, 0.2, strides, padding), stax.Conv(
        1, filter_shape, strides=strides, padding=padding, **THEIRS
    )


def pool(kind, window, strides=None, padding="VALID"):
    ours, theirs = {"average": (AvgPool, stax.AvgPool), "sum": (SumPool, stax.SumPool)}[kind]
    edges = {"normalize_edges": True} if kind == "average" else {}
    return ours(window, strides, padding), theirs(window, strides=strides or window, padding=padding, **edges)


DENSE = Dense(1.7, 0.2), stax.Dense(1, **THEIRS)
RELU, ERF = (Relu(), stax.Relu()), (Erf(), stax.Erf())
FLATTEN, GAP, GSP = (
    (Flatten(), stax.Flatten()),
    (GlobalAvgPool(), stax.GlobalAvgPool()),
    (GlobalSumPool(), stax.GlobalSumPool()),
)
GELU = Gelu(), stax.Gelu()
LAP = (
    LocalAvgPool((2, 3)),
    stax.serial(stax.AvgPool((2, 3), strides=(1, 1), padding="CIRCULAR"), stax.Flatten()),
)
DROPOUT = Dropout(0.3), stax.Dropout(0.7, mode="train")
NORM = LayerNorm(), stax.LayerNorm()
BODY = [RELU, conv((3, 3))]
RESIDUAL = (
    Residual(Serial([layer for layer, _ in BODY])),
    stax.serial(stax.FanOut(2), stax.parallel(stax.serial(*(t for _, t in BODY)), stax.Identity()), stax.FanInSum()),
)

CASES = {
    "flatten": ((5, 4, 2), [conv((3, 3)), RELU, conv((2, 3)), RELU, FLATTEN, DENSE]),
    "flatten, strides, valid": ((6, 5, 1), [conv((3, 2), (2, 1), "VALID"), RELU, conv((2, 2)), RELU, FLATTEN, DENSE]),
    "gap": ((4, 5, 2), [conv((3, 3)), RELU, conv((1, 2)), RELU, GAP, DENSE]),
    "gap, strides, same": ((5, 6, 1), [conv((3, 3), (2, 2)), RELU, conv((3, 3)), RELU, GAP, DENSE]),
    "pool and flatten": ((6, 6, 1), [conv((3, 3)), RELU, pool("average", (2, 2)), conv((3, 3)), RELU, FLATTEN, DENSE]),
    "pool and gap": ((6, 5, 1), [conv((3, 3)), RELU, pool("sum", (3, 2), (2, 2)), conv((3, 3)), RELU, GAP, DENSE]),
    "padded pool": (
        (5, 5, 1),
        [conv((3, 3)), RELU, pool("average", (3, 3), (2, 2), "SAME"), conv((2, 2)), RELU, GAP, DENSE],
    ),
    "one axis": ((7, 2), [conv((3,)), RELU, pool("average", (2,)), conv((2,), (2,)), RELU, GAP, DENSE]),
    "layer norm": ((4, 4, 1), [conv((3, 3)), NORM, RELU, conv((3, 3)), RELU, GAP, DENSE]),
    "residual, pool": ((4, 4, 1), [conv((3, 3)), RESIDUAL, pool("average", (2, 2)), RELU, FLATTEN, DENSE]),
    "circular, filters of 5 and 1": (
        (5, 6, 1),
        [conv((5, 5), None, "CIRCULAR"), RELU, conv((1, 1)), RELU, conv((2, 5), (1, 2), "VALID"), RELU, GAP, DENSE],
    ),
    "circular, strides, flatten": (
        (5, 6, 2),
        [conv((3, 2), (2, 2), "CIRCULAR"), RELU, conv((3, 3)), RELU, FLATTEN, DENSE],
    ),
    "erf": ((4, 4, 1), [conv((3, 3)), ERF, conv((3, 3)), ERF, GAP, DENSE]),
    "gelu": ((4, 3, 1), [conv((3, 3)), GELU, conv((3, 3)), GELU, GAP, DENSE]),
    "depth 5": ((5, 5, 1), [*[conv((3, 3)), RELU] * 5, GAP, DENSE]),
    "local average": ((5, 4, 2), [conv((3, 3)), RELU, LAP, DENSE, RELU, DENSE]),
    "dropout and pool": (
        (4, 4, 1),
        [conv((3, 3)), RELU, DROPOUT, pool("average", (2, 2)), conv((3, 3)), RELU, DROPOUT, GAP, DENSE],
    ),
    "many channels": ((3, 3, 11), [conv((2, 2)), RELU, GAP, DENSE]),
    "a row of pixels": ((1, 6, 1), [conv((3, 3)), RELU, pool("average", (1, 2)), conv((1, 2)), RELU, GAP, DENSE]),
}
QUICK = ["flatten, strides, valid", "gap, strides, same", "local average"]
CASES_MARKED = [pytest.param(name, marks=[] if name in QUICK else [pytest.mark.slow]) for name in CASES]


def images(rng, n, shape):
    X = rng.standard_normal((n, *shape))
    X[0] *= 30
    X[1, : shape[0] // 2] = 0
    return X


@pytest.mark.parametrize("name", CASES_MARKED)
def test_neural_tangents(name, rng):
    shape, layers = CASES[name]
    network = Serial([layer for layer, _ in layers], input_shape=shape)
    X, Y = images(rng, 3, shape), rng.standard_normal((2, *shape))
    with jax.enable_x64(True):
        theirs = their_limits([layer for _, layer in layers], X, Y)
        ours = jax.jit(network.limits)(X, Y)
    for found, expected in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-10, atol=1e-12 * np.abs(expected).max())


@pytest.mark.parametrize("name", ["flatten, strides, valid", "gap, strides, same", "residual, pool"])
def test_diagonals_and_symmetry(name, rng):
    shape, layers = CASES[name]
    network = Serial([layer for layer, _ in layers], input_shape=shape)
    X = images(rng, 3, shape)
    with jax.enable_x64(True):
        plain = jax.jit(network.limits)(X, X)
        square = jax.jit(lambda X: network.limits(X, X, same=True))(X)
        diagonal = jax.jit(network.limits_diag)(X)
    for K, same, diag in zip(plain, square, diagonal, strict=True):
        np.testing.assert_allclose(same, K, rtol=1e-8)  # behind pools only `same` knows that distances are 0
        np.testing.assert_allclose(diag, np.diagonal(same), rtol=1e-12)
        np.testing.assert_allclose(same, same.T, rtol=1e-12)


def their_block(strides=None, *, shortcut=True):
    main = stax.serial(stax.Relu(), conv((3, 3), strides)[1], stax.Relu(), conv((3, 3))[1])
    beside = conv((3, 3), strides)[1] if shortcut else stax.Identity()
    return stax.serial(stax.FanOut(2), stax.parallel(main, beside), stax.FanInSum())


def their_myrtle(*counts):
    layers = [conv((3, 3))[1], stax.Relu()]
    pools = [stax.AvgPool((2, 2), strides=(2, 2))] * 2 + [stax.GlobalAvgPool()]
    return [layer for count, pool in zip(counts, pools, strict=True) for layer in (*layers * count, pool)]


VARIANCES = {"weight_var": 1.7, "bias_var": 0.2}
FAMILIES = {
    "lap": (
        Convolutional(2, (3,), pooling="lap", pool_shape=(4,), input_shape=(6, 2), **VARIANCES),
        [*[conv((3,))[1], stax.Relu()] * 2, stax.AvgPool((4,), strides=(1,), padding="CIRCULAR"), stax.Flatten()],
    ),
    "residual": (
        ResNet(2, input_shape=(7, 6, 1), **VARIANCES),
        [
            conv((3, 3))[1],
            *(
                block
                for strides in (None, (2, 2), (2, 2))
                for block in (their_block(strides), their_block(shortcut=False))
            ),
            stax.GlobalAvgPool(),
        ],
    ),
    "myrtle 5": (Myrtle(5, input_shape=(8, 8, 1), **VARIANCES), their_myrtle(2, 1, 1)),
    "myrtle 7": (Myrtle(7, input_shape=(4, 4, 1), **VARIANCES), their_myrtle(2, 2, 2)),
    "myrtle 10": (Myrtle(10, input_shape=(4, 4, 1), **VARIANCES), their_myrtle(3, 3, 3)),
}


@pytest.mark.parametrize("name", FAMILIES)
def test_families(name, rng):
    network, layers = FAMILIES[name]
    X, Y = images(rng, 2, network.input_shape), rng.standard_normal((2, *network.input_shape))
    with jax.enable_x64(True):
        theirs = their_limits([*layers, DENSE[1]], X, Y)
        ours = jax.jit(network.limits)(X, Y)
    for found, expected in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-10)


def test_dropout_is_drawn_anew(rng):
    """Two evaluations share no masks: the kernel of an image with itself is that with an equal one."""
    network = Serial(
        [Conv((2, 2)), Relu(), Dropout(0.4), Conv((2, 2)), Relu(), Flatten(), Dense()], input_shape=(3, 3, 1)
    )
    X = rng.standard_normal((2, 3, 3, 1))
    kernel = NTK(network)
    np.testing.assert_allclose(kernel(X), kernel(X, X.copy()), rtol=1e-12)
    np.testing.assert_allclose(kernel.diag(X), kernel(X).diagonal(), rtol=1e-12)
    params = network.init(0, (3, 3, 1), width=4000)
    alike = np.repeat(X[:1], 2, axis=0).astype(np.float32)
    hidden = np.asarray(Serial(network.layers[:3], input_shape=(3, 3, 1)).apply(params[:3], alike))
    assert abs((hidden[0] == 0).mean() - 0.7) < 0.02
    assert abs(((hidden[0] == 0) & (hidden[1] == 0)).mean() - (0.5 + 0.5 * 0.16)) < 0.02


def test_memory_of_large_images(rng):
    """Pairs of positions of 32 x 32 images, 4 MB an array: what is in flight is less than 500 MB, and said truly."""
    kernel = NTK(Convolutional(depth=1, input_shape=(32, 32, 1)))
    X = rng.random((3, 32, 32, 1), dtype=np.float32)
    plan = Engine(memory="500MB").plan(kernel, X)
    assert plan.tile_bytes < 100e6
    assert Engine(memory="500MB").gram(kernel, X).shape == (3, 3)
    with pytest.raises(MemoryError, match="Raise memory= to at least"):
        Engine(memory="2MB").gram(kernel, X)


@pytest.mark.parametrize("name", ["flatten", "gap", "pool and gap"])
def test_float32_on_hostile_images(name, rng):
    """Duplicates, near ones, shifted and scaled copies, black and constant images, black backgrounds."""
    shape, layers = CASES[name]
    network = Serial([layer for layer, _ in layers], input_shape=shape)
    X = rng.random((3, *shape))
    near = X[0] * (1 + 1e-4 * rng.standard_normal(shape))
    X = np.stack([*X, X[0], near, np.roll(X[1], 1, axis=0), 1e3 * X[2], 0 * X[0], np.ones(shape), -X[1]])
    inside = np.zeros(shape)
    inside[1:3, 1:3] = 1
    X = np.concatenate([X, inside * X[:2], 0.3 * inside[None]])
    limits = jax.jit(lambda rows: network.limits(rows, rows, same=True))  # both kernels, compiled once
    with jax.enable_x64(True):
        both = [np.asarray(limits(X.astype(dtype))) for dtype in (np.float32, np.float64)]
    assert both[0].dtype == np.float32
    for found, exact in zip(*both, strict=True):
        roots = np.sqrt(exact.diagonal())
        error = np.abs(found - exact) / np.outer(roots, roots)
        assert error.max() < {"flatten": 1e-6, "gap": 2e-6, "pool and gap": 4e-5}[name]
        assert np.linalg.eigvalsh(exact / np.outer(roots, roots))[0] > -1e-9


def test_the_vanilla_and_pooled_kernels_of_the_literature():
    """Values of an independent port of the CNTK: sums over 9 taps and channels, divided by 9 behind a ReLU of c = 2."""
    x, z = np.moveaxis(np.random.default_rng(0).standard_normal((2, 2, 4, 4)), 1, -1)
    X, channels, taps, positions = np.stack([x, z]), 2, 9, 16

    def network(readout, *, trained):
        first, second = Conv((3, 3), taps * channels, 0.0, trainable=trained), Conv((3, 3), 2.0, 0.0)
        return Serial([first, Relu(), second, Relu(), *readout], input_shape=(4, 4, channels))

    vanilla = NTK(network([Flatten(), Dense(positions * 2 / taps, 0.0)], trained=True))(X)
    np.testing.assert_allclose(vanilla[np.triu_indices(2)], [33.0557783, 9.1176515, 50.5776641], rtol=1e-7)
    pooled = NTK(network([GlobalAvgPool(), Dense(2 / taps, 0.0, trainable=False)], trained=False))(X)
    np.testing.assert_allclose(pooled[np.triu_indices(2)], [0.1288753, 0.1079027, 0.2175448], atol=6e-8)


@pytest.mark.parametrize("pooling", ["gap", "flatten", "lap"])
def test_finite_networks_approach_the_kernels(pooling, rng):
    windows = {"pool_shape": (2, 2)} if pooling == "lap" else {}
    network = Convolutional(depth=2, filter_shape=(2, 2), pooling=pooling, input_shape=(3, 3, 2), **windows)
    x = rng.standard_normal((2, 3, 3, 2)).astype(np.float32)
    exact = NTK(network)(x)

    @jax.jit
    def empirical(key, widths=256):
        params = network.init(key, (3, 3, 2), width=widths)
        jacobian = jax.jacobian(lambda params: network.apply(params, x)[:, 0])(params)
        return sum(j.reshape(2, -1) @ j.reshape(2, -1).T for j in jax.tree.leaves(jacobian))

    draws = np.stack([empirical(jax.random.key(seed)) for seed in range(40)])
    error = np.abs(draws.mean(axis=0) - exact) / (draws.std(axis=0) / np.sqrt(40))
    assert error.max() < 4.5


def test_estimators_and_depths(rng):
    X = rng.random((30, 4, 4, 1))
    y = X[:, :2].sum(axis=(1, 2, 3)) > X[:, 2:].sum(axis=(1, 2, 3))
    model = NeuralKernelClassifier(NTK(Convolutional(pooling="flatten", input_shape=(4, 4, 1))))
    search = KernelSearchCV(model, {"kernel__network__depth": [1, 2], "alpha": [1e-3, 1e-1]}, cv=3).fit(X, y)
    assert search.best_score_ > 0.6
    np.testing.assert_array_equal(search.predict(X), search.predict(X.reshape(30, 16)))
    kernel = NTK(Convolutional(pooling="flatten", input_shape=(4, 4, 1)))
    both = Engine().gram_at_depths(kernel, X, depths=[1, 2])
    np.testing.assert_allclose(both[0], Engine().gram(kernel.replace(network__depth=1), X), rtol=1e-12)


def test_myrtle_and_gradients(rng):
    X = rng.random((3, 4, 4, 1))
    kernel = NTK(Myrtle(input_shape=(4, 4, 1)))
    K, gradient = kernel(X, eval_gradient=True)
    step = 1e-5
    for i, name in enumerate(["network__weight_var", "network__bias_var"]):
        value = kernel.get_params()[name]
        up, down = (kernel.replace(**{name: value * np.exp(sign * step)})(X) for sign in (1, -1))
        np.testing.assert_allclose(gradient[..., i], (up - down) / (2 * step), rtol=1e-6, atol=1e-6 * K.max())


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: Conv(3), TypeError, "filter_shape must be a tuple of integers"),
        (lambda: Conv((3, 0)), ValueError, "filter_shape must be >= 1, found 0"),
        (lambda: Conv((3, 3), strides=(1,)), ValueError, "strides must have 2 entries"),
        (lambda: Conv(padding="same"), ValueError, "padding must be one of"),
        (lambda: Conv(weight_var=-1.0), ValueError, "weight_var must be finite and >= 0"),
        (lambda: AvgPool((2, 2, 2)), ValueError, "window_shape must have 1 or 2 entries"),
        (lambda: Convolutional(pooling="max"), ValueError, "pooling must be one of"),
        (lambda: Convolutional(depth=1, n_frozen_layers=2), ValueError, "n_frozen_layers must be at most depth=1"),
        (lambda: Convolutional(pool_shape=(2, 2)), ValueError, r'pool_shape=\(2, 2\) is for pooling="lap"'),
        (
            lambda: NTK(Convolutional(pooling="lap", input_shape=(4, 4, 1)))(np.ones((2, 16))),
            ValueError,
            "window_shape must be at most as large as images",
        ),
        (lambda: NTK(Serial([Conv(), Relu()], input_shape=(4, 4, 1)))(np.ones((2, 16))), ValueError, "have positions"),
        (lambda: ResNet(n_blocks=0), ValueError, "n_blocks must be >= 1"),
        (lambda: Dropout(1.0), ValueError, r"rate must be in \[0, 1\), found 1"),
        (lambda: Dropout(-0.1), ValueError, "rate must be finite and >= 0"),
        (lambda: Myrtle(depth=6), ValueError, r"depth must be one of \[5, 7, 10\], found 6"),
        (lambda: NTK(Convolutional())(np.ones((2, 4))), ValueError, "give it the input_shape of one"),
        (
            lambda: NTK(Serial([Flatten(), Dense(), Conv()], input_shape=(4, 4, 1)))(np.ones((2, 16))),
            ValueError,
            "slides over",
        ),
        (lambda: NTK(Convolutional(input_shape=(4, 4, 1)))(np.ones((2, 5, 4, 1))), ValueError, "input_shape is"),
    ],
)
def test_what_is_refused(make, error, message):
    with pytest.raises(error, match=message):
        make()
