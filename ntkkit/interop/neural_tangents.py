"""neural-tangents on current jax without TensorFlow, and its `kernel_fn`s as kernels."""

from __future__ import annotations

import contextlib
import functools
import importlib
import pickle
import sys
import threading
import types
from collections.abc import Callable, Iterator, Sequence
from importlib import metadata
from typing import Any, Self

import jax
import jax.core
import jax.extend.core
import jax.interpreters.ad
import jax.numpy as jnp
from jax import Array

from ntkkit.kernels.base import Kernel
from ntkkit.networks.network import check_shape

SUPPORTED_VERSION = "0.6.5"
_INSTALL = f"pip install --no-deps neural-tangents=={SUPPORTED_VERSION} frozendict"
_MOVED_NAMES = ("ClosedJaxpr", "Jaxpr", "JaxprEqn", "Literal", "Primitive", "Var")
_lock = threading.Lock()


def from_stax(
    kernel_fn: Callable[..., Any], get: str = "ntk", *, input_shape: Sequence[int] | None = None
) -> StaxKernel:
    """A kernel from a ``kernel_fn`` of neural-tangents: k(x, y) = ``kernel_fn(x, y, get)``.

    The result works wherever `ntkkit.NTK` does: called with numpy arrays, in scikit-learn's and ntkkit's estimators. It
    is evaluated by tiles, so give the plain ``kernel_fn``, not one wrapped by ``neural_tangents.batch``, and in float64
    (float32 inputs get a rounded result). The values are neural-tangents' own: right to about 1e-15 of
    sqrt(k(x, x) k(y, y)), but for ReLU only to 1e-8 where x and y are nearly parallel, the diagonal included. There are
    no hyperparameters to differentiate or to search.

    Parameters
    ----------
    kernel_fn : callable
        The third of what ``stax.serial`` and the layers return. Further arguments can be bound, as in
        ``functools.partial(kernel_fn, diagonal_spatial=True)``. Networks with spatial axes must end in
        ``stax.Flatten()`` or ``stax.GlobalAvgPool()``, so that a pair of inputs has one number. Static.
    get : {"ntk", "nngp"}, default="ntk"
        Which of the two limits. Static.
    input_shape : tuple of int, optional
        The shape of one input if it is more than a row: (H, W, C) for the images (n, H, W, C) that ``stax.Conv`` reads,
        (T, d) for sequences of equal length. The kernel then takes such arrays, or their rows flattened. Static.

    Returns
    -------
    StaxKernel

    References
    ----------
    Novak et al. (2020), Neural Tangents: Fast and Easy Infinite Neural Networks in Python.

    Examples
    --------
    >>> from ntkkit.interop.neural_tangents import from_stax, import_neural_tangents
    >>> stax = import_neural_tangents().stax
    >>> _, _, kernel_fn = stax.serial(stax.Dense(1), stax.Dense(1))  # k = x.y / d for each of two layers
    >>> from_stax(kernel_fn)([[1.0, 2.0]], [[3.0, 4.0]])
    array([[11.]])
    """
    return StaxKernel(kernel_fn, get, input_shape)


class StaxKernel(Kernel):
    """What `from_stax` returns.

    It is pickled with the code of its ``kernel_fn``, a closure, by cloudpickle: load it with the Python, jax and
    neural-tangents that saved it. Equality and hash are those of the ``kernel_fn`` object, so a loaded kernel is not
    equal to the saved one. A few layers (attention) cannot be pickled at all.

    Parameters
    ----------
    kernel_fn, get, input_shape
        As for `from_stax`.

    Raises
    ------
    TypeError
        If kernel_fn is not callable.
    ValueError
        If get is neither "ntk" nor "nngp".
    """

    def __init__(
        self, kernel_fn: Callable[..., Any], get: str = "ntk", input_shape: Sequence[int] | None = None
    ) -> None:
        if not callable(kernel_fn):
            raise TypeError(
                "kernel_fn must be a function of (x1, x2, get): the third of the (init_fn, apply_fn, kernel_fn) "
                f"that stax.serial returns; found {type(kernel_fn).__name__}."
            )
        if get not in ("ntk", "nngp"):
            raise ValueError(f"get must be 'ntk' or 'nngp', found {get!r}.")
        self.kernel_fn, self.get = kernel_fn, get
        self.__dict__["input_shape"] = check_shape(input_shape)

    @property
    def input_kind(self) -> str:
        return "rows" if self.input_shape is None else "images"

    @property
    def input_shape(self) -> tuple[int, ...] | None:
        return self.__dict__["input_shape"]

    def tile(self, X: Array, Y: Array, *, same: bool = False) -> Array:
        try:
            K = self.kernel_fn(self._shaped(X), None if same else self._shaped(Y), self.get)
        except Exception as error:
            error.add_note(
                f"kernel_fn was given inputs of shape {self.input_shape or X.shape[1:]}; set that by input_shape=."
            )
            raise
        if getattr(K, "shape", None) != (len(X), len(Y)):
            raise ValueError(
                f"kernel_fn returned {_described(K)} for {len(X)} and {len(Y)} inputs, not a matrix of that shape: let "
                "the network end in stax.Flatten() or stax.GlobalAvgPool() where it has spatial axes."
            )
        return K.astype(jnp.result_type(X, Y))

    def tile_diag(self, X: Array) -> Array:
        # a batch at a time: a pair of images needs the memory of all pairs of their pixels
        return jax.lax.map(lambda x: self.tile(x[None], x[None], same=True)[0, 0], X, batch_size=32)

    def _shaped(self, X: Array) -> Array:
        return X if self.input_shape is None else X.reshape(len(X), *self.input_shape)

    def __sklearn_clone__(self) -> Self:
        return self.replace()  # with the same function: scikit-learn would copy a partial one, and jax trace it again

    def __reduce__(self) -> tuple[Any, ...]:
        from joblib import wrap_non_picklable_objects

        try:
            code = pickle.dumps(wrap_non_picklable_objects(self.kernel_fn, keep_wrapper=False))
        except (AttributeError, TypeError, pickle.PicklingError) as error:
            raise pickle.PicklingError(
                f"kernel_fn cannot be pickled, by cloudpickle either ({error}): keep it in this process (n_jobs=1), or "
                "save what the kernel was built from."
            ) from error
        return _unpickled, (type(self), code, self.get, self.input_shape)


def _unpickled(cls: type[StaxKernel], code: bytes, get: str, input_shape: tuple[int, ...] | None) -> StaxKernel:
    import_neural_tangents()  # the code names its modules, which only this can import
    return cls(pickle.loads(code), get, input_shape)


def _described(K: Any) -> str:
    return f"an array of shape {K.shape}" if hasattr(K, "shape") else f"a {type(K).__name__}"


@functools.cache
def import_neural_tangents() -> types.ModuleType:
    """Import neural-tangents 0.6.5 on current jax, without TensorFlow.

    Its last release names things that jax has since moved or dropped. They are put in their old places while the import
    runs, and taken away again: ``jax.core``, ``jax.interpreters.ad`` and ``sys.modules`` are afterwards as before, but
    for ``neural_tangents`` itself. Its sub-package ``experimental``, the only user of TensorFlow, is left out. Call
    this once before any ``import neural_tangents`` of your own. ``stax``, ``batch``, ``predict``,
    ``monte_carlo_kernel_fn`` and ``empirical_ntk_fn`` run; of the last one's implementations, ``JACOBIAN_CONTRACTION``
    (its default) and ``NTK_VECTOR_PRODUCTS`` do.

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
        raise ImportError(f"neural-tangents {found} is installed, ntkkit supports {SUPPORTED_VERSION} only: {_INSTALL}")
    before = set(sys.modules)
    try:
        with _lock, _names_of_old_jax():
            package = importlib.import_module("neural_tangents")
        _pad_before_convolving(importlib.import_module("neural_tangents._src.stax.linear"))
        return package
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
    wanted: tuple[tuple[dict[str, Any], dict[str, Any]], ...] = (
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
        package: Any = sys.modules.get("neural_tangents")
        if getattr(package, "experimental", None) is experimental:
            del package.experimental  # so that whoever has TensorFlow may import the real one


def _pad_before_convolving(linear: Any) -> None:
    """Let the kernels of padded convolutions pad in a step of its own.

    XLA compiles a float64 convolution of one channel with padding to an unmasked read in front of its input, on CPUs
    with AVX-512 (seen from jax 0.8 to 0.10): the process dies if that memory is not its own.
    """
    convolve = linear._conv_kernel_full_spatial_shared
    if hasattr(convolve, "__wrapped__"):
        return

    @functools.wraps(convolve)
    def padded(lhs: Any, filter_shape: Any, strides: Any, padding: Any, batch_ndim: int) -> Any:
        if padding is linear.Padding.SAME and lhs is not None and lhs.ndim:
            double = linear.utils.double_tuple  # each spatial axis is there twice
            axes = tuple(range(batch_ndim, lhs.ndim))
            lhs = linear._same_pad_for_filter_shape(lhs, double(filter_shape), double(strides), axes, mode="constant")
            padding = linear.Padding.VALID
        return convolve(lhs, filter_shape, strides, padding, batch_ndim)

    linear._conv_kernel_full_spatial_shared = padded


def _safe_map(function: Callable[..., Any], *sequences: Any) -> list[Any]:
    return [function(*items) for items in zip(*sequences, strict=True)]


def _safe_zip(*sequences: Any) -> list[Any]:
    return list(zip(*sequences, strict=True))
