"""Blocks on a Dask cluster of processes: the same bits, also when a worker dies."""

import os
import signal

import numpy as np
import pytest
from distributed import Client, LocalCluster

from ntkkit import NTK, Engine, FullyConnected, Recurrent
from ntkkit.engine.plan import Plan

KERNEL = NTK(FullyConnected(depth=1))

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore:Sending large graph"),
]


@pytest.fixture(scope="module")
def client():
    with (
        LocalCluster(
            n_workers=2, threads_per_worker=1, processes=True, dashboard_address=":0", memory_limit=0
        ) as cluster,
        Client(cluster) as client,
    ):
        yield client


@pytest.fixture
def X(rng):
    return rng.standard_normal((700, 4)).astype(np.float32)


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
    monkeypatch.setattr(
        Plan,
        "with_blocks",
        lambda plan, budget, n_workers=1: Plan(
            plan.shape, (64, 64), (128, 128), plan.symmetric, plan.dtype, plan.tile_bytes, plan.seconds_a_tile
        ),
    )
    monkeypatch.setattr("ntkkit.engine.result.LONGEST_SIDE", {"cpu": 64})


def test_the_same_bits(client, X, tmp_path):
    counts = []
    engine = Engine(cluster=client, progress=lambda done, total: counts.append((done, total)))
    for Y in (None, X[:200]):
        np.testing.assert_array_equal(engine.gram(KERNEL, X, Y), Engine().gram(KERNEL, X, Y))
    assert counts[:22] == [(done, 21) for done in range(22)]
    both = engine.gram_at_depths(KERNEL, X[:200], depths=[0, 1])
    np.testing.assert_array_equal(both, Engine().gram_at_depths(KERNEL, X[:200], depths=[0, 1]))
    stored = Engine(cluster=client, store=tmp_path / "K").gram(KERNEL, X)
    np.testing.assert_array_equal(stored[...], Engine().gram(KERNEL, X))
    sequences = [x[: 1 + i % 4] for i, x in enumerate(X)]
    found = engine.gram(NTK(Recurrent()), sequences, sequences[:70])
    np.testing.assert_array_equal(found, Engine().gram(NTK(Recurrent()), sequences, sequences[:70]))


def test_an_error_in_a_worker_reaches_the_caller(client, X, tmp_path):
    store = tmp_path / "K"
    engine = Engine(cluster=client, store=store, progress=lambda done, total: _make_unwritable(store))
    with pytest.raises(OSError, match="cannot be written"):
        engine.gram(KERNEL, X)


def _make_unwritable(store):
    """Put a file where chunks should go."""
    if not (store / "c").exists():
        (store / "c").write_text("")


@pytest.mark.parametrize("stored", [False, True])
def test_a_worker_that_is_killed_is_survived(client, X, tmp_path, stored):
    client.wait_for_workers(2)
    killed = []

    def kill(done, total):
        if done == 3:
            killed.append(client.submit(os.getpid, pure=False).result())
            os.kill(killed[0], signal.SIGKILL)

    engine = Engine(cluster=client, progress=kill, store=tmp_path / "K" if stored else None)
    np.testing.assert_array_equal(engine.gram(KERNEL, X)[...], Engine().gram(KERNEL, X))
    assert killed
    client.wait_for_workers(2, timeout=60)  # its nanny starts another


def test_a_cluster_without_workers_is_an_error(X):
    with (
        LocalCluster(n_workers=0, dashboard_address=":0") as cluster,
        Client(cluster) as client,
        pytest.raises(RuntimeError, match="has no worker: start some"),
    ):
        Engine(cluster=client).gram(KERNEL, X)
