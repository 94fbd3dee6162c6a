"""A user's table as a problem: the task, usable columns and rows, the split, and what is put in front of the models."""

from __future__ import annotations

import difflib
import math
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from sklearn.compose import ColumnTransformer
from sklearn.impute import MissingIndicator, SimpleImputer
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, StandardScaler

from ntkkit.report.columns import Columns, choose_columns
from ntkkit.report.problem import Grids, Problem, ReportError, Task
from ntkkit.report.reading import read_table
from ntkkit.report.run import subsample

# Fewer rows tell nothing; more would take minutes and gigabytes, as the Gram matrix grows with their square.
FEWEST_ROWS = 20
MOST_TRAINING_ROWS = 5000
MOST_TEST_ROWS = 5000
# Whole numbers are labels if they have no more values than this, each on so many rows on average.
MOST_NUMBERED_CLASSES = 20
ROWS_A_NUMBERED_CLASS = 5
# Categories beyond the commonest so many share a column of zeros.
MOST_CATEGORIES = 30
MISSING = "(missing)"

# Tables have fewer columns than pictures have pixels, and more noise: smoother settings, and a longer training.
TABLE_GRIDS = Grids(
    relative_alphas=(1e-4, 3e-3, 3e-2, 3e-1),
    relative_gammas=(0.125, 0.25, 0.5, 1.0, 2.0),
    relative_max_features=(0.5, 1.0, 2.0),
    learning_rates=(5e-4, 2e-3, 5e-3),
    n_epochs=60,
)


class Target(NamedTuple):
    """Values of the target on the rows that have one, the task, and why."""

    values: np.ndarray
    rows: np.ndarray
    task: Task
    reason: str


def table_problem(
    path: Path, target: str | None, *, task: Task | None = None, test_size: float = 0.25, random_state: int = 0
) -> Problem:
    """A CSV file as a problem.

    Parameters
    ----------
    path : Path
    target : str or None
        The column to predict; None is an error that lists the columns.
    task : {"classification", "regression"}, optional
        By default what the target looks like.
    test_size : float
        The share of rows held out, in (0, 1).
    random_state : int
        Of the split.

    Returns
    -------
    Problem

    Raises
    ------
    ReportError
        For a file that is no table, an unknown or constant target, too few rows, or no usable columns.
    """
    frame, notes = read_table(path)
    n_rows, n_columns = frame.shape
    if n_rows == 0:
        raise ReportError(f"{path} has column names but no rows")
    target = _find_column(list(frame), target)
    found = choose_target(frame[target], target, task)
    if len(found.rows) < n_rows:
        notes.append(f"Rows without a value of {target!r} are left out: {n_rows - len(found.rows)}.")
    found, rare = _without_rare_classes(found, test_size)
    notes += rare
    y = found.values
    if len(y) < FEWEST_ROWS:
        raise ReportError(f"{path} has {len(y)} usable rows; at least {FEWEST_ROWS} are needed to tune and to test")
    columns = choose_columns(frame.drop(columns=target))
    if not columns.numeric and not columns.categorical:
        raise ReportError(
            f"{path} has no usable column besides {target!r}: " + "; ".join(columns.notes or ["none at all"])
        )
    train, test = _split(found, test_size=test_size, random_state=random_state)
    notes += columns.notes
    counts = f"{len(train)} training rows and {len(test)} test rows"
    train_cut, test_cut = _capped(found, train, test, random_state=random_state)
    if len(train_cut) < len(train) or len(test_cut) < len(test):
        notes.append(f"To save time, of {counts} a random {len(train_cut)} and {len(test_cut)} are used.")
        counts = f"{len(train_cut)} training rows and {len(test_cut)} test rows"
    X_train, X_test = (columns.frame.iloc[found.rows[part]] for part in (train_cut, test_cut))
    facts = [
        f"{n_rows} rows, {n_columns} columns; {counts}, split at random.",
        f"Task: {found.task}, {found.reason}.",
        f"Columns used: {len(columns.numeric)} numeric, {len(columns.categorical)} categorical.",
        *notes,
    ]
    return Problem(
        title=path.name,
        task=found.task,
        X_train=X_train,
        y_train=y[train_cut],
        X_test=X_test,
        y_test=y[test_cut],
        target=target,
        facts=tuple(facts),
        prepare=make_preparation(columns, X_train),
        grids=TABLE_GRIDS,
    )


def choose_target(column: Any, name: str, task: Task | None) -> Target:
    """The target's values and the task: text, truth values and few whole numbers are classes, other numbers are not.

    Raises
    ------
    ReportError
        If it has no values, or only one, or is text where numbers are asked for.
    """
    import pandas as pd

    numeric = pd.api.types.is_numeric_dtype(column) and not pd.api.types.is_bool_dtype(column)
    if numeric:
        column = column.where(np.isfinite(column.astype(float)))
    rows = np.flatnonzero(column.notna())
    values = column.iloc[rows]
    distinct = values.nunique()
    if distinct < 2:
        what = f"has only one value, {values.iloc[0]!s}" if distinct else "has no values"
        raise ReportError(f"column {name!r} {what}: there is nothing to predict")
    whole = numeric and bool(((values % 1 == 0) & (values.abs() < 2**53)).all())
    few = distinct <= MOST_NUMBERED_CLASSES and len(values) >= ROWS_A_NUMBERED_CLASS * distinct
    kind = f"{distinct} different " + ("whole numbers" if whole else "numbers" if numeric else "values")
    guess: Task = "regression" if numeric and not (whole and few) else "classification"
    other = "classification" if guess == "regression" else "regression"
    if task is None:
        force = f" (--task {other} forces the other)" if numeric else ""
        reason = f"since {name!r} has {kind}{force}"
    else:
        reason = "as asked for"
    task = task or guess
    if task == "regression":
        if not numeric:
            raise ReportError(f"column {name!r} is not numeric, so it cannot be predicted by --task regression")
        return Target(values.to_numpy(dtype=float), rows, task, reason)
    labels = values.to_numpy(dtype="int64") if whole else values.astype(str).to_numpy(dtype=str)
    return Target(labels, rows, task, reason)


def _find_column(names: list[str], target: str | None) -> str:
    """The target's name as the table has it, or an error that lists the columns."""
    if target in names:
        return target
    shown = ", ".join(names[:20]) + (f" and {len(names) - 20} more" if len(names) > 20 else "")
    if target is None:
        raise ReportError(f"say which column to predict, with --target NAME; the columns are: {shown}")
    lower = {name.lower(): name for name in names}
    close = [lower[name] for name in difflib.get_close_matches(target.strip().lower(), lower, n=3, cutoff=0.6)]
    hint = f", did you mean {' or '.join(map(repr, close))}?" if close else ";"
    raise ReportError(f"there is no column {target!r}{hint} the columns are: {shown}")


def _without_rare_classes(found: Target, test_size: float) -> tuple[Target, list[str]]:
    """Leave out classes of so few rows that fewer than two might be left to train on."""
    if found.task == "regression":
        return found, []
    classes, codes, counts = np.unique(found.values, return_inverse=True, return_counts=True)
    fewest = math.ceil(3 / (1 - test_size))
    rare = counts < fewest
    if (~rare).sum() < 2:
        raise ReportError(
            f"the target has {len(classes)} classes on {len(codes)} rows, and fewer than two of them have {fewest} or "
            "more rows: too few to learn from (for numbers: --task regression)"
        )
    if not rare.any():
        return found, []
    names = ", ".join(map(str, classes[rare][:5])) + (", ..." if rare.sum() > 5 else "")
    note = f"Classes with fewer than {fewest} rows are left out, {rare[codes].sum()} rows in all: {names}."
    kept = ~rare[codes]
    return found._replace(values=found.values[kept], rows=found.rows[kept]), [note]


def _split(found: Target, *, test_size: float, random_state: int) -> tuple[np.ndarray, np.ndarray]:
    stratify = found.values if found.task == "classification" else None
    try:
        train, test = train_test_split(
            np.arange(len(found.values)), test_size=test_size, random_state=random_state, stratify=stratify
        )
    except ValueError:
        raise ReportError(
            f"{len(found.values)} rows cannot be split into training and test rows of every class with --test-size "
            f"{test_size:g}"
        ) from None
    if min(len(test), len(train)) < 5:
        raise ReportError(f"--test-size {test_size:g} leaves {len(train)} training and {len(test)} test rows: too few")
    if found.task == "regression" and min(np.ptp(found.values[train]), np.ptp(found.values[test])) == 0:
        raise ReportError("the target is constant on the training rows or on the test rows: try another --random-state")
    return train, test


def _capped(found: Target, train: np.ndarray, test: np.ndarray, *, random_state: int) -> tuple[np.ndarray, np.ndarray]:
    sizes = ((train, MOST_TRAINING_ROWS), (test, MOST_TEST_ROWS))
    kept = [rows[subsample(found.values[rows], n, task=found.task, random_state=random_state)] for rows, n in sizes]
    return kept[0], kept[1]


def make_preparation(columns: Columns, X_train: Any) -> ColumnTransformer:
    """Impute and standardise numbers, one-hot encode categories; float32, which halves the cost of the kernel.

    Categories are those of the training rows, so that every fold has the same columns.
    """
    categories = [X_train[name].fillna(MISSING).value_counts() for name in columns.categorical]
    commonest = [sorted(counts.index[:MOST_CATEGORIES]) for counts in categories]
    gaps = [name for name in columns.numeric if X_train[name].isna().any()]
    numbers = make_pipeline(SimpleImputer(strategy="median", keep_empty_features=True), StandardScaler())
    labels = make_pipeline(
        SimpleImputer(strategy="constant", fill_value=MISSING),
        OneHotEncoder(categories=commonest, handle_unknown="ignore", sparse_output=False),
    )
    parts = [("numbers", numbers, columns.numeric), ("labels", labels, columns.categorical)]
    parts.append(("gaps", MissingIndicator(features="all"), gaps))
    transformer = ColumnTransformer([part for part in parts if part[2]], sparse_threshold=0)
    return make_pipeline(transformer, FunctionTransformer(_as_float32, feature_names_out="one-to-one"))


def _as_float32(X: np.ndarray) -> np.ndarray:
    return np.asarray(X, dtype=np.float32)
