"""Completion of pictures by the infinitely wide network that is trained on what can be seen of them."""

from __future__ import annotations

from collections.abc import Iterator
from numbers import Integral, Real
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, OneToOneFeatureMixin, TransformerMixin, _fit_context
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.validation import check_is_fitted, validate_data

from ntkkit.estimators._validation import all_or_nothing, remedies
from ntkkit.linalg import PeriodicMatrix, periodic_matrix
from ntkkit.networks.hourglass import UPSAMPLINGS, hourglass_kernel

AT_A_TIME = 32  # right-hand sides


class NeuralInpainter(OneToOneFeatureMixin, TransformerMixin, BaseEstimator):
    """Fill the missing pixels of pictures with what an infinitely wide convolutional network, fed noise, makes of them.

    The network halves the resolution `depth` times and doubles it again, and is trained by gradient descent on the
    observed pixels of the picture itself; there are no other training data. A missing pixel p becomes

        mean + K[p, o] (K[o, o] + alpha I)^-1 (x[o] - mean),

    with K the `~ntkkit.networks.hourglass.hourglass_kernel` between positions, o the observed pixels and mean theirs,
    each channel by itself: the result is linear in what is observed. Beyond its edges a picture goes on, unobserved, as
    far as the network sees, so that opposite edges know nothing of each other. Observed pixels stay as they are.

    Parameters
    ----------
    depth : int, default=4
        How often the resolution is halved, 1 to 6. The network sees 3 (2^depth - 1) pixels far, with "nearest" a third
        of that, and holes should be narrower. Each more takes four times the memory.
    alpha : float, default=0.0
        Ridge term >= 0, to be compared with the kernel's diagonal of some n_convs (2 depth + 1). 0 interpolates; more
        takes the observed pixels for noisy.
    n_convs : int, default=2
        Convolutions at each resolution, on the way down and on the way up, >= 1. With 1 the kernel is singular, so that
        alpha must be positive.
    upsampling : {"bilinear", "nearest"}, default="bilinear"
        How the resolution is doubled.
    tol : float, default=1e-4
        Relative residual > 0 of the equations that are solved.
    clip : tuple of float, optional
        The range (low, high) to which filled pixels are clipped; None leaves them as they come.

    Attributes
    ----------
    position_kernel_ : ndarray of shape (m, m, T, T)
        K, by residues mod m = 2^depth and offsets, as `~ntkkit.networks.hourglass.hourglass_kernel` returns it.
    n_features_in_ : int
        Channels; columns of a picture in grey without an axis of channels.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Column names, where X has any.

    See Also
    --------
    ntkkit.networks.hourglass.hourglass_kernel : The kernel.

    Notes
    -----
    Solved by conjugate gradients: 15 to 40 products for holes of any form, 4 m^2 operations a pixel and channel each,
    and 8 m^2 bytes a pixel, 2 kB at depth 4, of the picture with its margin. Planes with the same missing pixels are
    solved together. A 256 x 256 picture in colour, half of it missing, takes some 2 s and .6 GB on two cores.

    References
    ----------
    Radhakrishnan, Stefanakis, Belkin, Uhler (2022), Simple, fast, and flexible framework for matrix completion with
    infinite width neural networks, PNAS 119.
    Ulyanov, Vedaldi, Lempitsky (2018), Deep image prior.

    Examples
    --------
    A slope is continued across a hole:

    >>> from ntkkit import NeuralInpainter
    >>> picture = np.add.outer(np.arange(20.0), np.arange(20.0))
    >>> hole = np.zeros((20, 20), dtype=bool)
    >>> hole[9:11, 9:12] = True
    >>> filled = NeuralInpainter(depth=2).fit_transform(picture, mask=hole)
    >>> bool(np.abs(filled - picture).max() < 0.1)
    True
    """

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        "depth": [Interval(Integral, 1, 6, closed="both")],
        "alpha": [Interval(Real, 0, None, closed="left")],
        "n_convs": [Interval(Integral, 1, None, closed="left")],
        "upsampling": [StrOptions(set(UPSAMPLINGS))],
        "tol": [Interval(Real, 0, None, closed="neither")],
        "clip": [tuple, list, None],
    }

    position_kernel_: np.ndarray
    n_features_in_: int

    def __init__(
        self,
        depth: int = 4,
        alpha: float = 0.0,
        *,
        n_convs: int = 2,
        upsampling: str = "bilinear",
        tol: float = 1e-4,
        clip: tuple[float, float] | None = None,
    ) -> None:
        self.depth = depth
        self.alpha = alpha
        self.n_convs = n_convs
        self.upsampling = upsampling
        self.tol = tol
        self.clip = clip

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X: Any, y: Any = None) -> Self:
        """Compute the kernel. Of X, only the number of channels is learned: pictures of other sizes may follow.

        Parameters
        ----------
        X : array-like of shape (H, W), (H, W, C) or (n, H, W, C)
            A picture in grey, one with channels, or several; integers or floats, NaN where a pixel is missing.
        y : None
            Ignored.

        Returns
        -------
        self
            The fitted transformer. Where fit raises, it is as it was before.

        Raises
        ------
        ValueError
            For text, infinite values, other dimensions, no pixels, parameters out of range, and ``n_convs=1`` with
            ``alpha=0``. (TypeError for sparse matrices.)
        """
        with all_or_nothing(self):
            self._check_images(X, reset=True)
            if self.n_convs == 1 and self.alpha == 0:
                raise ValueError("n_convs=1 and alpha=0: the kernel is singular. Set n_convs=2, or alpha=0.01.")
            if self.clip is not None and not (len(self.clip) == 2 and self.clip[0] < self.clip[1]):
                raise ValueError(f"clip must be None or a pair (low, high) with low < high, found {self.clip!r}.")
            self.position_kernel_ = hourglass_kernel(self.depth, n_convs=self.n_convs, upsampling=self.upsampling)
        return self

    def transform(self, X: Any, mask: Any = None) -> np.ndarray:
        """Fill what is missing, each picture from itself.

        Parameters
        ----------
        X : array-like of shape (H, W), (H, W, C) or (n, H, W, C)
            Pictures of any size, with the channels that fit saw.
        mask : array-like of bool, optional
            True where a pixel is missing, besides those that are NaN; what X has there is not looked at, if it is
            finite. Of the shape of X, or without its axis of channels, or (H, W) for all pictures.

        Returns
        -------
        ndarray of the shape of X
            float32 if X is, else float64, integers too; on the scale of X.

        Raises
        ------
        ValueError
            As in fit; if mask is not boolean or of another shape; if a channel of a picture is missing altogether.

        Warns
        -----
        sklearn.exceptions.ConvergenceWarning
            If the equations were not solved to `tol` in 1000 iterations: not seen to happen with ``n_convs=2``.
        """
        check_is_fitted(self)
        X = self._check_images(X, reset=False)
        filled, missing = X.copy(), np.isnan(X) | _check_mask(mask, X.shape)
        if missing.any():
            layout = {2: (1, *X.shape, 1), 3: (1, *X.shape), 4: X.shape}[X.ndim]
            self._fill(filled.reshape(layout), missing.reshape(layout))
        return filled

    def fit_transform(self, X: Any, y: Any = None, mask: Any = None) -> np.ndarray:
        """Fit to X, and fill what is missing of it.

        Parameters
        ----------
        X : array-like of shape (H, W), (H, W, C) or (n, H, W, C)
            As in transform.
        y : None
            Ignored.
        mask : array-like of bool, optional
            As in transform.

        Returns
        -------
        ndarray of the shape of X
            float32 if X is, else float64.
        """
        return self.fit(X).transform(X, mask)

    def _check_images(self, X: Any, *, reset: bool) -> np.ndarray:
        """X in floats, with NaN; sets what sklearn wants to know of it on `reset`."""
        X = X if hasattr(X, "shape") else np.asarray(X)
        shape = X.shape
        if len(shape) > 4 or (len(shape) > 2 and 0 in shape):
            raise ValueError(
                f"X must be a picture of shape (H, W) or (H, W, C), or several (n, H, W, C), found shape {shape}."
            )
        pixels = X.reshape(-1, shape[-1]) if len(shape) > 2 else X
        with remedies():
            pixels = validate_data(
                self, pixels, reset=reset, dtype=[np.float64, np.float32], ensure_all_finite="allow-nan"
            )
        return pixels.reshape(shape)

    def _fill(self, images: np.ndarray, missing: NDArray[np.bool_]) -> None:
        """Fill what is missing of pictures (n, H, W, C), in place."""
        period, side = self.position_kernel_.shape[1:3]
        margin = (side - period) // 2  # as far as the network sees
        height, width = (-(-max(n + margin, side) // period) * period for n in images.shape[1:3])
        matrix = periodic_matrix(self.position_kernel_, (height, width))
        for gap, planes in _alike(missing):
            if gap.all():
                picture, channel = planes[0]
                raise ValueError(
                    f"X has no observed pixel in channel {channel} of picture {picture}, nothing to fill it from: "
                    "leave that channel or picture out."
                )
            observed = np.zeros(matrix.shape, dtype=bool)
            observed[: gap.shape[0], : gap.shape[1]] = ~gap
            for start in range(0, len(planes), AT_A_TIME):
                some = [images[picture, :, :, channel] for picture, channel in planes[start : start + AT_A_TIME]]
                values = np.stack([plane[~gap] for plane in some], axis=1, dtype=np.float64)
                field = self._complete(matrix, observed, values).reshape(*matrix.shape, -1)
                found = field[: gap.shape[0], : gap.shape[1]][gap]
                for number, plane in enumerate(some):
                    plane[gap] = found[:, number]

    def _complete(self, matrix: PeriodicMatrix, observed: NDArray[np.bool_], values: np.ndarray) -> np.ndarray:
        """All pixels (n, k) of k planes, from the observed ones."""
        scale = np.abs(values).max(axis=0)
        scale[scale == 0] = 1.0
        values = values / scale  # no sum overflows
        mean = values.mean(axis=0)
        dual_coef = matrix.solve(observed, values - mean, self.alpha, tol=self.tol).dual_coef
        field = (matrix.product(matrix.spread(np.flatnonzero(observed), dual_coef)) + mean) * scale
        return field if self.clip is None else field.clip(*self.clip)


def _alike(missing: NDArray[np.bool_]) -> Iterator[tuple[NDArray[np.bool_], list[tuple[int, int]]]]:
    """Every gap there is in a plane (picture, channel), and the planes that have it."""
    groups: dict[bytes, list[tuple[int, int]]] = {}
    n_pictures, _, _, n_channels = missing.shape
    for picture, channel in np.ndindex(n_pictures, n_channels):
        gap = missing[picture, :, :, channel]
        if gap.any():
            groups.setdefault(np.packbits(gap).tobytes(), []).append((picture, channel))
    for planes in groups.values():
        picture, channel = planes[0]
        yield missing[picture, :, :, channel], planes


def _check_mask(mask: Any, shape: tuple[int, ...]) -> NDArray[np.bool_]:
    """The mask in the shape of the pictures.

    Raises
    ------
    ValueError
        If it is not boolean or does not fit.
    """
    if mask is None:
        return np.zeros(shape, dtype=bool)
    mask = np.asarray(mask)
    allowed = [shape, shape[:-1], shape[1:3]][: max(len(shape) - 1, 1)]
    if mask.shape not in allowed:
        raise ValueError(
            f"mask must be of shape {' or '.join(map(str, allowed))} for X of shape {shape}, found {mask.shape}."
        )
    if mask.dtype != np.bool_:
        raise ValueError(
            f"mask must be boolean, True where a pixel is missing, found dtype {mask.dtype}: give mask > 0."
        )
    if mask.shape != shape:
        mask = mask[..., np.newaxis]
    return np.broadcast_to(mask, shape)
