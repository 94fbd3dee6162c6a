import ast
import gc
import threading
import time
import weakref
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sklearn.base import clone

import ntkkit
from ntkkit import NTK, Engine, FullyConnected, Kernel, gram
from ntkkit.engine import compile as compile_module
from ntkkit.engine import memory, result
from ntkkit.engine.compile import Job
from ntkkit.engine.plan import Plan
from ntkkit.engine.result import Means
from ntkkit.engine.work import Tiles

LINEAR = NTK(FullyConnected(depth=0, bias_var=0.5))
DEEP = NTK(FullyConnected(depth=1))


def linear(X, Y):
    return 2.0 * X @ Y.T / X.shape[1] + 0.5


class Shape(Kernel):
    """The linear kernel in numpy, so that no shape of tile costs a compilation."""

    def __init__(self):
        pass

    def tile(self, X, Y, *, same=False):
        raise AssertionError("is never compiled")

    tile_diag = tile


@pytest.fixture
def in_numpy(monkeypatch):
    monkeypatch.setattr(Job, "__call__", lambda job, device, X, Y, *, same: linear(np.asarray(X), np.asarray(Y)))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(data=st.data(), n=st.integers(1, 50), m=st.integers(1, 50), symmetric=st.booleans(), stored=st.booleans())
def test_any_tiles_and_blocks_give_the_same_matrix(in_numpy, tmp_path_factory, data, n, m, symmetric, stored):
    rng = np.random.default_rng(n)
    X = rng.standard_normal((n, 3))
    Y = None if symmetric else rng.standard_normal((m, 3))
    height = data.draw(st.integers(1, 60))
    tile = (height, height if symmetric else data.draw(st.integers(1, 60)))
    blocks = data.draw(st.integers(1, 60))
    plan = Plan((n, n if symmetric else m), tile, (blocks * tile[0], blocks * tile[1]), symmetric, X.dtype)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Means, "plan", lambda means, work, **kwargs: plan)
        patch.setattr(Means, "in_large_blocks", lambda means, work, plan: plan)
        engine = Engine(store=tmp_path_factory.mktemp("store") / "K") if stored else Engine()
        found = engine.gram(Shape(), X, Y)[...]
    np.testing.assert_allclose(found, linear(X, X if Y is None else Y), rtol=1e-13, atol=1e-14)


@pytest.mark.parametrize("tile", [(8, 8), (24, 16)])
def test_compiled_tiles_of_any_shape_are_the_same_matrix(tile, rng, monkeypatch):
    X, Y = rng.standard_normal((50, 3)), rng.standard_normal((37, 3))
    plan = Plan((50, 37), tile, (2 * tile[0], 2 * tile[1]), False, X.dtype)
    monkeypatch.setattr(result, "make_plan", lambda *args, **kwargs: plan)
    np.testing.assert_allclose(gram(LINEAR, X, Y), linear(X, Y), rtol=1e-13, atol=1e-14)


class Large(Kernel):
    """A kernel of which each pair needs some megabytes, as those of images do."""

    def __init__(self):
        pass

    def tile(self, X, Y, *, same=False):
        waves = jnp.sin(X[:, None, :1] * Y[None, :, :1] + jnp.arange(400_000, dtype=X.dtype))
        return jnp.sort(waves, axis=-1)[..., 1000]

    def tile_diag(self, X):
        waves = jnp.sin(X[:, :1] ** 2 + jnp.arange(400_000, dtype=X.dtype))
        return jnp.sort(waves, axis=-1)[..., 1000]


def test_pairs_of_many_megabytes(rng, monkeypatch):
    X = rng.standard_normal((3, 2)).astype(np.float32)
    monkeypatch.setattr(Tiles, "seconds_each", lambda tiles, devices: 1.0)
    plan = Engine(memory="10MB").plan(Large(), X)
    assert plan.tile == (1, 1)
    assert plan.tile_bytes <= 10_000_000
    waves = np.sin(X[:, None, :1] * X[None, :, :1] + np.arange(400_000, dtype=np.float32))
    found = Engine(memory="10MB").gram(Large(), X)
    np.testing.assert_allclose(Engine(memory="10MB").diag(Large(), X), found.diagonal(), rtol=0, atol=1e-5)
    np.testing.assert_allclose(found, np.sort(waves, axis=-1)[..., 1000], rtol=0, atol=1e-5)
    with pytest.raises(MemoryError, match=r"memory='1kB' is too little: the kernel of one input with itself needs \d+"):
        Engine(memory="1kB").diag(Large(), X)
    with pytest.raises(MemoryError, match=r"memory=3000000 bytes is too little.*Raise memory= to at least \d{7,}"):
        Engine(memory="3MB").gram(Large(), X)


TILE_FUNCTIONS = {"tile", "tile_diag", "tile_at_depths", "limits", "limits_diag"}


def test_nothing_else_evaluates_tiles():
    """Kernels evaluate their parts, the engine all pairs; whatever else there is asks the engine."""
    package = Path(ntkkit.__file__).parent
    callers = set()
    for file in package.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            function = node.func if isinstance(node, ast.Call) else None
            named = isinstance(function, ast.Attribute) and function.attr in TILE_FUNCTIONS
            if named and ast.unparse(function.value) != "np":
                callers.add(file.relative_to(package).parts[0])
    assert callers == {"engine", "kernels", "networks", "dynamics", "interop"}  # the last two call tiles of their own


@pytest.mark.parametrize("n", [1, 31, 513, 1100])
def test_gram_of_several_tiles(n, rng):
    X = rng.standard_normal((n, 3))
    K = gram(LINEAR, X)
    np.testing.assert_array_equal(K, K.T)
    np.testing.assert_allclose(K, linear(X, X), rtol=1e-12, atol=1e-13)
    np.testing.assert_allclose(gram(LINEAR, X, X[:2]), linear(X, X[:2]), rtol=1e-12, atol=1e-13)


def test_symmetric_work_is_the_upper_triangle(rng, monkeypatch):
    X, calls = rng.standard_normal((1400, 2)), []
    run = Job.__call__
    monkeypatch.setattr(Job, "__call__", lambda job, *a, **k: (calls.append(k["same"]), run(job, *a, **k))[1])
    gram(LINEAR, X)
    assert sorted(calls) == [False] * 3 + [True] * 3
    calls.clear()
    gram(LINEAR, X, X)  # Y is X
    assert len(calls) == 6
    calls.clear()
    gram(LINEAR, X, X.copy())
    assert calls == [False] * 9


def test_plan_is_what_is_run(rng):
    plan = Engine().plan(LINEAR, rng.standard_normal((1100, 3)))
    assert plan.shape == (1100, 1100)
    assert plan.symmetric
    assert plan.tile == (384, 384)
    assert len([tile for block in plan.blocks() for tile in plan.tiles(block)]) == 6


@pytest.mark.parametrize("enabled", [False, True])
def test_dtype_does_not_depend_on_the_global_flag(enabled, rng):
    X = rng.standard_normal((4, 3))
    with jax.enable_x64(enabled):
        K64, K32 = gram(DEEP, X), gram(DEEP, X.astype(np.float32))
        assert jax.config.jax_enable_x64 == enabled
    assert (K64.dtype, K32.dtype) == (np.float64, np.float32)
    np.testing.assert_allclose(K64, gram(DEEP, X), rtol=0)


def test_no_float64_after_the_first_layer_in_float32():
    """Every float64 number is one of the inputs' directions, norms or their products."""
    with jax.enable_x64(True):
        X = jax.ShapeDtypeStruct((8, 5), np.float32)
        kernel = jax.tree.map(float, NTK(FullyConnected(depth=4)))
        jaxpr = jax.make_jaxpr(lambda k, X, Y: k.tile(X, Y, same=True))(kernel, X, X)
    equations = jaxpr.jaxpr.eqns
    wide = [i for i, e in enumerate(equations) if any(v.aval.dtype == np.float64 and v.aval.ndim for v in e.outvars)]
    casts = [
        i for i, e in enumerate(equations) if e.primitive.name == "convert_element_type" and e.outvars[0].aval.ndim
    ]
    assert wide
    assert max(wide) < max(casts)
    assert len(equations) - max(casts) > 200  # the layers


def test_threads_share_an_engine(rng):
    X, found = rng.standard_normal((40, 3)), {}
    threads = [threading.Thread(target=lambda i=i: found.update({i: Engine().gram(DEEP, X)})) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for K in found.values():
        np.testing.assert_array_equal(K, found[0])
    assert len(found) == 4


@pytest.mark.parametrize("name", ["gram", "panels", "diag"])
def test_inputs_are_let_go_at_once(rng, name):
    """Not when the next collection of cycles happens to come: they, and their rows on a device, may be large."""
    X = rng.standard_normal((40, 3))
    there = weakref.ref(X)
    gc.collect()
    gc.disable()
    try:
        list(getattr(Engine(), name)(LINEAR, X))
        del X
        assert there() is None
    finally:
        gc.enable()


def test_progress_counts_blocks(rng, capsys):
    Engine(progress=True).gram(LINEAR, rng.standard_normal((40, 3)))
    assert "1/1" in capsys.readouterr().err
    Engine().gram(LINEAR, rng.standard_normal((40, 3)))
    assert capsys.readouterr().err == ""


def test_a_result_that_does_not_fit_is_refused_at_once(monkeypatch, rng):
    monkeypatch.setattr(memory, "available_memory", lambda: 1000)
    with pytest.raises(MemoryError, match=r"result of shape \(40, 40\) in float64 needs .* use fewer rows, or float32"):
        Engine(memory="1GB").gram(LINEAR, rng.standard_normal((40, 3)))


def test_one_pair_that_does_not_fit_is_refused(rng):
    with pytest.raises(MemoryError, match=r"memory=10 bytes is too little: tiles of one pair of inputs need \d+ bytes"):
        Engine(memory=10).gram(LINEAR, rng.standard_normal((40, 3)))


def test_bad_memory_is_refused_at_once():
    with pytest.raises(ValueError, match="memory must be"):
        Engine(memory="much")


def test_engine_is_a_value():
    engine = Engine(memory="1GB")
    assert clone(engine, safe=False) == engine
    assert repr(engine).startswith("Engine(memory='1GB', devices=None, ")


def test_an_error_in_a_tile_reaches_the_caller(rng):
    class Broken(Kernel):
        def __init__(self):
            pass

        def tile(self, X, Y, *, same=False):
            raise ZeroDivisionError("in the tile")

        def tile_diag(self, X):
            return jnp.ones(len(X))

    with pytest.raises(ZeroDivisionError, match="in the tile"):
        Broken()(rng.standard_normal((3, 2)))


@pytest.mark.parametrize("memory", ["auto", "2MB"])
def test_panels_are_the_matrix_in_pieces(memory, rng):
    X, Y = rng.standard_normal((1300, 3)), rng.standard_normal((40, 3))
    engine = Engine(memory=memory)
    pieces = list(engine.panels(LINEAR, X, Y))
    assert [rows.start for rows, _ in pieces] == [0, *(rows.stop for rows, _ in pieces[:-1])]
    assert len(pieces) > 1
    np.testing.assert_allclose(np.concatenate([panel for _, panel in pieces]), linear(X, Y), rtol=1e-12, atol=1e-13)


def test_panels_keep_to_their_memory(rng):
    X = rng.standard_normal((2000, 2)).astype(np.float32)
    heights = [panel.shape[0] for _, panel in Engine(memory="4MB").panels(LINEAR, X)]
    assert max(heights) * 2000 * 4 * 4 <= 2e6
    with pytest.raises(MemoryError, match=r"memory='50kB' is too little.*at least 64000"):
        next(Engine(memory="50kB").panels(LINEAR, X))


@pytest.mark.parametrize("shape", [(1300,), (1300, 2)])
def test_matvec_is_the_product(shape, rng):
    X, v = rng.standard_normal((1300, 3)), rng.standard_normal(shape)
    np.testing.assert_allclose(Engine().matvec(LINEAR, X, v), linear(X, X) @ v, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(Engine().matvec(LINEAR, X[:5], v, X), linear(X[:5], X) @ v, rtol=1e-9, atol=1e-9)
    with pytest.raises(TypeError, match="Expected sequence or array-like"):
        Engine().matvec(LINEAR, None, v)
    with pytest.raises(ValueError, match=r"v must be finite and of shape \(1300,\).*found shape \(7,\)"):
        Engine().matvec(LINEAR, X, np.ones(7))


def test_threads_that_want_the_same_shape_compile_it_once(monkeypatch):
    built = []
    build = compile_module._build
    monkeypatch.setattr(compile_module, "_build", lambda *key: (built.append(key), time.sleep(0.1), build(*key))[2])
    kernel, X = NTK(FullyConnected(depth=0, readout_bias_var=0.3)), np.ones((3, 7))
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: gram(kernel, X), range(4)))
    assert len(built) == 1


@pytest.mark.parametrize("n", [7, 600])
def test_pullback_is_the_gradient_under_weights(n, rng):
    X, W = rng.standard_normal((n, 3)), rng.standard_normal((n, n))
    kernel = 2.0 * NTK(FullyConnected(depth=1, input_scale=[1.0, 0.5, 2.0]))
    gradient = Engine().gram_gradient(kernel, X)[1]
    expected = np.einsum("ij,ijp->p", W, gradient)
    np.testing.assert_allclose(Engine().pullback(kernel, X, W), expected, rtol=1e-9)
    with pytest.raises(ValueError, match=r"weights must be finite and of shape.*found shape \(2, 2\)"):
        Engine().pullback(kernel, X, np.ones((2, 2)))
