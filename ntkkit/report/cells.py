"""A table with empty cells: which of them can be filled, and the same text with those filled."""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ntkkit.report.columns import listed, read_column
from ntkkit.report.problem import ReportError
from ntkkit.report.reading import Format, read_formatted, read_text

FEWEST_ROWS = 10
# Rows whose observed cells say with how many decimals a column is written.
SAMPLE = 1000


class Column(NamedTuple):
    """How the numbers of a column are, and how they are written: None decimals are six significant digits."""

    name: str
    place: int
    low: float
    high: float
    whole: bool
    decimals: int | None
    words: tuple[str, str] | None


@dataclass(frozen=True)
class Cells:
    """The numbers of a table, and its text.

    Attributes
    ----------
    title : str
    columns : list of Column
        Those of numbers and of truth values.
    values : ndarray of shape (n_rows, n_columns)
        NaN where there is no finite number; truth values are 0 and 1.
    empty : ndarray of bool, of the same shape
        Cells to fill. Infinite values are none.
    notes : list of str
        What is worth saying, a sentence each.
    text : DataFrame of str
        All cells, as they are written.
    format : Format
    """

    title: str
    columns: list[Column]
    values: np.ndarray
    empty: np.ndarray
    notes: list[str]
    text: Any
    format: Format

    def finish(self, values: np.ndarray) -> np.ndarray:
        """Numbers as they may be written: within the range of the column's, whole in columns of whole numbers."""
        low, high = (np.array([getattr(column, end) for column in self.columns]) for end in ("low", "high"))
        whole = np.array([column.whole for column in self.columns])
        values = np.clip(values, low, high)
        return np.where(whole, np.round(values), values)

    def as_csv(self, values: np.ndarray) -> bytes:
        """The table as it was written, empty cells filled with values (n_rows, n_columns) that are finished."""
        text = self.text.to_numpy(dtype=object, copy=True)
        for number, column in enumerate(self.columns):
            rows = np.flatnonzero(self.empty[:, number])
            written = [_write(value, column, self.format.decimal) for value in values[rows, number]]
            text[rows, self.format.n_row_names + column.place] = written
        file = io.StringIO()
        writer = csv.writer(file, delimiter=self.format.separator, lineterminator=self.format.newline)
        writer.writerow(self.format.header)
        writer.writerows(text)
        return file.getvalue().encode(self.format.encoding)


def read_cells(path: Path) -> Cells:
    """A CSV file as a table to complete.

    Raises
    ------
    ReportError
        If the file is no table, has too few rows, no column of numbers, or none with an empty cell.
    """
    frame, notes, format = read_formatted(path)
    if len(frame) < FEWEST_ROWS:
        raise ReportError(f"{path} has {len(frame)} rows; at least {FEWEST_ROWS} are needed to complete it")
    text = read_text(path, format)
    columns, values, empty = [], [], []
    left: dict[str, tuple[list[str], int]] = {}
    for place, name in enumerate(frame):
        numbers, kind = _read_numbers(frame[name])
        if kind in ("numeric", "mostly numeric", "truth values"):
            columns.append(_describe(str(name), place, numbers, text[format.n_row_names + place], kind))
            values.append(numbers)
            infinite = _are_infinite(frame[name])
            empty.append(np.isnan(numbers) & ~infinite)
            if kind == "mostly numeric":
                notes.append(f"Column {name}: words in it are taken for empty cells.")
            if infinite.any():
                notes.append(f"Column {name}: infinite numbers are left as they are.")
        elif frame[name].isna().any():
            reason = "without any value" if kind == "empty" else "no numbers"
            names, count = left.get(reason, ([], 0))
            left[reason] = ([*names, str(name)], count + int(frame[name].isna().sum()))
    for reason, (names, count) in left.items():
        notes.append(f"{listed(names)}: {reason}, left with {count:,} empty cells.")
    if not columns:
        raise ReportError(f"{path} has no column of numbers to complete: " + " ".join(notes or ["all are text"]))
    if not np.any(empty):
        also = "".join(f"; {note}" for note in notes)
        raise ReportError(
            f"{path} has no empty cell in its {len(columns)} columns of numbers: nothing to complete{also}"
        )
    return Cells(path.name, columns, np.column_stack(values), np.column_stack(empty), notes, text, format)


def _read_numbers(column: Any) -> tuple[np.ndarray, str]:
    """The numbers of a column, truth values as 0 and 1, and its kind as `read_column` has it."""
    import pandas as pd

    present = column.dropna()
    if len(present) and present.map(type).eq(bool).all():
        return column.map({True: 1.0, False: 0.0}).to_numpy(dtype=float, na_value=np.nan), "truth values"
    read, kind = read_column(column)
    return pd.to_numeric(read, errors="coerce").to_numpy(dtype=float, na_value=np.nan), kind


def _are_infinite(column: Any) -> np.ndarray:
    import pandas as pd

    return np.isinf(pd.to_numeric(column, errors="coerce").to_numpy(dtype=float, na_value=np.nan))


def _describe(name: str, place: int, numbers: np.ndarray, text: Any, kind: str) -> Column:
    rows = np.flatnonzero(~np.isnan(numbers))
    present = numbers[rows]
    words = None
    if kind == "truth values":
        spelled = {bool(value): text.iloc[row] for row, value in zip(rows, present, strict=True)}
        words = (spelled.get(False, "False"), spelled.get(True, "True"))
    samples = text.iloc[rows[:SAMPLE]]
    decimals = None if samples.str.contains("e", case=False).any() else int(samples.map(_count_decimals).max())
    whole = bool((present == np.round(present)).all())
    return Column(name, place, present.min(), present.max(), whole, decimals, words)


def _count_decimals(text: str) -> int:
    whole, _, decimals = text.strip().replace(",", ".").rpartition(".")
    return len(decimals) if whole or text.strip().startswith((".", ",")) else 0


def _write(value: float, column: Column, decimal: str) -> str:
    if column.words:
        return column.words[int(value)]
    if column.decimals is None:
        return f"{value:.6g}".replace(".", decimal)
    return f"{round(value, column.decimals) + 0.0:.{column.decimals}f}".replace(".", decimal)
