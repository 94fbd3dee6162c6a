"""Precision: 64-bit jax where it is needed, and nowhere else."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax


def in_x64(function: Callable[..., Any], *args: Any) -> Any:
    """`function(*args)` with float64 enabled in this thread, whatever jax's global flag says, which stays as it is.

    The context belongs to a thread: call this in the thread that does the work.
    """
    with jax.enable_x64(True):
        return function(*args)


def as_floats(kernel: Any) -> Any:
    """The kernel with every hyperparameter a Python float.

    jax then traces once for int, float and numpy scalars alike, and no float64 scalar promotes a float32 computation.
    """
    return jax.tree.map(float, kernel)
