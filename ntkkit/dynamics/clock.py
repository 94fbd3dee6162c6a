"""How far Langevin dynamics has come: the statistics of one weight at two times."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax.numpy as jnp
from jax import Array


class Clock(NamedTuple):
    """One entry theta of W or b at times t and s, theta(0) ~ N(0, init_var), under noise and weight decay alone.

    Broadcasts against the tile of pairs that it is used on.

    Attributes
    ----------
    decay : Array
        e(t, s) = exp(-T |t - s| / prior_var), how much of a change of theta at one time is left at the other.
    var1, var2 : Array
        m(t, t) and m(s, s): E[theta(t)^2] = prior_var + (init_var - prior_var) exp(-2 T t / prior_var).
    gap : Array
        1 - m(t, s) / sqrt(m(t, t) m(s, s)), by terms that do not cancel.
    """

    decay: Array
    var1: Array
    var2: Array
    gap: Array

    @property
    def covariance(self) -> Array:
        """m(t, s) = E[theta(t) theta(s)]."""
        return jnp.sqrt(self.var1 * self.var2) * (1 - self.gap)


def clock(t: Any, s: Any, *, temperature: Any, init_var: Any, prior_var: Any) -> Clock:
    """The clock at times t and s, of one shape or that broadcast.

    With e = e(t, s) and the later time u, m(t, s)^2 / (m(t, t) m(s, s)) = 1 - prior_var (1 - e^2) / m(u, u).
    """
    rate = temperature / prior_var
    apart = rate * jnp.abs(t - s)
    var1, var2 = (prior_var + (init_var - prior_var) * jnp.exp(-2 * rate * time) for time in (t, s))
    later = jnp.where(t >= s, var1, var2)
    missing = jnp.where(later > 0, -prior_var * jnp.expm1(-2 * apart) / jnp.where(later > 0, later, 1), 0)
    gap = missing / (1 + jnp.sqrt(jnp.maximum(1 - missing, 0)))
    return Clock(jnp.exp(-apart), var1, var2, gap)
