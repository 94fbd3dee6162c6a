"""Any function as an activation, by quadrature."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from ntkkit.networks.activations import register
from ntkkit.networks.layer import Layer
from ntkkit.networks.network import Network
from ntkkit.networks.series import Coefficients, Series, product
from ntkkit.networks.state import State, safe_ratio, safe_sqrt

# Gauss-Legendre nodes on (0, REACH] standard deviations, and as many below 0, so that kinks at 0 do no harm.
_NODES = 200
_REACH = 12.5
# Even powers and as many odd ones, by dtype.
_TERMS = {np.dtype(np.float32): 64, np.dtype(np.float64): 128}
# The error from which a kernel warns, by dtype: just above that of tanh at variance 4.
_TOLERATED = {np.dtype(np.float32): 1.2e-7, np.dtype(np.float64): 1.2e-10}


class QuadratureWarning(UserWarning):
    """A `Quadrature` meets variances at which its duals are not right to 1e-10 (of float32 results: to 1e-7)."""


class Quadrature(Series):
    """phi(z) = function(z), any function of jax, with phi' by automatic differentiation.

    The Hermite coefficients are integrals by 2 x 200 Gauss-Legendre nodes, right to 1e-13 for functions that are
    smooth on both sides of 0 and variances up to 100. There are 256 powers of the correlation in float64, 128 in
    float32, and what is left of E[phi^2] stands at the next one, so that the diagonal is exact whatever the function.
    The error of the other pairs, which `error` estimates, is small for smooth functions of moderate variances, and
    large for functions with kinks or, at large variances, with bends.

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

    At variances of 1e6 tanh is right to 2e-2 in the NNGP and not at all in the NTK of close pairs, silu to 5e-6 and
    7e-3. In float32, up to variances of 4, tanh, silu and softplus are right to 1e-6 of sqrt(K_ii K_jj); elu is so
    in the NNGP, and to 1e-4 in the NTK, since phi' has a kink.

    Kernels warn (`QuadratureWarning`) where the error at the largest variance that their inputs make is above 1e-10 for
    float64 results and 1e-7 for float32 ones: tanh from variances of 4, silu from 16, elu always. Prefer `LeakyRelu`
    and its like, in closed form, to functions that have a kink.

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
    >>> Quadrature(jax.nn.silu).error(1.0) < 1e-12
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

    def error(self, q: float) -> float:
        """How right the duals are in float64 at variance q: their largest errors, over correlations, to within 20%.

        What is left of E[phi^2] stands at power n, the first that is not expanded; with the part r of E[phi^2], at
        powers that lie m further in the mean, the error is at most r max_c (c^n - c^(n + m)), by convexity. The last
        coefficients tell m. Of E[phi' phi'] likewise, whose error is the larger.

        Parameters
        ----------
        q : float
            A variance, > 0.

        Returns
        -------
        float
            The error of E[phi phi] / E[phi^2] and of E[phi' phi'] / E[phi'^2]; 1e-13 of the integrals comes on top.
        """
        with jax.enable_x64(True), jax.ensure_compile_time_eval():
            return float(self._error(jnp.float64(q), np.dtype(np.float64)))

    def _error(self, q: Array, dtype: np.dtype) -> Array:
        errors = []
        for coefficients in self.expand(jnp.sqrt(q), dtype):
            last, rest = (coefficients.even[i] ** 2 + coefficients.odd[i] ** 2 for i in (-2, -1))
            further = rest / (_TERMS[dtype] * last + np.finfo(float).tiny)  # m / n, of a geometric series
            bend = jnp.log1p(further) / jnp.where(further > 0, further, 1)
            errors.append(safe_ratio(rest, coefficients.total) * further / (1 + further) * jnp.exp(-bend))
        return jnp.max(jnp.stack(errors))

    def propagate(self, state: State) -> State:
        met = _MET.get()
        if met is not None:
            met.append((self, jnp.max(state.var1)))
        return super().propagate(state)

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


# Every Quadrature that a state goes through and the largest variance there, while somebody asks.
_MET: ContextVar[list[tuple[Quadrature, Array]] | None] = ContextVar("_MET", default=None)


def warn_of_quadrature(network: Network, arrays: list[np.ndarray], dtype: np.dtype) -> None:
    """Warn if a `Quadrature` of the network is poor at the variances of the largest or smallest of these inputs."""
    leaves, structure = jax.tree.flatten(network)
    if not _integrates(structure):
        return
    rows = _extremes(_stacked([_extremes(array) for array in arrays]))
    activations, measure = _probe(structure, rows.shape, dtype)
    with jax.enable_x64(True):
        found = [tuple(map(float, pair)) for pair in measure([float(leaf) for leaf in leaves], rows)]
    error, variance, activation = max(
        (error, variance, repr(activation)) for (variance, error), activation in zip(found, activations, strict=True)
    )
    if error > _TOLERATED[dtype]:
        warnings.warn(
            f"{activation} meets variances up to {variance:.2g}, where its duals are right to {error:.0e} of "
            f"their largest values only ({_TOLERATED[dtype]:.0e} is usual): scale X down, lower weight_var, or take an "
            "activation in closed form, such as 'erf' for tanh, 'gelu' for silu, LeakyRelu for functions with a kink.",
            QuadratureWarning,
            stacklevel=6,  # whoever called the kernel
        )


@functools.lru_cache(maxsize=256)
def _integrates(structure: Any) -> bool:
    return _has_quadrature(jax.tree.unflatten(structure, [0.0] * structure.num_leaves))


@functools.lru_cache(maxsize=256)
def _probe(structure: Any, shape: tuple[int, ...], dtype: np.dtype) -> tuple[list[Quadrature], Any]:
    """The Quadratures in a network, and a compiled (leaves, inputs of a shape) -> [(variance, error)]."""
    activations: list[Quadrature] = []

    def measure(leaves: list[float], rows: Array) -> list[tuple[Array, Array]]:
        met: list[tuple[Quadrature, Array]] = []
        token = _MET.set(met)
        try:
            jax.tree.unflatten(structure, leaves).meet(rows)
        finally:
            _MET.reset(token)
        activations[:] = [activation for activation, _ in met]
        return [(variance, activation._error(variance, dtype)) for activation, variance in met]

    with jax.enable_x64(True):
        arguments = [0.0] * structure.num_leaves, jax.ShapeDtypeStruct(shape, np.float64)
        return activations, jax.jit(measure).lower(*arguments).compile()


def _has_quadrature(layer: Layer) -> bool:
    inside = [*getattr(layer, "sequence", ()), *getattr(layer, "parts", ())]
    return isinstance(layer, Quadrature) or any(map(_has_quadrature, inside))


def _extremes(inputs: np.ndarray) -> np.ndarray:
    """The inputs of the smallest and of the largest norm, and, of sequences, that with the largest step."""
    steps = np.nansum(inputs.astype(float) ** 2, axis=-1).reshape(len(inputs), -1)
    norms = steps.sum(axis=1)
    return inputs[[norms.argmin(), norms.argmax(), steps.max(axis=1).argmax()]]


def _stacked(arrays: list[np.ndarray]) -> np.ndarray:
    """Rows, or sequences of any lengths, as one array of float64."""
    n_steps = max(array.shape[1] for array in arrays)
    padded = [np.full((len(array), n_steps, *array.shape[2:]), np.nan) for array in arrays]
    for whole, array in zip(padded, arrays, strict=True):
        whole[:, : array.shape[1]] = array
    return np.concatenate(padded)


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
