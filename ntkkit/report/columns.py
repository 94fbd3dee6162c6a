"""Which columns of a table can be learned from, and as what."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, field
from typing import Any

import numpy as np

# Text with more different values than this, on more than half of the rows that have one, is a name or a remark.
MOST_DISTINCT_SHARE = 0.5
FEW_VALUES = 20
# Text of which so much reads as numbers is a column of numbers with odd words for missing.
NUMERIC_SHARE = 0.95
DATE = r"\s*\d{1,4}[-/.]\d{1,2}[-/.]\d{1,4}([T ]\d{1,2}:\d{2}.*)?\s*"


@dataclass
class Columns:
    """Usable columns.

    Attributes
    ----------
    frame : DataFrame
        Numeric columns as float64, categorical ones as str objects, NaN where missing.
    numeric, categorical : list of str
    notes : list of str
        What was left out or read as something else, a sentence each.
    """

    frame: Any
    numeric: list[str] = field(default_factory=list)
    categorical: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def choose_columns(frame: Any) -> Columns:
    """Sort the columns of a data frame into numbers, categories, and what says nothing."""
    import pandas as pd

    kept: dict[str, Any] = {}
    chosen = Columns(frame)
    said: dict[str, list[str]] = {}
    for name in frame:
        column, kind = read_column(frame[name])
        if kind == "numeric":
            chosen.numeric.append(name)
        elif kind == "categorical":
            chosen.categorical.append(name)
        elif kind == "date":
            said.setdefault("read as dates, in days", []).append(name)
            chosen.numeric.append(name)
        elif kind == "mostly numeric":
            said.setdefault("read as numbers, words in them as missing", []).append(name)
            chosen.numeric.append(name)
        else:
            said.setdefault(f"left out, {kind}", []).append(name)
            continue
        kept[name] = column
    chosen.frame = pd.DataFrame(kept, index=frame.index)
    chosen.notes += [f"{listed(names)}: {what}." for what, names in said.items()]
    return chosen


def read_column(column: Any) -> tuple[Any, str]:
    """A column in the form in which it is used, and its kind or the reason to leave it out."""
    import pandas as pd

    if pd.api.types.is_numeric_dtype(column) and not pd.api.types.is_bool_dtype(column):
        numbers = column.astype(float)
        return _read_numbers(numbers.where(np.isfinite(numbers)))
    present = column.dropna()
    distinct = present.nunique()
    if distinct == 0:
        return column, "empty"
    if distinct == 1 and len(present) == len(column):
        return column, "constant"
    text = present.astype(str)
    if text.str.fullmatch(DATE).all():
        days = _days(text)
        if days.notna().all():
            return days.reindex(column.index), "date"
    numbers = pd.to_numeric(text, errors="coerce")
    if numbers.notna().mean() >= NUMERIC_SHARE:
        return numbers.where(np.isfinite(numbers)).reindex(column.index), "mostly numeric"
    if distinct == len(present) or distinct > max(FEW_VALUES, MOST_DISTINCT_SHARE * len(present)):
        return column, "a different text on most rows"
    return text.reindex(column.index).astype(object).where(column.notna(), np.nan), "categorical"


def _read_numbers(column: Any) -> tuple[Any, str]:
    present = column.dropna()
    if len(present) == 0:
        return column, "empty"
    if present.nunique() == 1 and len(present) == len(column):
        return column, "constant"
    if len(present) == len(column) and column.iloc[0] in (0, 1) and bool((np.diff(column) == 1).all()):
        return column, "a count of the rows"
    return column, "numeric"


def _days(text: Any) -> Any:
    """Dates as days since 1970; days come first where some first number is above 12."""
    import pandas as pd

    first = text.str.extract(r"^\s*(\d+)", expand=False).astype(int)
    day_first = bool(((first > 12) & (first <= 31)).any())
    with warnings.catch_warnings():
        # it warns that it reads each date by itself, which is meant
        warnings.filterwarnings("ignore", category=UserWarning, module="ntkkit")
        dates = pd.to_datetime(text, errors="coerce", format="mixed", dayfirst=day_first, utc=True)
    return (dates - pd.Timestamp(0, tz="UTC")) / pd.Timedelta(days=1)


def listed(names: list[str]) -> str:
    """``Column a``, or ``Columns a, b and 3 more``."""
    shown = ", ".join(names[:6]) + (f" and {len(names) - 6} more" if len(names) > 6 else "")
    return f"Column {shown}" if len(names) == 1 else f"Columns {shown}"
