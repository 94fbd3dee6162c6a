"""Partial Cholesky factorisation, which reads few columns of the matrix: K ~ F F'."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.linalg import LinAlgWarning, lapack, solve_triangular

from ntkkit.linalg.product import matmul
from ntkkit.linalg.symmetric import EPS, Matrix

Indices = NDArray[np.intp]


@dataclass(frozen=True)
class PartialCholesky:
    """K ~ F F' = K_nS K_SS^-1 K_Sn, exact in the rows and columns S.

    Attributes
    ----------
    factor : ndarray of shape (n, rank)
        F, of full column rank, whose rows S are lower triangular.
    pivots : ndarray of shape (rank,)
        S, in the order in which they were chosen.
    residual_trace : float
        tr(K - F F') >= 0, which bounds the largest eigenvalue of the residual; zero where that is rounding.
    """

    factor: Matrix
    pivots: Indices
    residual_trace: float

    def extend(self, K_new: ArrayLike) -> Matrix:
        """Features of new rows, from their kernel with the pivots: (m, rank) -> (m, rank) by K_new L_SS^-T."""
        L = self.factor[self.pivots]
        return solve_triangular(L, np.asarray(K_new, dtype=np.float64).T, lower=True, check_finite=False).T


def pivoted_cholesky(
    diagonal: ArrayLike,
    entries: Callable[[Any, Any], ArrayLike],
    rank: int,
    *,
    method: str = "rpcholesky",
    error: float = EPS,
    rng: np.random.Generator | int | None = None,
) -> PartialCholesky:
    """Factor a positive semi-definite matrix on randomly chosen pivots.

    "rpcholesky" chooses each pivot in proportion to the diagonal of what is left of K. Pivots are proposed in blocks,
    and rejected where those before them in the block have made them less likely, so that the distribution is the one of
    choosing them one by one (accelerated RPCholesky). The expected trace of the residual is at most (1 + eps) times
    that of the best approximation of rank q if rank >= q / eps + q log(1 / (eps eta)), eta the relative error of that
    best approximation (Chen et al. 2023, theorem 3.1).
    "uniform" chooses them uniformly (the Nystrom method) and passes over those that depend on others.

    Parameters
    ----------
    diagonal : array-like of shape (n,)
        Diagonal of K.
    entries : callable
        ``entries(rows, columns)`` returns that part of K, where rows is ``slice(None)`` or an array of indices and
        columns an array of indices. It is called with square blocks of proposals, then with all rows of those that
        were accepted: in all n * rank entries, and few more.
    rank : int
        Columns of F wanted, at least 1. There are fewer where K has a smaller rank to working precision: pivots that
        are less than 4 (rank + 1) eps, or four times `error`, of the diagonal count as zero.
    method : {"rpcholesky", "uniform"}, default="rpcholesky"
        How pivots are chosen.
    error : float, default=2.2e-16
        Relative error of the entries: 1.2e-7 for a kernel computed in float32.
    rng : numpy.random.Generator or int, optional
        Source of randomness, or its seed.

    Returns
    -------
    PartialCholesky
        The factor in float64, its pivots and the trace of the residual. n rank^2 operations.

    Raises
    ------
    ValueError
        If the diagonal or entries are not finite or not of the right shape, the rank below 1, or the method unknown.

    Warns
    -----
    scipy.linalg.LinAlgWarning
        If the pivots show that K is not positive semi-definite to sqrt(error). K_SS is, and F is what it says; but
        F F' is not near K in rows that show it, none of which is chosen.

    References
    ----------
    Chen, Epperly, Tropp, Webber (2023), Randomly pivoted Cholesky, algorithm 2.1.
    Epperly, Tropp, Webber (2024), Embrace rejection: kernel matrix approximation by accelerated randomly pivoted
    Cholesky, algorithm 2.2.

    Examples
    --------
    >>> x = np.linspace(0, 1, 500)
    >>> K = 1 + np.outer(x, x)  # of rank two
    >>> F = pivoted_cholesky(K.diagonal(), lambda rows, columns: K[rows][:, columns], 10, rng=0).factor
    >>> F.shape, bool(np.allclose(F @ F.T, K))
    ((500, 2), True)
    """
    diagonal = _checked(diagonal)
    if rank < 1:
        raise ValueError(f"rank must be at least 1, found {rank}.")
    if method not in METHODS:
        raise ValueError(f"method must be one of {sorted(METHODS)}, found {method!r}.")
    propose, select = METHODS[method]
    n, rng = len(diagonal), np.random.default_rng(rng)
    rank = min(rank, n)
    floor = max(4 * (rank + 1) * EPS, 4 * error) * np.abs(diagonal)
    left = np.where(diagonal > floor, diagonal, 0.0)  # the diagonal of K - F F', zero where that is rounding
    F, pivots, lowest = np.empty((n, rank), order="F"), np.empty(0, dtype=np.intp), diagonal.copy()
    while (r := len(pivots)) < rank and left.any():
        proposals = propose(rng, left, rank, rank - r)
        block = _residual(entries, proposals, proposals, F[:, :r])
        left[proposals[block.diagonal() <= floor[proposals]]] = 0.0
        accepted, L = select(rng, block, floor[proposals])
        if len(accepted):
            pivots = np.append(pivots, proposals[accepted])
            columns = _residual(entries, slice(None), pivots[r:], F[:, :r])
            F[:, r : len(pivots)] = solve_triangular(L, columns.T, lower=True, check_finite=False).T
            left -= np.square(F[:, r : len(pivots)]).sum(axis=1)
            np.minimum(lowest, left, out=lowest)
            left[left <= floor] = 0.0
            left[pivots[r:]] = 0.0
    _check_semidefinite(lowest, diagonal, error)
    return PartialCholesky(F if r == rank else F[:, :r].copy(order="F"), pivots, float(left.sum()))


def _propose_likely(rng: np.random.Generator, left: Matrix, rank: int, wanted: int) -> Indices:
    chance = left / left.max()
    return rng.choice(len(left), size=min(max(16, rank // 8), wanted), p=chance / chance.sum())


def _propose_any(rng: np.random.Generator, left: Matrix, rank: int, wanted: int) -> Indices:
    candidates = np.flatnonzero(left)
    return rng.choice(candidates, size=min(wanted, len(candidates)), replace=False)


def _reject(rng: np.random.Generator, block: Matrix, floor: Matrix) -> tuple[Indices, Matrix]:
    """Eliminate rows in turn, each with the probability that those before it have left it; return those, and L."""
    thresholds = np.maximum(floor, rng.random(len(block)) * block.diagonal())
    accepted: list[int] = []
    L = np.zeros_like(block)
    for i in range(len(block)):
        if block[i, i] > thresholds[i]:
            column = block[:, i] / np.sqrt(block[i, i])
            block -= np.outer(column, column)
            L[:, len(accepted)] = column
            accepted.append(i)
    return np.array(accepted, dtype=np.intp), L[accepted, : len(accepted)]


def _eliminate(rng: np.random.Generator, block: Matrix, floor: Matrix) -> tuple[Indices, Matrix]:
    """Eliminate rows that do not depend on others; the largest pivot first, or rounding would be multiplied."""
    scale = np.sqrt(floor)
    L, order, rank, _ = lapack.dpstrf(block / np.outer(scale, scale), tol=1.0, lower=1)
    accepted = order[:rank].astype(np.intp) - 1
    return accepted, scale[accepted, None] * np.tril(L[:rank, :rank])


METHODS: dict[str, tuple[Callable[..., Indices], Callable[..., tuple[Indices, Matrix]]]] = {
    "rpcholesky": (_propose_likely, _reject),
    "uniform": (_propose_any, _eliminate),
}


def _residual(entries: Callable[[Any, Any], ArrayLike], rows: Any, columns: Indices, F: Matrix) -> Matrix:
    """Return that part of K - F F'."""
    block = np.array(entries(rows, columns), dtype=np.float64)
    expected = (len(F) if isinstance(rows, slice) else len(rows), len(columns))
    if block.shape != expected or not np.isfinite(block).all():
        raise ValueError(f"entries must return finite numbers of shape {expected}, found shape {block.shape}.")
    block -= matmul(F[rows], F[columns].T)
    return block


def _checked(diagonal: ArrayLike) -> Matrix:
    diagonal = np.asarray(diagonal, dtype=np.float64)
    if diagonal.ndim != 1 or not np.isfinite(diagonal).all():
        raise ValueError(f"diagonal must be finite and of shape (n,), found shape {diagonal.shape}.")
    return diagonal


def _check_semidefinite(lowest: Matrix, diagonal: Matrix, error: float) -> None:
    """Check that no diagonal entry that was left is negative beyond rounding."""
    below = lowest + 100 * error**0.5 * np.abs(diagonal)
    worst = int(np.argmin(below))
    if below[worst] < 0:
        warnings.warn(
            "K is not positive semi-definite, or its entries are less accurate than the argument `error`: row "
            f"{worst} has the diagonal entry {diagonal[worst]:.4g}, of which its part in the span of other rows takes "
            f"{diagonal[worst] - lowest[worst]:.4g}.",
            LinAlgWarning,
            stacklevel=3,
        )
