"""Any function as an activation, by quadrature."""

from __future__ import annotations

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from ntkkit.networks.activations import register
from ntkkit.networks.series import Coefficients, Series, product
from ntkkit.networks.state import safe_sqrt

# Gauss-Legendre nodes on (0, REACH] standard deviations, and as many below 0, so that kinks at 0 do no harm.
_NODES = 200
_REACH = 12.5
# Even powers and as many odd ones, by dtype.
_TERMS = {np.dtype(np.float32): 64, np.dtype(np.float64): 128}


class Quadrature(Series):
    """phi(z) = function(z), any function of jax, with phi' by automatic differentiation.

    The Hermite coefficients are integrals by 2 x 200 Gauss-Legendre nodes, right to 1e-13 for functions that are
    smooth on both sides of 0 and variances up to 100. There are 256 powers of the correlation in float64, 128 in
    float32, and what is left of E[phi^2] stands at the next one, so that the diagonal is exact whatever the function.
    For the other pairs that remainder bounds the error, as `remainder` tells: it is small for smooth functions of
    moderate variances, and large for functions with kinks or, at large variances, with bends.

    Largest errors in float64 of E[phi phi] / E[phi^2] and of E[phi' phi'] / E[phi'^2], at variances q:

    ========  ==============  ==============  ==============  ==============
    function  q <= 2          q = 4           q = 16          q = 100
    ========  ==============  ==============  ==============  ==============
    tanh      1e-13, 1e-13    1e-12, 1e-10    1e-7, 2e-5      2e-4, 2e-2
    silu      1e-13, 1e-13    1e-13, 1e-13    1e-12, 1e-10    1e-7, 3e-5
    softplus  1e-13, 1e-13    1e-13, 1e-13    1e-13, 1e-12    3e-9, 1e-6
    elu       1e-8, 1e-5      3e-8, 2e-5      1e-7, 1e-4      1e-6, 1e-3
    selu      2e-6, 4e-3      2e-6, 4e-3      4e-6, 4e-3      4e-6, 5e-3
    ========  ==============  ==============  ==============  ==============

    float32 adds 3e-7, and 1e-6 for tanh at q = 4. With rows of all sizes (q from 1e-6 to 1e6), the worst errors of
    NNGP and NTK are 5e-4 and 3e-2 for tanh, 5e-7 and 2e-5 for silu. Prefer `LeakyRelu` and its like, in closed form,
    to functions that have a kink.

    Parameters
    ----------
    function : callable
        Elementwise, of jax: `jnp.tanh`, `jax.nn.silu`, one's own. Functions of a module can be pickled. Static, and
        compared by identity.

    Raises
    ------
    TypeError
        If the function is not elementwise.

    References
    ----------
    Daniely, Frostig, Singer (2016), Toward deeper understanding of neural networks, section 4; Han et al. (2022), Fast
    neural kernel embeddings for general activations.

    Examples
    --------
    >>> import jax
    >>> from ntkkit.networks import Quadrature, resolve_activation
    >>> resolve_activation(jax.nn.silu)
    Quadrature(function=silu)
    >>> Quadrature(jax.nn.silu).remainder(1.0) < 1e-12
    True
    """

    function: Callable[[Array], Array]

    def __init__(self, function: Callable[[Array], Array]) -> None:
        if not callable(function) or isinstance(function, (type, np.ufunc)):
            raise TypeError(f"function must be a function of jax such as jnp.tanh, found {function!r}.")
        try:
            shape = jax.eval_shape(function, jax.ShapeDtypeStruct((3,), np.float32)).shape
        except Exception as error:
            raise TypeError(f"{function!r} is no function that jax can trace on an array: {error}") from error
        if shape != (3,):
            raise TypeError(f"function must act on each entry; {function!r} turns shape (3,) into {shape}.")
        self.__dict__.update(function=function)

    def __call__(self, z: Array) -> Array:
        return self.function(z)

    def remainder(self, q: float) -> float:
        """How right the duals are in float64 at variance q: the part of E[phi^2] or of E[phi'^2] that is not expanded.

        Parameters
        ----------
        q : float
            A variance, > 0.

        Returns
        -------
        float
            A bound on the error of E[phi phi] / E[phi^2] and of E[phi' phi'] / E[phi'^2].
        """
        with jax.enable_x64(True), jax.ensure_compile_time_eval():
            expansions = self.expand(jnp.sqrt(jnp.float64(q)), np.dtype(np.float64))
            return float(max((e.even[-1] ** 2 + e.odd[-1] ** 2) / e.total for e in expansions))

    def expand(self, root: Array, dtype: np.dtype) -> tuple[Coefficients, Coefficients]:
        nodes, weights, hermite = _rule(_TERMS[np.dtype(dtype)])
        z = jnp.asarray(nodes, root.dtype).reshape(-1, *(1,) * root.ndim) * root
        right, left = (jax.jvp(self.function, (points,), (jnp.ones_like(points),)) for points in (z, -z))
        return _projected(right[0], left[0], weights, hermite), _projected(right[1], left[1], weights, hermite)


def _projected(right: Array, left: Array, weights: np.ndarray, hermite: np.ndarray) -> Coefficients:
    """Coefficients from values at the nodes and at their negatives, and the remainder after the last of them."""
    found = []
    for parity, values in enumerate(((right + left) / 2, (right - left) / 2)):
        terms = product(hermite[parity::2] * weights, values)
        rest = product(weights[None], values**2) - jnp.sum(terms**2, axis=0)
        found.append(jnp.concatenate([terms, safe_sqrt(rest)]))
    return Coefficients(*found)


@functools.lru_cache
def _rule(terms: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Nodes z > 0; weights for E over both signs; and h_0 ... h_(2 terms - 1) at the nodes, one row each."""
    points, weights = np.polynomial.legendre.leggauss(_NODES)
    nodes = _REACH * (points + 1) / 2
    hermite = [np.ones(_NODES), nodes]
    for k in range(1, 2 * terms - 1):
        hermite.append((nodes * hermite[k] - np.sqrt(k) * hermite[k - 1]) / np.sqrt(k + 1))
    return nodes, _REACH * weights * np.exp(-(nodes**2) / 2) / np.sqrt(2 * np.pi), np.stack(hermite)


register("tanh", Quadrature(jnp.tanh), jnp.tanh)
register("silu", Quadrature(jax.nn.silu), jax.nn.silu)
register("softplus", Quadrature(jax.nn.softplus), jax.nn.softplus)
register("elu", Quadrature(jax.nn.elu), jax.nn.elu)
