"""A function of its parameters near some of them: the tangent, and higher orders."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
from jax import Array

from ntkkit.finite._functions import as_function
from ntkkit.networks.value import check_count


def linearize(apply: Any, params: Any) -> Callable[[Any, Array], Array]:
    r"""A network's tangent at its parameters, f(theta_0, X) + J(X) (theta - theta_0).

    Gradient descent on it is the kernel method with `empirical_ntk`: what the network becomes at large width.

    Parameters
    ----------
    apply : callable or Network
        ``apply(params, X) -> outputs`` of jax.
    params : pytree of arrays
        theta_0.

    Returns
    -------
    callable
        ``linear(theta, X) -> outputs``, pure jax: differentiable in both, of the user's precision; theta is of the
        structure of params. One forward derivative, about three evaluations of the network.

    References
    ----------
    Lee et al. (2019), Wide neural networks of any depth evolve as linear models under gradient descent.

    Examples
    --------
    >>> import numpy as np
    >>> from ntkkit.finite import linearize
    >>> linear = linearize(lambda w, X: X * w**2, np.array(3.0))
    >>> float(linear(np.array(4.0), 1.0))  # 9 + 6 (4 - 3)
    15.0
    """
    return taylor(apply, params, 1)


def taylor(apply: Any, params: Any, order: int) -> Callable[[Any, Array], Array]:
    r"""A network's Taylor polynomial in its parameters, sum_j (1 / j!) (d / dt)^j f(theta_0 + t (theta - theta_0), X).

    Parameters
    ----------
    apply : callable or Network
        ``apply(params, X) -> outputs`` of jax.
    params : pytree of arrays
        theta_0.
    order : int
        The degree of the polynomial, >= 0; `linearize` is the first. Static; the cost doubles with each.

    Returns
    -------
    callable
        ``polynomial(theta, X) -> outputs``, pure jax.

    Examples
    --------
    >>> import numpy as np
    >>> from ntkkit.finite import taylor
    >>> quadratic = taylor(lambda w, X: X * w**3, np.array(1.0), 2)
    >>> float(quadratic(np.array(2.0), 1.0))  # 1 + 3 + 3
    7.0
    """
    function, order = as_function(apply), check_count(order, "order")

    def polynomial(theta: Any, X: Array) -> Array:
        change = jax.tree.map(lambda new, old: new - old, theta, params)
        return _expanded(lambda p: function(p, X), params, change, order, 0)

    return polynomial


def _expanded(function: Callable[[Any], Array], params: Any, change: Any, order: int, done: int) -> Array:
    """sum_j g^(j) done! / (done + j)! for j <= order - done, where `function` is the derivative g of order `done`."""
    if done == order:
        return function(params)

    def derivative(p: Any) -> Array:
        return jax.jvp(function, (p,), (change,))[1]

    return function(params) + _expanded(derivative, params, change, order, done + 1) / (done + 1)
