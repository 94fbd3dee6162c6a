"""The kernel: at once a scikit-learn Gaussian-process kernel and a jax pytree."""

from __future__ import annotations

import numbers
from abc import abstractmethod
from typing import Any, ClassVar, Self

import numpy as np
from jax import Array
from sklearn.gaussian_process.kernels import Hyperparameter
from sklearn.gaussian_process.kernels import Kernel as SklearnKernel

from ntkkit.kernels.inputs import check_inputs
from ntkkit.networks.sequences import lengths
from ntkkit.networks.value import Value

DEFAULT_BOUNDS = (1e-5, 1e5)


class Kernel(Value, SklearnKernel):
    """k(x, y), as numpy users, scikit-learn and jax each want it.

    A subclass stores its constructor's arguments under their names, lists the real-valued ones in ``_leaves``, and
    writes two pure jax methods: `tile` and `tile_diag`. The rest is here: numpy in and numpy out by tiles through the
    engine, checked inputs, dtype (float32 for float32 inputs, else float64), theta and its bounds, gradients with
    respect to log hyperparameters, clone, pickle, equality.

    An argument named ``bounds`` is a dict from parameter path (``network__weight_var``) to (low, high) or "fixed", with
    default (1e-5, 1e5); hyperparameters that are 0 are fixed.
    """

    _unseen: ClassVar[tuple[str, ...]] = ("bounds",)
    reads_same: bool = True  # whether `tile` makes use of `same`, for which it is compiled apart

    @property
    def symmetric(self) -> bool:
        """Whether k(x, y) = k(y, x); kernels of kernels are what all of these are."""
        return all(child.symmetric for _, child in self._children() if isinstance(child, Kernel))

    @abstractmethod
    def tile(self, X: Array, Y: Array, *, same: bool = False) -> Array:
        """The kernel of every pair: (n, d), (m, d) -> (n, m). Pure jax; `same` says that X is Y."""

    @abstractmethod
    def tile_diag(self, X: Array) -> Array:
        """The kernel of each input with itself: (n, d) -> (n,). Pure jax."""

    @property
    def input_kind(self) -> str:
        """What one input is: "rows", "images" or "sequences"."""
        return "rows"

    @property
    def input_shape(self) -> tuple[int, ...] | None:
        """The shape of one input, where it is more than a row."""
        return None

    @property
    def tile_side(self) -> int | None:
        """How many inputs make a tile that a CPU's cache holds; None leaves that to the engine."""
        return None

    @property
    def works_in_cache(self) -> bool:
        """Whether small tiles are as fast as large ones: not if a row takes long, which each tile evaluates anew."""
        return all(child.works_in_cache for _, child in self._children() if isinstance(child, Kernel))

    # ---- numpy in and out

    def __call__(self, X: Any, Y: Any = None, eval_gradient: bool = False) -> Any:
        """Evaluate the kernel.

        Parameters
        ----------
        X : array-like of shape (n, d)
            Inputs; images too, where the network has `input_shape`; sequences, for recurrent networks.
        Y : array-like of shape (m, d), optional
            Other inputs; None (or X itself) means X, evaluated on one triangle.
        eval_gradient : bool, default=False
            Also return the gradient with respect to the log of each free hyperparameter; needs Y=None.

        Returns
        -------
        K : ndarray of shape (n, m)
            float32 if the inputs are, else float64.
        K_gradient : ndarray of shape (n, n, n_free_hyperparameters)
            Only with `eval_gradient`.

        Raises
        ------
        ValueError
            If the inputs are not what the kernel reads, or a gradient is asked for between X and another Y.
        """
        from ntkkit.engine import Engine  # the one upward import: calling a kernel is as fast as everything else

        if not eval_gradient:
            return Engine().gram(self, X, Y)
        if Y is not None and Y is not X:
            raise ValueError("eval_gradient=True needs Y=None: gradients are taken of the Gram matrix of X.")
        return Engine().gram_gradient(self, X)

    def diag(self, X: Any) -> np.ndarray:
        """The kernel of each input with itself, shape (n,)."""
        from ntkkit.engine import Engine

        return Engine().diag(self, X)

    def check_inputs(self, X: Any, *, name: str = "X") -> np.ndarray:
        """X as an array of rows that `tile` takes, or an error that names the argument and what was found."""
        return check_inputs(X, kind=self.input_kind, input_shape=self.input_shape, name=name)

    def lengths(self, X: np.ndarray) -> np.ndarray | None:
        """What the time of each checked input grows with; None where all are alike."""
        return lengths(X) if self.input_kind == "sequences" else None

    def examine(self, X: np.ndarray, Y: np.ndarray | None = None) -> None:
        """Warn if checked inputs (Y=None: X with itself) make the kernel less exact than it is elsewhere.

        The engine calls this once before it evaluates; kernels of kernels pass it on. Raises ValueError if the inputs
        are none that the kernel takes together.
        """
        for _, child in self._children():
            if isinstance(child, Kernel):
                child.examine(X, Y)

    def is_stationary(self) -> bool:
        return False

    # ---- hyperparameters, as scikit-learn's Gaussian processes want them

    @property
    def hyperparameters(self) -> list[Hyperparameter]:
        """One `Hyperparameter` a real-valued parameter, by path; of several elements where that is an array."""
        bounds = self.__dict__.get("bounds") or {}
        inner = {
            f"{path}__{h.name}": h for path, k in self._children() if isinstance(k, Kernel) for h in k.hyperparameters
        }
        return [
            Hyperparameter(
                path,
                "numeric",
                inner[path].bounds if path in inner else _bounds_of(path, value, bounds),
                n_elements=np.size(value),
            )
            for path, value in self.leaf_paths().items()
        ]

    def set_params(self, **params: Any) -> Self:
        """Rebind parameters in place; a shared network is replaced, never changed."""
        if params:
            self.__init__(**self._merged(params))  # type: ignore[misc]
        return self

    # ---- algebra: with our own kernels it stays ours; scikit-learn's are added on the host

    def __add__(self, other: Any) -> Any:
        from ntkkit.kernels.algebra import Constant, Sum

        if isinstance(other, numbers.Real):
            return Sum(self, Constant(float(other)))
        return Sum(self, other) if isinstance(other, Kernel) else SklearnKernel.__add__(self, other)

    def __radd__(self, other: Any) -> Any:
        from ntkkit.kernels.algebra import Constant, Sum

        if isinstance(other, numbers.Real):
            return Sum(Constant(float(other)), self)
        return SklearnKernel.__radd__(self, other)

    def __mul__(self, other: Any) -> Any:
        from ntkkit.kernels.algebra import Product, Scaled

        if isinstance(other, numbers.Real):
            return Scaled(self, float(other))
        return Product(self, other) if isinstance(other, Kernel) else SklearnKernel.__mul__(self, other)

    def __rmul__(self, other: Any) -> Any:
        return self.__mul__(other) if isinstance(other, numbers.Real) else SklearnKernel.__rmul__(self, other)

    __eq__ = Value.__eq__
    __hash__ = Value.__hash__
    __repr__ = Value.__repr__


def check_bounds(bounds: Any, paths: dict[str, Any]) -> None:
    """Check a bounds argument: None, or a dict from one of `paths` to "fixed" or (low, high) with 0 < low <= high.

    Raises
    ------
    ValueError
        For a path that is none of the kernel's, or bounds that are no positive interval.
    """
    for path, interval in (bounds or {}).items():
        if path not in paths:
            raise ValueError(f"bounds names {path!r}, which is no hyperparameter here; they are {sorted(paths)}.")
        if isinstance(interval, str) and interval == "fixed":
            continue
        n_values = np.size(paths[path])
        low, high = np.broadcast_to(np.asarray(interval, dtype=float), (n_values, 2)).T
        if not ((low > 0).all() and (low <= high).all() and (high < np.inf).all()):
            raise ValueError(
                f"bounds[{path!r}] must be 'fixed' or (low, high) with 0 < low <= high, found {interval!r}."
            )


def _bounds_of(path: str, value: Any, bounds: dict[str, Any]) -> Any:
    return bounds.get(path, DEFAULT_BOUNDS) if np.min(value) > 0 else "fixed"
