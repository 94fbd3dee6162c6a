"""The ridge path: every ridge term, leave-one-out residual and training time from one eigendecomposition.

The dual coefficients at any ridge term are `Eigen.solve`.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ntkkit.linalg.eigen import Eigen
from ntkkit.linalg.symmetric import SQRT_EPS, Matrix, as_columns, check_alpha, check_weights


def leave_one_out(
    decomposition: Eigen, y: ArrayLike, alphas: ArrayLike, *, sample_weight: ArrayLike | None = None
) -> Matrix:
    """Leave-one-out residuals y_i - f_i(x_i), with f_i fitted without sample i: a_i / (G^-1)_ii, G = K + alpha I.

    Where G is singular, which is where it has eigenvalues at or below `Eigen.cutoff`, this is its limit for ridge terms
    that go to zero: the residual of the minimum-norm least-squares fit to the other samples. With N the projection on
    the null space it is (N y)_i / N_ii, and the ratio with the pseudo-inverse where N_ii is zero. Of two equal rows at
    alpha = 0, each predicts the other's target.

    Parameters
    ----------
    decomposition : Eigen
        Of K; with weights, of S K S with S = diag(sqrt(w)).
    y : array-like of shape (n,) or (n, k)
        Targets.
    alphas : array-like of shape (n_alphas,)
        Ridge terms >= 0, absolute.
    sample_weight : array-like of shape (n,), optional
        Weights w > 0 of the squared errors.

    Returns
    -------
    ndarray of shape (n_alphas, n) or (n_alphas, n, k)
        Residuals. Predictions are y minus these. 2 n^2 (k + 1) operations an alpha.

    Raises
    ------
    ValueError
        If y is not finite or of the wrong shape, an alpha is negative or not finite, or a weight not positive.

    References
    ----------
    Craven and Wahba (1979), Smoothing noisy data with spline functions, lemma 3.1.

    Examples
    --------
    The mean of the others shrinks by (n - 1) / (n - 1 + alpha), here to 3 / 4 of it:

    >>> from ntkkit.linalg import eigen
    >>> leave_one_out(eigen(np.ones((4, 4))), [0.0, 0.0, 0.0, 4.0], [1.0]).round(12)
    array([[-1., -1., -1.,  4.]])
    """
    columns, alphas, root = _check(decomposition, y, alphas, sample_weight)
    V, (inverses, null) = decomposition.vectors, _split(decomposition, alphas)
    projected = V.T @ columns
    residuals = np.stack([V @ (inverse[:, None] * projected) for inverse in inverses.T])
    diagonals = _diagonals(V, inverses)
    singular = np.flatnonzero(null.any(axis=0))
    for at, leverages in zip(singular, _diagonals(V, null[:, singular]), strict=True):
        dependent = leverages > SQRT_EPS
        misfits = V[dependent] @ (null[:, at, None] * projected)
        residuals[at, dependent], diagonals[at, dependent] = misfits, leverages[dependent]
    residuals /= diagonals[:, :, None]
    residuals /= root
    return residuals.reshape(len(alphas), *np.shape(y))


def generalized_cross_validation(
    decomposition: Eigen, y: ArrayLike, alphas: ArrayLike, *, sample_weight: ArrayLike | None = None
) -> Matrix:
    """Generalised cross-validation: (1/n) |(I - A) y|^2 / ((1/n) tr(I - A))^2 with A = K (K + alpha I)^-1.

    With weights K is S K S and y is S y. Where K + alpha I is singular this is the limit, as in `leave_one_out`, whose
    mean square becomes this score if each sample's diagonal entry of I - A is replaced by their mean.

    Parameters
    ----------
    decomposition : Eigen
        Of K; with weights, of S K S with S = diag(sqrt(w)).
    y : array-like of shape (n,) or (n, k)
        Targets.
    alphas : array-like of shape (n_alphas,)
        Ridge terms >= 0, absolute.
    sample_weight : array-like of shape (n,), optional
        Weights w > 0 of the squared errors.

    Returns
    -------
    ndarray of shape (n_alphas,) or (n_alphas, k)
        Scores, the smaller the better. 2 n^2 k operations for all alphas.

    Raises
    ------
    ValueError
        As `leave_one_out`.

    References
    ----------
    Golub, Heath, Wahba (1979), Generalized cross-validation as a method for choosing a good ridge parameter.

    Examples
    --------
    >>> from ntkkit.linalg import eigen
    >>> generalized_cross_validation(eigen(np.eye(3)), [1.0, 2.0, 3.0], [1.0]) * 3  # I - A = I / 2
    array([14.])
    """
    columns, alphas, _ = _check(decomposition, y, alphas, sample_weight)
    inverses, null = _split(decomposition, alphas)
    filters = np.where(null.any(axis=0), null, inverses)  # I - A, up to a factor
    squares = (filters.T**2) @ (decomposition.vectors.T @ columns) ** 2
    scores = len(columns) * squares / filters.sum(axis=0)[:, None] ** 2
    return scores.reshape(len(alphas), *np.shape(y)[1:])


def squared_loss_flow(decomposition: Eigen, y: ArrayLike, time: float, *, alpha: float = 0.0) -> Matrix:
    """Dual coefficients at a training time: a(t) = G^-1 (1 - exp(-G t)) y with G = K + alpha I.

    This solves da/dt = y - G a from a(0) = 0: gradient descent, in small steps, on half the summed squares and half
    alpha times the squared norm. Directions in which G is zero up to rounding grow by t y, and are left out from
    t = 1 / cutoff on, where rounding would decide about them; so t = inf is `Eigen.solve`.

    Parameters
    ----------
    decomposition : Eigen
        Of K.
    y : array-like of shape (n,) or (n, k)
        Targets.
    time : float
        Training time in [0, inf], in units of one over an eigenvalue of K.
    alpha : float, default=0.0
        Ridge term >= 0, absolute.

    Returns
    -------
    ndarray of the shape of y
        The coefficients a(t).

    Raises
    ------
    ValueError
        If the time is negative or NaN, y not finite or of the wrong shape, or alpha negative or not finite.

    Examples
    --------
    >>> from ntkkit.linalg import eigen
    >>> squared_loss_flow(eigen(np.diag([2.0, 0.0])), [2.0, 2.0], np.log(2)).round(3)  # 1 - 2^-2, and t y
    array([0.75 , 1.386])
    """
    time = float(time)
    if not time >= 0:
        raise ValueError(f"time must be >= 0, or inf for the limit, found {time:g}.")
    alpha = float(check_alpha(alpha))
    columns = as_columns(y, len(decomposition.values))
    if time == np.inf:
        return decomposition.solve(y, alpha)
    shifted, cutoff = decomposition.values + alpha, decomposition.cutoff(alpha)
    factors = np.full_like(shifted, time if time * cutoff <= 1 else 0.0)
    above = shifted > cutoff
    with np.errstate(over="ignore"):  # exp(-inf) is the limit
        factors[above] = -np.expm1(-shifted[above] * time) / shifted[above]
    V = decomposition.vectors
    return (V @ (factors[:, None] * (V.T @ columns))).reshape(np.shape(y))


def _check(
    decomposition: Eigen, y: ArrayLike, alphas: ArrayLike, sample_weight: ArrayLike | None
) -> tuple[Matrix, NDArray[np.float64], Matrix | float]:
    """Return S y, alphas, and S as a column."""
    n = len(decomposition.values)
    columns, alphas = as_columns(y, n), check_alpha(alphas)
    if alphas.ndim != 1:
        raise ValueError(f"alphas must be of shape (n_alphas,), found shape {alphas.shape}.")
    root = 1.0 if sample_weight is None else np.sqrt(check_weights(sample_weight, n))[:, None]
    return columns * root, alphas, root


def _split(decomposition: Eigen, alphas: NDArray[np.float64]) -> tuple[Matrix, NDArray[np.bool_]]:
    """Return inverse eigenvalues of G where it is regular, and where it is not: (n, n_alphas) each.

    Every use is a ratio of inverses, so the largest is scaled to one: it could overflow.
    """
    cutoffs = np.array([decomposition.cutoff(float(alpha)) for alpha in alphas])
    shifted = decomposition.values[:, None] + alphas
    null = shifted <= cutoffs
    shifted[null] = np.inf
    smallest = np.minimum(shifted.min(axis=0), np.finfo(np.float64).max)
    return smallest / shifted, null


def _diagonals(V: Matrix, weights: Matrix | NDArray[np.bool_]) -> Matrix:
    """Return the diagonals of V diag(w) V' for every column w: (n_columns, n)."""
    diagonals = np.zeros((weights.shape[1], len(V)))
    step = max(1, 2**20 // len(V))
    for j in range(0, len(V), step):  # V**2 as a whole would be a second matrix
        diagonals += weights[j : j + step].T @ (V[:, j : j + step] ** 2).T
    return diagonals
