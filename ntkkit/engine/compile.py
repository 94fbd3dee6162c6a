"""Compiled tile functions: one executable a function, kernel structure, tile shape and dtype, kept between calls."""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np
from jax.sharding import SingleDeviceSharding

from ntkkit.engine.precision import as_leaves, in_x64

Static = tuple[tuple[str, Hashable], ...]


@dataclass(frozen=True)
class Executable:
    """A compiled function of (leaves, *arrays), and the bytes that a call of it needs, its arguments among them."""

    call: Callable[..., Any]
    bytes: int
    argument_bytes: int


class _Slot:
    """Where an executable is built once, however many threads ask for it at a time."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.executable: Executable | None = None


# Executables that are kept: each takes up to 350 of the memory maps of which Linux grants a process 65530.
KEPT = 128


@functools.lru_cache(maxsize=KEPT)
def _slot(*key: Hashable) -> _Slot:
    return _Slot()


_guard = threading.Lock()


def clear() -> None:
    """Forget all executables."""
    _slot.cache_clear()


def _compiled(*key: Any) -> Executable:
    """The executable of `_build(*key)`, built at the first call."""
    with _guard:
        slot = _slot(*key)
    with slot.lock:
        if slot.executable is None:
            slot.executable = _build(*key)
        return slot.executable


def _build(
    function: Callable[..., Any],
    structure: Any,
    leaf_shapes: tuple[tuple[int, ...], ...],
    shapes: tuple[tuple[int, ...], ...],
    dtype: np.dtype,
    static: Static,
    device: jax.Device,
) -> Executable:
    sharding = SingleDeviceSharding(device)

    def flat(leaves: list[float], *arrays: jax.Array) -> Any:
        return function(jax.tree.unflatten(structure, leaves), *arrays, **dict(static))

    def compile_() -> Any:
        arrays = [jax.ShapeDtypeStruct(shape, dtype, sharding=sharding) for shape in shapes]
        leaves = [jax.ShapeDtypeStruct(shape, dtype, sharding=sharding) if shape else 0.0 for shape in leaf_shapes]
        return jax.jit(flat).lower(leaves, *arrays).compile()

    executable = in_x64(compile_)
    memory = executable.memory_analysis()  # its peak_memory_in_bytes is wrong on CPUs
    arguments = memory.argument_size_in_bytes
    return Executable(executable, memory.temp_size_in_bytes + memory.output_size_in_bytes + arguments, arguments)


class Job:
    """One kernel to be evaluated by one pure jax function ``function(kernel, *arrays, **static)`` in one dtype.

    Kernels that differ in variances only share an executable.
    """

    def __init__(self, function: Callable[..., Any], kernel: Any, dtype: np.dtype, static: dict[str, Hashable]) -> None:
        self.function, self.dtype, self.static = function, dtype, static
        self._leaves, self._structure = as_leaves(kernel, dtype)

    def executable(self, *shapes: tuple[int, ...], device: jax.Device, **static: Hashable) -> Executable:
        """The executable for arrays of these shapes on this device, compiled at first use."""
        settings = tuple(sorted({**self.static, **static}.items()))
        leaf_shapes = tuple(np.shape(leaf) for leaf in self._leaves)
        return _compiled(self.function, self._structure, leaf_shapes, shapes, self.dtype, settings, device)

    def __call__(self, device: jax.Device, *arrays: jax.Array, **static: Hashable) -> np.ndarray:
        """Run on arrays of this dtype on this device; the result is on the host, and read-only."""
        executable = self.executable(*(array.shape for array in arrays), device=device, **static)
        return np.asarray(in_x64(executable.call, self._leaves, *arrays))

    def on_device(self, rows: np.ndarray, length: int, device: jax.Device) -> jax.Array:
        """Rows as an array of this dtype on a device, the last one repeated to `length`."""
        padded = np.empty((length, *rows.shape[1:]), self.dtype)
        padded[: len(rows)], padded[len(rows) :] = rows, rows[-1]
        return in_x64(jax.device_put, padded, device)
