"""Checking the inputs of a kernel: scikit-learn's SVC hands them over to a callable kernel as they came."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from sklearn.utils import check_array

from ntkkit.kernels.sequences import as_sequences


def check_inputs(X: Any, *, kind: str, input_shape: tuple[int, ...] | None, name: str = "X") -> np.ndarray:
    """Inputs as a numeric array: finite rows (n, d), images (n, *input_shape) flattened, or sequences (n, T, m).

    Raises
    ------
    ValueError
        For NaN, infinity, one dimension, no samples, text, or images of another shape; the message names the argument.
    TypeError
        For a sparse matrix.
    """
    if kind == "images":
        return check_array(flatten_images(X, input_shape, name), dtype="numeric", input_name=name)
    if kind == "sequences":
        return as_sequences(X, name)
    shape = _shape(X, name)
    if len(shape) > 2:
        raise ValueError(
            f"Expected 2D array, {name} has shape {shape}. For images, give the network its input_shape={shape[1:]}, "
            f"or flatten them by {name}.reshape(len({name}), -1). Sequences are read by kernels of Recurrent()."
        )
    return check_array(X, dtype="numeric", input_name=name)


def flatten_images(X: Any, input_shape: tuple[int, ...] | None, name: str = "X") -> Any:
    """Images (n, *input_shape) as rows; rows of the right length pass through.

    Raises
    ------
    ValueError
        If the shape of one image is another.
    """
    if input_shape is None:
        raise ValueError("A kernel of images must know its input_shape.")
    shape, size = _shape(X, name), math.prod(input_shape)
    if len(shape) > 2 and shape[1:] == input_shape:
        return np.asarray(X).reshape(-1, size)
    if (len(shape) == 2 and shape[1] == size) or len(shape) < 2:
        return X
    raise ValueError(
        f"{name} has shape {shape}, but input_shape is {input_shape}: pass images of shape "
        f"(n, {', '.join(map(str, input_shape))}) or rows of {size} features, or change input_shape."
    )


def _shape(X: Any, name: str) -> tuple[int, ...]:
    try:
        return tuple(np.shape(X))
    except ValueError as error:
        raise ValueError(
            f"The rows of {name} must have equal lengths; sequences of different lengths are read by kernels of "
            "Recurrent()."
        ) from error


def result_dtype(*arrays: np.ndarray) -> np.dtype:
    """float32 if that is what numpy makes of the arrays together, else float64."""
    joint = np.result_type(*arrays)
    return np.dtype(np.float32) if joint == np.float32 else np.dtype(np.float64)
