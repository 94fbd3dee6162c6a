"""What a kernel matrix is made of, in words and digests that another process will find again."""

from __future__ import annotations

import hashlib
import numbers
from typing import Any

import numpy as np

from ntkkit.kernels.base import Kernel
from ntkkit.networks.value import Value, named


def describe(value: Any, *, where: str = "kernel") -> Any:
    """A kernel, or whatever it is made of, as what JSON can hold: types, parameters, digests of arrays.

    Raises
    ------
    ValueError
        If a function or class in it has no name by which another process could find it: a lambda, or one of a script.
    """
    kind = type(value)
    if isinstance(value, Value) and kind.__module__ != "__main__" and "<" not in kind.__qualname__:
        params = value.get_params(deep=False)
        seen = {name: item for name, item in params.items() if name not in value._unseen}
        inner = {name: describe(item, where=f"{where}.{name}") for name, item in seen.items()}
        return {"type": f"{kind.__module__}.{kind.__qualname__}", **inner}
    if value is None or isinstance(value, (bool, str)):
        return value
    if isinstance(value, (numbers.Integral, numbers.Real)):
        return int(value) if isinstance(value, numbers.Integral) else float(value)
    if isinstance(value, (list, tuple)):
        return [describe(item, where=f"{where}.{i}") for i, item in enumerate(value)]
    if isinstance(value, dict):
        return {str(key): describe(item, where=f"{where}.{key}") for key, item in value.items()}
    if isinstance(value, np.ndarray):
        return describe_array(value)
    name = named(value)
    if name is None:
        raise ValueError(
            f"{where} is {value!r}, which no other process could recognise: matrices that are stored, cached or sent "
            "to other machines need functions and classes that a module defines under their names."
        )
    return ":".join(name)


def describe_array(X: np.ndarray) -> dict[str, Any]:
    """The shape, dtype and digest of an array."""
    digest = hashlib.blake2b(digest_size=16)
    step = max(1, 2**24 // max(1, X[:1].nbytes))
    for start in range(0, len(X), step):
        digest.update(np.ascontiguousarray(X[start : start + step]).data)
    return {"shape": list(X.shape), "dtype": X.dtype.str, "digest": digest.hexdigest()}


def describe_matrix(kernel: Kernel, X: np.ndarray, Y: np.ndarray | None, dtype: np.dtype) -> dict[str, Any]:
    """All that a matrix of a kernel depends on; Y=None where it is symmetric."""
    return {
        "kernel": describe(kernel),
        "X": describe_array(X),
        "Y": None if Y is None else describe_array(Y),
        "dtype": np.dtype(dtype).name,
    }


def differences(found: Any, asked: Any, *, where: str = "") -> list[str]:
    """Where two descriptions differ, one line each."""
    if isinstance(found, dict) and isinstance(asked, dict):
        names = [*found, *(name for name in asked if name not in found)]
        inner = (differences(found.get(n), asked.get(n), where=f"{where}.{n}" if where else n) for n in names)
        return [line for lines in inner for line in lines]
    return [] if found == asked else [f"{where}: {found!r} there, {asked!r} here"]
