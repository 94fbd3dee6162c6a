"""Transformers that prepare images for kernels."""

from __future__ import annotations

import math
from abc import abstractmethod
from numbers import Real
from typing import Any, ClassVar, Self

import numpy as np
from scipy import linalg
from sklearn.base import BaseEstimator, OneToOneFeatureMixin, TransformerMixin, _fit_context
from sklearn.preprocessing import StandardScaler
from sklearn.utils import check_array
from sklearn.utils._param_validation import Interval
from sklearn.utils.validation import check_is_fitted, validate_data

from ntkkit.estimators._validation import all_or_nothing, remedies
from ntkkit.kernels.inputs import flatten_images
from ntkkit.networks.network import check_shape

FLOATS = [np.float64, np.float32]


class _ImageTransformer(OneToOneFeatureMixin, TransformerMixin, BaseEstimator):
    """Images in and images of the same layout out; a subclass works on their rows, in float64."""

    _parameter_constraints: ClassVar[dict[str, Any]] = {"input_shape": [tuple, list, None]}

    input_shape: tuple[int, ...] | None
    input_shape_: tuple[int, ...]

    @abstractmethod
    def _learn(self, rows: np.ndarray) -> None:
        """Set what is fitted, from rows (n, d)."""

    @abstractmethod
    def _forth(self, rows: np.ndarray) -> np.ndarray:
        """Rows that are transformed."""

    @abstractmethod
    def _back(self, rows: np.ndarray) -> np.ndarray:
        """The inverse of `_forth`."""

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X: Any, y: Any = None) -> Self:
        """Learn from images.

        Parameters
        ----------
        X : array-like of shape (n, H, W, C), (n, L, C) or (n, n_features)
            Finite numbers: images, sequences of positions, or either as flattened rows.
        y : None
            Ignored.

        Returns
        -------
        self
            The fitted transformer. Where fit raises (ValueError or TypeError for input that cannot be used), it is as
            it was before.
        """
        X = _with_shape(X)
        with all_or_nothing(self), remedies():
            shape = _image_shape(self.input_shape, X)
            rows = X if shape is None else flatten_images(X, shape)
            rows = validate_data(self, rows, reset=True, dtype=FLOATS)
            self.input_shape_ = shape or (rows.shape[1], 1)
            self._learn(rows)
        return self

    def transform(self, X: Any) -> np.ndarray:
        """Transform images.

        Parameters
        ----------
        X : array-like
            Images or rows, as in fit; either may be given, whatever fit was given.

        Returns
        -------
        ndarray of the shape of X
            float32 if X is, else float64.
        """
        check_is_fitted(self)
        X = _with_shape(X)
        with remedies():
            rows = flatten_images(X, self.input_shape_) if len(X.shape) > 2 else X
            rows = validate_data(self, rows, reset=False, dtype=FLOATS)
        return self._forth(rows).astype(rows.dtype, copy=False).reshape(X.shape)

    def inverse_transform(self, X: Any) -> np.ndarray:
        """Find the images that `transform` makes X of.

        Parameters
        ----------
        X : array-like
            Transformed images or rows.

        Returns
        -------
        ndarray of the shape of X
            float32 if X is, else float64.
        """
        check_is_fitted(self)
        X = _with_shape(X)
        with remedies():
            rows = check_array(flatten_images(X, self.input_shape_), dtype=FLOATS, input_name="X")
        return self._back(rows).astype(rows.dtype, copy=False).reshape(X.shape)


class ImageStandardizer(_ImageTransformer):
    """Subtract each channel's mean and divide by its standard deviation, over all training images and positions.

    Channels that are constant are only centred. In distinction from `sklearn.preprocessing.StandardScaler`, which
    scales every pixel by itself, brightness stays comparable between the pixels of an image.

    Parameters
    ----------
    input_shape : tuple of int, optional
        The shape (H, W, C) of one image, or (L, C) of one sequence of positions, so that flattened rows have their
        channels. None takes that of the images given to fit; rows are then images of a single channel, as those of
        `sklearn.datasets.load_digits`. Images in grey need their axis of channels, ``X[..., np.newaxis]``: an array
        (n, H, W) is read as sequences of H positions.

    Attributes
    ----------
    mean_, scale_ : ndarray of shape (C,)
        What is subtracted from each channel and what it is then divided by: its standard deviation, 1 where that is 0.
    input_shape_ : tuple of int
        The shape of one image; (n_features_in_, 1) for rows of unknown shape.
    n_features_in_ : int
        Numbers in one image.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Column names, where X has any.

    Examples
    --------
    >>> from ntkkit import ImageStandardizer
    >>> images = np.arange(8.0).reshape(2, 1, 2, 2)  # two images of two positions, of two channels
    >>> standardizer = ImageStandardizer().fit(images)
    >>> standardizer.mean_, standardizer.scale_**2
    (array([3., 4.]), array([5., 5.]))
    >>> standardizer.transform(images).mean(axis=(0, 1, 2))
    array([0., 0.])
    """

    mean_: np.ndarray
    scale_: np.ndarray

    def __init__(self, input_shape: tuple[int, ...] | None = None) -> None:
        self.input_shape = input_shape

    def _learn(self, rows: np.ndarray) -> None:
        scaler = StandardScaler().fit(self._by_channel(rows))
        self.mean_, self.scale_ = scaler.mean_, scaler.scale_

    def _forth(self, rows: np.ndarray) -> np.ndarray:
        return ((self._by_channel(rows) - self.mean_) / self.scale_).reshape(rows.shape)

    def _back(self, rows: np.ndarray) -> np.ndarray:
        return (self._by_channel(rows) * self.scale_ + self.mean_).reshape(rows.shape)

    def _by_channel(self, rows: np.ndarray) -> np.ndarray:
        return rows.reshape(-1, self.input_shape_[-1])


class ZCAWhitener(_ImageTransformer):
    """Regularized ZCA whitening of whole images: (x - mean) W, W = U diag(s + regularization mean(s))^(-1/2) U'.

    U diag(s) U' is the covariance (1 / n) sum (x - mean) (x - mean)' of the training images, flattened, and
    mean(s) the average of all its eigenvalues. Of all whitenings this is the one that changes images least: they stay
    images, in which neighbouring pixels, and channels, are no longer nearly equal. Kernels of convolutional networks
    were found to predict natural images better after it [1]_ [2]_.

    Parameters
    ----------
    regularization : float, default=0.1
        > 0. Directions of far smaller variance than this part of the average one, which are mostly noise, are not
        blown up to variance 1. The average is the same on any scale, so that X and 255 X give the same result.
        Worth a search from 1e-4 to 10.
    input_shape : tuple of int, optional
        The shape of one image, (H, W, C) or (L, C). None takes that of the images given to fit; of rows it need not be
        known.

    Attributes
    ----------
    mean_ : ndarray of shape (n_features_in_,)
        The average image, flattened.
    components_ : ndarray of shape (min(n, n_features_in_), n_features_in_)
        U': principal axes, in decreasing order of variance.
    explained_variance_ : ndarray of shape (min(n, n_features_in_),)
        s, their variances. Of further directions it is 0.
    regularization_ : float
        ``regularization * mean(s)``, which is added to the variances; 1 if they are all 0.
    input_shape_ : tuple of int
        The shape of one image; (n_features_in_, 1) for rows of unknown shape.
    n_features_in_ : int
        Numbers d in one image.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Column names, where X has any.

    See Also
    --------
    sklearn.decomposition.PCA : With ``whiten=True``, the same without the rotation back to pixels.

    Notes
    -----
    fit takes some n d min(n, d) operations, transform 4 n d min(n_train, d), in float64 whatever X is: outside the
    span of the training images W is a multiple of the identity, and no (d, d) matrix is made if they are fewer than d.

    A flipped image becomes the flip of what the image becomes only if fit is given the training images and their flips,
    ``np.concatenate([images, images[:, :, ::-1]])``: this matters before `Augmented`, above all if images are few.

    References
    ----------
    .. [1] Shankar, Fang, Guo, Fridovich-Keil, Schmidt, Ragan-Kelley, Recht (2020), Neural kernels without tangents.
    .. [2] Lee, Schoenholz, Pennington, Adlam, Xiao, Novak, Sohl-Dickstein (2020), Finite versus infinite neural
       networks: an empirical study, whose regularization is this one.
    .. [3] Bell, Sejnowski (1997), The "independent components" of natural scenes are edge filters.

    Examples
    --------
    Variances 9 and 1, with the average 5, become 9 / (9 + 5) and 1 / (1 + 5):

    >>> from ntkkit import ZCAWhitener
    >>> X = np.array([[3.0, 1.0], [-3.0, 1.0], [3.0, -1.0], [-3.0, -1.0]])
    >>> ZCAWhitener(regularization=1.0).fit_transform(X).var(axis=0) * [14, 6]
    array([9., 1.])
    """

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        **_ImageTransformer._parameter_constraints,
        "regularization": [Interval(Real, 0, None, closed="neither")],
    }

    mean_: np.ndarray
    components_: np.ndarray
    explained_variance_: np.ndarray
    regularization_: float

    def __init__(self, regularization: float = 0.1, input_shape: tuple[int, ...] | None = None) -> None:
        self.regularization = regularization
        self.input_shape = input_shape

    def _learn(self, rows: np.ndarray) -> None:
        self.mean_ = rows.mean(axis=0, dtype=np.float64)
        self.explained_variance_, self.components_ = _principal_axes(rows - self.mean_)
        rounding = np.square(len(rows) * np.finfo(np.float64).eps * self.mean_).sum()
        if self.explained_variance_.sum() <= rounding:  # equal images, but for the rounding of their mean
            self.explained_variance_ = np.zeros_like(self.explained_variance_)
        added = float(self.regularization * self.explained_variance_.sum() / rows.shape[1])
        self.regularization_ = added or 1.0

    def _forth(self, rows: np.ndarray) -> np.ndarray:
        return self._scaled(rows - self.mean_, -0.5)

    def _back(self, rows: np.ndarray) -> np.ndarray:
        return self._scaled(rows.astype(np.float64), 0.5) + self.mean_

    def _scaled(self, rows: np.ndarray, power: float) -> np.ndarray:
        """Rows times (covariance + regularization_ I)^power, of which the second term alone acts outside the span."""
        outside = self.regularization_**power
        inside = (self.explained_variance_ + self.regularization_) ** power
        return outside * rows + (rows @ self.components_.T * (inside - outside)) @ self.components_


def _principal_axes(centred: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Eigenvalues of the covariance of centred rows, in decreasing order, and below each other their eigenvectors."""
    n_samples, n_features = centred.shape
    if n_samples < n_features:
        _, singular, axes = linalg.svd(centred, full_matrices=False, overwrite_a=True)
        return singular**2 / n_samples, axes
    values, vectors = linalg.eigh(centred.T @ centred / n_samples)
    return np.maximum(values[::-1], 0), np.ascontiguousarray(vectors.T[::-1])


def _with_shape(X: Any) -> Any:
    """X, as an array if it is a list or the like; frames keep the names of their columns."""
    return X if hasattr(X, "shape") else np.asarray(X)


def _image_shape(input_shape: Any, X: Any) -> tuple[int, ...] | None:
    """The shape of one image, as the parameter or else the data say; None for rows of unknown shape.

    Raises
    ------
    ValueError
        If it is neither (H, W, C) nor (L, C).
    """
    shape, source = check_shape(input_shape), "input_shape must be"
    if shape is None and len(X.shape) > 2:
        shape, source = X.shape[1:], "X must be rows, or images of the shape"
    if shape is not None and (len(shape) not in (2, 3) or math.prod(shape) == 0):
        raise ValueError(f"{source} (H, W, C) or (L, C), found {shape}.")
    return shape
