"""Numbers of rows of which few differ: each is compiled for, which takes longer than computing a few rows more."""

from __future__ import annotations

import numpy as np

# Numbers of rows are multiples of this, larger ones of up to an eighth of themselves.
SMALLEST = 8


def rounded(n: int, smallest: int = SMALLEST) -> int:
    """A number of rows, not much larger, that few others share."""
    step = max(smallest, 2 ** max(n - 1, 1).bit_length() // SMALLEST)
    return -(-n // step) * step


def filled(rows: np.ndarray, n: int) -> np.ndarray:
    """Rows filled up to n of them, by the last."""
    return np.concatenate([rows, np.repeat(rows[-1:], n - len(rows), axis=0)]) if len(rows) < n else rows


def zero_filled(rows: np.ndarray, n: int) -> np.ndarray:
    """Rows filled up to n of them, by zeros."""
    return np.concatenate([rows, np.zeros((n - len(rows), *rows.shape[1:]), rows.dtype)]) if len(rows) < n else rows
