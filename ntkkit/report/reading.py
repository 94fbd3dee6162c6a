"""Reading a user's file: encodings, separators and decimal signs as they come."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any, NamedTuple

from ntkkit.report.problem import ReportError

SAMPLE_BYTES = 1 << 16
SEPARATORS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars"}
DECIMAL_COMMA = r"\s*[-+]?\d+,\d+\s*"
# What pandas takes for missing, and the sign of older tables.
ALSO_MISSING = ["?"]


class Format(NamedTuple):
    """How a table is written: `header` is what its columns are called as it stands there; rows may begin with names."""

    encoding: str
    separator: str
    newline: str
    decimal: str = "."
    header: tuple[str, ...] = ()
    n_row_names: int = 0


def read_table(path: Path) -> tuple[Any, list[str]]:
    """A CSV file as a pandas data frame, and what is worth saying about how it was read.

    Raises
    ------
    ReportError
        If there is no such file, or it is no table.
    """
    frame, notes, format = read_formatted(path)
    if format.n_row_names:
        notes.append("The first cells of the rows have no column name: taken as names of the rows, and left out.")
    return frame, notes


def read_formatted(path: Path) -> tuple[Any, list[str], Format]:
    """The same without a note on names of the rows, and how the file is written.

    Raises
    ------
    ReportError
        As above.
    """
    import pandas as pd

    head = _head(path)
    encoding = _encoding(head, path)
    text = head.decode(encoding, errors="ignore")
    format = Format(encoding, sniff_separator(text), "\r\n" if "\r\n" in text else "\n")
    notes = []
    if format.separator != ",":
        notes.append(f"Read with {SEPARATORS[format.separator]} between columns.")
    try:
        try:
            frame = _read(path, format)
        except UnicodeDecodeError:
            format = format._replace(encoding="cp1252")
            notes.append("Read as Windows-1252 text, since it is not UTF-8.")
            frame = _read(path, format)
        if format.separator != "," and any(_has_decimal_commas(frame[name]) for name in frame):
            format = format._replace(decimal=",")
            notes.append("Read with decimal commas.")
            frame = _read(path, format)
        header, first = _first_rows(path, format)
    except pd.errors.EmptyDataError:
        raise ReportError(f"{path} is empty") from None
    except (pd.errors.ParserError, UnicodeError, csv.Error, ValueError) as error:
        raise ReportError(f"{path} cannot be read as a table: {_one_line(error)}") from None
    names = [str(name).strip() for name in frame.columns]
    if len(set(names)) == len(names):
        frame.columns = names
    format = format._replace(header=tuple(header), n_row_names=max(0, len(first) - len(header)))
    return frame.reset_index(drop=True), notes, format


def read_text(path: Path, format: Format) -> Any:
    """The cells of a table, names of rows included, as they are written: a data frame of str for `read_formatted`'s."""
    names = list(range(format.n_row_names + len(format.header)))
    return _read(path, format, header=0, names=names, index_col=False, dtype=str, na_filter=False)


def _read(path: Path, format: Format, **settings: Any) -> Any:
    import pandas as pd

    return pd.read_csv(
        path,
        sep=format.separator,
        encoding=format.encoding,
        decimal=format.decimal,
        na_values=ALSO_MISSING,
        skipinitialspace=True,
        low_memory=False,
        **settings,
    )


def _first_rows(path: Path, format: Format) -> tuple[list[str], list[str]]:
    """The cells of the first two rows that have any."""
    with path.open(encoding=format.encoding, newline="") as file:
        rows = filter(None, csv.reader(file, delimiter=format.separator, skipinitialspace=True))
        return next(rows, []), next(rows, [])


def sniff_separator(text: str) -> str:
    """The separator that cuts the most lines alike, and into the most cells; a comma if none does."""
    lines = text.splitlines()
    lines = lines[:-1] if len(lines) > 2 else lines  # the last may be cut off
    found, most_cells = ",", 1
    for separator in SEPARATORS:
        counts = [len(row) for row in csv.reader(lines[:200], delimiter=separator) if row]
        alike = counts.count(counts[0]) / len(counts) if counts else 0
        if alike >= 0.9 and counts[0] > most_cells:
            found, most_cells = separator, counts[0]
    return found


def _head(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            head = file.read(SAMPLE_BYTES)
    except FileNotFoundError:
        raise ReportError(f"there is no file {path}") from None
    except IsADirectoryError:
        raise ReportError(f"{path} is a directory; name a CSV file") from None
    except OSError as error:
        raise ReportError(f"{path} cannot be read: {error.strerror}") from None
    if not head.strip():
        raise ReportError(f"{path} is empty")
    return head


def _encoding(head: bytes, path: Path) -> str:
    if head.startswith((b"\xff\xfe", b"\xfe\xff")):
        return "utf-16"
    if b"\0" in head:
        raise ReportError(f"{path} is not a text file; save the table as CSV")
    return "utf-8-sig" if head.startswith(b"\xef\xbb\xbf") else "utf-8"


def _has_decimal_commas(column: Any) -> bool:
    values = column.dropna().astype(str)
    return (
        len(values) > 0 and column.dtype.kind not in "biuf" and bool(values.str.fullmatch(DECIMAL_COMMA).mean() > 0.5)
    )


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())
