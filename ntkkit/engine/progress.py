"""Progress of long work: a bar, or a function of one's own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from tqdm.auto import tqdm

Progress = bool | Callable[[int, int], object]


@contextmanager
def reporting(progress: Progress, total: int, *, unit: str, done: int = 0) -> Iterator[Callable[[int], None]]:
    """Show how many of `total` are done; what it yields is called with how many more are.

    Parameters
    ----------
    progress : bool or callable
        True shows a bar with counts, rate and time left; a function is called with (done, total) at the start and
        after every step; False shows nothing.
    total : int
    unit : str
        What is counted.
    done : int
        How many are at the start.

    Yields
    ------
    callable
        How many more are done.
    """
    if callable(progress):
        counts = [done]
        progress(done, total)

        def step(n: int) -> None:
            counts[0] += n
            progress(counts[0], total)

        yield step
        return
    with tqdm(total=total, initial=done, unit=unit, disable=not progress) as bar:
        yield bar.update
