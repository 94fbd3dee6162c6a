"""What networks of finite width minimise: losses of outputs and targets, (n, k), (n, k) -> (n,)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

Loss = Callable[[Array, Array], Array]


def squared(outputs: Array, y: Array) -> Array:
    """Half the sum over outputs of (f - y)^2."""
    return jnp.sum((outputs - y) ** 2, axis=-1) / 2


def logistic(outputs: Array, y: Array) -> Array:
    """The sum over outputs of log(1 + exp(-y f)), for y of +1 and -1: each output is a logit."""
    return jnp.sum(jax.nn.softplus(-y * outputs), axis=-1)


def softmax(outputs: Array, y: Array) -> Array:
    """log sum_c exp f_c - f_y, where y is +1 in the column of the class and -1 elsewhere."""
    return jax.nn.logsumexp(outputs, axis=-1) - jnp.sum(jnp.where(y > 0, outputs, 0), axis=-1)


LOSSES: dict[str, Loss] = {"squared": squared, "logistic": logistic, "softmax": softmax}
# The largest eigenvalue that their second derivatives by the outputs can have.
CURVATURES: dict[Loss, float] = {squared: 1.0, logistic: 0.25, softmax: 0.5}


def resolve_loss(loss: Any) -> Loss:
    """The function that a name stands for, or a function itself.

    Raises
    ------
    ValueError
        If it is neither.
    """
    if callable(loss):
        return loss
    if loss not in LOSSES:
        raise ValueError(
            f"loss must be one of {sorted(LOSSES)}, or a function of jax (outputs (n, k), y (n, k)) -> (n,), "
            f"found {loss!r}."
        )
    return LOSSES[loss]
