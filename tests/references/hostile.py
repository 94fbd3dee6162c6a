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


def hostile_sequences(n_steps, n_features):
    """Duplicates, near, shifted, scaled, cut and opposite ones; constants, zeros and waves; of all sizes."""
    rng = np.random.default_rng(0)
    a, b, c = rng.standard_normal((3, n_steps, n_features))
    walk = np.cumsum(rng.standard_normal((n_steps, n_features)), axis=0) / 5
    wave = np.sin(np.arange(n_steps) / 7)[:, None] * np.ones(n_features)
    noise, ones, half = (
        1 + 1e-4 * rng.standard_normal((n_steps, n_features)),
        np.ones((n_steps, n_features)),
        n_steps // 2,
    )
    late = np.where(np.arange(n_steps)[:, None] < half, 1, -1)
    alike = [a, a, a * noise, a[:-1], a[:half], a[half:], np.roll(a, 1, axis=0), late * a, (late > 0) * a]
    opposite = [-a, -a * noise, -walk, -ones, walk[:1], -walk[:1], -wave]
    sizes = [b, 2 * b, 1e3 * b, 1e-3 * b, ones, 1e3 * ones, 1e-3 * ones[:half], 0 * ones, 0 * ones[:half]]
    return [x.astype(np.float32) for x in (*alike, *opposite, *sizes, c, walk, wave)]
