"""Sequences as other libraries lay them out, as the estimators take them."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np

from ntkkit.kernels.sequences import as_numbers, as_sequences
from ntkkit.networks.sequences import lengths

Layout = Literal["time_first", "channels_first"]
# The axes of one sequence of T steps and m channels.
AXES = {"time_first": "T, m", "channels_first": "m, T"}


def to_sequences(X: Any, layout: Layout) -> list[np.ndarray]:
    """Turn sequences of tslearn, aeon or sktime into arrays (T_i, m), a row each step, as recurrent kernels read them.

    Parameters
    ----------
    X : array-like, list of array-like, or pandas DataFrame
        One of

        - an array of three axes, of equal lengths or with NaN behind the end of each sequence;
        - a list of arrays of two axes, or of one where a step has one channel, which may be padded with NaN, too;
        - an array or table (n, T), of one channel;
        - a data frame with one row a step, indexed by instance and time (sktime's "pd-multiindex");
        - a data frame with one row an instance, one column a channel, and series in its cells ("nested_univ").
    layout : {"time_first", "channels_first"}
        Which axis is time: nothing in an array tells. "time_first": arrays are (n, T, m) as tslearn's, and those of
        lists (T_i, m), as a step is a row of the "pd-multiindex". "channels_first": (n, m, T) as aeon's and sktime's
        "numpy3D", and (m, T_i), as a channel is a cell of the "nested_univ".

    Returns
    -------
    list of ndarray of shape (T_i, m)
        Without padding; float32 if all of X is, else float64. In the order of X; that of a "pd-multiindex" is the one
        in which instances first appear.

    Raises
    ------
    ValueError
        For an unknown layout, or one that a data frame contradicts, other dimensions, channels of different lengths or
        numbers, an empty sequence, NaN inside one, infinity, or what is no number; with the row and what to do.

    Examples
    --------
    Two sequences of three channels, of 5 and 4 steps:

    >>> import numpy as np
    >>> from ntkkit.datasets import to_sequences
    >>> X = np.ones((2, 3, 5))
    >>> X[1, :, 4] = np.nan
    >>> [x.shape for x in to_sequences(X, layout="channels_first")]
    [(5, 3), (4, 3)]
    """
    if layout not in AXES:
        raise ValueError(
            f'layout must be "time_first", for arrays (n, T, m), or "channels_first", for (n, m, T); found {layout!r}.'
        )
    rows = _of_frame(X, layout) if hasattr(X, "iloc") and hasattr(X, "columns") else _of_arrays(X, layout)
    for i, row in enumerate(rows):
        if row.shape[1] != rows[0].shape[1]:
            raise ValueError(
                f"X must have as many channels in every sequence: with layout={layout!r} sequence 0 has "
                f"{rows[0].shape[1]}, sequence {i} has {row.shape[1]}. If that is time, give the other layout."
            )
        _check_ends(i, row)
    values = as_sequences(rows)
    return [value[:n_steps].copy() for value, n_steps in zip(values, lengths(values), strict=True)]


def _of_arrays(X: Any, layout: Layout) -> list[np.ndarray]:
    """Arrays (T, m), padded as they came."""
    if not isinstance(X, (list, tuple)):
        given, X = X, np.asarray(X)
        if X.ndim not in (2, 3) and not (X.ndim == 1 and X.dtype == object):
            raise ValueError(
                f"X must be, with layout={layout!r}, an array (n, {AXES[layout]}), a list of arrays ({AXES[layout]}) "
                f"or, of one channel, an array (n, T); found {f'shape {X.shape}' if X.ndim else f'{given!r:.80}'}."
            )
    rows = [as_numbers(row, f"Sequence {i} of X") for i, row in enumerate(X)]
    for i, row in enumerate(rows):
        if row.ndim not in (1, 2):
            raise ValueError(
                f"Sequence {i} of X must be, with layout={layout!r}, an array ({AXES[layout]}) or, of one channel, "
                f"(T,); found shape {row.shape}."
            )
    return [row[:, None] if row.ndim == 1 else row if layout == "time_first" else row.T for row in rows]


def _of_frame(X: Any, layout: Layout) -> list[np.ndarray]:
    """Arrays (T, m) of a data frame's instances."""
    if X.index.nlevels > 2:
        raise ValueError(
            f"X has an index of {X.index.nlevels} levels, {list(X.index.names)}; it must have two, instance and time: "
            "take one group, or make one level of all but the last."
        )
    if X.index.nlevels == 2:
        _check_layout(layout, "time_first", 'one row a step ("pd-multiindex")')
        return [_steps(i, name, part) for i, (name, part) in enumerate(X.groupby(level=0, sort=False, dropna=False))]
    if len(X) and any(np.ndim(cell) for cell in X.iloc[0]):
        _check_layout(layout, "channels_first", 'one channel a cell ("nested_univ")')
        return [_cells(i, X.columns, cells) for i, cells in enumerate(X.itertuples(index=False, name=None))]
    return _of_arrays(X.to_numpy(), layout)


def _check_layout(layout: Layout, its: Layout, what: str) -> None:
    if layout != its:
        raise ValueError(f'X is a data frame with {what}: its layout is "{its}", found layout={layout!r}.')


def _steps(i: int, instance: Any, part: Any) -> np.ndarray:
    """The rows of one instance of a "pd-multiindex"."""
    times = part.index.get_level_values(1)
    if not (times.is_monotonic_increasing and times.is_unique):
        raise ValueError(
            f"Sequence {i} of X, instance {instance!r}, has times that are not in ascending order, or twice: sort them "
            "by X.sort_index(), and drop what is there twice."
        )
    return as_numbers(part, f"Sequence {i} of X")


def _cells(i: int, columns: Any, cells: tuple[Any, ...]) -> np.ndarray:
    """The channels of one row of a "nested_univ"."""
    channels = [
        as_numbers(cell, f"Channel {name!r} of sequence {i} of X") for name, cell in zip(columns, cells, strict=True)
    ]
    for name, channel in zip(columns, channels, strict=True):
        if channel.ndim != 1:
            raise ValueError(
                f"Channel {name!r} of sequence {i} of X must be a series, found {channel}: drop the column."
            )
    _check_equal(i, list(columns), [len(channel) for channel in channels])
    return np.stack(channels, axis=1)


def _check_ends(i: int, row: np.ndarray) -> None:
    """Check that no channel ends before the others."""
    there = ~np.isnan(row)
    last = len(row) - np.argmax(there[::-1], axis=0) if len(row) else np.zeros(row.shape[1], int)
    _check_equal(i, list(range(row.shape[1])), np.where(there.any(axis=0), last, 0).tolist())


def _check_equal(i: int, names: list[Any], n_steps: list[int]) -> None:
    for name, count in zip(names, n_steps, strict=True):
        if count != n_steps[0]:
            raise ValueError(
                f"Sequence {i} of X must be as long in every channel: channel {names[0]!r} has {n_steps[0]} steps, "
                f"channel {name!r} has {count}. Cut the longer ones, or interpolate the shorter."
            )
