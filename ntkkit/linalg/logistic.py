"""Kernel logistic regression: losses of probabilities, and the minimiser of their sum and a ridge term."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np
from scipy.linalg import LinAlgError, cho_factor, cho_solve, solve, solve_triangular
from scipy.special import expit, log_expit, log_softmax, softmax

from ntkkit.linalg.symmetric import Matrix

# Curvatures are no smaller, so that their roots can divide.
LEAST = 1e-150
# Below this part of the objective its differences are rounding, and Newton's steps are taken as they are.
UNSEEN = 1e-8
EXACT = 1e-24


class Loss(Protocol):
    """A convex function of all outputs f, (n, k)."""

    def value(self, f: Matrix) -> float: ...

    def slope(self, f: Matrix) -> Matrix:
        """l'(f), (n, k)."""

    def bend(self, f: Matrix, B: Matrix) -> Matrix:
        """l''(f) (B x I), (n, k), (n, n) -> (n, k, n, k)."""

    def solve(self, K: Matrix, f: Matrix, r: Matrix, alpha: float) -> Matrix:
        """(alpha I + l''(f) K)^-1 r for alpha > 0, (n, k) -> (n, k)."""


@dataclass(frozen=True)
class SigmoidLoss:
    """sum_i w_i log(1 + exp(-y_i f_i)), of one output: minus the log likelihood of p = 1 / (1 + exp(-f)).

    Attributes
    ----------
    y : ndarray of shape (n, 1)
        +1 or -1.
    weights : ndarray of shape (n, 1)
        w > 0.
    """

    y: Matrix
    weights: Matrix

    def value(self, f: Matrix) -> float:
        return -float(np.sum(self.weights * log_expit(self.y * f)))

    def slope(self, f: Matrix) -> Matrix:
        return -self.weights * self.y * expit(-self.y * f)

    def bend(self, f: Matrix, B: Matrix) -> Matrix:
        return (self._curvature(f) * B)[:, None, :, None]

    def solve(self, K: Matrix, f: Matrix, r: Matrix, alpha: float) -> Matrix:
        # (alpha I + W K)^-1 = W^1/2 (alpha I + W^1/2 K W^1/2)^-1 W^-1/2
        root = np.sqrt(self._curvature(f))
        return root * cho_solve(_factor(K, root, alpha), r / root)

    def _curvature(self, f: Matrix) -> Matrix:
        return np.maximum(self.weights * expit(f) * expit(-f), LEAST)


@dataclass(frozen=True)
class SoftmaxLoss:
    """-sum_i w_i log p_i[y_i] with p = softmax(f), one output a class.

    Attributes
    ----------
    y : ndarray of shape (n, k)
        One for the class of the sample, else zero.
    weights : ndarray of shape (n, 1)
        w > 0.
    """

    y: Matrix
    weights: Matrix

    def value(self, f: Matrix) -> float:
        return -float(np.sum(self.weights * self.y * log_softmax(f, axis=1)))

    def slope(self, f: Matrix) -> Matrix:
        return self.weights * (softmax(f, axis=1) - self.y)

    def bend(self, f: Matrix, B: Matrix) -> Matrix:
        p = softmax(f, axis=1)
        H = self.weights[:, :, None] * (p[:, :, None] * np.eye(p.shape[1]) - p[:, :, None] * p[:, None, :])
        return H[:, :, None, :] * B[:, None, :, None]

    def solve(self, K: Matrix, f: Matrix, r: Matrix, alpha: float) -> Matrix:
        # l'' = D - p D: with u the p-weighted mean over classes of K x, alpha x_c + D_c (K x_c - u) = r_c, and u is
        # such that the x_c add up to the r_c / alpha, which is zero. k factorisations of n rows, where one of n k rows
        # would take k^2 times as long (Rasmussen and Williams 2006, algorithm 3.3).
        roots = np.sqrt(np.maximum(self.weights * softmax(f, axis=1), LEAST))
        factors, M = [], np.zeros_like(K)
        for root in roots.T:
            factors.append(_factor(K, root[:, None], alpha))
            half = solve_triangular(factors[-1][0], np.diag(root), lower=True, check_finite=False)
            M += half.T @ half
        own = [root * cho_solve(factor, b / root) for root, factor, b in zip(roots.T, factors, r.T, strict=True)]
        u = solve(M, -np.sum(own, axis=0), assume_a="sym", check_finite=False)
        shared = [root * cho_solve(factor, root * u) for root, factor in zip(roots.T, factors, strict=True)]
        x = np.stack(own, axis=1) + np.stack(shared, axis=1)
        return x - x.mean(axis=1, keepdims=True)  # rounding of u


class LogisticSolution(NamedTuple):
    """The coefficients, (n, k), the number of Newton steps, and whether they were enough."""

    dual_coef: Matrix
    n_iter: int
    converged: bool


def minimise(K: Matrix, loss: Loss, alpha: float, *, start: Matrix, max_iter: int = 100) -> LogisticSolution:
    """Minimise l(f) + alpha / 2 tr a' K a with f = start + K a, by Newton's method to rounding.

    The solution is the one with alpha a = -l'(f). Steps are halved until the objective falls as its slope says;
    about ten are needed, and one more for each factor of e by which alpha is smaller than eigenvalues of K.

    Parameters
    ----------
    K : ndarray of shape (n, n)
        Symmetric positive semi-definite, float64.
    loss : Loss
    alpha : float
        Ridge term > 0.
    start : ndarray of shape (n, k)
        f at a = 0.
    max_iter : int, default=100
        Bound of Newton steps.

    Returns
    -------
    LogisticSolution
        A step takes k Cholesky factorisations of n rows, and for k > 1 as many inverses.

    Raises
    ------
    LinAlgError
        If alpha is below the rounding of K.

    References
    ----------
    Rasmussen and Williams (2006), Gaussian Processes for Machine Learning, sections 3.4 and 3.5.

    Examples
    --------
    By symmetry f = (c, -c), and c = sigmoid(-c) / alpha:

    >>> loss = SigmoidLoss(np.array([[1.0], [-1.0]]), np.ones((2, 1)))
    >>> found = minimise(np.eye(2), loss, alpha=expit(-2.0) / 2, start=np.zeros((2, 1)))
    >>> found.dual_coef[:, 0].round(12)
    array([ 2., -2.])
    """
    a, f = np.zeros_like(start), start
    objective, last = loss.value(f), np.inf
    for n_iter in range(1, max_iter + 1):
        residual = loss.slope(f) + alpha * a
        try:
            step = -loss.solve(K, f, residual, alpha)
        except LinAlgError:
            raise LinAlgError(
                f"K + alpha I is not positive definite to working precision at alpha={alpha:g}: raise alpha."
            ) from None
        moved = K @ step
        decrease = -float(np.sum(residual * moved))
        unseen = decrease <= UNSEEN * objective
        if decrease <= EXACT * objective or (unseen and decrease > last / 4):
            return LogisticSolution(a, n_iter, True)
        size = 1.0
        while not unseen:
            ahead, there = a + size * step, f + size * moved
            now = loss.value(there) + alpha / 2 * float(np.sum(ahead * (there - start)))
            if now <= objective - size * decrease / 10 or size < UNSEEN:
                break
            size /= 2
        a, f = a + size * step, f + size * moved
        objective, last = loss.value(f) + alpha / 2 * float(np.sum(a * (f - start))), decrease if unseen else np.inf
    return LogisticSolution(a, max_iter, False)


def _factor(K: Matrix, root: Matrix, alpha: float) -> tuple[Matrix, bool]:
    """Cholesky factor of alpha I + W^1/2 K W^1/2, with W^1/2 as a column."""
    B = K * root
    B *= root.T
    B.flat[:: len(B) + 1] += alpha
    factor, lower = cho_factor(B.T, lower=True, overwrite_a=True, check_finite=False)
    return factor, lower
