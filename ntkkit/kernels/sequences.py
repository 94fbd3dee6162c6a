"""Checking sequences: lists of arrays, or arrays padded with NaN, as one array."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

# Arrays are filled up to a multiple of this, longer ones to one of a sixteenth of their length or more: few distinct
# shapes are compiled, and no time is spent on steps that no sequence has.
FEWEST_STEPS = 8


def as_sequences(X: Any, name: str = "X") -> np.ndarray:
    """Sequences as an array (n, T, m) that is NaN behind the end of each.

    Parameters
    ----------
    X : list of array-like, or array-like
        Arrays (T_i, m), or (T_i,) of one feature; or one array (n, T, m), or (n, T) of one feature, with NaN behind
        the end of each sequence.
    name : str
        What messages call it.

    Returns
    -------
    ndarray of shape (n, T, m)
        Float32 if X is, else float64; one's own. T is rounded up.

    Raises
    ------
    ValueError
        For no sequences, an empty one, NaN inside one, infinity, different numbers of features, or what is no number;
        with the row and what to do.
    """
    values = _padded(_rows(X, name))
    if 0 in values.shape:
        raise ValueError(
            f"{name} must hold at least one sequence, of at least one step and one feature; found (n, T, m) = "
            f"{values.shape}."
        )
    if np.isinf(values).any():
        row, step, feature = np.argwhere(np.isinf(values))[0]
        raise ValueError(
            f"{name} contains infinity: sequence {row}, step {step}, feature {feature}. Clip it, or drop the sequence."
        )
    missing = np.isnan(values)
    ends = values.shape[1] - np.argmin(missing.all(axis=2)[:, ::-1], axis=1)  # behind the last step that has numbers
    if (empty := missing.all(axis=(1, 2))).any():
        raise ValueError(f"Sequence {empty.argmax()} of {name} is empty: drop it.")
    inside = missing.any(axis=2) & (np.arange(values.shape[1]) < ends[:, None])
    if inside.any():
        row, step = np.argwhere(inside)[0]
        raise ValueError(
            f"{name} has NaN inside sequence {row}, at step {step} of {ends[row]}; NaN may only fill up what is behind "
            "the end. Interpolate what is missing, or drop the step."
        )
    return values


def lengths(X: np.ndarray) -> np.ndarray:
    """How many steps each sequence of a checked array has."""
    return (~np.isnan(X[..., 0])).sum(axis=1)


def _rows(X: Any, name: str) -> list[np.ndarray]:
    """Sequences as arrays (T_i, m)."""
    whole = None if isinstance(X, (list, tuple)) else np.asarray(X)
    if whole is not None and (whole.ndim not in (1, 2, 3) or (whole.ndim == 1 and whole.dtype != object)):
        raise ValueError(
            f"{name} must be sequences: a list of arrays (T_i, m), or an array (n, T, m) or, of one feature, (n, T); "
            f"found {X if whole.ndim == 0 else f'an array of shape {whole.shape}'}."
        )
    rows = [_numbers(row, f"Sequence {i} of {name}") for i, row in enumerate(X if whole is None else whole)]
    for i, row in enumerate(rows):
        if row.shape[1] != rows[0].shape[1]:
            raise ValueError(
                f"{name} must have the same features at every step: sequence 0 has {rows[0].shape[1]}, sequence {i} "
                f"has {row.shape[1]}. If rows are features and columns steps, ntkkit.datasets.to_sequences turns them."
            )
    return rows


def _numbers(row: Any, name: str) -> np.ndarray:
    """One sequence, (T, m), of float32 or float64."""
    try:
        row = np.asarray(row)
        if np.iscomplexobj(row):
            raise ValueError("it is complex")
        row = row if row.dtype == np.float32 else row.astype(np.float64)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{name} must be an array of real numbers: {error}.") from error
    if row.ndim not in (1, 2):
        raise ValueError(f"{name} must be an array (T, m) or, of one feature, (T,); found shape {row.shape}.")
    return row if row.ndim == 2 else row[:, None]


def _padded(rows: list[np.ndarray]) -> np.ndarray:
    longest = max(map(len, rows), default=0)
    step = max(FEWEST_STEPS, 2 ** math.ceil(math.log2(max(longest, 1))) // 16)
    shape = (len(rows), -(-longest // step) * step, rows[0].shape[1] if rows else 0)
    values = np.full(shape, np.nan, np.result_type(*rows) if rows else np.float64)
    for place, row in zip(values, rows, strict=True):
        place[: len(row)] = row
    return values
