"""neural-tangents on current jax without TensorFlow, and its `kernel_fn`s as kernels."""

from __future__ import annotations

import contextlib
import functools
import importlib
import sys
import threading
import types
from collections.abc import Iterator
from importlib import metadata

import jax
import jax.core
import jax.extend.core
import jax.interpreters.ad

SUPPORTED_VERSION = "0.6.5"
_INSTALL = f"pip install --no-deps neural-tangents=={SUPPORTED_VERSION} frozendict"
_MOVED_NAMES = ("ClosedJaxpr", "Jaxpr", "JaxprEqn", "Literal", "Primitive", "Var")
_lock = threading.Lock()


@functools.cache
def import_neural_tangents() -> types.ModuleType:
    """Import neural-tangents 0.6.5 on current jax, without TensorFlow.

    Its last release names things that jax has since moved or dropped. They are put in their old places while the import
    runs, and taken away again: ``jax.core``, ``jax.interpreters.ad`` and ``sys.modules`` are afterwards as before, but
    for ``neural_tangents`` itself. Its sub-package ``experimental``, the only user of TensorFlow, is left out. Call this
    once before any ``import neural_tangents`` of your own.

    Returns
    -------
    module
        The package ``neural_tangents``.

    Raises
    ------
    ImportError
        If neural-tangents or frozendict is not installed, if the version is another, or if this jax lacks more than
        versions 0.8 to 0.10 do.

    Examples
    --------
    >>> from ntkkit.interop.neural_tangents import import_neural_tangents
    >>> stax = import_neural_tangents().stax
    >>> _, _, kernel_fn = stax.serial(stax.Dense(1), stax.Relu(), stax.Dense(1))
    """
    try:
        found = metadata.version("neural-tangents")
    except metadata.PackageNotFoundError:
        raise ImportError(f"neural-tangents is not installed: {_INSTALL}") from None
    if found != SUPPORTED_VERSION:
        raise ImportError(f"neural-tangents {found} is installed, but ntkkit supports {SUPPORTED_VERSION} only: {_INSTALL}")
    before = set(sys.modules)
    try:
        with _lock, _names_of_old_jax():
            return importlib.import_module("neural_tangents")
    except Exception as error:
        for name in set(sys.modules) - before:  # half-imported modules would spoil a second try
            if name.partition(".")[0] == "neural_tangents":
                del sys.modules[name]
        raise ImportError(
            f"neural-tangents {found} does not import with jax {jax.__version__} ({error}); "
            f"ntkkit supports it with jax 0.8 to 0.10, installed by: {_INSTALL}"
        ) from error


@contextlib.contextmanager
def _names_of_old_jax() -> Iterator[None]:
    """Hold in place, where they are missing, the names that neural-tangents imports."""
    jax_util, experimental = types.ModuleType("jax.util"), types.ModuleType("neural_tangents.experimental")
    jax_util.__dict__.update(safe_map=_safe_map, safe_zip=_safe_zip)
    wanted = (
        (vars(jax.core), {name: getattr(jax.extend.core, name) for name in _MOVED_NAMES}),
        (vars(jax.interpreters.ad), {"zeros_like_p": jax.extend.core.Primitive("zeros_like")}),  # a dict key, no more
        (sys.modules, {module.__name__: module for module in (jax_util, experimental)}),
    )
    added = [(place, name) for place, names in wanted for name in names if name not in place]
    try:
        for place, names in wanted:
            place.update({name: value for name, value in names.items() if name not in place})
        yield
    finally:
        for place, name in added:
            place.pop(name, None)
        package = sys.modules.get("neural_tangents")
        if getattr(package, "experimental", None) is experimental:
            del package.experimental  # so that whoever has TensorFlow may import the real one


def _safe_map(function, *sequences):
    return [function(*items) for items in zip(*sequences, strict=True)]


def _safe_zip(*sequences):
    return list(zip(*sequences, strict=True))
