"""Robustness certificates: how far an input may move before a kernel machine's prediction can change."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn import get_config
from sklearn.utils import gen_batches
from sklearn.utils.validation import check_is_fitted

from ntkkit.estimators._base import KernelMachine
from ntkkit.estimators._validation import check_input
from ntkkit.finite.interval_bounds import largest_radius
from ntkkit.kernels import NTK
from ntkkit.networks import FullyConnected, Relu, resolve_activation

# The minimum of h(u) = 2 u (pi - t) + sin t, u = cos t, on [-1, 1], and where it is: 2 (pi - t) sin t = -u.
_LOWEST_AT = -0.7940998648103225
_LOWEST = -0.4297378205183162  # rounded down
_ARRAYS = 12  # matrices of (rows, support vectors) alive at once


def certified_radius(estimator: KernelMachine, X: Any) -> np.ndarray:
    """The l-infinity radius around each input within which f + b cannot change its sign: a lower bound of the true one.

    For f(x) = sum_i a_i k(x, x_i) with the tangent kernel of a two-layer ReLU network without biases,

        k(x, y) = weight_var^2 |x||y| h(u) / (2 pi d),   h(u) = 2 u (pi - t) + sin t,   u = cos t = x.y / |x||y|.

    In the ball |x - x0|_inf <= delta, of d features, |x| is within sqrt(d) delta of |x0| and x.x_i within
    sqrt(d) delta |x_i| of x0.x_i; this bounds u, h and k, and f by the sum of the bounds. The radius is the largest
    delta at which the bound of f + b has the sign that it has at x0, by bisection.

    Parameters
    ----------
    estimator : fitted estimator of ntkkit
        With one output: `NeuralKernelSVC` or `NeuralKernelClassifier` of two classes, or a regressor, where the sign of
        the prediction is meant. Its kernel must be ``NTK(FullyConnected(depth=1, activation="relu", bias_var=0.0))``,
        with any weight_var and readout_weight_var.
    X : array-like of shape (n_samples, n_features)
        Inputs, right or wrong: what is certified is that the prediction stays what it is.

    Returns
    -------
    ndarray of shape (n_samples,)
        Radii in units of X; 0 where f + b is 0, and inf only where it is a constant. Evaluated in float64: predictions
        from float32 inputs may, next to f + b = 0, have the wrong sign before X moves at all.

    Raises
    ------
    ValueError
        If the estimator has another kernel or several outputs, or X is not what it was fitted on.
    TypeError
        If it is no kernel machine of ntkkit.

    Notes
    -----
    Takes some 50 evaluations of bounds, each n_samples x n_support entries, in scikit-learn's `working_memory`.

    References
    ----------
    Chen, Huang, Nguyen, Weng (2021), On the equivalence between neural network and support vector machine, theorem 4.1.

    Examples
    --------
    From one sample on the line f is the ramp max(x, 0): at 2 its sign is safe up to a distance of 2.

    >>> from ntkkit import NTK, FullyConnected, NeuralKernelRegressor, certified_radius
    >>> kernel = NTK(FullyConnected(depth=1, weight_var=1.0, bias_var=0.0))
    >>> ramp = NeuralKernelRegressor(kernel, alpha=0.0).fit([[1.0]], [1.0])
    >>> certified_radius(ramp, [[2.0]]).round(6)
    array([2.])
    """
    if not isinstance(estimator, KernelMachine):
        raise TypeError(f"estimator must be a kernel machine of ntkkit such as NeuralKernelSVC, found {estimator!r}.")
    check_is_fitted(estimator)
    scale = _scale(estimator.kernel_)
    support = np.asarray(estimator.X_fit_, dtype=np.float64)
    coefficients = np.ravel(estimator.dual_coef_)
    intercept = np.ravel(getattr(estimator, "intercept_", 0.0))
    if len(coefficients) != len(support) or len(intercept) != 1:
        raise ValueError(
            f"The machine must have one output, found dual_coef_ of shape {estimator.dual_coef_.shape}: "
            "fit it on two classes, one class against the rest."
        )
    X = check_input(estimator, X, kernel=estimator.kernel_, reset=False).astype(np.float64)
    norms = np.linalg.norm(support, axis=1)
    used = (coefficients != 0) & (norms > 0)
    machine = _Machine(support[used], norms[used], scale * coefficients[used], float(intercept[0]))
    n_rows = max(1, int(get_config()["working_memory"] * 2**20 / (8 * _ARRAYS * max(1, used.sum()))))
    radii = np.empty(len(X))
    for chunk in gen_batches(len(X), n_rows):
        radii[chunk] = machine.radii(X[chunk])
    return radii


class _Machine:
    """f + b for a two-layer ReLU tangent kernel with weight_var=1."""

    def __init__(self, support: np.ndarray, norms: np.ndarray, coefficients: np.ndarray, intercept: float) -> None:
        self.support, self.norms, self.coefficients, self.intercept = support, norms, coefficients, intercept

    def radii(self, X: np.ndarray) -> np.ndarray:
        products, norms = X @ self.support.T, np.linalg.norm(X, axis=1)
        at_zero = np.zeros(len(X))
        positive = self.lower_bound(products, norms, at_zero, sign=1.0) > 0
        radii = np.zeros(len(X))
        for sign, rows in ((1.0, positive), (-1.0, ~positive)):
            if rows.any():
                radii[rows] = self._radii(products[rows], norms[rows], X.shape[1], sign)
        return radii

    def _radii(self, products: np.ndarray, norms: np.ndarray, n_features: int, sign: float) -> np.ndarray:
        root = np.sqrt(n_features)
        # without intercept, f(0) = 0 is in a ball of this radius
        start = (norms + np.max(self.norms, initial=1.0)) / root
        return largest_radius(lambda deltas: self.lower_bound(products, norms, root * deltas, sign=sign) > 0, start)

    def lower_bound(self, products: np.ndarray, norms: np.ndarray, radii: np.ndarray, *, sign: float) -> np.ndarray:
        """A lower bound of sign (f + b) over Euclidean balls."""
        total = np.full(len(products), sign * self.intercept)
        for upper, columns in ((False, sign * self.coefficients > 0), (True, sign * self.coefficients < 0)):
            bounds = kernel_bounds(products[:, columns], norms, self.norms[columns], radii, upper=upper)
            total += bounds @ (sign * self.coefficients[columns]) / (2 * np.pi * self.support.shape[1])
        return total


def kernel_bounds(
    products: np.ndarray, norms: np.ndarray, support_norms: np.ndarray, radii: np.ndarray, *, upper: bool
) -> np.ndarray:
    """Lower or upper bounds of |x||y| h(u) over the balls |x - x_i| <= r_i.

    Parameters
    ----------
    products : ndarray of shape (n, m)
        x_i.y_j at the centres.
    norms : ndarray of shape (n,)
        |x_i| at the centres.
    support_norms : ndarray of shape (m,)
        |y_j|, positive.
    radii : ndarray of shape (n,)
        Radii r_i of the balls.
    upper : bool
        Which bound.

    Returns
    -------
    ndarray of shape (n, m)
    """
    shortest, longest = np.maximum(norms - radii, 0)[:, None], (norms + radii)[:, None]
    spread = radii[:, None] * support_norms
    low = _cosine(products - spread, support_norms, shortest, longest, upper=False)
    high = _cosine(products + spread, support_norms, shortest, longest, upper=True)
    at_low, at_high = _h(low), _h(high)
    if upper:  # h falls, then rises
        h = np.maximum(at_low, at_high)
        return support_norms * h * np.where(h >= 0, longest, shortest)
    h = np.where((low < _LOWEST_AT) & (high > _LOWEST_AT), _LOWEST, np.minimum(at_low, at_high))
    return support_norms * h * np.where(h >= 0, shortest, longest)


def _cosine(
    product: np.ndarray, support_norms: np.ndarray, shortest: np.ndarray, longest: np.ndarray, *, upper: bool
) -> np.ndarray:
    """A bound of x.y / |x||y| from one of x.y; 1 or -1 where |x| may be 0."""
    norm = np.where((product >= 0) == upper, shortest, longest)
    farthest = 1.0 if upper else -1.0
    with np.errstate(over="ignore"):  # is clipped
        ratio = np.divide(product, support_norms * norm, out=np.full_like(product, farthest), where=norm > 0)
    return np.clip(ratio, -1.0, 1.0)


def _h(u: np.ndarray) -> np.ndarray:
    """2 u (pi - t) + sin t, u = cos t."""
    return 2 * u * np.arccos(-u) + np.sqrt((1 - u) * (1 + u))


def _scale(kernel: Any) -> float:
    """What the kernel is to that of weight_var=1.

    Raises
    ------
    ValueError
        If it is none of this kind.
    """
    network = kernel.network if isinstance(kernel, NTK) else None
    if (
        not isinstance(network, FullyConnected)
        or network.depth != 1
        or network.n_frozen_layers > 0
        or not isinstance(resolve_activation(network.activation), Relu)
        or network.bias_var != 0
        or network.readout_bias_var not in (None, 0)
        or network.input_scale is not None
    ):
        raise ValueError(
            "The certificate is for the kernel NTK(FullyConnected(depth=1, activation='relu', bias_var=0.0)) with any "
            f"weight_var, without frozen layers or input_scale; found {kernel!r}."
        )
    readout = network.weight_var if network.readout_weight_var is None else network.readout_weight_var
    return float(network.weight_var) * float(readout)
