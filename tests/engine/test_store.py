"""A matrix in a store: found again, gone on with, and never wrong, whatever happens to the process or the disk."""

import multiprocessing
import os
import random
import resource
import shutil
import signal
import subprocess
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import jax.numpy as jnp
import numpy as np
import pytest
import zarr

from ntkkit import NNGP, NTK, Engine, FullyConnected, Kernel, NeuralKernelRegressor
from ntkkit.engine import result
from ntkkit.engine.fingerprint import describe, describe_matrix
from ntkkit.engine.plan import Plan
from ntkkit.engine.store import Store, multiply
from ntkkit.engine.work import Tiles

KERNEL = NTK(FullyConnected(depth=1))
LINEAR = NTK(FullyConnected(depth=0))
SIDE = 64


@pytest.fixture
def X(rng):
    return rng.standard_normal((300, 4)).astype(np.float32)


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
    """Blocks of one small tile: otherwise they hold 20 seconds of work."""
    monkeypatch.setattr(Plan, "with_blocks", lambda plan, budget, n_workers=1: plan)
    monkeypatch.setattr("ntkkit.engine.plan.TILES_A_SQUARE_SIDE", 1)
    monkeypatch.setattr(result, "LONGEST_SIDE", {"cpu": SIDE})


@pytest.fixture
def evaluated(monkeypatch):
    """The blocks that were evaluated."""
    places = []
    call = Tiles.__call__
    monkeypatch.setattr(
        Tiles, "__call__", lambda tiles, device, place: (places.append(place), call(tiles, device, place))[1]
    )
    monkeypatch.setattr(Tiles, "seconds_each", lambda tiles, devices: 1.0)
    return places


def chunks(path):
    return sorted(file for file in Path(path, "c").rglob("*") if file.is_file())


def test_it_is_the_matrix_and_a_zarr_array(X, tmp_path, evaluated):
    K = Engine(store=tmp_path / "K").gram(KERNEL, X)
    assert isinstance(K, zarr.Array)
    np.testing.assert_array_equal(K[...], Engine().gram(KERNEL, X))
    np.testing.assert_array_equal(zarr.open_array(tmp_path / "K", mode="r")[:70, 5], K[:70, 5])
    with pytest.raises(ValueError, match="read"):
        K[0, 0] = 1.0


@pytest.mark.parametrize("rectangular", [False, True])
def test_what_is_there_is_not_evaluated_again(X, tmp_path, evaluated, rectangular):
    Y = X[:130] + 1 if rectangular else None
    n_blocks = 15  # 5 x 3, or the upper triangle of 5 x 5
    engine, expected = Engine(store=tmp_path), Engine().gram(KERNEL, X, Y)
    evaluated.clear()
    engine.gram(KERNEL, X, Y)
    assert len(evaluated) == n_blocks
    evaluated.clear()
    np.testing.assert_array_equal(engine.gram(KERNEL, X, Y)[...], expected)
    assert evaluated == []
    removed = chunks(tmp_path)[3]
    removed.unlink()
    np.testing.assert_array_equal(engine.gram(KERNEL, X, Y)[...], expected)
    assert len(evaluated) == 1


def flip(file):
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)


DAMAGES = {
    "flipped bit": flip,
    "truncated": lambda file: os.truncate(file, 1000),
    "empty": lambda file: os.truncate(file, 0),
    "short of one number": lambda file: os.truncate(file, SIDE * SIDE * 4),
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_damaged_blocks_are_evaluated_anew_and_never_read(X, tmp_path, evaluated, damage):
    engine = Engine(store=tmp_path)
    K = engine.gram(KERNEL, X)
    expected = K[...]
    damage(chunks(tmp_path)[7])
    with pytest.raises(ValueError, match=r"checksum|cannot reshape|size|buffer"):
        K[...]
    evaluated.clear()
    with pytest.warns(UserWarning, match="damaged"):
        np.testing.assert_array_equal(engine.gram(KERNEL, X)[...], expected)
    assert len(evaluated) == 1


def test_a_damaged_description_is_an_error(X, tmp_path, evaluated):
    Engine(store=tmp_path).gram(KERNEL, X)
    os.truncate(tmp_path / "zarr.json", 100)
    with pytest.raises(ValueError, match=r"zarr.json of store=.* cannot be read .*remove"):
        Engine(store=tmp_path).gram(KERNEL, X)


OTHERS = {
    "a hyperparameter": (
        lambda X: (KERNEL.replace(network__weight_var=1.5), X),
        r"kernel.network.weight_var: 2.0 there, 1.5 here",
    ),
    "a kernel": (lambda X: (NNGP(KERNEL.network), X), r"kernel.type: 'ntkkit.kernels.limits.NTK' there"),
    "the data": (lambda X: (KERNEL, X + 1), r"X.digest: "),
    "the number of rows": (lambda X: (KERNEL, X[:5]), r"X.shape: \[300, 4\] there, \[5, 4\] here"),
    "the precision": (lambda X: (KERNEL, X.astype(float)), r"dtype: 'float32' there, 'float64' here"),
}


@pytest.mark.parametrize(("other", "message"), OTHERS.values(), ids=OTHERS)
def test_another_matrix_is_refused_with_what_differs(X, tmp_path, evaluated, other, message):
    Engine(store=tmp_path).gram(KERNEL, X)
    before = chunks(tmp_path)
    with pytest.raises(ValueError, match=f"holds another matrix: .*{message}.*Give another path"):
        Engine(store=tmp_path).gram(*other(X))
    assert chunks(tmp_path) == before


def test_another_format_is_refused(X, tmp_path, evaluated, monkeypatch):
    Engine(store=tmp_path).gram(KERNEL, X)
    monkeypatch.setattr("ntkkit.engine.store.FORMAT", 2)
    with pytest.raises(ValueError, match="format: 1 there, 2 here"):
        Engine(store=tmp_path).gram(KERNEL, X)


def test_a_directory_of_something_else_is_left_alone(X, tmp_path):
    (tmp_path / "thesis.tex").write_text("ten years")
    with pytest.raises(ValueError, match="exists, and is no kernel matrix"):
        Engine(store=tmp_path).gram(KERNEL, X)
    with pytest.raises(ValueError, match="exists, and is no kernel matrix"):
        Engine(store=tmp_path / "thesis.tex").gram(KERNEL, X)
    zarr.create_array(tmp_path / "theirs", shape=(3, 3), dtype="f4")
    with pytest.raises(ValueError, match="no matrix of ntkkit's"):
        Engine(store=tmp_path / "theirs").gram(KERNEL, X)
    assert sorted(os.listdir(tmp_path)) == ["theirs", "thesis.tex"]


def test_a_kernel_that_nobody_recognises_is_refused(X, tmp_path):
    kernel = NNGP(FullyConnected(depth=1, activation=lambda z: jnp.tanh(z)))
    with pytest.raises(ValueError, match=r"kernel.network.activation is <function .*under their names"):
        Engine(store=tmp_path / "K").gram(kernel, X)
    assert not (tmp_path / "K").exists()
    describe(NNGP(FullyConnected(depth=1, activation=jnp.tanh)))


class Scripted(Kernel):
    def __init__(self):
        pass

    def tile(self, X, Y, *, same=False):
        return X @ Y.T

    def tile_diag(self, X):
        return (X * X).sum(axis=1)


@pytest.mark.parametrize("name", [{"__module__": "__main__"}, {"__qualname__": "f.<locals>.Scripted"}])
def test_a_class_of_a_script_is_refused(X, tmp_path, name):
    """Its next definition may compute something else under the same name."""
    scripted = type("Scripted", (Scripted,), name)
    with pytest.raises(ValueError, match=r"kernel is Scripted\(\), .* classes that a module defines"):
        Engine(store=tmp_path / "K").gram(scripted(), X)
    assert not (tmp_path / "K").exists()


def test_killed_before_it_had_begun(X, tmp_path, evaluated):
    """Half of a description is no foreign file."""
    (tmp_path / "zarr.0123456789abcdef.partial").write_text("{")
    assert Engine(store=tmp_path).gram(KERNEL, X).shape == (300, 300)
    assert not list(tmp_path.glob("*.partial"))


def test_what_was_begun_before_is_not_written_into_another_matrix(X, tmp_path, evaluated):
    """A worker of a cluster may still evaluate when its run was stopped, and the store removed and begun anew."""
    Engine(store=tmp_path / "K").gram(KERNEL, X)
    late, plan = Store(tmp_path / "K"), Engine().plan(KERNEL, X)
    assert late.block(describe_matrix(KERNEL, X, None, X.dtype)) == (SIDE, SIDE)
    plan = replace(plan, block=(SIDE, SIDE))
    place = plan.blocks()[0]
    late.write(place, np.zeros(place.shape, np.float32), plan)
    with pytest.raises(FileNotFoundError, match="nobody may remove it meanwhile"):
        late.write(place, np.zeros(place.shape, np.float32), replace(plan, block=(2 * SIDE, 2 * SIDE)))
    shutil.rmtree(tmp_path / "K")
    with pytest.raises(FileNotFoundError, match="nobody may remove it meanwhile"):
        late.write(place, np.zeros(place.shape, np.float32), plan)
    expected = Engine(store=tmp_path / "K").gram(LINEAR, X)[...]
    with pytest.raises(FileNotFoundError, match="nobody may remove it meanwhile"):
        late.write(place, np.zeros(place.shape, np.float32), plan)
    np.testing.assert_array_equal(Engine(store=tmp_path / "K").gram(LINEAR, X)[...], expected)


def test_bounds_of_a_search_are_no_difference(X, tmp_path, evaluated):
    Engine(store=tmp_path).gram(KERNEL, X)
    evaluated.clear()
    Engine(store=tmp_path).gram(NTK(KERNEL.network, bounds={"network__weight_var": "fixed"}), X)
    assert evaluated == []


def test_other_matrices_do_not_go_into_the_store(X, tmp_path):
    engine = Engine(store=tmp_path)
    with pytest.raises(ValueError, match=r"store=.* is for the matrix of gram; gram_at_depths would put others there"):
        engine.gram_at_depths(KERNEL, X, depths=[1, 2])
    with pytest.raises(ValueError, match="gram_gradient would put others there"):
        engine.gram_gradient(KERNEL, X)


@pytest.mark.parametrize("shape", [(300,), (300, 2), (300, 0)])
def test_products_from_the_store(X, tmp_path, evaluated, shape, rng):
    v, engine = rng.standard_normal(shape), Engine(store=tmp_path)
    np.testing.assert_allclose(engine.matvec(KERNEL, X, v), Engine().matvec(KERNEL, X, v), rtol=1e-12)
    evaluated.clear()
    engine.matvec(KERNEL, X, v)
    assert evaluated == []


def test_products_say_what_is_missing(X, tmp_path, evaluated):
    K = Engine(store=tmp_path).gram(KERNEL, X)
    flip(chunks(tmp_path)[2])
    with pytest.raises(OSError, match=r"damaged .*evaluate the matrix anew"):
        multiply(K, np.ones((300, 1)))
    chunks(tmp_path)[2].unlink()
    with pytest.raises(OSError, match=r"missing: evaluate the matrix anew.*or the kernel overflows float32"):
        multiply(K, np.ones((300, 1)))


def test_progress_starts_at_what_is_there(X, tmp_path, evaluated):
    Engine(store=tmp_path).gram(KERNEL, X)
    for file in chunks(tmp_path)[:5]:  # the first row of blocks
        file.unlink()
    counts = []
    Engine(store=tmp_path, progress=lambda done, total: counts.append((done, total))).gram(KERNEL, X)
    assert counts == [(done, 15) for done in range(10, 16)]
    assert "15 stored already" in repr(Engine(store=tmp_path).plan(KERNEL, X))


def test_the_plan_of_a_store_has_the_tiles_that_will_run(X, tmp_path, evaluated, monkeypatch):
    Engine(store=tmp_path).gram(KERNEL, X)
    chunks(tmp_path)[3].unlink()
    monkeypatch.setattr(result, "LONGEST_SIDE", {"cpu": 4 * SIDE})
    evaluated.clear()
    plan = Engine(store=tmp_path).plan(KERNEL, X)
    assert (plan.tile, plan.block, plan.n_stored) == ((SIDE, SIDE), (SIDE, SIDE), 14)
    Engine(store=tmp_path).gram(KERNEL, X)
    assert [place.shape for place in evaluated] == [(SIDE, SIDE)]


def test_estimators_fit_from_the_store(X, tmp_path, evaluated, rng):
    y = rng.standard_normal(300)
    plain = NeuralKernelRegressor(KERNEL, alpha=0.1).fit(X, y)
    model = NeuralKernelRegressor(KERNEL, alpha=0.1, engine=Engine(store=tmp_path)).fit(X, y)
    np.testing.assert_array_equal(model.predict(X[:20]), plain.predict(X[:20]))
    evaluated.clear()
    model.fit(X, y)
    assert evaluated == []
    small = Engine(store=tmp_path, memory="300KB")
    model = NeuralKernelRegressor(KERNEL, alpha=0.1, engine=small, n_components=50, tol=1e-8, random_state=0).fit(X, y)
    assert (model.solver_, "in the store" in model.solver_reason_) == ("pcg", True)
    np.testing.assert_allclose(model.predict(X[:20]), plain.predict(X[:20]), atol=1e-4)


# ---- other processes


def fill(path, n_rows, seconds_a_block):
    """Fill a store, slowly."""
    import ntkkit.engine.plan

    ntkkit.engine.plan.Plan.with_blocks = lambda plan, budget, n_workers=1: plan
    ntkkit.engine.plan.TILES_A_SQUARE_SIDE = 1
    result.LONGEST_SIDE = {"cpu": SIDE}
    call = Tiles.__call__
    Tiles.__call__ = lambda tiles, device, place: (time.sleep(seconds_a_block), call(tiles, device, place))[1]
    Tiles.seconds_each = lambda tiles, devices: 1.0
    Engine(store=path).gram(LINEAR, rows(n_rows))


def rows(n):
    return np.random.default_rng(0).standard_normal((n, 4)).astype(np.float32)


@pytest.fixture(scope="module")
def processes():
    """Processes that begin where one has imported everything, and jax has not started yet."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["ntkkit", "pytest", "zarr"])
    return context


def started(processes, path, seconds_a_block):
    process = processes.Process(target=fill, args=(path, 500, seconds_a_block))
    process.start()
    return process


def wait_until_it_writes(path, process):
    """Wait until the process holds the store."""
    end, holder = time.monotonic() + 60, path / ".holder"
    while not (holder.exists() and f"process {process.pid} " in holder.read_text()):
        assert process.is_alive(), "the process ended early"
        assert time.monotonic() < end, "too slow"
        time.sleep(0.005)


@pytest.mark.slow
def test_kill_and_go_on(tmp_path, evaluated, processes):
    """Killed at 20 random moments, each in a run that goes on from the last; then the same bits as in one run."""
    rng, path = random.Random(0), tmp_path / "K"
    X = rows(500)
    expected = Engine().gram(LINEAR, X)
    kills = 0
    while kills < 20:
        process = started(processes, path, 0.01)
        wait_until_it_writes(path, process)
        process.join(rng.uniform(0.0, 0.3))
        if process.is_alive():
            os.kill(process.pid, signal.SIGKILL)
            kills += 1
        process.join()
        there = {file: file.read_bytes() for file in chunks(path)}
        if len(there) > 40:  # nearly all of 64: begin again
            for file in there:
                file.unlink()
    evaluated.clear()
    before = len(chunks(path))
    np.testing.assert_array_equal(Engine(store=path).gram(LINEAR, X)[...], expected)
    assert before == 0 or len(evaluated) < 36
    assert not list(path.rglob("*.partial"))


def test_a_second_process_is_told_who_is_writing(tmp_path, evaluated, processes):
    path = tmp_path / "K"
    process = started(processes, path, 0.3)
    X = rows(500)
    try:
        wait_until_it_writes(path, process)
        with pytest.raises(BlockingIOError, match=rf"is being written by process {process.pid} on .* wait for it"):
            Engine(store=path).gram(LINEAR, X)
    finally:
        os.kill(process.pid, signal.SIGKILL)
        process.join()
    Engine(store=path).gram(LINEAR, X)  # the lock died with its process


def fill_a_small_disk(path, said):
    """What an operating system reports of a full disk, by a limit of the size of files."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, resource.RLIM_INFINITY))
    try:
        Engine(store=path).gram(LINEAR, rows(300))
    except OSError as error:
        said.put(str(error))


def test_a_full_disk_is_an_error_and_the_next_call_goes_on(tmp_path, evaluated, processes):
    path, said = tmp_path / "K", processes.SimpleQueue()
    process = processes.Process(target=fill_a_small_disk, args=(path, said))
    process.start()
    process.join()
    assert not said.empty()
    message = said.get()
    assert f"store='{path}' cannot be written" in message
    assert "goes on from them" in message
    assert not list(path.rglob("*.partial"))
    X = rows(300)
    np.testing.assert_array_equal(Engine(store=path).gram(LINEAR, X)[...], Engine().gram(LINEAR, X))


def test_a_small_disk_is_refused_at_once(X, tmp_path, monkeypatch):
    monkeypatch.setattr("shutil.disk_usage", lambda path: SimpleNamespace(free=1000))
    with pytest.raises(OSError, match=r"the matrix needs 360 kB, and the disk has 1 kB"):
        Engine(store=tmp_path / "K").gram(KERNEL, X)


def test_a_full_small_disk(tmp_path, evaluated):
    """The same with a file system of 300 kB, then one that is read-only, where this process may mount one."""
    path = tmp_path / "disk"
    path.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=300k", "none", path], capture_output=True).returncode:
        pytest.skip("no right to mount a file system")
    try:
        X = rows(250)  # 250 kB
        (path / "other").write_bytes(bytes(30_000))
        engine = Engine(store=path / "K")
        with pytest.raises(OSError, match=r"cannot be written .*finished blocks stay"):
            engine.gram(LINEAR, X)
        assert chunks(path / "K")
        (path / "other").unlink()
        subprocess.run(["mount", "-o", "remount,size=2m", path], check=True)
        np.testing.assert_array_equal(engine.gram(LINEAR, X)[...], Engine().gram(LINEAR, X))
        assert len(chunks(path / "K")) == 16
        subprocess.run(["mount", "-o", "remount,ro", path], check=True)
        engine.gram(LINEAR, X)  # all is there: nothing is written
        with pytest.raises(OSError, match=r"cannot be written .*[Rr]ead-only"):
            Engine(store=path / "other").gram(LINEAR, X)
    finally:
        subprocess.run(["umount", path], check=True)
