"""The job of filling a table: a trial on hidden cells, then all that are empty."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ntkkit.report.cells import Cells, read_cells
from ntkkit.report.columns import listed
from ntkkit.report.completion_text import errors_as_csv, format_columns, format_results, format_verdict
from ntkkit.report.imputers import compare_methods, fill, quiet
from ntkkit.report.output import write_files
from ntkkit.report.problem import ReportError
from ntkkit.report.run import Say

TABLE, ERRORS, PICTURE = "completed.csv", "errors.csv", "completion.png"
# The trial takes rows x columns^3 for each setting: a random part of large tables is enough.
TRIAL_CELLS = 100_000
LEAST_TRIAL_ROWS, MOST_TRIAL_ROWS = 100, 2000
MOST_COLUMNS = 2000
# In the end features of columns are learned from so many times as many rows.
FIT_ROWS = 10


def complete_table(path: Path, directory: Path, *, random_state: int, say: Say) -> list[Path]:
    """Fill the empty cells of a CSV file, say how well, and write it.

    Parameters
    ----------
    path : Path
    directory : Path
        For the table, its errors, and the picture.
    random_state : int
        Of the hidden cells.
    say : callable
        Takes lines.

    Returns
    -------
    list of Path
        What was written.

    Raises
    ------
    ReportError
        If there is nothing to complete, too little to learn from, or the directory cannot be written to.
    """
    from ntkkit import __version__
    from ntkkit.report.completion_plots import draw_completion

    cells = read_cells(path)
    if len(cells.columns) > MOST_COLUMNS:
        raise ReportError(
            f"{path} has {len(cells.columns):,} columns of numbers; more than {MOST_COLUMNS:,} take hours"
        )
    say(f"ntkkit {__version__}: {cells.title}")
    for fact in describe(cells):
        say(f"  {fact}")
    say("")
    order = shuffled_rows(cells.values, random_state=random_state)
    size = max(LEAST_TRIAL_ROWS, min(MOST_TRIAL_ROWS, TRIAL_CELLS // len(cells.columns)))
    rows, learned = np.sort(order[:size]), np.sort(order[: FIT_ROWS * size])
    if len(rows) < len(order):
        say(
            f"To save time, cells are hidden in {len(rows):,} random rows, and in the end features of the columns are "
            f"learned from {len(learned):,}."
        )
    trial = compare_methods(cells.values[rows], cells.finish, random_state=random_state, say=say)
    with quiet():
        completed = fill(cells.values, lambda Z: trial.results[0].imputer.fit(Z[learned]).transform(Z), cells.finish)
    names = [column.name for column in cells.columns]
    contents = {
        TABLE: cells.as_csv(completed),
        ERRORS: errors_as_csv(trial, names, cells.empty).encode(),
        PICTURE: draw_completion(trial, names, cells.title),
    }
    written = write_files(directory, contents)
    say(f"\n{format_results(trial)}\n\n{format_verdict(trial)}\n\n{format_columns(trial, names, cells.empty)}")
    return written


def describe(cells: Cells) -> list[str]:
    """What the table is, and what is done to it, a sentence each."""
    n_rows, n_columns = cells.values.shape
    n_empty = int(cells.empty.sum())
    facts = [
        f"{n_rows:,} rows; {n_columns} columns of numbers, {n_empty:,} of whose {cells.values.size:,} cells are empty "
        f"({n_empty / cells.values.size:.1%}).",
        "Filled cells are kept within the range of their column"
        + (", whole where all of its numbers are." if any(column.whole for column in cells.columns) else "."),
    ]
    words = [column.name for column in cells.columns if column.words]
    if words:
        facts.append(f"{listed(words)}: truth values, filled with the likelier one.")
    unknown = int(np.isnan(cells.values).all(axis=1).sum())
    if unknown:
        facts.append(f"Rows without any number, filled with the columns' means: {unknown:,}.")
    return [*facts, *cells.notes]


def shuffled_rows(values: np.ndarray, *, random_state: int) -> np.ndarray:
    """Rows with two numbers or more, in random order.

    Raises
    ------
    ReportError
        If there are none.
    """
    usable = np.flatnonzero((~np.isnan(values)).sum(axis=1) >= 2)
    if len(usable) == 0:
        raise ReportError("no row has two numbers: cells are filled from the others of their row")
    return np.random.default_rng(random_state).permutation(usable)
