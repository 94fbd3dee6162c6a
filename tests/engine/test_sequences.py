"""Sequences are sorted by length into tiles; entries come back in the order of the data, whatever takes them."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from references.sequences import Averages, averages, draw, pad

from ntkkit import NTK, Cache, Engine, Recurrent
from ntkkit.engine import result
from ntkkit.engine.compile import Job
from ntkkit.engine.plan import Plan
from ntkkit.engine.result import Means
from ntkkit.engine.work import Tiles

RECURRENT = NTK(Recurrent())
SIDE = 16
AVERAGES = Averages()


@pytest.fixture
def X(rng):
    return draw(rng, rng.integers(1, 21, 60))


@pytest.fixture
def small_tiles(monkeypatch):
    """Tiles of 16 pairs a side, and blocks of two by two."""
    monkeypatch.setattr(result, "LONGEST_SIDE", {"cpu": SIDE})
    monkeypatch.setattr("ntkkit.engine.plan.TILES_A_SQUARE_SIDE", 2)
    monkeypatch.setattr(Plan, "with_blocks", lambda plan, budget, n_workers=1: plan)
    monkeypatch.setattr(Tiles, "seconds_each", lambda tiles, devices: 1.0)


@pytest.fixture
def evaluated(monkeypatch):
    """The tiles that were evaluated, and the lengths of their rows."""
    found, call = [], Tiles.__call__
    monkeypatch.setattr(
        Tiles, "__call__", lambda tiles, device, place: (found.append((tiles, place)), call(tiles, device, place))[1]
    )
    return found


lengths = st.one_of(st.lists(st.integers(1, 9), min_size=1, max_size=25), st.integers(1, 25).map(lambda n: [4] * n))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data(), lengths_x=lengths, lengths_y=st.none() | lengths, n_blocks=st.integers(1, 3))
def test_any_lengths_tiles_and_blocks_give_the_same_matrix(rng, data, lengths_x, lengths_y, n_blocks):
    X, Y = draw(rng, lengths_x), None if lengths_y is None else draw(rng, lengths_y)
    height = data.draw(st.integers(1, 30))
    tile = height, height if Y is None else data.draw(st.integers(1, 30))
    shape = len(X), len(X if Y is None else Y)
    plan = Plan(shape, tile, (n_blocks * tile[0], n_blocks * tile[1]), Y is None, np.dtype(float))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Means, "plan", lambda means, work, **kwargs: plan)
        patch.setattr(Job, "__call__", lambda job, device, X, Y, *, same: averages(*map(np.asarray, (X, Y))))
        found = Engine().gram(AVERAGES, X, Y)
    np.testing.assert_allclose(found, averages(X, X if Y is None else Y), rtol=1e-12)


def test_tiles_hold_sequences_of_like_lengths(X, small_tiles, evaluated):
    """A step that no sequence of a tile has is not computed, so that sorted tiles take less time."""
    Engine().gram(AVERAGES, X)
    n_steps = np.array([len(x) for x in X])
    longest = {place.top: n_steps[tiles.row_order[place.rows]].max() for tiles, place in evaluated}
    first, second = np.sort(n_steps[:32]), np.sort(n_steps[32:])  # of a block each
    assert longest == {0: first[15], 16: first[31], 32: second[15], 48: second[-1]}


def test_a_recurrent_kernel_in_tiles(X, small_tiles):
    Y = draw(np.random.default_rng(1), [7] * 32)
    K = Engine().gram(RECURRENT, [*X, *Y])
    np.testing.assert_array_equal(K, K.T)
    np.testing.assert_allclose(Engine().diag(RECURRENT, [*X, *Y]), K.diagonal(), rtol=1e-12)
    for one, other, expected in ((X, Y, K[:60, 60:]), (Y, X, K[60:, :60]), (X[28:], X, K[28:60, :60])):
        np.testing.assert_allclose(Engine().gram(RECURRENT, one, other), expected, rtol=1e-12)


def test_padding_changes_no_bit(X, small_tiles):
    K = Engine().gram(RECURRENT, X)
    longer = np.concatenate([pad(X), np.full((60, 30, 2), np.nan)], axis=1)
    for padded in (pad(X), longer, [*pad(X)], pd.Series(X)):
        np.testing.assert_array_equal(Engine().gram(RECURRENT, padded), K)
    np.testing.assert_array_equal(
        Engine().gram(RECURRENT, [x.astype(np.float32) for x in X]), Engine().gram(RECURRENT, pad(X).astype(np.float32))
    )


def test_panels_products_and_gradients(X, small_tiles, rng):
    Y, v, W = draw(rng, [5] * 30), rng.standard_normal(60), rng.standard_normal((60, 60))
    expected = averages(X, X)
    for engine in (Engine(), Engine(memory="150kB")):
        for one, other in ((X, X), (X, Y), (Y, X)):
            pieces = list(engine.panels(AVERAGES, one, other))
            panels = np.concatenate([panel for _, panel in pieces])
            np.testing.assert_allclose(panels, averages(one, other), rtol=1e-12)
        np.testing.assert_allclose(engine.matvec(AVERAGES, X, v), expected @ v, rtol=1e-10)
        np.testing.assert_allclose(engine.matvec(AVERAGES, Y, v, X), averages(Y, X) @ v, rtol=1e-10)
        np.testing.assert_allclose(engine.diag(AVERAGES, X), expected.diagonal(), rtol=1e-12)
        K, gradient = engine.gram_gradient(AVERAGES, X)
        np.testing.assert_allclose(K, expected, rtol=1e-12)
        np.testing.assert_allclose(gradient.sum(axis=2), expected, rtol=1e-12)  # it is linear in both
        np.testing.assert_allclose(engine.pullback(AVERAGES, X, W), np.einsum("ij,ijp->p", W, gradient), rtol=1e-10)
    assert len(pieces) > 1


def chunks(path):
    return sorted(file for file in Path(path, "c").rglob("*") if file.is_file())


@pytest.mark.parametrize("rectangular", [False, True])
def test_a_store_goes_on_and_knows_padded_sequences(X, small_tiles, evaluated, tmp_path, rectangular):
    engine, Y = Engine(store=tmp_path), X[:20] if rectangular else None
    expected = averages(X, X)[:, : 20 if rectangular else 60]
    np.testing.assert_allclose(engine.gram(AVERAGES, X, Y)[...], expected, rtol=1e-12)
    stored, blocks = engine.gram(AVERAGES, X, Y)[...], chunks(tmp_path)
    assert len(blocks) == (2 if rectangular else 4)
    blocks[1].unlink()
    evaluated.clear()
    padded = pad(X), pad(X)[:20] if rectangular else None
    np.testing.assert_array_equal(engine.gram(AVERAGES, *padded)[...], stored)
    assert len(evaluated) == 4  # the tiles of one block, or of its mirror image
    evaluated.clear()
    v = np.arange(stored.shape[1])
    np.testing.assert_allclose(engine.matvec(AVERAGES, X, v, Y), stored @ v, rtol=1e-12)
    assert evaluated == []
    with pytest.raises(ValueError, match=r"holds another matrix: X\.digest"):
        engine.gram(AVERAGES, X[::-1], Y)


def test_a_cache_knows_padded_sequences(X, evaluated):
    engine = Engine(cache=Cache())
    K = engine.gram(AVERAGES, X)
    for same in (pad(X), tuple(X), [x.tolist() for x in X]):
        np.testing.assert_array_equal(engine.gram(AVERAGES, same), K)
    assert (engine.cache.n_hits, engine.cache.n_misses) == (3, 1)
    engine.gram(AVERAGES, [*X[:-1], np.concatenate([X[-1], [[0.0, 0.0]]])])  # zeros are no padding
    assert engine.cache.n_misses == 2


def test_ten_thousand_steps_in_little_memory():
    X = np.random.default_rng(0).standard_normal((6, 10_000)).astype(np.float32)
    X[0, 9_000:] = np.nan
    kernel, engine = NTK(Recurrent(recurrent_weight_var=1.9)), Engine(memory="20MB")
    assert engine.plan(kernel, X).tile_bytes < 20e6
    K = engine.gram(kernel, X)
    np.testing.assert_allclose(K[:2, :2], engine.gram(kernel, X[:2].astype(float)), rtol=1e-4)
