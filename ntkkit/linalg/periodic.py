"""Matrices over the pixels of a torus that depend on the offset of two pixels and on where in a cell the first lies."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.fft import irfft2, irfftn, rfft2, rfftn
from threadpoolctl import threadpool_limits

from ntkkit.linalg.pcg import IterativeSolution, conclude, iterate
from ntkkit.linalg.symmetric import EPS, Matrix, as_columns, check_alpha

Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class PeriodicMatrix:
    """A symmetric matrix K[p, p'] over the n = H W pixels of a torus, a function of p mod m and p' - p.

    Pixels of equal residues mod m see each other by a convolution, so that the Fourier transform over the cells of
    m x m pixels leaves one Hermitian m^2 x m^2 matrix a frequency.

    Attributes
    ----------
    blocks : complex ndarray of shape (n_frequencies, m^2, m^2)
        Those matrices, for half of the frequencies: 8 n m^2 bytes.
    spectrum : ndarray of shape (H, W // 2 + 1)
        Eigenvalues of the nearest circulant matrix, the average of K over the residues.
    shape : tuple of int
        H and W.
    """

    blocks: NDArray[np.complex128]
    spectrum: Matrix
    shape: tuple[int, int]

    def product(self, V: Matrix) -> Matrix:
        """K V: (n, k) -> (n, k), 4 n m^2 k operations and two transforms."""
        period = round(self.blocks.shape[1] ** 0.5)
        rows, columns = self.shape[0] // period, self.shape[1] // period
        cells = V.reshape(rows, period, columns, period, -1)
        waves = rfftn(cells, axes=(0, 2)).transpose(0, 2, 1, 3, 4)
        waves = (self.blocks @ waves.reshape(len(self.blocks), period * period, -1)).reshape(waves.shape)
        return irfftn(waves.transpose(0, 2, 1, 3, 4), s=(rows, columns), axes=(0, 2)).reshape(V.shape)

    def solve(
        self, observed: Mask, y: ArrayLike, alpha: float = 0.0, *, tol: float = 1e-6, max_iter: int = 1000
    ) -> IterativeSolution:
        """Solve (K_oo + alpha I) a = y, o some of the pixels, by conjugate gradients.

        The inverse of K_oo is E'K^-1 E, where E continues what is observed to all pixels such that v'K^-1 v is least.
        The preconditioner is this with the circulant average in place of K, and in place of E the average of observed
        values weighted by distance^-4. On half of the pixels of a photograph, taken at random, it needs a tenth of the
        iterations that zeros in place of E need, and a twentieth for kernels of longer range.

        Parameters
        ----------
        observed : ndarray of bool, of shape (H, W)
            True at the pixels o, of which there must be one.
        y : array-like of shape (n_observed,) or (n_observed, k)
            Right-hand sides, in the order of ``observed.ravel()``.
        alpha : float, default=0.0
            Ridge term >= 0. 0 needs a positive definite matrix.
        tol : float, default=1e-6
            Bound > 0 of the relative residual of each column.
        max_iter : int, default=1000
            Bound >= 1 of the iterations.

        Returns
        -------
        IterativeSolution
            `dual_coef` of the shape of y, and how it came about. Memory for some 15 times k n numbers besides `blocks`.

        Raises
        ------
        ValueError
            If y is not finite, shapes do not fit, nothing is observed, alpha is negative, or tol or max_iter is not
            positive.

        Warns
        -----
        sklearn.exceptions.ConvergenceWarning
            If a column did not reach the tolerance: with the residual reached, and what to do.

        References
        ----------
        Chan (1988), An optimal circulant preconditioner for Toeplitz systems.
        Shepard (1968), A two-dimensional interpolation function for irregularly-spaced data.
        """
        alpha = float(check_alpha(alpha))
        observed = np.asarray(observed)
        if observed.shape != self.shape or observed.dtype != np.bool_ or not observed.any():
            raise ValueError(f"observed must be boolean, of shape {self.shape}, and True somewhere.")
        pixels = np.flatnonzero(observed)
        Y = as_columns(y, len(pixels))
        extension = _Extension(observed)
        eigenvalues = np.maximum(self.spectrum + alpha, EPS * (self.spectrum.max() + alpha))

        def operator(V: Matrix) -> Matrix:
            return self.product(self.spread(pixels, V))[pixels] + alpha * V

        def precondition(R: Matrix) -> Matrix:
            if R.shape[1] == 0:  # no transform of nothing
                return R
            field = extension.extend(self.spread(pixels, R).reshape(*self.shape, -1))
            return extension.restrict(_convolve(1 / eigenvalues, field)).reshape(-1, R.shape[1])[pixels]

        with threadpool_limits(1, "blas"):  # threads that meet after each block: no faster, and far slower if one waits
            X, residuals, reached = iterate(operator, Y, precondition, tol=tol, max_iter=max_iter)
        remedy = f"Raise alpha={alpha:g} or max_iter={max_iter}"
        return conclude(X.reshape(np.shape(y)), residuals, reached, tol=tol, remedy=remedy)

    def spread(self, pixels: NDArray[np.intp], V: Matrix) -> Matrix:
        """Put the rows of V where the pixels are, and zeros elsewhere: (n_pixels, k) -> (n, k)."""
        full = np.zeros((self.shape[0] * self.shape[1], V.shape[1]))
        full[pixels] = V
        return full


def periodic_matrix(table: ArrayLike, shape: tuple[int, int]) -> PeriodicMatrix:
    """Make the matrix of which a table has the rows of one cell, on this torus or a smaller one.

    Parameters
    ----------
    table : array-like of shape (m, m, S, T)
        ``table[y, x, dy, dx]`` is the entry between (y, x) and (y + dy, x + dx). S and T are multiples of m. On a
        larger torus, entries at offsets beyond those of the table go on with the period m: they are those of the m
        offsets from (T - m) // 2 on, which are far from offset 0 on both sides.
    shape : tuple of int
        H and W: multiples of m, at least S and T.

    Returns
    -------
    PeriodicMatrix
        Ready for products and solutions; m^2 transforms of n numbers.

    Raises
    ------
    ValueError
        If shapes do not fit, or the table is not finite.

    Examples
    --------
    Neighbours have the entry -1; the product with a constant is zero.

    >>> table = np.zeros((1, 1, 5, 5))
    >>> table[0, 0, [0, 0, 1, -1], [1, -1, 0, 0]] = -1
    >>> table[0, 0, 0, 0] = 4
    >>> bool(periodic_matrix(table, (6, 7)).product(np.ones((42, 1))).round(12).any())
    False
    """
    table = np.asarray(table, dtype=np.float64)
    period = table.shape[0] if table.ndim == 4 else 0
    sides = (*table.shape[2:], *shape)
    if not period or table.shape[1] != period or any(side % period or not side for side in sides):
        raise ValueError(
            f"table must be of shape (m, m, S, T), and S, T and shape multiples of m, found {table.shape} and {shape}."
        )
    if any(side < smallest for side, smallest in zip(shape, table.shape[2:], strict=True)):
        raise ValueError(f"shape must be at least that of the table's torus, {table.shape[2:]}, found {shape}.")
    if not np.isfinite(table).all():
        raise ValueError("table must be finite.")
    rows, columns = (side // period for side in shape)
    blocks = np.empty((rows * (columns // 2 + 1), period**2, period**2), dtype=np.complex128)
    average = np.zeros(shape)
    for y, x in np.ndindex(period, period):
        offsets = [_unrolled(n, side, period) for n, side in zip(shape, table.shape[2:], strict=True)]
        entries = table[y, x][np.ix_(*offsets)]
        average += entries / period**2
        row = np.roll(entries, (y, x), axis=(0, 1)).reshape(rows, period, columns, period)
        waves = rfftn(row, axes=(0, 2)).conj().transpose(0, 2, 1, 3)
        blocks[:, y * period + x] = waves.reshape(len(blocks), -1)
    return PeriodicMatrix(blocks, rfft2(average).real, (int(shape[0]), int(shape[1])))


def _unrolled(n: int, side: int, period: int) -> NDArray[np.intp]:
    """For each offset on a torus of n pixels, one on a torus of `side` with the same entry."""
    middle = (side - period) // 2  # the first of the offsets that repeat
    offset = (np.arange(n) + n // 2) % n - n // 2
    near = (offset < middle) & (offset >= middle + period - side)
    return np.where(near, offset, middle + (offset - middle) % period) % side


class _Extension:
    """E, which leaves observed pixels what they are and gives others a mean of them weighted by distance^-4; and E'."""

    def __init__(self, observed: Mask) -> None:
        along = [np.minimum(np.arange(n), n - np.arange(n)) for n in observed.shape]
        squares = np.add.outer(along[0] ** 2, along[1] ** 2).astype(np.float64)
        squares[0, 0] = np.inf
        self.weights = rfft2(squares**-2.0)
        total = _convolve(self.weights, observed[..., None].astype(np.float64))
        total = np.maximum(total, EPS * total.max())  # where rounding of the transform hides what is far away
        self.observed = observed[..., None]
        self.share = np.where(self.observed, 0.0, 1 / total)

    def extend(self, field: Matrix) -> Matrix:
        """E of a field (H, W, k) that is zero where nothing is observed."""
        return field + self.share * _convolve(self.weights, field)

    def restrict(self, field: Matrix) -> Matrix:
        """E' of a field (H, W, k), which is right where something is observed."""
        return field + _convolve(self.weights, self.share * field)


def _convolve(spectrum: NDArray, field: Matrix) -> Matrix:
    """Product of a symmetric circulant matrix, by its eigenvalues, with (H, W, k)."""
    return irfft2(spectrum[..., None] * rfft2(field, axes=(0, 1)), s=field.shape[:2], axes=(0, 1))
