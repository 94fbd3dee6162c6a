"""Adversarial examples: small changes of inputs that lead a trained machine astray, by the gradient of its kernel."""

from __future__ import annotations

import copy
import functools
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from sklearn.base import is_classifier
from sklearn.utils.validation import check_consistent_length, check_is_fitted

from ntkkit.engine.precision import in_x64
from ntkkit.estimators._base import KernelMachine, RidgeMachine
from ntkkit.estimators._validation import check_input, is_precomputed
from ntkkit.kernels import Kernel
from ntkkit.linalg import eigen
from ntkkit.networks.value import check_count, check_real

Loss = Callable[[Array, Array], Array]


def adversarial_examples(
    estimator: KernelMachine,
    X: Any,
    y: Any,
    *,
    eps: float,
    norm: str = "linf",
    n_steps: int = 1,
    step_size: float | None = None,
    loss: Loss | None = None,
    clip: tuple[float, float] | None = None,
) -> np.ndarray:
    """Inputs within a distance eps of X at which the machine's loss is larger.

    The function f(x) = sum_i a_i k(x, x_i) + b of a kernel machine is differentiable, so that what leads the infinitely
    wide network astray is known without training any: with g the gradient of the loss in x, a step of length h is

        x <- x + h sign(g)      or      x <- x + h g / |g|,

    followed by the projection on |x - x0| <= eps, in the norm l-infinity or l2. For two classes and the default loss,
    one step is x - eps y sign(grad f). Finite networks trained on the same data are led astray by the same examples.

    Parameters
    ----------
    estimator : fitted estimator of ntkkit
        A kernel machine with a kernel of ntkkit: `NeuralKernelClassifier`, `NeuralKernelRegressor`, their CV forms,
        `NeuralKernelSVC` (of two classes, or fit_intercept=False), `NeuralKernelSVR`.
    X : array-like of shape (n_samples, n_features)
        Inputs, as in predict.
    y : array-like of shape (n_samples,) or (n_samples, n_outputs)
        What is right there: labels of classifiers, numbers of regressors.
    eps : float
        How far an input may move, >= 0, in units of X.
    norm : {"linf", "l2"}, default="linf"
        What eps bounds: the change of every feature, or the root of the sum of their squares.
    n_steps : int, default=1
        Gradient steps, each followed by the projection.
    step_size : float, optional
        Length h of a step; None is eps for one step, else 2.5 eps / n_steps.
    loss : callable, optional
        ``loss(outputs, targets)``, arrays (n_outputs,), differentiable by jax, that is raised. Targets of classifiers
        are +1 and -1, a column a class, one column for two. None: -target f for two classes and for several labels, the
        largest other output less that of the class for more classes, half the squared error for regressors.
    clip : (low, high), optional
        Bounds of valid inputs, kept after each step: (0, 255) for pictures.

    Returns
    -------
    ndarray of the shape of X
        float64; equal to X where the gradient is zero. Lists of sequences are filled up with NaN.

    Raises
    ------
    TypeError
        If the estimator is none of these.
    ValueError
        If its kernel is none of ntkkit, for bad arguments, or if y holds labels that fit has not seen.

    References
    ----------
    Tsilivis, Kempe (2022), What can the neural tangent kernel tell us about adversarial robustness?

    Examples
    --------
    Of a linear machine f(x) = x1 - x2 every feature moves against the label:

    >>> from ntkkit import NTK, FullyConnected, NeuralKernelClassifier, adversarial_examples
    >>> kernel = NTK(FullyConnected(depth=0, weight_var=1.0, bias_var=0.0))
    >>> model = NeuralKernelClassifier(kernel).fit([[1.0, -1.0], [-1.0, 1.0]], [0, 1])
    >>> adversarial_examples(model, [[1.0, -1.0]], [0], eps=0.25)
    array([[ 0.75, -0.75]])
    """
    _check_machine(estimator)
    eps, n_steps = check_real(eps, "eps"), check_count(n_steps, "n_steps", low=1)
    if norm not in ("linf", "l2"):
        raise ValueError(f"norm must be 'linf' or 'l2', found {norm!r}.")
    step_size = eps * min(1.0, 2.5 / n_steps) if step_size is None else check_real(step_size, "step_size")
    low, high = _check_clip(clip)
    start = check_input(estimator, X, kernel=estimator.kernel_, reset=False).astype(np.float64)
    targets, multiclass = _targets(estimator, y)
    check_consistent_length(start, targets)
    loss = loss or (_margin if multiclass else _against if is_classifier(estimator) else _squared)
    moved, missing = start, np.isnan(start)  # behind the end of sequences
    for _ in range(n_steps):
        slopes = np.asarray(in_x64(_slopes, loss, estimator._outputs(moved), targets))
        if not np.isfinite(slopes).all():
            raise ValueError(f"The gradient of {loss!r} in the outputs is not finite: give another loss.")
        gradient = np.where(missing, 0.0, estimator._input_gradient(moved, slopes))
        change = moved - start + step_size * _direction(gradient, norm)
        moved = np.where(missing, np.nan, np.clip(start + _projected(np.nan_to_num(change), eps, norm), low, high))
    kind = estimator.kernel_.input_kind
    return moved.reshape(np.shape(X)) if kind == "images" else moved[:, : _n_steps(X)] if kind == "sequences" else moved


def eigenvector_part(estimator: RidgeMachine, components: int | Sequence[int]) -> RidgeMachine:
    """The part of a kernel machine that lies in some eigenvectors of its Gram matrix: what one feature of it says.

    With K = sum_i lambda_i v_i v_i' the machine f(x) = k(x, X) (K + alpha I)^-1 y is the sum of its features
    f_i(x) = k(x, X) v_i v_i' y / (lambda_i + alpha). Those of large eigenvalues are smooth and robust to small changes
    of inputs; of others many tell the training labels apart, too, and change their sign at a touch.

    Parameters
    ----------
    estimator : fitted NeuralKernelRegressor or NeuralKernelClassifier, or their CV forms
        With a kernel of ntkkit; with solver="nystrom" K is that of its centres.
    components : int or sequence of int
        Which eigenvectors, 0 that of the largest eigenvalue.

    Returns
    -------
    The fitted estimator's copy whose `dual_coef_` is the part, without intercept
        For `predict`, `score` and `adversarial_examples`. One eigendecomposition.

    Raises
    ------
    TypeError
        If the estimator is none of these.
    ValueError
        If its kernel is none of ntkkit, or a component is not there.

    References
    ----------
    Tsilivis, Kempe (2022), What can the neural tangent kernel tell us about adversarial robustness?

    Examples
    --------
    >>> import numpy as np
    >>> from ntkkit import NeuralKernelRegressor, eigenvector_part
    >>> X, y = np.random.default_rng(0).normal(size=(6, 2)), np.arange(6.0)
    >>> model = NeuralKernelRegressor().fit(X, y)
    >>> parts = [eigenvector_part(model, i).predict(X) for i in range(6)]
    >>> np.allclose(sum(parts), model.predict(X))
    True
    """
    _check_machine(estimator)
    if not isinstance(estimator, RidgeMachine):
        raise TypeError(f"estimator must be a ridge machine such as NeuralKernelRegressor, found {estimator!r}.")
    n, wanted = len(estimator.dual_coef_), np.atleast_1d(np.asarray(components))
    if wanted.dtype.kind not in "iu" or wanted.ndim != 1 or not ((wanted >= 0) & (wanted < n)).all():
        raise ValueError(f"components must be integers from 0 to {n - 1}, found {components!r}.")
    assert estimator.X_fit_ is not None
    vectors = eigen(estimator._gram(estimator.kernel_, estimator.X_fit_)).vectors[:, ::-1][:, np.unique(wanted)]
    part = copy.copy(estimator)
    part.dual_coef_ = vectors @ (vectors.T @ estimator.dual_coef_)
    if hasattr(estimator, "intercept_"):
        part.intercept_ = 0.0
    return part


def _check_machine(estimator: Any) -> None:
    if not isinstance(estimator, KernelMachine):
        raise TypeError(
            f"estimator must be a kernel machine of ntkkit such as NeuralKernelClassifier, found {estimator!r}; of a "
            "pipeline, take the last step, and inputs as it sees them."
        )
    check_is_fitted(estimator)
    if is_precomputed(estimator.kernel_) or not isinstance(estimator.kernel_, Kernel):
        raise ValueError(
            f"The machine's kernel must be one of ntkkit, which jax differentiates, such as NTK(FullyConnected()); "
            f"found {estimator.kernel_!r}."
        )


def _n_steps(X: Any) -> int:
    """Steps of the longest sequence, or those of an array."""
    return np.shape(X)[1] if isinstance(X, np.ndarray) else max(len(sequence) for sequence in X)


def _check_clip(clip: Any) -> tuple[float, float]:
    if clip is None:
        return -np.inf, np.inf
    try:
        low, high = (float(bound) for bound in clip)
    except (TypeError, ValueError):
        raise ValueError(f"clip must be (low, high), found {clip!r}.") from None
    if not low < high:
        raise ValueError(f"clip must be (low, high) with low < high, found {clip!r}.")
    return low, high


def _targets(estimator: Any, y: Any) -> tuple[np.ndarray, bool]:
    """What outputs should be, a column an output, and whether the largest of several is what counts."""
    if not is_classifier(estimator):
        y = np.asarray(y, dtype=np.float64)
        if not np.isfinite(y).all():
            raise ValueError("y must be finite.")
        targets, multiclass = y.reshape(len(y), -1), False
    else:
        labels, y = estimator._labels, np.asarray(y)
        if not labels.multilabel and not np.isin(y, labels.classes).all():
            raise ValueError(f"y must hold the labels {labels.classes}, found {np.setdiff1d(y, labels.classes)}.")
        targets = labels.encode(y)
        targets, multiclass = targets.reshape(len(y), -1), targets.ndim == 2 and not labels.multilabel
    n_outputs = estimator._coefficient_columns.shape[1]
    if targets.shape[1] != n_outputs:
        raise ValueError(
            f"y has {targets.shape[1]} outputs, the machine {n_outputs}; NeuralKernelSVC of more than two classes "
            "needs fit_intercept=False."
        )
    return targets, multiclass


@functools.partial(jax.jit, static_argnums=0)
def _slopes(loss: Loss, outputs: Array, targets: Array) -> Array:
    return jax.vmap(jax.grad(loss))(outputs, targets)


def _against(outputs: Array, targets: Array) -> Array:
    return -jnp.sum(targets * outputs)


def _margin(outputs: Array, targets: Array) -> Array:
    right = targets > 0
    return jnp.max(jnp.where(right, -jnp.inf, outputs)) - jnp.sum(jnp.where(right, outputs, 0))


def _squared(outputs: Array, targets: Array) -> Array:
    return jnp.sum((outputs - targets) ** 2) / 2


def _direction(gradient: np.ndarray, norm: str) -> np.ndarray:
    """The steepest change of unit length."""
    return np.sign(gradient) if norm == "linf" else gradient / _lengths(gradient, least=np.finfo(float).tiny)


def _projected(change: np.ndarray, eps: float, norm: str) -> np.ndarray:
    """The nearest change of a length of at most eps."""
    if norm == "linf":
        return np.clip(change, -eps, eps)
    return change * np.minimum(1, eps / _lengths(change, least=np.finfo(float).tiny))


def _lengths(rows: np.ndarray, *, least: float) -> np.ndarray:
    lengths = np.linalg.norm(rows.reshape(len(rows), -1), axis=1)
    return np.maximum(lengths, least).reshape(-1, *[1] * (rows.ndim - 1))
