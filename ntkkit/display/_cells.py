"""Tables and pictures with holes: what they may be, which cells are drawn, and the range of their colours."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.utils import check_array

CHANNELS = (1, 3)


def check_values(values: Any, name: str, *, shape: Any = None, finite: Any = True) -> np.ndarray:
    """Return values as float64, a grey picture without its one channel.

    Raises
    ------
    ValueError
        If they are no numbers, infinite, or of the wrong shape.
    """
    values = check_array(
        values, dtype=np.float64, ensure_all_finite=finite, ensure_2d=False, allow_nd=True, input_name=name
    )
    if values.ndim not in (2, 3) or (values.ndim == 3 and values.shape[2] not in CHANNELS):
        raise ValueError(
            f"{name} must be a table (n_rows, n_columns) or one picture (H, W), (H, W, 1) or (H, W, 3); found shape "
            f"{values.shape}."
        )
    values = values[..., 0] if values.shape[2:] == (1,) else values
    if shape is not None and values.shape != shape:
        raise ValueError(f"{name} has shape {values.shape}, but observed {shape}.")
    return values


def choose(wanted: np.ndarray, most: int) -> np.ndarray:
    """Places to draw, in order: evenly spread over those wanted, then over the others."""
    chosen: list[int] = []
    for places in (np.flatnonzero(wanted), np.flatnonzero(~wanted)):
        n = min(most - len(chosen), len(places))
        chosen.extend(places[np.linspace(0, len(places) - 1, n).round().astype(int)])
    return np.sort(chosen)


def find_limits(observed: np.ndarray, *, image: bool) -> tuple[float, float]:
    """Values of the least and the greatest colour."""
    if not image:
        low, high = np.nanquantile(observed, [0.005, 0.995])
        return float(low), float(high)
    low, high = float(np.nanmin(observed)), float(np.nanmax(observed))
    if low >= 0 and high <= 255:
        return 0.0, 1.0 if high <= 1 else 255.0
    return low, high if high > low else low + 1.0
