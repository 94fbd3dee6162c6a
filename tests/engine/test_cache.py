"""The cache: no matrix is evaluated twice that it holds, and nothing that it returns is shared."""

import copy
import pickle
from concurrent.futures import ThreadPoolExecutor

import jax
import numpy as np
import pytest

from ntkkit import NNGP, NTK, Cache, Engine, FullyConnected, KernelSearchCV, NeuralKernelRegressor
from ntkkit.engine.result import Means

NETWORK = FullyConnected(depth=1)
KERNEL = NTK(NETWORK)


@pytest.fixture
def X(rng):
    return rng.standard_normal((40, 3))


@pytest.fixture
def evaluated(monkeypatch):
    """Shapes of the matrices that were evaluated."""
    shapes, in_memory = [], Means.in_memory
    monkeypatch.setattr(
        Means, "in_memory", lambda means, work: (shapes.append((*work.lead, *work.shape)), in_memory(means, work))[1]
    )
    return shapes


def test_it_finds_what_it_holds(X, evaluated):
    engine = Engine(cache=Cache())
    K = engine.gram(KERNEL, X)
    K[:] = 0  # is the caller's own
    found = engine.gram(NTK(FullyConnected(depth=1)), X.copy())
    np.testing.assert_array_equal(found, Engine().gram(KERNEL, X))
    assert found.flags.writeable
    assert len(evaluated) == 2  # one of them without a cache
    assert (engine.cache.n_hits, engine.cache.n_misses) == (1, 1)


@pytest.mark.parametrize(
    "other",
    [
        lambda X: (KERNEL.replace(network__weight_var=1.0), X),
        lambda X: (NNGP(NETWORK), X),
        lambda X: (KERNEL, X + 1e-15),
        lambda X: (KERNEL, X.astype(np.float32)),
        lambda X: (KERNEL, X, X[:5]),
        lambda X: (KERNEL, X[:5], X),
        lambda X: (KERNEL, X.reshape(30, 4)),
    ],
    ids=["hyperparameter", "kernel", "data", "precision", "Y", "X", "shape"],
)
def test_other_matrices_are_others(X, evaluated, other):
    engine = Engine(cache=Cache())
    engine.gram(KERNEL, X)
    arguments = other(X)
    np.testing.assert_array_equal(engine.gram(*arguments), Engine().gram(*arguments))
    assert len(evaluated) == 3


def test_its_memory_is_bounded_and_the_oldest_go_first(X, evaluated):
    engine = Engine(cache=Cache(memory=2 * 40 * 40 * 8))
    kernels = [KERNEL.replace(network__bias_var=b) for b in (0.1, 0.2, 0.3)]
    for kernel in [*kernels[:2], kernels[0], kernels[2]]:
        engine.gram(kernel, X)
    assert len(evaluated) == 3
    engine.gram(kernels[0], X)
    assert len(evaluated) == 3
    engine.gram(kernels[1], X)  # had to go
    assert len(evaluated) == 4
    small = Engine(cache=Cache(memory=100))
    small.gram(KERNEL, X)
    small.gram(KERNEL, X)
    assert len(evaluated) == 6


def test_on_disk_for_another_process(X, evaluated, tmp_path):
    cache = Cache(directory=tmp_path)
    K = Engine(cache=cache).gram(KERNEL, X)
    again = pickle.loads(pickle.dumps(cache))
    assert (again.memory, again.directory, again.n_misses) == (cache.memory, str(cache.directory), 0)
    found = Engine(cache=again, progress=lambda done, total: pytest.fail("evaluated anew")).gram(KERNEL, X)
    np.testing.assert_array_equal(found, K)
    assert len(list(tmp_path.iterdir())) == 1
    with pytest.raises(ValueError, match="functions and classes that a module defines"):
        Engine(cache=cache).gram(NNGP(FullyConnected(depth=1, activation=lambda z: z)), X)


def test_depths_are_found_one_by_one(X, evaluated):
    engine = Engine(cache=Cache())
    found = engine.gram_at_depths(KERNEL, X, depths=[1, 2])
    np.testing.assert_array_equal(engine.gram(KERNEL, X), found[0])
    assert evaluated == [(2, 40, 40)]


@pytest.mark.parametrize("depths", [[1], [1, 2]])
def test_the_refit_of_a_search_finds_its_matrix(X, evaluated, depths):
    grid = {"alpha": [0.1, 1.0], "kernel__network__depth": depths}
    search = KernelSearchCV(NeuralKernelRegressor(KERNEL), grid, cv=2).fit(X, X[:, 0])
    assert len(evaluated) == 1
    assert search.best_estimator_.engine is None
    plain = NeuralKernelRegressor(search.best_estimator_.kernel, alpha=search.best_params_["alpha"]).fit(X, X[:, 0])
    np.testing.assert_allclose(search.predict(X), plain.predict(X), rtol=1e-12)


def test_a_cache_of_ones_own_serves_the_next_search(X, evaluated):
    model = NeuralKernelRegressor(KERNEL, engine=Engine(cache=Cache()))
    for alphas in ([0.1, 1.0], [0.3, 3.0]):
        search = KernelSearchCV(model, {"alpha": alphas}, cv=2).fit(X, X[:, 0])
    assert len(evaluated) == 1
    assert search.best_estimator_.engine is model.engine


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({"cache": {}}, TypeError, r"cache must be a Cache, .* found \{\}"),
        ({"cache": Cache(), "store": "K"}, ValueError, "store= keeps one matrix and cache= many; give one"),
        ({"store": 3}, TypeError, "store must be a path or None, found 3"),
        ({"cluster": "tcp://there"}, TypeError, "cluster must be a distributed.Client or None, found 'tcp://there'"),
        ({"devices": []}, ValueError, r"devices must be None or some of jax.devices\(\), found \[\]"),
        ({"devices": ["cpu"]}, ValueError, r"found \['cpu'\]: give a list of them"),
        ({"devices": "cpu"}, ValueError, "found 'cpu': give a list of them"),
        ({"progress": 3}, TypeError, "progress must be True, False or a function .*, found 3"),
    ],
)
def test_what_an_engine_refuses(settings, error, message):
    with pytest.raises(error, match=message):
        Engine(**settings)
    with pytest.raises(ValueError, match="memory must be"):
        Cache(memory="much")
    with pytest.raises(TypeError, match="directory must be a path or None, found 3"):
        Cache(directory=3)


def test_a_deep_copy_of_a_model_has_its_engine():
    model = NeuralKernelRegressor(KERNEL, engine=Engine(devices=jax.devices(), cache=Cache()))
    assert copy.deepcopy(model).engine is model.engine


def test_threads_wait_for_a_matrix_that_another_writes(X, tmp_path):
    """One directory, and nothing in memory: the second to come finds what the first has written."""
    engine = Engine(cache=Cache(memory=1, directory=tmp_path))
    with ThreadPoolExecutor(3) as pool:
        found = list(pool.map(lambda _: engine.gram(KERNEL, X), range(3)))
    for K in found:
        np.testing.assert_array_equal(K, Engine().gram(KERNEL, X))
