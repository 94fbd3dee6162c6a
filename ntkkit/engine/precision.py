"""Precision: 64-bit jax where it is needed, and nowhere else."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import numpy as np


def in_x64(function: Callable[..., Any], *args: Any) -> Any:
    """`function(*args)` with float64 enabled in this thread, whatever jax's global flag says, which stays as it is.

    The context belongs to a thread: call this in the thread that does the work.
    """
    with jax.enable_x64(True):
        return function(*args)


def as_leaves(kernel: Any, dtype: np.dtype) -> tuple[list[Any], Any]:
    """The hyperparameters as Python floats, or as arrays of a dtype, and the kernel's structure.

    jax then traces once for int, float and numpy scalars alike, and none of float64 promotes a float32 computation.
    """
    leaves, structure = jax.tree.flatten(kernel)
    return [float(leaf) if np.ndim(leaf) == 0 else np.asarray(leaf, dtype) for leaf in leaves], structure
