"""Networks of several widths, and how many of them are trained together."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np

from ntkkit.finite.parametrization import FiniteNetwork
from ntkkit.networks.value import check_count

# Parameters of the networks that are trained together, at most.
TOGETHER = 2**24


def runs_of(network: FiniteNetwork, X: np.ndarray, n_outputs: int, n_networks: int) -> list[int]:
    """How many networks are trained together, run by run: equal numbers, which are compiled once."""
    shape = X.shape[1:]
    params = jax.eval_shape(lambda: network.init(jax.random.key(0), shape, n_outputs=n_outputs))
    n_params = sum(leaf.size for leaf in jax.tree.leaves(params))
    n_runs = -(-n_networks // max(1, TOGETHER // n_params))
    size = -(-n_networks // n_runs)
    return [min(size, n_networks - start) for start in range(0, n_networks, size)]


def check_widths(widths: Any) -> tuple[int, ...]:
    """Widths as a tuple.

    Raises
    ------
    ValueError
        If they are none, or do not increase.
    """
    if not isinstance(widths, (list, tuple, np.ndarray)) or not len(widths):
        raise ValueError(f"widths must be a list of integers, found {widths!r}.")
    checked = tuple(check_count(width, "widths", low=1) for width in widths)
    if (np.diff(checked) <= 0).any():
        raise ValueError(f"widths must increase, found {widths!r}.")
    return checked
