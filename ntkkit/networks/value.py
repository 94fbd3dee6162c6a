"""Values: objects whose constructor arguments are their whole state, and which jax sees as pytrees."""

from __future__ import annotations

import importlib
import inspect
import math
import numbers
from collections.abc import Iterator
from types import FunctionType
from typing import Any, ClassVar, Self

import jax
import numpy as np


class Value:
    """An object that is nothing but its constructor arguments.

    The pytree's leaves are the real-valued hyperparameters named in ``_leaves`` and those of nested values; everything
    else (depth, names, shapes) is structure, so that changing a variance never recompiles and changing a depth does.
    ``_unseen`` names arguments that no computation depends on (bounds of a search): they are no part of the pytree, and
    an object that jax has rebuilt has None in their place.

    Parameters live in ``__dict__`` under the names of the constructor's arguments, as in scikit-learn.
    """

    _leaves: ClassVar[tuple[str, ...]] = ()
    _unseen: ClassVar[tuple[str, ...]] = ()

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        jax.tree_util.register_pytree_node(
            cls, lambda value: value._flatten(), lambda aux, leaves: cls._rebuild(aux, leaves)
        )

    @classmethod
    def _names(cls) -> list[str]:
        return [name for name in inspect.signature(cls.__init__).parameters if name != "self"]

    def _children(self) -> Iterator[tuple[str, Any]]:
        """Nested values with their paths: ``network``, and ``layers__0`` for those in a list."""
        for name in self._names():
            value = self.__dict__[name]
            if isinstance(value, Value):
                yield name, value
            elif _holds_values(value):
                yield from ((f"{name}__{i}", item) for i, item in enumerate(value))

    def _flatten(self) -> tuple[list[Any], Any]:
        dynamic, static = [], []
        for name in self._names():
            value = self.__dict__[name]
            if name in self._leaves or isinstance(value, Value) or _holds_values(value):
                dynamic.append(name)
            elif name not in self._unseen:
                static.append((name, _hashable(value)))
        return [self.__dict__[name] for name in dynamic], (tuple(dynamic), tuple(static))

    @classmethod
    def _rebuild(cls, aux: Any, leaves: Any) -> Self:
        value = object.__new__(cls)
        names, static = aux
        value.__dict__.update(dict.fromkeys(cls._unseen), **dict(static), **dict(zip(names, leaves, strict=True)))
        return value

    def leaf_paths(self) -> dict[str, Any]:
        """Real-valued hyperparameters by path (``network__weight_var``); those that are None are left out."""
        own = {name: self.__dict__[name] for name in self._leaves if self.__dict__[name] is not None}
        for path, child in self._children():
            own.update({f"{path}__{name}": value for name, value in child.leaf_paths().items()})
        return own

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Constructor arguments by name; with ``deep``, those of nested values as ``outer__inner`` too."""
        params = {name: self.__dict__[name] for name in self._names()}
        if deep:
            for path, child in self._children():
                params.update({f"{path}__{name}": value for name, value in child.get_params().items()})
        return params

    def replace(self, **params: Any) -> Self:
        """A copy with some parameters changed; nested ones by path, ``replace(network__depth=2)``."""
        return type(self)(**self._merged(params))

    def _merged(self, params: dict[str, Any]) -> dict[str, Any]:
        """Constructor arguments after a change: whole arguments first, then what the paths change inside them."""
        own, nested = self.get_params(deep=False), dict[str, dict[str, Any]]()
        for path, value in params.items():
            name, _, rest = path.partition("__")
            if name not in own:
                raise ValueError(f"Invalid parameter {name!r} for {type(self).__name__}; valid ones are {list(own)}.")
            if rest:
                nested.setdefault(name, {})[rest] = value
            else:
                own[name] = value
        for name, changes in nested.items():
            own[name] = _replaced(own[name], changes, f"{type(self).__name__}.{name}")
        return own

    def _key(self) -> tuple[Any, ...]:
        return (type(self), *((name, _hashable(self.__dict__[name])) for name in self._names()))

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and self._key() == other._key()

    def __hash__(self) -> int:
        return hash(self._key())

    def __repr__(self) -> str:
        shown = []
        for parameter in inspect.signature(type(self).__init__).parameters.values():
            if parameter.name == "self":
                continue
            value = self.__dict__[parameter.name]
            if parameter.default is parameter.empty or _shown(value) != _shown(parameter.default):
                shown.append(f"{parameter.name}={_shown(value)}")
        return f"{type(self).__name__}({', '.join(shown)})"

    def __reduce__(self) -> tuple[Any, ...]:
        return _unpickled, (type(self), {name: _by_name(value) for name, value in self.get_params(deep=False).items()})

    def __getstate__(self) -> dict[str, Any]:
        """The constructor's arguments, which skops saves; pickle goes by `__reduce__`."""
        state = self.get_params(deep=False)
        for name, value in state.items():
            if isinstance(value, jax.Array) or (callable(value) and not _has_state_or_name(value)):
                raise TypeError(
                    f"{name}={value!r} of {type(self).__name__} cannot be saved by skops, which takes numbers, arrays "
                    "of numpy, and functions found by their names: give one that a module defines by def (it may call "
                    "a jitted one of jax), or an activation by its name, such as 'relu'."
                )
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(**state)  # type: ignore[misc]  # so that what a file says is checked


class FrozenValue(Value):
    """A value that cannot change: shared safely between kernels, and its own clone."""

    def __setattr__(self, name: str, value: Any) -> None:
        raise AttributeError(f"{type(self).__name__} is immutable; use .replace({name}=...)")

    def __sklearn_clone__(self) -> Self:
        return self


def check_real(value: Any, name: str, *, optional: bool = False, signed: bool = False) -> Any:
    """A variance or scale: a float >= 0; with ``signed``, any float. Tracers (of users who differentiate) pass through.

    Raises
    ------
    TypeError
        If the value is no real number.
    ValueError
        If it is negative (and not ``signed``), infinite or NaN.
    """
    if isinstance(value, jax.core.Tracer) or (optional and value is None):
        return value
    if isinstance(value, jax.Array) and value.ndim == 0:
        value = value.item()
    if not isinstance(value, numbers.Real) or isinstance(value, (bool, np.bool_)):
        raise TypeError(f"{name} must be a real number{'' if signed else ' >= 0'}, found {value!r}; pass a float.")
    value = float(value)
    if signed and not math.isfinite(value):
        raise ValueError(f"{name} must be finite, found {value!r}.")
    if not signed and not 0 <= value < float("inf"):
        raise ValueError(f"{name} must be finite and >= 0 (it is a variance or a scale), found {value!r}.")
    return value


def check_scales(value: Any, name: str) -> Any:
    """None, one scale for all features, or one a feature: a float >= 0, or a 1-D float64 array that cannot be written.

    Raises
    ------
    TypeError
        If the entries are no real numbers.
    ValueError
        If one is negative, infinite or NaN, or the array is empty or not 1-D.
    """
    if value is None or isinstance(value, jax.core.Tracer):
        return value
    array = np.asarray(value)
    if array.dtype.kind not in "fiu":
        raise TypeError(f"{name} must be None, a real number, or one a feature, found {value!r}.")
    if array.ndim == 0:
        return check_real(array.item(), name)
    if array.ndim != 1 or array.size == 0:
        raise ValueError(f"{name} must have one entry a feature, found an array of shape {array.shape}.")
    array = array.astype(np.float64)
    if not (np.isfinite(array).all() and array.min() >= 0):
        raise ValueError(f"{name} must be finite and >= 0 (0 leaves a feature out), found {value!r}.")
    array.flags.writeable = False
    return array


def check_count(value: Any, name: str, *, low: int = 0) -> int:
    """An integer >= ``low``.

    Raises
    ------
    TypeError
        If the value is no integer.
    ValueError
        If it is less than ``low``.
    """
    if not isinstance(value, numbers.Integral) or isinstance(value, (bool, np.bool_)):
        raise TypeError(f"{name} must be an integer >= {low}, found {value!r}.")
    if value < low:
        raise ValueError(f"{name} must be >= {low}, found {value!r}.")
    return int(value)


class _Reference(tuple):
    """A module-level function by its names: plain pickling of jitted functions fails, and copies retrace."""

    __slots__ = ()


def named(value: Any) -> tuple[str, str] | None:
    """Module and name by which any process finds a function; None where there are none."""
    module, name = getattr(value, "__module__", None), getattr(value, "__qualname__", "<")
    if not callable(value) or isinstance(value, type) or "<" in name or module in (None, "__main__"):
        return None
    try:
        found = _looked_up(module, name)
    except (ImportError, AttributeError):
        return None
    return (module, name) if found is value else None


def _by_name(value: Any) -> Any:
    name = named(value)
    return value if name is None else _Reference(name)


def _unpickled(cls: type[Value], params: dict[str, Any]) -> Value:
    found = {name: _looked_up(*value) if isinstance(value, _Reference) else value for name, value in params.items()}
    return cls(**found)


def _has_state_or_name(value: Any) -> bool:
    """Whether skops can save something callable: a value, or a function, which it looks up by its plain name."""
    by_name = isinstance(value, FunctionType) and named(value) == (value.__module__, value.__name__)
    return by_name or isinstance(value, Value)


def _looked_up(module: str, name: str) -> Any:
    found: Any = importlib.import_module(module)
    for part in name.split("."):
        found = getattr(found, part)
    return found


def _holds_values(value: Any) -> bool:
    return isinstance(value, (list, tuple)) and len(value) > 0 and all(isinstance(item, Value) for item in value)


def _replaced(value: Any, changes: dict[str, Any], where: str) -> Any:
    """``value`` (a nested value, or a list of them addressed by position) with changes inside."""
    if isinstance(value, Value):
        return value.replace(**changes)
    if not _holds_values(value):
        raise ValueError(f"{where} is {value!r}, which has no parameters {sorted(changes)}.")
    items: list[Any] = list(value)
    nested: dict[int, dict[str, Any]] = {}
    for path, change in changes.items():
        position, _, rest = path.partition("__")
        if not position.isdecimal() or int(position) >= len(items):
            raise ValueError(f"{where} has items 0 to {len(items) - 1}, found {position!r}.")
        if rest:
            nested.setdefault(int(position), {})[rest] = change
        else:
            items[int(position)] = change
    for index, inner in nested.items():
        items[index] = items[index].replace(**inner)
    return type(value)(items)


def _hashable(value: Any) -> Any:
    if isinstance(value, dict):
        return tuple(sorted((key, _hashable(item)) for key, item in value.items()))
    if isinstance(value, (list, tuple)):
        return tuple(map(_hashable, value))
    if isinstance(value, (np.ndarray, jax.Array)):
        return value.shape, np.asarray(value, dtype=np.float64).tobytes()
    return value


def _shown(value: Any) -> str:
    if isinstance(value, numbers.Real) and not isinstance(value, (bool, numbers.Integral)):
        return repr(float(value))
    if callable(value) and hasattr(value, "__name__"):
        return value.__name__
    if isinstance(value, np.ndarray):
        return np.array2string(value, separator=", ", threshold=6)
    return repr(value)
