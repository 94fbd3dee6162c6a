"""Writing the report: all files, complete, or none."""

from __future__ import annotations

import csv
import io
import json
import os
import tempfile
from pathlib import Path
from typing import Any

from ntkkit.report.problem import Problem, ReportError
from ntkkit.report.run import Result
from ntkkit.report.text import rank

PICTURE = "report.png"
WIDTHS_PICTURE = "widths.png"
TABLE = "results.csv"


def check_directory(directory: Path) -> None:
    """Check that files can be written into a directory, or that it can be made; nothing is written.

    Raises
    ------
    ReportError
        If not.
    """
    nearest = directory.absolute()
    try:
        while not nearest.exists():
            nearest = nearest.parent
        usable = nearest.is_dir() and os.access(nearest, os.W_OK | os.X_OK)
    except OSError:
        usable = False
    if not usable:
        reason = "not a directory" if nearest.is_file() else "not writable"
        raise ReportError(f"cannot write the report to {directory}: {nearest} is {reason}; choose another --output")


def write_report(directory: Path, results: list[Result], problem: Problem, pictures: dict[str, bytes]) -> list[Path]:
    """Write pictures, by name, and the CSV.

    Raises
    ------
    ReportError
        If the directory cannot be written to.
    """
    return write_files(directory, {**pictures, TABLE: as_csv(results, problem).encode()})


def write_files(directory: Path, contents: dict[str, bytes]) -> list[Path]:
    """Write all files under temporary names, then give them their own.

    Raises
    ------
    ReportError
        If the directory cannot be written to.
    """
    temporary: list[str] = []
    try:
        directory.mkdir(parents=True, exist_ok=True)
        for name, content in contents.items():
            descriptor, path = tempfile.mkstemp(dir=directory, prefix=f".{name}-")
            temporary.append(path)
            with os.fdopen(descriptor, "wb") as file:
                file.write(content)
            os.chmod(path, 0o644)
        for name, path in zip(contents, temporary, strict=True):
            os.replace(path, directory / name)
    except OSError as error:
        raise ReportError(f"cannot write the report to {directory}: {error.strerror or error}") from error
    finally:
        for path in temporary:
            Path(path).unlink(missing_ok=True)
    return [directory / name for name in contents]


def as_csv(results: list[Result], problem: Problem) -> str:
    """One row a model, best first; hyperparameters as JSON."""
    rows: list[dict[str, Any]] = []
    for result in rank(results):
        names = [name.lower().replace("-", "_") for name in result.scores]
        rows.append(
            {
                "model": result.name,
                **dict(zip(names, map(float, result.scores.values()), strict=True)),
                f"{names[0]}_standard_error": result.standard_error,
                f"cross_validated_{names[0]}": result.cv_score,
                "search_and_fit_seconds": round(result.search_seconds, 3),
                "predict_seconds": round(result.predict_seconds, 4),
                "settings_tried": result.n_settings,
                "hyperparameters": json.dumps(result.chosen, default=lambda value: value.item()),
                "training_rows": len(problem.y_train),
                "test_rows": len(problem.y_test),
            }
        )
    text = io.StringIO()
    writer = csv.DictWriter(text, fieldnames=list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()
