"""What a kernel is like: its spectrum, its alignment with targets, and what a machine makes of it."""

from __future__ import annotations

from typing import Any

import numpy as np

from ntkkit.finite._matrices import check_kernel, direction, unit
from ntkkit.linalg import eigen, entry_error, leave_one_out, solve_ridge
from ntkkit.linalg.symmetric import Matrix, as_columns


def largest_eigenvalue(K: Any) -> float:
    """Lambda_1 of a kernel matrix.

    Parameters
    ----------
    K : array-like of shape (n, n)

    Returns
    -------
    float
        By a full decomposition, some 10 n^3 operations.

    Raises
    ------
    ValueError
        If K is not square, symmetric and finite.

    Examples
    --------
    >>> largest_eigenvalue([[2.0, 1.0], [1.0, 2.0]])
    3.0
    """
    return float(np.linalg.eigvalsh(check_kernel(K))[-1])


def stability_ratio(K: Any, learning_rate: float, *, curvature: float = 1.0) -> float:
    """How near gradient descent is to its edge of stability: eta c lambda_1 / 2, which is 1 at the edge.

    c lambda_1 is the largest eigenvalue of the Gauss-Newton part of the loss c/2 sum_i |f_i - y_i|^2, its sharpness
    once residuals are small; steps eta above 2 / sharpness diverge, or leave for flatter places. The sharpness of
    the whole Hessian is `ntkkit.finite.sharpness`.

    Parameters
    ----------
    K : array-like of shape (n, n)
        The empirical NTK of the training points.
    learning_rate : float
        Step size eta > 0 of full-batch gradient descent.
    curvature : float, default=1.0
        c > 0: 1 for half the summed squares, 2 / n for their mean.

    Returns
    -------
    float

    Raises
    ------
    ValueError
        If K is not square, symmetric and finite, or a number is not positive.

    References
    ----------
    Cohen et al. (2021), Gradient descent on neural networks typically occurs at the edge of stability.

    Examples
    --------
    >>> stability_ratio([[4.0]], 0.5)
    1.0
    """
    for name, value in (("learning_rate", learning_rate), ("curvature", curvature)):
        if not (np.isfinite(value) and value > 0):
            raise ValueError(f"{name} must be finite and positive, found {value!r}.")
    return learning_rate * curvature * largest_eigenvalue(K) / 2


def effective_rank(K: Any) -> float:
    """The exponential of the entropy of the spectrum: exp(-sum_i p_i log p_i), p_i = lambda_i / tr K.

    Parameters
    ----------
    K : array-like of shape (n, n)
        Positive semi-definite; eigenvalues below 0 count as 0.

    Returns
    -------
    float
        From 1 (rank one) to n (a multiple of the identity).

    Raises
    ------
    ValueError
        If K is not square, symmetric and finite, or has no positive eigenvalue.

    References
    ----------
    Roy and Vetterli (2007), The effective rank.

    Examples
    --------
    >>> round(effective_rank([[3.0, 0.0], [0.0, 3.0]]), 12)
    2.0
    """
    parts = _parts(K)
    parts = parts[parts > 0]
    return float(np.exp(-(parts * np.log(parts)).sum()))


def top_mass(K: Any, k: int = 10) -> float:
    """How much of the trace the k largest eigenvalues hold: sum_{i <= k} lambda_i / tr K.

    Parameters
    ----------
    K : array-like of shape (n, n)
        Positive semi-definite; eigenvalues below 0 count as 0.
    k : int, default=10
        >= 1; of smaller matrices, all.

    Returns
    -------
    float
        From 0 to 1.

    Raises
    ------
    ValueError
        If K is not square, symmetric and finite, or has no positive eigenvalue, or k < 1.

    Examples
    --------
    >>> top_mass([[3.0, 0.0], [0.0, 1.0]], k=1)
    0.75
    """
    if k < 1:
        raise ValueError(f"k must be >= 1, found {k!r}.")
    return float(_parts(K)[-k:].sum())


def target_alignment(K: Any, y: Any, *, center: bool = False) -> float:
    """How much a kernel looks like the targets': y' K y / (|K| |y|^2); of several columns, <K, Y Y'> / (|K| |Y Y'|).

    Parameters
    ----------
    K : array-like of shape (n, n)
    y : array-like of shape (n,) or (n, k)
        Targets, as numbers: one-hot for classes. A rotation of columns changes nothing.
    center : bool, default=False
        Centre K and the columns of y.

    Returns
    -------
    float
        From 0 to 1 for positive semi-definite K.

    Raises
    ------
    ValueError
        If K is not square, symmetric and finite, y does not fit, or one of them is zero (centred, if asked for).

    References
    ----------
    Cristianini et al. (2001), On kernel-target alignment; Cortes et al. (2012), Algorithms for learning kernels based
    on centered alignment.

    Examples
    --------
    >>> target_alignment([[1.0, -1.0], [-1.0, 1.0]], [1.0, -1.0])
    1.0
    """
    K = check_kernel(K)
    columns = as_columns(y, len(K))
    scale = float(np.linalg.norm(columns))
    columns = unit(columns - columns.mean(axis=0) if center else columns, "y", scale=scale)
    shared = (columns * (direction(K, "K", center=center) @ columns)).sum()
    return float(shared / np.linalg.norm(columns.T @ columns))


def eigenvector_alignment(K: Any, y: Any) -> np.ndarray:
    """How much of the targets lies along each eigenvector: (v_i' y)^2 / |y|^2, the largest eigenvalue's first.

    Parameters
    ----------
    K : array-like of shape (n, n)
    y : array-like of shape (n,) or (n, k)
        Targets, as numbers. Of several columns, |v_i' Y|^2 / |Y|^2.

    Returns
    -------
    ndarray of shape (n,)
        Adds up to 1.

    Raises
    ------
    ValueError
        If K is not square, symmetric and finite, or y does not fit or is zero.

    Examples
    --------
    >>> eigenvector_alignment([[1.0, 0.0], [0.0, 2.0]], [2.0, 1.0])
    array([0.2, 0.8])
    """
    K = check_kernel(K)
    columns = unit(as_columns(y, len(K)), "y")
    return ((np.linalg.eigh(K)[1].T @ columns) ** 2).sum(axis=1)[::-1]


def machine_accuracy(K: Any, y: Any, K_test: Any, y_test: Any, *, alpha: float = 0.0) -> float:
    """Accuracy on held-out points of the kernel machine made from a snapshot: argmax of K_test (K + alpha I)^-1 Y.

    Parameters
    ----------
    K : array-like of shape (n, n)
        The kernel between training points.
    y : array-like of shape (n,)
        Classes.
    K_test : array-like of shape (m, n)
        The kernel between test points and training points.
    y_test : array-like of shape (m,)
        Classes.
    alpha : float, default=0.0
        Ridge term >= 0, absolute.

    Returns
    -------
    float

    Raises
    ------
    ValueError
        If shapes do not fit, or entries are not finite.

    References
    ----------
    Fort et al. (2020), section 3.

    Examples
    --------
    >>> machine_accuracy([[1.0, 0.0], [0.0, 1.0]], ["a", "b"], [[0.9, 0.1]], ["a"])
    1.0
    """
    given, K = np.asarray(K), check_kernel(K)  # whose dtype tells what is rounding
    classes, columns = _one_hot(y, len(K))
    K_test, y_test = np.asarray(K_test, dtype=np.float64), np.asarray(y_test)
    if K_test.ndim != 2 or K_test.shape[1] != len(K) or not np.isfinite(K_test).all():
        raise ValueError(f"K_test must be finite and of shape (m, {len(K)}), found shape {K_test.shape}.")
    if y_test.shape != K_test.shape[:1]:
        raise ValueError(f"y_test must be of shape ({len(K_test)},), a class a test point; found {y_test.shape}.")
    said = K_test @ solve_ridge(given, columns, alpha).dual_coef
    return float(np.mean(classes[said.argmax(axis=1)] == y_test))


def leave_one_out_accuracy(K: Any, y: Any, *, alpha: float = 0.0) -> float:
    """Accuracy of the kernel machine made from a snapshot, on each point by the machine of the others.

    Parameters
    ----------
    K : array-like of shape (n, n)
        The kernel between points.
    y : array-like of shape (n,)
        Classes.
    alpha : float, default=0.0
        Ridge term >= 0, absolute.

    Returns
    -------
    float
        By `ntkkit.linalg.leave_one_out`, one decomposition for all points.

    Raises
    ------
    ValueError
        If K is not square, symmetric and finite, or y does not fit.

    Examples
    --------
    >>> import numpy as np
    >>> leave_one_out_accuracy(np.kron(np.eye(2), np.ones((2, 2))), [0, 0, 1, 1], alpha=0.1)
    1.0
    """
    error, K = entry_error(np.asarray(K).dtype), check_kernel(K)
    classes, columns = _one_hot(y, len(K))
    said = columns - leave_one_out(eigen(K, error=error), columns, [alpha])[0]
    return float(np.mean(classes[said.argmax(axis=1)] == np.asarray(y)))


def _parts(K: Any) -> np.ndarray:
    """Each eigenvalue's part of the trace, ascending."""
    values = np.maximum(np.linalg.eigvalsh(check_kernel(K)), 0)
    if values[-1] == 0:
        raise ValueError("K has no positive eigenvalue: it has no spectrum to speak of.")
    return values / values.sum()


def _one_hot(y: Any, n: int) -> tuple[np.ndarray, Matrix]:
    """Classes, and targets (n, k): 1 for a point's class and 0 for others."""
    y = np.asarray(y)
    if y.shape != (n,):
        raise ValueError(f"y must be of shape ({n},), a class a point; found {y.shape}.")
    classes, codes = np.unique(y, return_inverse=True)
    return classes, np.eye(len(classes))[codes]
