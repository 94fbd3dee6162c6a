"""Data made to hurt."""

import numpy as np


def hostile_rows():
    """Rows with exact and near duplicates, scaled copies, antipodes and near antipodes, zeros, and of all sizes."""
    rng = np.random.default_rng(0)
    rows = rng.standard_normal((40, 30))
    noise = 1 + 1e-4 * rng.standard_normal((8, 30))
    near = rows[:8]
    others = [
        near,
        near * noise,
        near * 2,
        near * 1024,
        -near,
        -near * noise,
        np.zeros((2, 30)),
        near * 1e-3,
        near * 1e3,
    ]
    return np.concatenate([rows, *others]).astype(np.float32)
