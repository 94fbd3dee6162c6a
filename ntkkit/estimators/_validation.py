"""What every estimator checks: inputs by the kind its kernel reads, kernels, Gram matrices, weights."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from scipy.sparse import issparse
from sklearn.base import BaseEstimator, clone
from sklearn.gaussian_process.kernels import Kernel as SklearnKernel
from sklearn.utils.validation import _check_sample_weight, check_consistent_length, validate_data

from ntkkit.kernels import NTK
from ntkkit.kernels.inputs import flatten_images
from ntkkit.kernels.sequences import as_sequences
from ntkkit.networks import FullyConnected
from ntkkit.networks.network import Network

# What scikit-learn's messages leave unsaid: a part of the message, and what to do.
REMEDIES = {
    "could not convert": "X, and y in regression, must hold numbers: encode text, for example by OneHotEncoder in a "
    "pipeline; text labels are for NeuralKernelClassifier.",
    "Complex data not supported": "X and y must be real: give real and imaginary parts as columns of their own.",
    "Input X contains infinity": "Clip or drop infinite values of X, or scale it down.",
    "Input y contains": "Drop the samples whose y is missing or infinite.",
    "inconsistent numbers of samples": "X and y must have one row a sample.",
    "0 sample(s)": "X must have at least one row.",
    "0 feature(s)": "X must have at least one column.",
    "Found array with dim": "X must be 2-D. For images, give the network the input_shape of one image, or flatten them "
    "by X.reshape(len(X), -1). Sequences are read by kernels of Recurrent(), such as NTK(Recurrent()).",
    "inhomogeneous shape": "The rows of X must have equal lengths; sequences of different lengths are read by kernels "
    "of Recurrent(), such as NTK(Recurrent()).",
    "got 1D array instead": "X must be 2-D, one row a sample.",
    "features as input": "X must have the columns it had in fit.",
    "Input sample_weight contains": "Weights must be finite and >= 0.",
    "sample_weight.shape": "Give one weight a sample.",
}


def check_input(
    estimator: BaseEstimator, X: Any, y: Any = "no_validation", *, kernel: Any, reset: bool, **checks: Any
) -> Any:
    """Validate X, and y if given, by what the kernel reads; sets `n_features_in_` and `feature_names_in_` on `reset`.

    Parameters
    ----------
    estimator : BaseEstimator
        Whose input it is.
    X : array-like
        Rows (n, d) or, if the kernel reads images, (n, *input_shape) or flattened rows; sequences, if it reads those.
    y : array-like, optional
        Targets.
    kernel : kernel, callable or "precomputed"
        What `check_kernel` returned.
    reset : bool
        True in fit; else X must have the columns seen there.
    **checks
        Arguments of `sklearn.utils.check_X_y`.

    Returns
    -------
    ndarray of shape (n, d), (n, T, m) for sequences, or tuple of it and y
        X in float32 if it was, else in float64; y in float64 with `y_numeric`.

    Raises
    ------
    TypeError
        For sparse matrices. And ValueError for NaN, infinity, text, no rows, wrong dimensions, images of another shape,
        another number of columns than in fit, y of another length. The message names the argument, what was
        found and what to do.
    """
    if issparse(y):
        raise TypeError(f"y is a sparse {y.format} array of shape {y.shape}; it must be dense: use y.toarray().")
    with remedies():
        checks["copy"] = reset and not is_precomputed(kernel)  # X stays with the estimator: it must be its own
        kind = getattr(kernel, "input_kind", "rows")
        if kind == "sequences":
            checked = _check_sequences(estimator, X, y, reset=reset, **checks)
        else:
            rows = flatten_images(X, kernel.input_shape) if kind == "images" else X
            checked = validate_data(estimator, rows, y, reset=reset, dtype=[np.float64, np.float32], **checks)
        return (checked[0], checked[1].astype(np.float64)) if checks.get("y_numeric") else checked


@contextmanager
def remedies() -> Iterator[None]:
    """Say what to do behind scikit-learn's messages about input."""
    try:
        yield
    except ValueError as error:
        found = [remedy for part, remedy in REMEDIES.items() if part in str(error)]
        if not found:
            raise
        raise ValueError("\n".join([str(error), *found])) from error


def _check_sequences(estimator: BaseEstimator, X: Any, y: Any, *, reset: bool, copy: bool, **checks: Any) -> Any:
    """What `validate_data` does, for sequences; `n_features_in_` are features a step."""
    X = as_sequences(X)
    n_features = X.shape[2]
    if reset:
        estimator.n_features_in_ = n_features
        vars(estimator).pop("feature_names_in_", None)
    elif n_features != estimator.n_features_in_:
        raise ValueError(
            f"X has {n_features} features a step, but {type(estimator).__name__} is expecting "
            f"{estimator.n_features_in_} features a step."
        )
    if isinstance(y, str) and y == "no_validation":
        return X
    y = validate_data(estimator, y=y, **checks)
    check_consistent_length(X, y)
    return X, y


def check_kernel(estimator: BaseEstimator, name: str = "kernel") -> Any:
    """Resolve a parameter that is a kernel: a clone of a kernel object, a callable, "precomputed", or the default NTK.

    Raises
    ------
    ValueError
        If it is something else.
    """
    kernel = getattr(estimator, name)
    if kernel is None:
        return NTK(FullyConnected())
    if isinstance(kernel, SklearnKernel):
        return clone(kernel)
    if is_precomputed(kernel) or (callable(kernel) and not isinstance(kernel, type)):
        return kernel
    if isinstance(kernel, Network):
        remedy = "Give the network's kernel: NTK(network) or NNGP(network)."
    elif isinstance(kernel, str):
        remedy = "Give the kernel as an object, for example sklearn.gaussian_process.kernels.RBF()."
    else:
        remedy = "Give, for example, NTK(FullyConnected())."
    raise ValueError(
        f"The {name!r} parameter of {type(estimator).__name__} must be a kernel object of ntkkit or scikit-learn, a "
        f"callable on whole matrices, 'precomputed' or None. Got {kernel!r} instead. {remedy}"
    )


def is_precomputed(kernel: Any) -> bool:
    """Say whether X is the Gram matrix itself."""
    return isinstance(kernel, str) and kernel == "precomputed"


def check_gram(K: Any, shape: tuple[int, int]) -> np.ndarray:
    """Check what a kernel returned: real and finite, one entry a pair.

    Raises
    ------
    ValueError
        If it is not.
    """
    K = np.asarray(K)
    if K.shape != shape:
        raise ValueError(
            f"The kernel must return an array of shape {shape}, found {K.shape}: a callable takes whole matrices, "
            "k(X, Y) -> (len(X), len(Y)), as sklearn.metrics.pairwise.rbf_kernel does."
        )
    if K.dtype.kind not in "fiub":
        raise ValueError(f"The kernel must return real numbers, found dtype {K.dtype}.")
    if not (np.isfinite(K.min()) and np.isfinite(K.max())):
        raise ValueError(
            "The kernel returned NaN or infinity: scale X (StandardScaler), or lower the kernel's variances."
        )
    return K


def check_symmetric(K: np.ndarray, name: str) -> None:
    """Check that K is symmetric up to rounding in float32, in blocks of rows.

    Raises
    ------
    ValueError
        If it is not.
    """
    if K.shape[0] != K.shape[1]:
        raise ValueError(
            f"{name} must be a square matrix in fit, found shape {K.shape}: pass the kernel of the training samples "
            "with each other in fit, and of new samples (rows) with the training samples (columns) in predict."
        )
    step = max(1, 2**20 // len(K))
    largest = max(abs(float(K.min())), abs(float(K.max())))
    for i in range(0, len(K), step):
        difference = np.abs(K[i : i + step].astype(np.float64) - K[:, i : i + step].T).max()
        if difference > 1e-3 * largest:
            raise ValueError(
                f"{name} must be symmetric in fit, found entries that differ by {difference:.3g} from their mirror "
                "image: pass the kernel of the training samples with each other."
            )


def check_weights(sample_weight: Any, X: np.ndarray) -> tuple[Any, np.ndarray | None]:
    """Check weights, and find the samples with weight > 0: an index and their weights; a zero weight is a removal.

    Raises
    ------
    ValueError
        If a weight is negative, NaN or infinite, all are zero, or there are more or fewer than samples.
    """
    if sample_weight is None:
        return slice(None), None
    with remedies():
        weights = _check_sample_weight(sample_weight, X, dtype=np.float64)
    if weights.min() < 0:
        raise ValueError(f"sample_weight must be >= 0, found {weights.min():g}; to leave a sample out, weigh it 0.")
    positive = np.flatnonzero(weights)
    if len(positive) == 0:
        raise ValueError("sample_weight is zero for every sample; at least one must be positive.")
    return positive, weights[positive]


@contextmanager
def all_or_nothing(estimator: BaseEstimator) -> Iterator[None]:
    """Leave the estimator as it was if fit fails, so that nothing half-fitted stays."""
    before = vars(estimator).copy()
    try:
        yield
    except BaseException:
        vars(estimator).clear()
        vars(estimator).update(before)
        raise
