"""Spectra of rotation-invariant kernels on the sphere."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from ntkkit.networks.value import check_count

# Nodes of the quadrature over angles, and a few more for each degree.
NODES, NODES_PER_DEGREE = 512, 4
# Pairs at which a kernel is rotated, and what of its largest value it may change by.
ROTATED, ROUNDING = 16, 1e-6


@dataclass(frozen=True, eq=False)
class KernelSpectrum:
    """Eigenvalues of a kernel on the sphere, see `kernel_spectrum`.

    Attributes
    ----------
    dimension : int
        d, of the space around the sphere.
    eigenvalues : ndarray of shape (n_degrees,)
        Of the spherical harmonics of degree 0, 1, ...: of each, not times their number.
    multiplicities : ndarray of shape (n_degrees,)
        How many there are of each degree, in float64.
    """

    dimension: int
    eigenvalues: np.ndarray
    multiplicities: np.ndarray


def kernel_spectrum(kernel: Any, dimension: int, n_degrees: int = 10) -> KernelSpectrum:
    r"""Eigenvalues of a rotation-invariant kernel under the uniform distribution on the unit sphere of R^d.

    With k(x, x') = f(x . x') and P_l the Legendre polynomial of dimension d, P_l(1) = 1 (Gegenbauer's of index
    (d - 2) / 2, normalised), all spherical harmonics of degree l have the eigenvalue

        lambda_l = int_0^pi f(cos t) P_l(cos t) sin^(d-2) t dt / int_0^pi sin^(d-2) t dt

    (Funk and Hecke). A kernel machine learns the degrees in the order of these. Points have length 1: networks of
    ntkkit see the covariance weight_var x.x' / d + bias_var, so that weight_var = d gives x.x'.

    Parameters
    ----------
    kernel : kernel of rows
        Of ntkkit, scikit-learn, or any function of (n, d) and (m, d) arrays: evaluated at about 600 pairs.
    dimension : int
        d >= 2.
    n_degrees : int, default=10
        From degree 0 on.

    Returns
    -------
    KernelSpectrum
        Right to 1e-14 of k(x, x) where f(cos t) is smooth in t, as kernels of networks are.

    Raises
    ------
    ValueError
        If the kernel changes under rotations, is of images or sequences, or not finite.

    References
    ----------
    Bietti, Mairal (2019), On the inductive bias of neural tangent kernels; Cao et al. (2021), Towards understanding the
    spectral bias of deep learning; Choraria et al. (2022), The spectral bias of polynomial neural networks.

    Examples
    --------
    >>> from ntkkit import NNGP, FullyConnected, kernel_spectrum
    >>> linear = NNGP(FullyConnected(depth=0, weight_var=4.0, bias_var=0.5))  # x.x' + 1/2 in R^4
    >>> kernel_spectrum(linear, 4, 3).eigenvalues.round(12) + 0.0
    array([0.5 , 0.25, 0.  ])
    """
    d, n = check_count(dimension, "dimension", low=2), check_count(n_degrees, "n_degrees", low=1)
    if getattr(kernel, "input_kind", "rows") != "rows":
        raise ValueError(f"kernel must be of rows, found one of {kernel.input_kind}: {kernel!r}.")
    nodes, weights = np.polynomial.legendre.leggauss(NODES + NODES_PER_DEGREE * n)
    t = np.pi / 2 * (nodes + 1)
    values = _at_angles(kernel, t, np.eye(d))
    _check_rotations(kernel, t, values, d)
    logs = (d - 2) * np.log(np.sin(t))
    weights = weights * np.exp(logs - logs.max())
    weights /= weights.sum()
    eigenvalues = [float(np.sum(weights * values * legendre)) for legendre in _legendre(np.cos(t), d, n)]
    counts = [_n_harmonics(degree, d) for degree in range(n)]
    return KernelSpectrum(d, np.array(eigenvalues), np.array(counts, dtype=np.float64))


def _n_harmonics(degree: int, d: int) -> int:
    """Harmonics of a degree: homogeneous polynomials, less those with a factor |x|^2."""
    return math.comb(degree + d - 1, d - 1) - (math.comb(degree + d - 3, d - 1) if degree > 1 else 0)


def _at_angles(kernel: Any, t: np.ndarray, axes: np.ndarray) -> np.ndarray:
    """k at pairs of unit vectors at angles t, in the plane of the first two of some orthonormal axes."""
    points = np.cos(t)[:, None] * axes[0] + np.sin(t)[:, None] * axes[1]
    values = np.asarray(kernel(points, axes[:1]), dtype=np.float64)
    if values.shape != (len(t), 1) or not np.isfinite(values).all():
        raise ValueError(f"kernel must return finite values of shape {(len(t), 1)}, found shape {values.shape}.")
    return values[:, 0]


def _check_rotations(kernel: Any, t: np.ndarray, values: np.ndarray, d: int) -> None:
    some = np.linspace(0, len(t) - 1, ROTATED).astype(int)
    axes = np.linalg.qr(np.random.default_rng(0).standard_normal((d, d)))[0]
    change = float(np.abs(_at_angles(kernel, t[some], axes) - values[some]).max())
    if change > ROUNDING * float(np.abs(values).max()):
        raise ValueError(
            f"kernel must not change when all points are rotated, but it did by {change:.2g}: {kernel!r} has no "
            "spectrum by degree."
        )


def _legendre(x: np.ndarray, d: int, n: int) -> list[np.ndarray]:
    """P_0, ..., P_(n-1) of dimension d: (l + d - 3) P_l = (2 l + d - 4) x P_(l-1) - (l - 1) P_(l-2)."""
    found = [np.ones_like(x), x]
    for degree in range(2, n):
        above = (2 * degree + d - 4) * x * found[-1] - (degree - 1) * found[-2]
        found.append(above / (degree + d - 3))
    return found[:n]
