"""Error barriers between networks: when training has chosen the valley it ends in."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import numpy as np
from jax import Array

from ntkkit.finite._functions import check_params
from ntkkit.networks.value import check_count


@dataclass(frozen=True)
class ErrorBarrier:
    """Errors on the straight line between two parameters.

    Parameters
    ----------
    positions : ndarray of shape (n_points,)
        From 0, one end, to 1, the other.
    errors : ndarray of shape (n_points,)

    Examples
    --------
    >>> import numpy as np
    >>> ErrorBarrier(np.array([0.0, 0.5, 1.0]), np.array([0.25, 0.75, 0.25])).height
    0.5
    """

    positions: np.ndarray
    errors: np.ndarray

    @property
    def height(self) -> float:
        """The largest error on the line, less the mean of those at its ends."""
        return float(self.errors.max() - (self.errors[0] + self.errors[-1]) / 2)


def error_barrier(error: Callable[[Any], Any], one: Any, other: Any, *, n_points: int = 11) -> ErrorBarrier:
    """Errors of (1 - s) one + s other, for s from 0 to 1: a barrier where the two lie in different valleys.

    Parameters
    ----------
    error : callable
        ``error(params) -> scalar`` of jax: an error rate or a loss. It is traced once as long as it is the same object.
    one, other : pytree of floating-point arrays
        Parameters of the same structure; float64 arrays are kept so.
    n_points : int, default=11
        Points on the line, >= 3, both ends among them.

    Returns
    -------
    ErrorBarrier

    Raises
    ------
    ValueError
        If parameters are not finite, or of different structures or shapes.

    References
    ----------
    Frankle et al. (2020), Linear mode connectivity and the lottery ticket hypothesis; Fort et al. (2020), Deep learning
    versus kernel learning.

    Examples
    --------
    >>> import numpy as np
    >>> def error(params):
    ...     return (params[0] ** 2 - 1) ** 2  # the valleys are at -1 and 1
    >>> error_barrier(error, [np.array(-1.0)], [np.array(1.0)]).height
    1.0
    """
    one, other = check_params(one), check_params(other)
    shapes = [jax.tree.map(np.shape, params) for params in (one, other)]
    if shapes[0] != shapes[1]:
        raise ValueError(f"one and other must be parameters of the same network, found shapes {shapes}.")
    positions = np.linspace(0, 1, check_count(n_points, "n_points", low=3))
    dtype = np.result_type(*jax.tree.leaves(one))
    with jax.enable_x64(dtype == np.float64):
        errors = np.asarray(_on_line(error, one, other, positions.astype(dtype)), np.float64)
    return ErrorBarrier(positions, errors)


@partial(jax.jit, static_argnames="error")
def _on_line(error: Callable[[Any], Any], one: Any, other: Any, positions: Array) -> Array:
    def at(position: Array) -> Any:
        return error(jax.tree.map(lambda a, b: (1 - position) * a + position * b, one, other))

    return jax.lax.map(at, positions)
