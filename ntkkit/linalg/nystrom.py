"""Ridge regression on few centres, for more samples than a Gram matrix has room for."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ntkkit.linalg.eigen import eigen
from ntkkit.linalg.pcg import IterativeSolution, conclude, iterate
from ntkkit.linalg.symmetric import EPS, SQRT_EPS, TINY, Matrix, as_columns, check_alpha, check_weights

Panels = Callable[[], Iterable[tuple[slice, NDArray]]]


def solve_nystrom(
    K_mm: ArrayLike,
    panels: Panels,
    y: ArrayLike,
    alpha: float = 0.0,
    *,
    sample_weight: ArrayLike | None = None,
    error: float = EPS,
    tol: float = 1e-6,
    max_iter: int = 100,
) -> IterativeSolution:
    """Minimise sum_i w_i |y_i - (K_nm b)_i|^2 + alpha b' K_mm b over the coefficients b of m centres.

    The normal equations are (K_mn W K_nm + alpha K_mm) b = K_mn W y, W = diag(w). One pass over K_nm accumulates both
    sides in float64. K_mn W K_nm has the square of the condition number of K_nm, so the equations are not solved as
    they stand, but precondition conjugate gradients, whose products pass over K_nm again: b = B c with
    B'(K_mn W K_nm + alpha K_mm) B = I up to that rounding, and c converges in one or two iterations. Falkon
    preconditions by an estimate of K_mn W K_nm, (sum_i w_i / m) K_mm^2: its first pass is cheaper, but it took 10 to 40
    iterations at moderate alpha and hundreds at small alpha where this takes one or two. As there, c are coordinates in
    which K_mm is the identity; eigenvalues of K_mm at or below `Eigen.cutoff` are left out, so centres may be alike.

    Parameters
    ----------
    K_mm : array-like of shape (m, m)
        Kernel of the centres with each other, positive semi-definite up to rounding.
    panels : callable
        ``panels()`` starts a pass over K_nm: an iterable of (rows, panel), rows a slice and panel the kernel of these
        samples with all centres, (len(rows), m) in any real dtype. Each pass has every row once.
    y : array-like of shape (n,) or (n, k)
        Targets.
    alpha : float, default=0.0
        Ridge term >= 0, absolute.
    sample_weight : array-like of shape (n,), optional
        Weights > 0.
    error : float, default=2.2e-16
        Relative error of the entries: 1.2e-7 for a kernel computed in float32.
    tol : float, default=1e-6
        Bound > 0 of the relative residual |B'(K_mn W (y - K_nm b) - alpha K_mm b)| / |B' K_mn W y| of each column: a
        relative error in the norm that is minimised.
    max_iter : int, default=100
        Bound >= 1 of the iterations.

    Returns
    -------
    IterativeSolution
        `dual_coef` of shape (m,) or (m, k), and how it came about. 1 + n_iter passes over K_nm, and one more where
        n_iter > 1; n m^2 operations in the first pass, three times that where the condition number of K_mm is above
        7e7, and 4 n m k in the others; two eigendecompositions of m x m, and memory for four such matrices.

    Raises
    ------
    ValueError
        If an argument is not finite or not of the right shape, alpha negative, weights not positive, tol or max_iter
        not positive, or a pass has not every row.

    Warns
    -----
    sklearn.exceptions.ConvergenceWarning
        If a column did not reach the tolerance: with the residual reached, and what to do.

    References
    ----------
    Rudi, Carratino, Rosasco (2017), FALKON: An optimal large scale kernel method.
    Diaz, Epperly, Frangella, Tropp, Webber (2023), Robust, randomized preconditioning for kernel ridge regression.

    Examples
    --------
    >>> x = np.linspace(-1, 1, 1000)
    >>> centres = np.array([-1.0, 0.5])
    >>> K_nm = np.outer(x, centres) + 1  # spans the straight lines
    >>> b = solve_nystrom(
    ...     np.outer(centres, centres) + 1, lambda: [(slice(0, 1000), K_nm)], 3 * x + 2
    ... ).dual_coef
    >>> (K_nm[[0, -1]] @ b).round(9)
    array([-1.,  5.])
    """
    alpha = float(check_alpha(alpha))
    n, shape = len(np.atleast_1d(y)), np.shape(y)
    columns = as_columns(y, n)
    weights = np.ones(n) if sample_weight is None else check_weights(sample_weight, n)
    T, spread = _whitening(K_mm, error)

    def passing() -> Iterator[tuple[slice, Matrix]]:
        return _rows(panels(), n, len(T))

    H, right = np.zeros(()), np.zeros((len(T), columns.shape[1]))
    for rows, panel in passing():
        right += panel.T @ (weights[rows, None] * columns[rows])
        F = panel @ T if spread < SQRT_EPS else panel  # T'(K_mn W K_nm) T would be rounding
        F = F * np.sqrt(weights[rows, None])
        H = H + F.T @ F
    if not (np.isfinite(H).all() and np.isfinite(right).all()):
        raise ValueError("K_nm contains NaN or infinity, or entries too large to add up: scale the inputs.")
    B, ridge = _preconditioner(T, H if spread < SQRT_EPS else T.T @ H @ T, alpha)

    def operator(V: Matrix) -> Matrix:
        coefficients, product = B @ V, np.zeros((len(B), V.shape[1]))
        for rows, panel in passing():
            product += panel.T @ (weights[rows, None] * (panel @ coefficients))
        return B.T @ product + ridge[:, None] * V

    X, residuals, reached = iterate(operator, B.T @ right, np.copy, tol=tol, max_iter=max_iter)
    remedy = f"Raise alpha={alpha:g} or max_iter={max_iter}"
    return conclude((B @ X).reshape(-1, *shape[1:]), residuals, reached, tol=tol, remedy=remedy)


def _whitening(K_mm: ArrayLike, error: float) -> tuple[Matrix, float]:
    """Return T with T' K_mm T = I on the eigenvectors with eigenvalues that are not rounding, and those' ratio."""
    decomposition = eigen(K_mm, error=error)
    kept = decomposition.values > decomposition.cutoff()
    if not kept.any():
        return np.zeros((len(kept), 1)), 1.0
    values = decomposition.values[kept]
    return decomposition.vectors[:, kept] / np.sqrt(values), float(values[0] / values[-1])


def _preconditioner(T: Matrix, H: Matrix, alpha: float) -> tuple[Matrix, Matrix]:
    """Return B = T V with B'(K_mn W K_nm + alpha K_mm) B = I for H = T' K_mn W K_nm T, and alpha B' K_mm B."""
    decomposition = eigen(H, overwrite=True)
    values = np.maximum(decomposition.values, 0.0) + alpha
    values = np.maximum(values, max(len(values) * EPS * values[-1], TINY))
    return T @ (decomposition.vectors / np.sqrt(values)), alpha / values


def _rows(panels: Iterable[tuple[slice, NDArray]], n: int, m: int) -> Iterator[tuple[slice, Matrix]]:
    """Pass on panels in float64 and in pieces, and count their rows."""
    seen, step = 0, max(1, 2**22 // m)
    for rows, panel in panels:
        start, stop, _ = rows.indices(n)
        if panel.shape != (stop - start, m):
            raise ValueError(f"The panel of {rows} must be of shape {(stop - start, m)}, found {panel.shape}.")
        for i in range(0, len(panel), step):
            piece = np.asarray(panel[i : i + step], dtype=np.float64)
            yield slice(start + i, start + i + len(piece)), piece
        seen += len(panel)
    if seen != n:
        raise ValueError(f"A pass over the panels must have each of {n} rows once, found {seen} rows.")
