"""``python -m ntkkit``: the infinitely wide network against its peers, on shipped data or on one's own table."""

from __future__ import annotations

import argparse
import importlib.util
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from ntkkit import __version__
from ntkkit.report.completion import complete_table
from ntkkit.report.diagnosis import diagnose
from ntkkit.report.images import images_problem
from ntkkit.report.output import PICTURE, WIDTHS_PICTURE, check_directory, write_report
from ntkkit.report.plots import draw_report
from ntkkit.report.problem import Problem, ReportError, fashion_problem
from ntkkit.report.run import baseline, compare_models
from ntkkit.report.sequences import sequences_problem
from ntkkit.report.table import table_problem
from ntkkit.report.text import format_diagnosis, format_table, format_verdict
from ntkkit.report.widths import QUESTION, compare_widths, draw_widths, format_widths

PROGRAM = "python -m ntkkit"
NEEDED = ("matplotlib", "pandas")


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        """One line, as for all errors of ours."""
        self.exit(2, f"{PROGRAM}: error: {message} (--help says more)\n")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the main job; returns the exit status: 0, or 2 for what the user can put right."""
    parser = make_parser()
    options = parser.parse_args(arguments)
    if options.table is None and (options.target or options.task or options.test_size is not None):
        parser.error("--target, --task and --test-size are for a table: name a CSV file")
    shipped = "--images" if options.images else "--sequences" if options.sequences else None
    if shipped and options.table is not None:
        parser.error(f"{shipped} is for shipped data: leave out the table, or {shipped}")
    if options.complete and options.table is None:
        parser.error("--complete fills a table: name a CSV file")
    if options.complete and (options.target or options.task or options.test_size is not None):
        parser.error("--complete predicts empty cells of all columns: leave out --target, --task and --test-size")
    start = time.perf_counter()
    try:
        check_installed(NEEDED if options.complete else (*NEEDED, "optax"))
        check_directory(options.output)
        if options.complete:
            written = complete_table(options.table, options.output, random_state=options.random_state, say=say)
        else:
            written = compare_on_problem(options)
    except ReportError as error:
        print(f"{PROGRAM}: error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("\nInterrupted; nothing was written.", file=sys.stderr)
        return 130
    say(f"\nWritten: {', '.join(map(str, written))} ({time.perf_counter() - start:.0f} s in all)")
    return 0


def compare_on_problem(options: argparse.Namespace) -> list[Path]:
    """Compare the models, say who won, and write the report."""
    problem = make_problem(options)
    say(f"ntkkit {__version__}: {problem.title}")
    for fact in problem.facts:
        say(f"  {fact}")
    say(f"  {baseline(problem)}")
    say("")
    results = compare_models(problem, random_state=options.random_state, say=say)
    diagnosis = diagnose(problem, results[0], random_state=options.random_state)
    say(f"{QUESTION} Training it at a few widths ...")
    comparison = compare_widths(problem, results[0], random_state=options.random_state)
    pictures = {PICTURE: draw_report(results, problem, diagnosis), WIDTHS_PICTURE: draw_widths(comparison)}
    written = write_report(options.output, results, problem, pictures)
    say(f"\n{format_table(results)}\n\n{format_verdict(results, problem)}\n{format_diagnosis(diagnosis, problem)}")
    say(format_widths(comparison))
    return written


def make_parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = _Parser(
        prog=PROGRAM,
        description="Tune the kernel machine of an infinitely wide network, a support vector machine, a random forest "
        "and a trained network alike, and compare them on held-out rows of shipped data, or of a table. Or fill the "
        "empty cells of a table.",
    )
    parser.add_argument("table", nargs="?", type=Path, metavar="data.csv", help="a table with a header line")
    kind = parser.add_mutually_exclusive_group()
    kind.add_argument(
        "--images",
        action="store_true",
        help="read the shipped pictures as pictures: convolutional kernels and a trained CNN, too; takes a minute",
    )
    kind.add_argument(
        "--sequences",
        action="store_true",
        help="shipped sequences of unequal lengths: recurrent kernels and a trained RNN; takes a minute",
    )
    kind.add_argument(
        "--complete",
        action="store_true",
        help="fill the empty cells of the table's columns of numbers; tells how well by hiding others",
    )
    parser.add_argument("--target", metavar="NAME", help="the column to predict")
    parser.add_argument(
        "--task", choices=("classification", "regression"), help="by default what the target column looks like"
    )
    parser.add_argument(
        "--output",
        type=Path,
        default=Path("ntkkit-report"),
        metavar="DIR",
        help="for what is written (%(default)s)",
    )
    parser.add_argument("--test-size", type=_share, metavar="SHARE", help="of the table's rows, held out (0.25)")
    parser.add_argument(
        "--random-state", type=_seed, default=0, metavar="SEED", help="of splits and models (%(default)s)"
    )
    parser.add_argument("--version", action="version", version=f"ntkkit {__version__}")
    return parser


def make_problem(options: argparse.Namespace) -> Problem:
    """The problem that the command line asks for."""
    if options.table is None:
        return images_problem() if options.images else sequences_problem() if options.sequences else fashion_problem()
    return table_problem(
        options.table,
        options.target,
        task=options.task,
        test_size=0.25 if options.test_size is None else options.test_size,
        random_state=options.random_state,
    )


def check_installed(names: Sequence[str]) -> None:
    """Check for the packages of the `demo` extra.

    Raises
    ------
    ReportError
        If one is missing.
    """
    missing = [name for name in names if importlib.util.find_spec(name) is None]
    if missing:
        raise ReportError(f'{" and ".join(missing)} not found; install what this needs: pip install "ntkkit[demo]"')


def say(text: str) -> None:
    """A line to standard output, at once."""
    print(text, flush=True)


def _share(text: str) -> float:
    value = float(text)
    if not 0 < value < 1:
        raise argparse.ArgumentTypeError(f"must be between 0 and 1, found {text}")
    return value


def _seed(text: str) -> int:
    value = int(text)
    if not 0 <= value < 2**32:
        raise argparse.ArgumentTypeError(f"must be between 0 and 2^32 - 1, found {text}")
    return value


if __name__ == "__main__":
    sys.exit(main())
