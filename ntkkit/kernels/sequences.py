"""Checking sequences: lists of arrays, or arrays padded with NaN, as one array."""

from __future__ import annotations

import math
from collections.abc import Iterable
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
        Arrays (T_i, m), or (T_i,) of one feature; or one array (n, T, m), or (n, T) of one feature. NaN behind the end
        of a sequence is no part of it.
    name : str
        What messages call it.

    Returns
    -------
    ndarray of shape (n, T, m)
        Float32 if all of X is, else float64; one's own. T is the length of the longest, rounded up.

    Raises
    ------
    ValueError
        For no sequences, an empty one, NaN inside one, infinity, different numbers of features, or what is no number;
        with the row and what to do.
    """
    values = _as_array(X, name)
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
    n_steps, blank = values.shape[1], missing.all(axis=2)
    _refuse_empty(blank.all(axis=1), name)
    ends = n_steps - np.argmin(blank[:, ::-1], axis=1)  # behind the last step that has numbers
    inside = missing.any(axis=2) & (np.arange(n_steps) < ends[:, None])
    if inside.any():
        row, step = np.argwhere(inside)[0]
        raise ValueError(
            f"{name} has NaN inside sequence {row}, at step {step} of {ends[row]}; NaN may only fill up what is behind "
            "the end. Interpolate what is missing, or drop the step."
        )
    longest = ends.max()
    padded = np.full((len(values), _rounded(longest), values.shape[2]), np.nan, values.dtype)
    np.copyto(padded[:, :longest], values[:, :longest], where=~missing[:, :longest])  # all NaN are the same bits
    return padded


def _as_array(X: Any, name: str) -> np.ndarray:
    """Numbers (n, T, m), with NaN behind the shorter ones of a list."""
    if isinstance(X, (list, tuple)):
        return _filled(X, name)
    n_levels, given, X = getattr(getattr(X, "index", None), "nlevels", 1), X, np.asarray(X)
    if n_levels > 1 or (X.ndim == 2 and X.dtype == object and X.size and np.ndim(X.flat[0])):
        raise ValueError(
            f"{name} is a data frame with series in its cells, or an index of {n_levels} levels. If rows are steps, "
            f"ntkkit.datasets.to_sequences turns them; if they are sequences of one feature, give {name}.to_numpy()."
        )
    if X.ndim in (2, 3):
        return _with_features(as_numbers(X, name), 3)
    if X.ndim == 1 and X.dtype == object:
        return _filled(X, name)
    raise ValueError(
        f"{name} must be sequences: a list of arrays (T_i, m), or an array (n, T, m) or, of one feature, (n, T); found "
        f"{f'an array of shape {X.shape}' if X.ndim else f'{given!r:.80}'}. One sequence x is the list [x]."
    )


def _filled(X: Iterable[Any], name: str) -> np.ndarray:
    rows = [_with_features(as_numbers(row, f"Sequence {i} of {name}"), 2) for i, row in enumerate(X)]
    for i, row in enumerate(rows):
        if row.ndim != 2:
            raise ValueError(
                f"Sequence {i} of {name} must be an array (T, m) or, of one feature, (T,); found shape {row.shape}. "
                "One sequence x is the list [x]."
            )
    n_steps = np.array([len(row) for row in rows], int)
    _refuse_empty(n_steps == 0, name)
    for i, row in enumerate(rows):
        if row.shape[1] != rows[0].shape[1]:
            raise ValueError(
                f"{name} must have the same features at every step: sequence 0 has {rows[0].shape[1]}, sequence {i} "
                f"has {row.shape[1]}. If rows are features and columns steps, ntkkit.datasets.to_sequences turns them."
            )
    if not rows:
        return np.empty((0, 0, 0))
    steps = np.concatenate(rows)
    values = np.full((len(rows), n_steps.max(), steps.shape[1]), np.nan, steps.dtype)
    values[np.arange(n_steps.max()) < n_steps[:, None]] = steps
    return values


def as_numbers(values: Any, name: str) -> np.ndarray:
    """An array of float32, if it is one, or float64."""
    try:
        values = np.asarray(values)
        if values.dtype.kind not in "fiubO":
            raise ValueError(f"found dtype {values.dtype}")
        return values if values.dtype == np.float32 else values.astype(np.float64, copy=False)
    except (TypeError, ValueError, OverflowError) as error:
        raise ValueError(f"{name} must be an array of real numbers: {str(error).rstrip('.')}.") from error


def _with_features(values: np.ndarray, ndim: int) -> np.ndarray:
    """Values with an axis of one feature, where they have none."""
    return values[..., None] if values.ndim == ndim - 1 else values


def _rounded(n_steps: int) -> int:
    step = max(FEWEST_STEPS, 2 ** math.ceil(math.log2(n_steps)) // 16)
    return -(-n_steps // step) * step


def _refuse_empty(empty: np.ndarray, name: str) -> None:
    if empty.any():
        raise ValueError(f"Sequence {empty.argmax()} of {name} is empty: drop it.")
