"""Empirical kernels block by block, within a budget of memory."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np

from ntkkit.engine.memory import check_available, parse_memory
from ntkkit.engine.precision import in_x64
from ntkkit.engine.rows import filled
from ntkkit.finite._functions import as_function, as_inputs, cast, check_params
from ntkkit.finite._jacobians import Jacobians, Sizes, by_products, contracted, jacobians, outputs_of, sizes_of
from ntkkit.kernels.inputs import result_dtype
from ntkkit.networks.value import check_count

# Rows that are differentiated at once and contracted at once, where they fit the memory; see benchmarks/README.md.
BLOCK_ROWS = 128
# Rows for which products with vectors are taken at once.
BATCH_COLUMNS = 8
# More memory than this makes nothing faster, where it is not for the result.
MOST_BYTES = 2e9

Groups = tuple[tuple[int, ...], ...]  # of parameter arrays, whose kernels are added


@dataclass(frozen=True)
class Evaluation:
    """A kernel of a function between rows; Y=None where they are the same."""

    function: Any
    params: Any
    X: np.ndarray
    Y: np.ndarray | None
    trace_outputs: bool
    batch_size: int | None

    @classmethod
    def of(cls, apply: Any, params: Any, X: Any, Y: Any, trace_outputs: bool, batch_size: int | None) -> Evaluation:
        """The evaluation for checked arguments."""
        same = Y is None or Y is X
        X, Y = as_inputs(apply, X), None if same else as_inputs(apply, Y, "Y")
        dtype = result_dtype(X, X if Y is None else Y)
        if batch_size is not None:
            batch_size = check_count(batch_size, "batch_size", low=1)
        params = in_x64(cast, check_params(params), dtype)
        X, Y = X.astype(dtype, copy=False), None if Y is None else Y.astype(dtype, copy=False)
        return cls(as_function(apply), params, X, Y, trace_outputs, batch_size)

    @property
    def budget(self) -> float:
        """Bytes that Jacobians may take; making them, as many."""
        return min(parse_memory("auto", jax.local_devices()), MOST_BYTES) / 2

    def sizes(self, *, structured: bool) -> Sizes:
        """What one row makes."""
        return in_x64(functools.partial(sizes_of, structured=structured), self.function, self.params, self.X)

    @property
    def n_outputs(self) -> int:
        return self.sizes(structured=True).n_outputs

    @property
    def jacobians_fit(self) -> bool:
        """Whether the Jacobians of two rows fit the memory."""
        return self._rows_fitting(structured=True) >= 2

    def outputs(self, X: np.ndarray) -> np.ndarray:
        """Outputs, (n, k), a block at a time."""
        parts = even_parts(len(X), BLOCK_ROWS)
        rows = (filled(X[part], parts[0].stop) for part in parts)
        found = [np.asarray(in_x64(compiled_outputs, self.function, self.params, part)) for part in rows]
        return np.concatenate(found)[: len(X)]

    def _rows_fitting(self, structured: bool) -> int:
        return int(self.budget // max(self.sizes(structured=structured).jacobian_bytes, 1))

    @property
    def rows_at_once(self) -> int:
        """How many rows are differentiated at once."""
        if self.batch_size is not None:
            return self.batch_size
        n_outputs, _, between = self.sizes(structured=True)
        return max(1, min(BLOCK_ROWS, int(self.budget // max(between * (1 + n_outputs), 1))))

    def empty(self, *lead: int) -> np.ndarray:
        """Room for the result, which must fit the machine."""
        n, m = len(self.X), len(self.X if self.Y is None else self.Y)
        shape = (*lead, n, m) if self.trace_outputs else (*lead, n, m, self.n_outputs, self.n_outputs)
        check_available(shape, self.X.dtype)
        return np.empty(shape, self.X.dtype)

    def by_jacobians(self, groups: Groups, *, structured: bool) -> np.ndarray:
        """The kernel of each group of parameter arrays, stacked in front.

        Raises
        ------
        MemoryError
            If the result, or the Jacobians of two rows, do not fit.
        """
        result = self.empty(len(groups))
        if self._rows_fitting(structured) < 2:
            needed = 2 * self.sizes(structured=structured).jacobian_bytes / 1e9
            raise MemoryError(
                f"The Jacobians of two inputs take {needed:.2g} GB, and there are {self.budget / 1e9:.2g} GB for them: "
                "use implementation='ntk_vector_products'."
            )
        for rows, columns, part in self._blocks(groups, structured):
            result[:, rows, columns] = part
            if self.Y is None:
                flipped = np.swapaxes(part, 1, 2)
                result[:, columns, rows] = flipped if self.trace_outputs else np.swapaxes(flipped, 3, 4)
        return result

    def _blocks(self, groups: Groups, structured: bool) -> Iterator[tuple[slice, slice, np.ndarray]]:
        """Blocks with their places, on and above the diagonal where the matrix is symmetric.

        Jacobians of all rows are kept where they fit, else those of one block of rows while all of columns are made
        again.

        Yields
        ------
        rows, columns : slice
        block : ndarray of shape (len(groups), ...)
        """
        n_fitting = self._rows_fitting(structured)
        Y = self.X if self.Y is None else self.Y
        keep = len(self.X) + (0 if self.Y is None else len(Y)) <= n_fitting
        longest = self.rows_at_once
        longest = longest if keep else min(longest, n_fitting // 2)
        of_rows, of_columns = (self._jacobians(side, longest, structured, keep=keep) for side in (self.X, Y))
        for rows in even_parts(len(self.X), longest):
            one = of_rows(rows)
            for columns in even_parts(len(Y), longest):
                if self.Y is None and columns.start < rows.start:
                    continue
                same = self.Y is None and columns == rows
                other = one if same else (of_rows if self.Y is None and keep else of_columns)(columns)
                block = in_x64(self._contracted, one, other, groups)
                block = block[:, : rows.stop - rows.start, : columns.stop - columns.start]
                yield rows, columns, symmetrized(block) if same else block

    def _jacobians(self, X: np.ndarray, longest: int, structured: bool, *, keep: bool) -> Callable[[slice], Jacobians]:
        """The Jacobians of a part of X, which is repeated at its end to a shape that all parts have."""
        length = even_parts(len(X), longest)[0].stop
        make = functools.partial(jacobians, structured=structured)

        def of(part: slice) -> Jacobians:
            return in_x64(make, self.function, self.params, filled(X[part], length))

        made: dict[int, Jacobians] = {}
        if not keep:
            return of
        return lambda part: made[part.start] if part.start in made else made.setdefault(part.start, of(part))

    def _contracted(self, one: Jacobians, other: Jacobians, groups: Groups) -> np.ndarray:
        return np.asarray(contracted(one, other, trace_outputs=self.trace_outputs, groups=groups))

    def by_products(self) -> np.ndarray:
        """The kernel by products of the kernel with vectors."""
        result, Y = self.empty(), self.X if self.Y is None else self.Y
        vector_bytes = self.n_outputs * sum(leaf.nbytes for leaf in jax.tree.leaves(self.params))
        batch = self.batch_size or max(1, min(BATCH_COLUMNS, int(self.budget // vector_bytes)))
        multiply = functools.partial(by_products, trace_outputs=self.trace_outputs)
        row_parts, column_parts = even_parts(len(self.X), BLOCK_ROWS), even_parts(len(Y), batch)
        height, width = (parts[0].stop for parts in (row_parts, column_parts))
        for rows in row_parts:
            for columns in column_parts:
                X_part, Y_part = filled(self.X[rows], height), filled(Y[columns], width)
                block = np.asarray(in_x64(multiply, self.function, self.params, X_part, Y_part))
                result[rows, columns] = block[: rows.stop - rows.start, : columns.stop - columns.start]
        return result


@jax.jit
def compiled_outputs(function: Any, params: Any, X: Any) -> Any:
    """`outputs_of`, compiled."""
    return outputs_of(function, params, X)


def even_parts(n: int, longest: int) -> list[slice]:
    """Range(n) in parts of one length, no longer than `longest`; the last may be shorter."""
    length = -(-n // -(-n // longest))
    return [slice(start, min(start + length, n)) for start in range(0, n, length)]


def symmetrized(block: np.ndarray) -> np.ndarray:
    """A block on the diagonal, (g, n, n) or (g, n, n, k, k), without the rounding that differs across it."""
    flipped = np.swapaxes(block, 1, 2)
    return (block + (flipped if block.ndim == 3 else np.swapaxes(flipped, 3, 4))) / 2
