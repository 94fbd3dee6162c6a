"""Kernel matrices that were evaluated before, found by what they are made of."""

from __future__ import annotations

import hashlib
import json
import os
import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.base import clone

from ntkkit.engine.fingerprint import describe_array, describe_matrix
from ntkkit.engine.memory import parse_memory
from ntkkit.kernels.base import Kernel
from ntkkit.kernels.inputs import result_dtype


@dataclass(frozen=True, eq=False)
class Cache:
    """Remembers kernel matrices by kernel, data and precision; engines and threads can share one.

    ``Engine(cache=Cache())`` evaluates no matrix twice that its memory still holds: the least recently used are
    forgotten first, and one that is larger than the whole is not kept. A matrix that is found is a copy. A pickled
    cache has its settings and is empty.

    Parameters
    ----------
    memory : int or str, default="1GB"
        Bytes for matrices: a number, "500MB", "2GB"; "auto" is a quarter of what the machine has available.
    directory : path-like, optional
        Where matrices are also kept, as by ``Engine(store=...)``, one directory each: for other processes and days.
        They stay until somebody removes them. One that another process or thread is evaluating is waited for. Needs
        the extra `store`.

    Examples
    --------
    >>> import numpy as np
    >>> from ntkkit import NTK, Cache, Engine, FullyConnected
    >>> engine = Engine(cache=Cache(memory="100MB"))
    >>> K = engine.gram(NTK(FullyConnected()), np.eye(3))
    >>> again = engine.gram(NTK(FullyConnected()), np.eye(3))
    >>> engine.cache.n_hits, engine.cache.n_misses
    (1, 1)
    """

    memory: int | str = "1GB"
    directory: str | os.PathLike[str] | None = None
    _state: _State = field(default_factory=lambda: _State(), init=False, repr=False)

    def __post_init__(self) -> None:
        parse_memory(self.memory)
        if self.directory is not None and not isinstance(self.directory, (str, os.PathLike)):
            raise TypeError(f"directory must be a path or None, found {self.directory!r}.")

    def __reduce__(self) -> Any:
        return Cache, (self.memory, None if self.directory is None else os.fspath(self.directory))

    @property
    def n_hits(self) -> int:
        """How many matrices were found in memory."""
        return self._state.n_hits

    @property
    def n_misses(self) -> int:
        """How many were not."""
        return self._state.n_misses

    def find(
        self, kernel: Kernel, X: np.ndarray, Y: np.ndarray | None, evaluate: Callable[[Path | None], np.ndarray]
    ) -> np.ndarray:
        """The matrix of checked inputs (Y=None where it is symmetric), evaluated if it is not there.

        Parameters
        ----------
        kernel : Kernel
        X, Y : ndarray
        evaluate : callable
            Given the path of a store, or None.

        Returns
        -------
        ndarray of shape (n, m)
            One's own.
        """
        key = self._key(kernel, X, Y)
        found = self._get(key)
        if found is None:
            found = evaluate(self._path(kernel, X, Y))
            self._put(key, found)
        return found

    def add(self, kernel: Kernel, X: np.ndarray, Y: np.ndarray | None, K: np.ndarray) -> None:
        """Keep a matrix that was evaluated otherwise."""
        self._put(self._key(kernel, X, Y), K)

    def _key(self, kernel: Kernel, X: np.ndarray, Y: np.ndarray | None) -> Hashable:
        return clone(kernel), *(None if Z is None else json.dumps(describe_array(Z)) for Z in (X, Y))

    def _get(self, key: Hashable) -> np.ndarray | None:
        with self._state.lock:
            found = self._state.matrices.get(key)
            if found is None:
                self._state.n_misses += 1
                return None
            self._state.matrices.move_to_end(key)
            self._state.n_hits += 1
        return found.copy()

    def _put(self, key: Hashable, K: np.ndarray) -> None:
        budget = parse_memory(self.memory)
        if K.nbytes > budget:
            return
        kept = K.copy()
        with self._state.lock:
            matrices = self._state.matrices
            matrices[key] = kept
            matrices.move_to_end(key)
            while sum(each.nbytes for each in matrices.values()) > budget:
                matrices.popitem(last=False)

    def _path(self, kernel: Kernel, X: np.ndarray, Y: np.ndarray | None) -> Path | None:
        """Where the matrix is kept on disk, if it is."""
        if self.directory is None:
            return None
        description = describe_matrix(kernel, X, Y, result_dtype(X, X if Y is None else Y))
        text = json.dumps(description, sort_keys=True)
        return Path(self.directory) / f"{hashlib.blake2b(text.encode(), digest_size=16).hexdigest()}.zarr"


class _State:
    """What changes in a cache."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.matrices: OrderedDict[Hashable, np.ndarray] = OrderedDict()
        self.n_hits = self.n_misses = 0
