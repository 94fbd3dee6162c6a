"""Series: activations by their Hermite coefficients, exact for polynomials, and by quadrature for any function.

With h_k the orthonormal Hermite polynomials and phi(sqrt(q) z) = sum_k a_k(q) h_k(z),

    E[phi phi] = sum_k a_k(q1) a_k(q2) c^k,    a_k(q) = E[phi(sqrt(q) z) h_k(z)]    (Mehler's formula),

coefficients cost one small product for each row, and a pair two multiplications and additions a term.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from ntkkit.networks.activations import Activation, Dual
from ntkkit.networks.state import State, safe_ratio, safe_sqrt
from ntkkit.networks.value import check_count, check_real

# Terms of a scan's body: long enough to stay in registers between passes over a tile.
_UNROLL = 32


class Coefficients(NamedTuple):
    """a_0, a_2, ... and a_1, a_3, ... in front of the shape of the variances; as many of the one as of the other."""

    even: Array
    odd: Array

    @property
    def total(self) -> Array:
        """Sum of squares: E[phi^2]."""
        return jnp.sum(self.even**2, axis=0) + jnp.sum(self.odd**2, axis=0)

    def scaled(self, factor: Array, dtype: Any) -> Coefficients:
        return Coefficients((self.even * factor).astype(dtype), (self.odd * factor).astype(dtype))


class Series(Activation):
    """An activation given by the Hermite coefficients of phi and of phi'.

    The distance of two unit vectors of coefficients, |a - a'|^2 / 2, and what powers of the correlation take away,
    sum_k a_k a'_k (1 - c^k) by Horner's rule divided by 1 - c, have all their digits at small delta.
    """

    @abstractmethod
    def expand(self, root: Array, dtype: np.dtype) -> tuple[Coefficients, Coefficients]:
        """Coefficients of phi(root z) and of phi'(root z), as many as are of use in a dtype."""

    def variance(self, q: Array) -> Array:
        return self.expand(_wide_root(q), q.dtype)[0].total.astype(q.dtype)

    def dual(self, state: State) -> Dual:
        dtype = state.delta.dtype
        (phi1, slope1), (phi2, slope2) = (self.expand(_wide_root(q), dtype) for q in (state.var1, state.var2))
        norm1, norm2 = (safe_sqrt(phi.total) for phi in (phi1, phi2))
        unit1, unit2 = (
            phi.scaled(safe_ratio(jnp.ones_like(norm), norm), dtype) for phi, norm in ((phi1, norm1), (phi2, norm2))
        )
        anti = 2 - state.delta if state.anti is None else state.anti
        acute = state.delta <= anti
        near = jnp.where(acute, state.delta, anti)
        cosine = 1 - near

        even = _power_sums(unit1.even, unit2.even, near)
        odd = _power_sums(unit1.odd, unit2.odd, near)
        lost = near * odd.whole + cosine * odd.lost  # the sum of a a' (1 - c^k) over odd k
        apart = even.apart + odd.apart
        delta = apart + even.lost + jnp.where(acute, lost, 2 * odd.whole - lost)
        after = apart + 2 * even.whole - even.lost + jnp.where(acute, 2 * odd.whole - lost, lost)
        proper = (norm1 > 0) & (norm2 > 0)  # of variance 0, too, if phi(0) is not 0

        slope1, slope2 = (slope.scaled(jnp.ones((), slope.even.dtype), dtype) for slope in (slope1, slope2))
        even_slope, odd_slope = (_power_sums(*pair, near).value for pair in zip(slope1, slope2, strict=True))
        derivative = even_slope + jnp.where(acute, cosine, -cosine) * odd_slope
        return jnp.where(proper, delta, 0), None if state.anti is None else jnp.where(proper, after, 2), derivative


class _PowerSums(NamedTuple):
    value: Array  # sum_j a_j a'_j x^j, for x = (1 - near)^2
    lost: Array  # sum_j a_j a'_j (1 - x^j)
    apart: Array  # sum_j (a_j - a'_j)^2 / 2

    @property
    def whole(self) -> Array:
        """sum_j a_j a'_j."""
        return self.value + self.lost


@jax.jit  # compiled once for all that are evaluated outside of a jit of the user's
def _power_sums(first: Array, second: Array, near: Array) -> _PowerSums:
    square = (1 - near) ** 2

    def step(sums: tuple[Array, Array, Array], terms: tuple[Array, Array]) -> tuple[tuple[Array, Array, Array], None]:
        value, quotient, apart = sums
        a, b = terms
        return (value * square + a * b, quotient + value, apart + (a - b) ** 2 / 2), None

    shape = jnp.broadcast_shapes(first.shape[1:], second.shape[1:], near.shape)
    start = (jnp.zeros(shape, near.dtype),) * 3
    (value, quotient, apart), _ = jax.lax.scan(
        step, start, (first, second), reverse=True, unroll=min(_UNROLL, len(first))
    )
    return _PowerSums(value, near * (2 - near) * quotient, apart)


def _wide_root(q: Array) -> Array:
    return safe_sqrt(q.astype(jax.dtypes.canonicalize_dtype(np.float64)))


class _PolynomialSeries(Series):
    """A polynomial: finitely many coefficients, all exact."""

    @property
    @abstractmethod
    def powers(self) -> Sequence[float]:
        """The coefficients of 1, z, z^2, ..."""

    def __call__(self, z: Array) -> Array:
        return jnp.polyval(jnp.asarray(self.powers[::-1], jnp.result_type(z, jnp.float32)), z)

    def expand(self, root: Array, dtype: np.dtype) -> tuple[Coefficients, Coefficients]:
        powers = np.asarray(self.powers, dtype=float)
        slopes = np.polynomial.polynomial.polyder(powers)
        return _expanded_polynomial(powers, root), _expanded_polynomial(slopes, root)


class Polynomial(_PolynomialSeries):
    """phi(z) = c_0 + c_1 z + c_2 z^2 + ...

    z^j = sum_k M_jk h_k(z) with M_jk = j! / (2^m m! sqrt(k!)), j = k + 2 m, gives a_k(q) = sum_j c_j q^(j/2) M_jk
    exactly. In float32 right to 1e-6 of sqrt(K_ii K_jj). Variances grow like q^degree.

    Parameters
    ----------
    coefficients : sequence of float
        c_0, c_1, ... in numpy.polynomial's order. Static.

    References
    ----------
    Daniely, Frostig, Singer (2016), Toward deeper understanding of neural networks, section 4.

    Examples
    --------
    >>> from ntkkit.networks import Polynomial
    >>> float(Polynomial([1.0, 0.0, 2.0])(3.0))
    19.0
    """

    coefficients: tuple[float, ...]

    def __init__(self, coefficients: Sequence[float]) -> None:
        if not isinstance(coefficients, (list, tuple, np.ndarray)) or len(coefficients) == 0:
            raise TypeError(f"coefficients must be a non-empty sequence of numbers, found {coefficients!r}.")
        self.__dict__.update(coefficients=tuple(check_real(c, "coefficients", signed=True) for c in coefficients))

    @property
    def powers(self) -> Sequence[float]:
        return self.coefficients


class _OfDegree(_PolynomialSeries):
    """A polynomial named by its degree."""

    degree: int

    def __init__(self, degree: int) -> None:
        self.__dict__.update(degree=check_count(degree, "degree"))


class Monomial(_OfDegree):
    """phi(z) = z^degree.

    E[phi phi] = s^degree sum_k M_k^2 c^k with M_k = degree! / (2^m m! sqrt(k!)), degree = k + 2 m;
    E[phi' phi'] = degree^2 times that of degree - 1. In float32 right to 1e-6 of sqrt(K_ii K_jj), as long as it can
    hold the variances, which grow like q^degree a layer: smaller ones than 1e-38 come out as 0, larger than 1e38 as
    infinity, and gradients need their squares.

    Parameters
    ----------
    degree : int
        >= 0. Static.

    Examples
    --------
    >>> from ntkkit import NNGP, FullyConnected
    >>> from ntkkit.networks import Monomial
    >>> network = FullyConnected(depth=1, activation=Monomial(2), weight_var=1.0, bias_var=0.0)
    >>> NNGP(network)([[1.0]]).round(12)  # E[z^4]
    array([[3.]])
    """

    @property
    def powers(self) -> Sequence[float]:
        return (0.0,) * self.degree + (1.0,)


class Hermite(_OfDegree):
    """phi(z) = He_degree(z) / sqrt(degree!), the orthonormal Hermite polynomial.

    At variances 1, E[phi phi] = c^degree and E[phi' phi'] = degree c^(degree - 1); other variances are exact too (in
    neural-tangents' layer of this name they must be 1). In float32 right to 1e-6 of sqrt(K_ii K_jj).

    Parameters
    ----------
    degree : int
        >= 0. Static.

    Examples
    --------
    >>> from ntkkit import NNGP, FullyConnected
    >>> from ntkkit.networks import Hermite
    >>> network = FullyConnected(depth=1, activation=Hermite(3), weight_var=1.0, bias_var=0.0)
    >>> NNGP(network)([[2**0.5, 0.0]], [[1.0, 1.0]]).round(12)  # c^3 with c = 1 / sqrt 2
    array([[0.35355339]])
    """

    @property
    def powers(self) -> Sequence[float]:
        coefficients = np.polynomial.hermite_e.herme2poly([0] * self.degree + [1])
        return tuple(float(c) / math.sqrt(math.factorial(self.degree)) for c in coefficients)


def _expanded_polynomial(powers: np.ndarray, root: Array) -> Coefficients:
    """Coefficients of sum_j powers_j (root z)^j."""
    degree = len(powers) - 1
    terms = degree // 2 + 1
    scaled = jnp.stack([power * root**j for j, power in enumerate(powers)])
    matrix = np.zeros((2 * terms, degree + 1))
    for j in range(degree + 1):
        for k in range(j % 2, j + 1, 2):
            half = (j - k) // 2
            matrix[k, j] = math.factorial(j) / (2**half * math.factorial(half) * math.sqrt(math.factorial(k)))
    even, odd = (product(matrix[parity::2], scaled) for parity in (0, 1))
    return Coefficients(even, odd)


def product(matrix: np.ndarray, array: Array) -> Array:
    """(k, n), (n, ...) -> (k, ...), in the dtype of the array."""
    return jnp.tensordot(jnp.asarray(matrix, array.dtype), array, axes=1, precision=jax.lax.Precision.HIGHEST)
