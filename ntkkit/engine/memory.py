"""Memory: budgets, and what the machine has."""

from __future__ import annotations

import math
import numbers
import os
from collections.abc import Sequence

import jax
import numpy as np


def parse_memory(memory: int | str, devices: Sequence[jax.Device] = ()) -> int:
    """A memory budget in bytes: an int, "500MB", "2 GB", "1GiB", or "auto", a quarter of what is available.

    "auto" asks the machine, and devices that have a memory of their own.

    Raises
    ------
    ValueError
        For anything else, or a budget that is not positive.
    """
    if isinstance(memory, str) and memory == "auto":
        stats = [stats for device in devices if (stats := device.memory_stats()) and "bytes_limit" in stats]
        on_devices = [each["bytes_limit"] - each.get("bytes_in_use", 0) for each in stats]
        return max(1, min([available_memory(), *on_devices]) // 4)
    if isinstance(memory, str):
        return _parse_size(memory)
    if isinstance(memory, bool) or not isinstance(memory, numbers.Integral) or memory <= 0:
        raise ValueError(f"memory must be 'auto', a size such as '2GB', or a positive integer, found {memory!r}.")
    return int(memory)


def _parse_size(text: str) -> int:
    units = {"B": 1}
    for power, letter in enumerate("KMGT", start=1):
        units.update({f"{letter}B": 1000**power, f"{letter}IB": 1024**power})
    number = text.strip().rstrip("KMGTIBkmgtib ")
    unit = text.strip()[len(number) :].strip().upper()
    try:
        size = float(number) * units[unit]
    except (ValueError, KeyError):
        size = math.nan
    if not 1 <= size < math.inf:
        raise ValueError(f"memory must be 'auto', a size such as '2GB', or a positive integer, found {text!r}.")
    return int(size)


def available_memory() -> int:
    """Bytes that the machine can still give without swapping (all of its memory where it does not say)."""
    try:
        with open("/proc/meminfo", encoding="ascii") as lines:
            fields = dict(line.split(":", 1) for line in lines)
        return int(fields["MemAvailable"].split()[0]) * 1024
    except (OSError, KeyError, ValueError):
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def check_available(shape: tuple[int, ...], dtype: np.dtype) -> None:
    """Check that an array of this shape fits the memory that the machine has available.

    Raises
    ------
    MemoryError
        If it does not.
    """
    needed, available = int(np.prod(shape, dtype=object)) * dtype.itemsize, available_memory()
    if needed > available:
        raise MemoryError(
            f"The result of shape {shape} in {dtype} needs {needed / 1e9:.1f} GB, and {available / 1e9:.1f} GB are "
            "available: use fewer rows, or float32 inputs."
        )
