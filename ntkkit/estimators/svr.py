"""Support vector regression: epsilon-insensitive loss on numbers."""

from __future__ import annotations

from numbers import Real
from typing import Any, ClassVar, Self

import numpy as np
from sklearn.base import RegressorMixin, _fit_context
from sklearn.svm import SVR
from sklearn.utils._param_validation import Interval
from sklearn.utils.validation import check_is_fitted

from ntkkit.engine import Engine
from ntkkit.estimators._support import SupportMachine, mirrored, solve_mirrored
from ntkkit.estimators._validation import all_or_nothing, check_input, check_kernel, check_weights


class NeuralKernelSVR(RegressorMixin, SupportMachine):
    """Support vector regression: f minimises |f|^2 / 2 + C sum_i w_i max(0, |y_i - f(x_i) - b| - epsilon).

    With `fit_intercept` it is scikit-learn's SVR. Without, b = 0 and f is, with the NTK of a network, that network,
    infinitely wide and trained by gradient descent on the loss with weight decay 1 / C (Chen et al. 2021).

    Parameters
    ----------
    kernel : kernel, callable, "precomputed" or None, default=None
        As in `NeuralKernelRegressor`: ``NTK(network)`` or another kernel of ntkkit or scikit-learn, a callable
        ``k(X, Y) -> (n, m)`` on whole matrices, or "precomputed". None is ``NTK(FullyConnected())``.
    C : float, default=1.0
        Inverse regularisation in (0, inf), the bound of the dual coefficients of samples of weight 1.
    epsilon : float, default=0.1
        Errors up to this, in [0, inf), cost nothing; in units of y.
    fit_intercept : bool, default=True
        Whether there is a b.
    tol : float, default=1e-8
        By how much the slopes of the dual may miss optimality: about the error of f, in units of y.
    max_iter : int, default=10_000_000
        Most iterations of libsvm, each n operations; -1 is no limit.
    engine : Engine, optional
        Memory budget and progress of evaluating kernels of ntkkit; the default engine otherwise.

    Attributes
    ----------
    support_ : ndarray of shape (n_support,)
        Places of the support vectors in X.
    n_support_ : ndarray of shape (1,)
        How many there are.
    X_fit_ : ndarray of shape (n_support, n_features) or None
        The support vectors, images as rows, sequences (n_support, T, n_features) filled up with NaN; None with
        kernel="precomputed".
    dual_coef_ : ndarray of shape (1, n_support)
        Signed coefficients.
    intercept_ : ndarray of shape (1,)
        b, zero without intercept.
    n_iter_ : int
        Iterations of libsvm.
    kernel_ : kernel, callable or "precomputed"
        What was evaluated.
    n_features_in_ : int
        Columns of X; of images, the numbers in one; of sequences, those in a step.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Column names, where X has any.

    See Also
    --------
    NeuralKernelSVC : The same for labels, with notes on cost and memory.

    References
    ----------
    Chang, Lin (2011), LIBSVM: A library for support vector machines.
    Chen, Huang, Nguyen, Weng (2021), On the equivalence between neural network and support vector machine.

    Examples
    --------
    A line through the origin, pulled down until the farther point is `epsilon` away.

    >>> from ntkkit import NTK, FullyConnected, NeuralKernelSVR
    >>> kernel = NTK(FullyConnected(depth=0, weight_var=1.0, bias_var=0.0))
    >>> model = NeuralKernelSVR(kernel, C=10.0, epsilon=0.5, fit_intercept=False)
    >>> model.fit([[1.0], [2.0]], [1.0, 2.0]).predict([[2.0]]).round(6)
    array([1.5])
    >>> model.support_
    array([1])
    """

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        **SupportMachine._parameter_constraints,
        "epsilon": [Interval(Real, 0, None, closed="left")],
    }

    n_support_: np.ndarray
    n_iter_: int

    def __init__(
        self,
        kernel: Any = None,
        *,
        C: float = 1.0,
        epsilon: float = 0.1,
        fit_intercept: bool = True,
        tol: float = 1e-8,
        max_iter: int = 10_000_000,
        engine: Engine | None = None,
    ) -> None:
        self.kernel = kernel
        self.C = C
        self.epsilon = epsilon
        self.fit_intercept = fit_intercept
        self.tol = tol
        self.max_iter = max_iter
        self.engine = engine

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Solve for the coefficients.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Finite numbers; images (n_samples, *input_shape), or those as rows, where the network has an `input_shape`;
            sequences, as a list of arrays (T_i, n_features) or an array, where it is `Recurrent`; the
            Gram matrix (n_samples, n_samples) with kernel="precomputed".
        y : array-like of shape (n_samples,)
            Targets.
        sample_weight : float or array-like of shape (n_samples,), optional
            Weights >= 0 of the losses; 0 is as good as removing the sample.

        Returns
        -------
        self
            The fitted estimator. Where fit raises (ValueError or TypeError for input that cannot be used), the
            estimator is as it was before.

        Warns
        -----
        sklearn.exceptions.ConvergenceWarning
            If `max_iter` was reached.
        """
        with all_or_nothing(self):
            kernel = check_kernel(self)
            X, y = check_input(self, X, y, kernel=kernel, reset=True, y_numeric=True)
            rows, weights = check_weights(sample_weight, X)
            K = self._dense_gram(kernel, X, rows)
            solver = SVR(C=self.C, epsilon=self.epsilon, kernel="precomputed", tol=self.tol, max_iter=self.max_iter)
            if self.fit_intercept:
                solver.fit(K, y[rows], sample_weight=weights)
                support, self.dual_coef_, self.intercept_ = solver.support_, solver.dual_coef_, solver.intercept_
                self.n_iter_ = int(solver.n_iter_)
            else:
                coefficients, self.n_iter_ = solve_mirrored(solver, mirrored(K), y[rows], weights)
                support = np.flatnonzero(coefficients)
                self.dual_coef_, self.intercept_ = coefficients[None, support], np.zeros(1)
            self.n_support_ = np.array([len(support)])
            self._keep_support(kernel, X, rows, support)
        return self

    def predict(self, X: Any) -> np.ndarray:
        """Evaluate f + b.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            As in fit; with kernel="precomputed" the kernel of new samples (rows) with all training samples (columns).

        Returns
        -------
        ndarray of shape (n_samples,)
            Predictions, float64.
        """
        check_is_fitted(self)
        return self._expand_support(X, self.dual_coef_.T)[:, 0]
