import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ntkkit.engine.memory import parse_memory
from ntkkit.engine.plan import LONGEST_SIDE, Plan, make_plan

DTYPE = np.dtype(np.float32)
LONGEST = LONGEST_SIDE["cpu"]


@given(n=st.integers(1, 200), m=st.integers(1, 200), height=st.integers(1, 60), width=st.integers(1, 60))
def test_tiles_cover_every_cell_once(n, m, height, width):
    plan = Plan((n, m), (height, width), (3 * height, 2 * width), symmetric=False, dtype=DTYPE)
    covered = np.zeros((n, m), int)
    for block in plan.blocks():
        assert block.bottom - block.top <= 3 * height
        for tile in plan.tiles(block):
            covered[tile.rows, tile.columns] += 1
            assert tile.top % height == tile.left % width == 0
    assert (covered == 1).all()


@given(n=st.integers(1, 300), side=st.integers(1, 60))
def test_symmetric_tiles_cover_the_upper_triangle_and_mirror_the_rest(n, side):
    plan = Plan((n, n), (side, side), (2 * side, 2 * side), symmetric=True, dtype=DTYPE)
    covered = np.zeros((n, n), int)
    for block in plan.blocks():
        for tile in plan.tiles(block):
            covered[tile.rows, tile.columns] += 1
            if tile.top != tile.left:
                covered[tile.columns, tile.rows] += 1
    assert (covered == 1).all()


@given(n=st.integers(1, 5000), m=st.integers(1, 5000))
def test_tiles_are_cut_evenly(n, m):
    plan = make_plan((n, m), symmetric=False, budget=1, needed_bytes=lambda tile: (1, 1), dtype=DTYPE)
    for size, side in zip((n, m), plan.tile, strict=True):
        count = -(-size // side)
        assert side <= LONGEST
        assert count * side - size < 64 * count


def test_budget_shortens_tiles_and_says_when_none_fits():
    def bytes_of(tile):
        return 100 + 10 * tile[0] * tile[1], 10 * tile[0] * tile[1]

    for budget in (10_000_000, 100_000, 5_000, 300):
        plan = make_plan((1000, 700), symmetric=False, budget=budget, needed_bytes=bytes_of, dtype=DTYPE)
        assert plan.tile_bytes == bytes_of(plan.tile)[0] <= budget
    assert plan.tile[0] >= 1
    with pytest.raises(
        MemoryError, match=r"memory=100 bytes is too little: tiles of one pair of inputs need 110 bytes"
    ):
        make_plan((1000, 700), symmetric=True, budget=100, needed_bytes=bytes_of, dtype=DTYPE)


@pytest.mark.parametrize(
    ("memory", "size"),
    [
        (1000, 1000),
        (np.int64(1000), 1000),
        ("500MB", 500_000_000),
        ("2 GB", 2_000_000_000),
        ("1GiB", 2**30),
        ("1.5kb", 1500),
        ("7 B", 7),
    ],
)
def test_parse_memory(memory, size):
    assert parse_memory(memory) == size


def test_auto_memory_is_a_share_of_the_machine():
    assert 2**20 < parse_memory("auto") < 2**50


@pytest.mark.parametrize("memory", ["lots", "", "GB", "-1GB", "0", 0, -5, 1.5, None, True, "nan GB", "1XB"])
def test_bad_memory(memory):
    with pytest.raises(ValueError, match="memory must be 'auto', a size such as '2GB', or a positive integer"):
        parse_memory(memory)
