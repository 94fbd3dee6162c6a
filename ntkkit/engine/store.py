"""Kernel matrices on disk: a Zarr array whose chunks are the plan's blocks. A chunk that is there is finished."""

from __future__ import annotations

import errno
import os
import shutil
import socket
import time
import warnings
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from ntkkit.engine.fingerprint import differences
from ntkkit.engine.memory import check_available
from ntkkit.engine.plan import Plan, Rectangle, format_bytes
from ntkkit.engine.work import Part, buffer

if TYPE_CHECKING:
    import zarr

FORMAT = 1
LOCK, HOLDER = ".lock", ".holder"


class Store:
    """A kernel matrix in a directory, written block by block; other programs read it as a Zarr array.

    Chunks are written beside their place and renamed, so that a process that is killed leaves no half of one; a power
    failure can. Each has a checksum, which is compared whenever it is read.

    Parameters
    ----------
    path : path-like
        A directory, made where it does not exist.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path).absolute()  # workers of a cluster have working directories of their own
        self._expected: dict[str, Any] | None = None

    def block(self, description: dict[str, Any]) -> tuple[int, int] | None:
        """The shape of the blocks of the matrix that is here, or None if none is; no other is written from now on.

        Raises
        ------
        ValueError
            If another matrix is here, or something else: with what differs.
        """
        array, self._expected = self._opened(), {"format": FORMAT, **description}
        if array is None:
            if self.path.exists() and (not self.path.is_dir() or any(map(_is_foreign, os.listdir(self.path)))):
                raise ValueError(
                    f"store={str(self.path)!r} exists, and is no kernel matrix: give another path, or remove it."
                )
            return None
        found = array.attrs.asdict().get("ntkkit")
        differing = differences(found, self._expected) if found else ["no matrix of ntkkit's"]
        if differing:
            raise ValueError(
                f"store={str(self.path)!r} holds another matrix: {'; '.join(differing)}. Give another path, or remove "
                "it."
            )
        height, width = array.chunks
        return height, width

    def create(self, plan: Plan) -> None:
        """Begin the matrix that `block` did not find.

        Raises
        ------
        OSError
            If it does not fit the disk.
        """
        import zarr
        from zarr.codecs import Crc32cCodec

        needed = plan.shape[0] * plan.shape[1] * plan.dtype.itemsize
        free = shutil.disk_usage(self.path).free
        if needed > free:
            raise OSError(
                errno.ENOSPC,
                f"store={str(self.path)!r}: the matrix needs {format_bytes(needed)}, and the disk has "
                f"{format_bytes(free)}",
            )
        zarr.create_array(
            self._local(),
            shape=plan.shape,
            chunks=plan.block,
            dtype=plan.dtype,
            compressors=[Crc32cCodec()],
            filters=None,
            fill_value=np.nan,
            attributes={"ntkkit": self._expected},
            config={"write_empty_chunks": True},
        )

    def array(self) -> zarr.Array:
        """The matrix, to be read."""
        array = self._opened()
        assert array is not None
        return array

    def missing(self, plan: Plan, among: Sequence[Rectangle] | None = None) -> list[Rectangle]:
        """Blocks of the plan (or among those) that are not there with their mirror images, or damaged."""
        array = self._opened()
        blocks = plan.blocks() if among is None else among
        return [block for block in blocks if not all(self._is_sound(array, place) for place in _places(block, plan))]

    def _is_sound(self, array: Any, place: Rectangle) -> bool:
        if not self._file(array, place).exists():
            return False
        try:
            array[place.rows, place.columns]
        except ValueError:  # the checksum, or too few bytes
            return False
        return True

    def clear(self, blocks: Sequence[Rectangle], plan: Plan) -> None:
        """Remove those of the blocks that are damaged, with a warning; only with the lock."""
        array = self._opened()
        places = [place for block in blocks for place in _places(block, plan)]
        present = [place for place in places if self._file(array, place).exists()]
        damaged = [place for place in present if not self._is_sound(array, place)]
        for place in damaged:
            self._file(array, place).unlink()
        if damaged:
            warnings.warn(
                f"{len(damaged)} blocks of store={str(self.path)!r} are damaged; they are evaluated anew.", stacklevel=4
            )

    def _file(self, array: Any, place: Rectangle) -> Path:
        height, width = array.chunks
        return self.path / array.metadata.encode_chunk_key((place.top // height, place.left // width))

    def write(self, block: Rectangle, here: np.ndarray, plan: Plan) -> None:
        """Write a block, and its mirror image.

        Raises
        ------
        FileNotFoundError
            If the store is not there, on a worker that does not reach it.
        OSError
            If the disk is full, or cannot be written for another reason.
        """
        array = self._opened("r+")
        if (
            array is None
            or array.chunks != plan.block
            or differences(array.attrs.asdict().get("ntkkit"), self._expected)
        ):
            raise FileNotFoundError(
                f"The matrix of store={str(self.path)!r} is not there on {socket.gethostname()}: all workers of a "
                "cluster must reach it by the same path, and nobody may remove it meanwhile."
            )
        with self._explained():
            for place in _places(block, plan):
                array[place.rows, place.columns] = here if place == block else here.T

    @contextmanager
    def locked(self, *, wait: bool = False) -> Iterator[None]:
        """Keep other writers out; the lock dies with its process.

        Parameters
        ----------
        wait : bool
            Until the other one is done, in place of an error.

        Yields
        ------
        None

        Raises
        ------
        BlockingIOError
            If another process is writing: with which.
        OSError
            If nothing can be written there.
        """
        import filelock

        with self._explained():
            self.path.mkdir(parents=True, exist_ok=True)
            lock = filelock.FileLock(self.path / LOCK, timeout=-1 if wait else 0)
            try:
                lock.acquire()
            except filelock.Timeout:
                raise BlockingIOError(
                    f"store={str(self.path)!r} is being written by {self._holder()}: wait for it, or give another path."
                ) from None
        try:
            with self._explained():
                (self.path / HOLDER).write_text(
                    f"process {os.getpid()} on {socket.gethostname()} since {time.strftime('%Y-%m-%d %H:%M:%S')}"
                )
                for left in self.path.rglob("*.partial"):
                    left.unlink(missing_ok=True)
            yield
        finally:
            (self.path / HOLDER).unlink(missing_ok=True)
            lock.release()

    def _holder(self) -> str:
        try:
            return (self.path / HOLDER).read_text() or "another process"
        except OSError:
            return "another process"

    @contextmanager
    def _explained(self) -> Iterator[None]:
        """Name the argument in what the operating system says."""
        try:
            yield
        except BlockingIOError:
            raise
        except OSError as error:
            raise OSError(
                error.errno,
                f"store={str(self.path)!r} cannot be written ({error.strerror}); finished blocks stay, and the next "
                "call with the same arguments goes on from them",
            ) from error

    def _opened(self, mode: str = "r") -> Any:
        """The Zarr array, None where there is none."""
        import zarr

        if not (self.path / "zarr.json").exists():
            return None
        try:
            return zarr.open_array(self._local(), mode=mode, config={"write_empty_chunks": True})
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(
                f"The zarr.json of store={str(self.path)!r} cannot be read ({error}): remove the directory, or give "
                "another path."
            ) from error

    def _local(self) -> Any:
        from zarr.storage import LocalStore

        return LocalStore(self.path)


class IntoStore:
    """A store as the target of an evaluation: a block is written while the next one is evaluated."""

    def __init__(self, store: Store, plan: Plan) -> None:
        self.store, self.plan = store, plan
        self._writing: Future[None] | None = None

    def __enter__(self) -> Self:
        self._writer = ThreadPoolExecutor(1)
        return self

    def __exit__(self, kind: object, *error: object) -> None:
        self._writer.shutdown()
        if kind is None and self._writing is not None:
            self._writing.result()

    def open(self, block: Rectangle) -> Part:
        """A part of its own."""
        return buffer(self.plan, block)

    def close(self, block: Rectangle, part: Part) -> None:
        """Write it, once the one before is written."""
        if self._writing is not None:
            self._writing.result()
        self._writing = self._writer.submit(self.store.write, block, part.here, self.plan)


def load(K: Any) -> np.ndarray:
    """A matrix in memory, which a store may have held.

    Raises
    ------
    MemoryError
        If it does not fit.
    """
    if isinstance(K, np.ndarray):
        return K
    check_available(K.shape, K.dtype)
    return K[...]


def multiply(K: Any, V: np.ndarray) -> np.ndarray:
    """K V of a stored symmetric or rectangular matrix, chunk by chunk: (n, m), (m, k) -> (n, k), summed in float64.

    Raises
    ------
    OSError
        If a part of it is not there, damaged, or not finite.
    """
    product = np.zeros((K.shape[0], V.shape[1]))
    height, width = K.chunks
    for place in Rectangle(0, K.shape[0], 0, K.shape[1]).cut(height, width, upper=False):
        try:
            part = K[place.rows, place.columns]
        except ValueError as error:
            raise OSError(f"A block of the stored matrix is damaged ({error}); evaluate the matrix anew.") from error
        product[place.rows] += part.astype(np.float64) @ V[place.columns]
    if not np.isfinite(product).all():
        raise OSError(
            f"Entries of the product are not finite. Either a block of the stored matrix is missing: evaluate the "
            f"matrix anew, which finds the others; or the kernel overflows {K.dtype}: scale the inputs down."
        )
    return product


def _is_foreign(name: str) -> bool:
    """Whether a file is none that a process leaves that was killed before it had begun a matrix."""
    return name not in (LOCK, HOLDER) and not (name.startswith("zarr.") and name.endswith(".partial"))


def _places(block: Rectangle, plan: Plan) -> Sequence[Rectangle]:
    """Where a block is in the matrix: with its mirror image, if that is elsewhere."""
    if not plan.symmetric or block.top == block.left:
        return [block]
    return [block, Rectangle(block.left, block.right, block.top, block.bottom)]
