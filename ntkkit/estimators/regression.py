"""Regression: kernel ridge, which is the infinitely wide network trained on squared error."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from sklearn.base import MultiOutputMixin, RegressorMixin, _fit_context

from ntkkit.estimators._base import RidgeMachine
from ntkkit.estimators._validation import all_or_nothing, check_input, check_kernel, check_weights


class NeuralKernelRegressor(MultiOutputMixin, RegressorMixin, RidgeMachine):
    """Kernel ridge regression: f(x) = sum_i a_i k(x, x_i) with (K + alpha I) a = y.

    f minimises sum_i w_i |y_i - f(x_i)|^2 + alpha |f|^2 in the kernel's own norm; there is no intercept beyond what the
    kernel brings (`bias_var`). With the NTK of a network and alpha = 0 this is the mean prediction of that network,
    infinitely wide and trained by gradient descent to convergence (Jacot et al. 2018); with the NNGP and alpha the
    variance of the noise, it is the posterior mean of the Bayesian network (Lee et al. 2018).

    Parameters
    ----------
    kernel : kernel, callable, "precomputed" or None, default=None
        A kernel of ntkkit, ``NTK(network)``; a kernel of scikit-learn (`sklearn.gaussian_process.kernels`); a callable
        ``k(X, Y) -> (n, m)`` on whole matrices, as SVC takes it; or "precomputed", where X is the Gram matrix, (n, n)
        in fit and (m, n) in predict. None is ``NTK(FullyConnected())``. The object is cloned, never changed.
    alpha : float, default=1e-3
        Ridge term in [0, inf), absolute, as in scikit-learn's KernelRidge: entries of K grow with the data, so grids
        should span ``kernel.diag(X).mean() * np.logspace(-8, 1)``. 0 interpolates.
    solver : {"auto", "cholesky", "eigen"}, default="auto"
        How the system is solved, always in float64. "cholesky": one factorisation for all outputs;
        `scipy.linalg.LinAlgError` if K + alpha I is not positive definite to working precision. "eigen": some ten times
        slower; leaves out eigenvalues that are rounding, which gives the minimum-norm solution of a singular system.
        "auto": Cholesky, and eigen with a warning where that fails.
    engine : Engine, optional
        Memory budget and progress of evaluating kernels of ntkkit; the default engine otherwise.

    Attributes
    ----------
    kernel_ : kernel, callable or "precomputed"
        What was evaluated.
    X_fit_ : ndarray of shape (n_samples, n_features) or None
        The training inputs, images as rows; None with kernel="precomputed".
    dual_coef_ : ndarray of shape (n_samples,) or (n_samples, n_targets)
        The coefficients a; zero where the sample weight is.
    solver_ : str
        The solver that found them: "cholesky" or "eigen".
    n_features_in_ : int
        Columns of X; of images, the numbers in one.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Column names, where X has any.

    See Also
    --------
    NeuralKernelClassifier : The same machine for labels.
    sklearn.kernel_ridge.KernelRidge : The same equation for scikit-learn's kernels.

    Notes
    -----
    fit takes n^2 kernel entries, n^3 / 3 operations and n^2 numbers of memory in float64; predict n entries a row.
    A float32 X halves the cost of the kernel, whose entries are then right to 1e-6.

    References
    ----------
    Jacot, Gabriel, Hongler (2018), Neural Tangent Kernel: Convergence and Generalization in Neural Networks.
    Lee, Bahri, Novak, Schoenholz, Pennington, Sohl-Dickstein (2018), Deep Neural Networks as Gaussian Processes.

    Examples
    --------
    A linear network of one input has the kernel x x': ridge regression through the origin, which shrinks the slope by
    sum x^2 / (sum x^2 + alpha).

    >>> from ntkkit import NTK, FullyConnected, NeuralKernelRegressor
    >>> kernel = NTK(FullyConnected(depth=0, weight_var=1.0, bias_var=0.0))
    >>> model = NeuralKernelRegressor(kernel, alpha=5.0).fit([[1.0], [2.0]], [3.0, 6.0])
    >>> model.predict([[4.0]]).round(12)
    array([6.])
    """

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Solve for the coefficients.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Finite numbers; images (n_samples, *input_shape), or those as rows, where the network has an `input_shape`;
            the Gram matrix (n_samples, n_samples) with kernel="precomputed".
        y : array-like of shape (n_samples,) or (n_samples, n_targets)
            Targets.
        sample_weight : float or array-like of shape (n_samples,), optional
            Weights >= 0 of the squared errors; 0 is as good as removing the sample.

        Returns
        -------
        self
            The fitted estimator. Where fit raises (ValueError or TypeError for input that cannot be used, LinAlgError
            from solver="cholesky"), the estimator is as it was before.
        """
        with all_or_nothing(self):
            kernel = check_kernel(self)
            X, y = check_input(self, X, y, kernel=kernel, reset=True, multi_output=True, y_numeric=True)
            rows, weights = check_weights(sample_weight, X)
            self._fit_dual(kernel, X, y[rows], rows=rows, weights=weights)
        return self

    def predict(self, X: Any) -> np.ndarray:
        """Evaluate f.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            As in fit; with kernel="precomputed" the kernel of new samples (rows) with the training samples (columns).

        Returns
        -------
        ndarray of shape (n_samples,) or (n_samples, n_targets)
            Predictions, float64.
        """
        return self._expand(X, self.dual_coef_)
