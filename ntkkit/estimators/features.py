"""Explicit features of a kernel, so that linear models take on large data sets."""

from __future__ import annotations

import warnings
from numbers import Integral
from typing import Any, ClassVar, Self

import numpy as np
from sklearn.base import ClassNamePrefixFeaturesOutMixin, TransformerMixin, _fit_context
from sklearn.utils import check_random_state
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.validation import check_is_fitted

from ntkkit.engine import Engine
from ntkkit.estimators._base import KernelMachine
from ntkkit.estimators._random_features import RandomNetworks
from ntkkit.estimators._validation import (
    all_or_nothing,
    check_gram,
    check_input,
    check_kernel,
    check_symmetric,
    is_precomputed,
)
from ntkkit.kernels import NNGP, NTK
from ntkkit.linalg import PartialCholesky, entry_error, pivoted_cholesky


class NeuralKernelFeatures(ClassNamePrefixFeaturesOutMixin, TransformerMixin, KernelMachine):
    """Features whose inner products approximate a kernel: Z(X) Z(Y)' ~ k(X, Y).

    A linear model on the features is an approximate kernel machine: ``make_pipeline(NeuralKernelFeatures(kernel),
    Ridge(alpha, fit_intercept=False))`` is `NeuralKernelRegressor(kernel, alpha=alpha)` where the features are exact.

    Parameters
    ----------
    kernel : kernel, callable, "precomputed" or None, default=None
        As in `NeuralKernelRegressor`.
    n_components : int, default=100
        Number of features, >= 1. The methods on rows of X give at most one a sample, with a warning if that is less,
        and fewer where fewer are exact to working precision: see `n_components_`.
    method : {"rpcholesky", "uniform", "random"}, default="rpcholesky"
        How features are made. "rpcholesky" and "uniform": z(x) = L^-1 k(S, x) with L L' = k(S, S), exact between the
        chosen training samples S and never more than k(x, x) in size (Nystrom's method). "rpcholesky" chooses S by
        randomly pivoted Cholesky, close to the best approximation of this rank; "uniform" at random.
        "random": the output or gradient features of random finite networks, for ``NTK(network)`` and ``NNGP(network)``
        only. They know nothing of X; their error falls like 1 / sqrt(n_components), for smooth kernels much more
        slowly than that of the other two.
    random_state : int, RandomState instance or None, default=None
        Seed of the choice, or of the networks.
    engine : Engine, optional
        Memory budget and progress of evaluating kernels of ntkkit; the default engine otherwise.

    Attributes
    ----------
    kernel_ : kernel, callable or "precomputed"
        What was evaluated.
    n_components_ : int
        Number of features.
    components_ : ndarray of shape (n_components_, n_features) or None
        The chosen samples S; None with kernel="precomputed" or method="random".
    component_indices_ : ndarray of shape (n_components_,) or None
        Their places in the training data; None with method="random".
    factor_ : ndarray of shape (n_components_, n_components_) or None
        L; None with method="random".
    n_features_in_ : int
        Columns of X; of images, the numbers in one; of sequences, those in a step.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Column names, where X has any.

    See Also
    --------
    sklearn.kernel_approximation.Nystroem : Uniformly chosen samples, for scikit-learn's kernels.

    Notes
    -----
    "rpcholesky" and "uniform" evaluate n_samples * n_components kernel entries and take n_samples * n_components^2
    operations, in fit and in transform; `fit_transform` does it once. For a million rows, fit on some ten thousand.
    "random" takes n_samples * n_components^2 operations a layer for the NNGP, and n_samples * n_components^1.5 * 8
    for the NTK. A float32 X gives float32 features.

    References
    ----------
    Chen, Epperly, Tropp, Webber (2023), Randomly pivoted Cholesky.
    Williams, Seeger (2001), Using the Nystrom method to speed up kernel machines.

    Examples
    --------
    The kernel x x' + 1 has two features:

    >>> from ntkkit import NTK, FullyConnected, NeuralKernelFeatures
    >>> kernel = NTK(FullyConnected(depth=0, weight_var=1.0, bias_var=1.0))
    >>> X = np.linspace(-1, 1, 20)[:, None]
    >>> Z = NeuralKernelFeatures(kernel, n_components=10, random_state=0).fit_transform(X)
    >>> Z.shape, bool(np.allclose(Z @ Z.T, X @ X.T + 1))
    ((20, 2), True)
    """

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        **KernelMachine._parameter_constraints,
        "n_components": [Interval(Integral, 1, None, closed="left")],
        "method": [StrOptions({"rpcholesky", "uniform", "random"})],
        "random_state": ["random_state"],
    }

    n_components_: int
    components_: np.ndarray | None
    component_indices_: np.ndarray | None
    factor_: np.ndarray | None

    def __init__(
        self,
        kernel: Any = None,
        *,
        n_components: int = 100,
        method: str = "rpcholesky",
        random_state: Any = None,
        engine: Engine | None = None,
    ) -> None:
        self.kernel = kernel
        self.n_components = n_components
        self.method = method
        self.random_state = random_state
        self.engine = engine

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags

    @property
    def _n_features_out(self) -> int:
        return self.n_components_

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X: Any, y: Any = None) -> Self:
        """Choose samples, or draw networks.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Finite numbers; images (n_samples, *input_shape), or those as rows, where the network has an `input_shape`;
            sequences, as a list of arrays (T_i, n_features) or an array, where it is `Recurrent`; the
            Gram matrix (n_samples, n_samples) with kernel="precomputed".
        y : None
            Ignored.

        Returns
        -------
        self
            The fitted transformer. Where fit raises (ValueError or TypeError for input that cannot be used), it is as
            it was before. There is a `scipy.linalg.LinAlgWarning` if the kernel is not positive semi-definite.
        """
        self._fit(X)
        return self

    @_fit_context(prefer_skip_nested_validation=True)
    def fit_transform(self, X: Any, y: Any = None) -> np.ndarray:
        """Fit, and return the features of the training samples, at the price of one of the two.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            As in fit.
        y : None
            Ignored.

        Returns
        -------
        ndarray of shape (n_samples, n_components_)
            Features, float32 if X is, else float64.
        """
        features = self._fit(X)
        return self.transform(X) if features is None else features

    def transform(self, X: Any) -> np.ndarray:
        """Compute features.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            As in fit; with kernel="precomputed" the kernel of new samples (rows) with the training samples (columns).

        Returns
        -------
        ndarray of shape (n_samples, n_components_)
            Features, float32 if X is, else float64.
        """
        check_is_fitted(self)
        X = check_input(self, X, kernel=self.kernel_, reset=False)
        if self.factor_ is None:
            return check_gram(self._networks(X), (len(X), self.n_components_))
        if self.components_ is None:
            return self._whiten(X[:, self.component_indices_], X.dtype)

        def apply(panel: np.ndarray) -> np.ndarray:
            return self._whiten(panel, X.dtype)

        panels = self._panels(self.kernel_, X, self.components_, apply=apply)
        return np.concatenate([features for _, features in panels])

    def _whiten(self, K: np.ndarray, dtype: np.dtype) -> np.ndarray:
        assert self.factor_ is not None  # method is not "random"
        among_chosen = PartialCholesky(self.factor_, np.arange(self.n_components_), 0.0)
        return np.ascontiguousarray(among_chosen.extend(K), dtype=dtype)

    def _fit(self, X: Any) -> np.ndarray | None:
        """Fit, and return the features of X if they are known by then."""
        with all_or_nothing(self):
            self.kernel_ = check_kernel(self)
            X = check_input(self, X, kernel=self.kernel_, reset=True)
            random_state = check_random_state(self.random_state)
            if self.method != "random":
                return self._choose(self.kernel_, X, random_state)
            self._draw(self.kernel_, X, random_state)
            return None

    def _draw(self, kernel: Any, X: np.ndarray, random_state: np.random.RandomState) -> None:
        if not isinstance(kernel, (NTK, NNGP)):
            raise ValueError(
                "method='random' draws finite networks, which are known of NTK(network) and NNGP(network) only; found "
                f"kernel={kernel!r}: use method='rpcholesky'."
            )
        self._networks = RandomNetworks(kernel, X, self.n_components, random_state)
        self.components_ = self.component_indices_ = self.factor_ = None
        self.n_components_ = self.n_components

    def _choose(self, kernel: Any, X: np.ndarray, random_state: np.random.RandomState) -> np.ndarray:
        if self.n_components > len(X):
            warnings.warn(
                f"n_components={self.n_components} is more than the {len(X)} samples: there will be at most that many "
                "features.",
                stacklevel=4,
            )
        if is_precomputed(kernel):
            check_symmetric(X, "X, with kernel='precomputed',")
        diagonal = self._diagonal(kernel, X)
        found = pivoted_cholesky(
            diagonal,
            lambda rows, columns: self._pairs(kernel, X, rows, columns),
            self.n_components,
            method=self.method,
            error=entry_error(diagonal.dtype),
            rng=random_state.randint(np.iinfo(np.int32).max),
        )
        if len(found.pivots) == 0:
            raise ValueError("The kernel of every sample with itself is zero: there are no features.")
        self.n_components_ = len(found.pivots)
        self.component_indices_ = found.pivots
        self.components_ = None if is_precomputed(kernel) else X[found.pivots]
        self.factor_ = np.tril(found.factor[found.pivots])
        return found.factor.astype(X.dtype, order="C")
