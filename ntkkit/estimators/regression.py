"""Regression: kernel ridge, which is the infinitely wide network trained on squared error."""

from __future__ import annotations

from numbers import Real
from typing import Any, ClassVar, Self

import numpy as np
from sklearn.base import MultiOutputMixin, RegressorMixin, _fit_context
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.validation import check_is_fitted

from ntkkit.engine import Engine
from ntkkit.estimators._base import RidgeMachine
from ntkkit.estimators._learning import OBJECTIVES, check_learnable, evaluate_loss, learn
from ntkkit.estimators._spread import Spread, check_spread, find_spread
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
    alpha : float or array-like of shape (n_targets,), default=1e-3
        Ridge term in [0, inf), absolute, as in scikit-learn's KernelRidge: entries of K grow with the data, so grids
        should span ``kernel.diag(X).mean() * np.logspace(-8, 1)``. 0 interpolates. One for all targets, or one each.
    solver : {"auto", "cholesky", "eigen", "pcg", "nystrom"}, default="auto"
        How the system is solved, always in float64. "cholesky": one factorisation for all outputs;
        `scipy.linalg.LinAlgError` if K + alpha I is not positive definite to working precision. "eigen": some ten times
        slower; leaves out eigenvalues that are rounding, which gives the minimum-norm solution of a singular system.
        "pcg": conjugate gradients, preconditioned by a randomly pivoted Cholesky factor, on the stored Gram matrix, or,
        where the engine's memory is too little for that, on one evaluated anew in every iteration.
        "nystrom": least squares on `n_components` centres chosen among the samples, for which no Gram matrix is made:
        an approximation, for 10^5 rows and more. "auto": Cholesky, and eigen with a warning where that fails; eigen for
        a finite `train_time` and for several alphas; "pcg" and "nystrom" where the samples or the memory ask for it,
        as `solver_reason_` says.
    train_time : float, default=None
        How long the network trains, in [0, inf); None is to convergence. Gradient flow on half the sum of squared
        errors, plus half alpha times the squared norm of f, gives a(t) = G^-1 (1 - exp(-G t)) y with G = K + alpha I.
        The unit of time is one over an eigenvalue of K.
    optimizer : {"loo", "marginal_likelihood"} or None, default=None
        Learn the kernel's free hyperparameters (`kernel.bounds`) in fit, by L-BFGS on their logs with gradients through
        the kernel, starting at the given ones; alpha stays. "loo" minimises the squared leave-one-out errors,
        "marginal_likelihood" maximises `log_marginal_likelihood`. About n^3 operations a step.
    n_components : int, default=2000
        Centres of solver="nystrom"; rank of the preconditioner of solver="pcg".
    tol : float, default=1e-6
        Relative residual at which the iterative solvers stop.
    max_iter : int, default=1000
        Bound of their iterations.
    random_state : int, RandomState instance or None, default=None
        For the choice of centres and preconditioner; an int for the same result in every call.
    engine : Engine, optional
        Memory budget and progress of evaluating kernels of ntkkit; the default engine otherwise.

    Attributes
    ----------
    kernel_ : kernel, callable or "precomputed"
        What was evaluated; with an optimizer, the kernel with the hyperparameters that it found.
    y_fit_ : ndarray of shape (n_samples,) or (n_samples, n_targets)
        The training targets.
    X_fit_ : ndarray of shape (n_samples, n_features) or None
        The training inputs, images as rows, sequences (n_samples, T, n_features) filled up with NaN; with
        solver="nystrom" the centres; None with kernel="precomputed".
    dual_coef_ : ndarray of shape (n_samples,) or (n_samples, n_targets)
        The coefficients a; zero where the sample weight is.
    solver_ : str
        The solver that found them: "cholesky", "eigen", "pcg" or "nystrom".
    solver_reason_ : str
        Why that one, with solver="auto".
    n_iter_ : int
        Iterations of the solver; 1 for the direct ones.
    n_features_in_ : int
        Columns of X; of images, the numbers in one; of sequences, those in a step.
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

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        **RidgeMachine._parameter_constraints,
        "alpha": [Interval(Real, 0, None, closed="left"), "array-like"],
        "train_time": [Interval(Real, 0, None, closed="left"), None],
        "optimizer": [StrOptions(set(OBJECTIVES)), None],
    }

    y_fit_: np.ndarray
    _weights: tuple[Any, np.ndarray] | None
    _spread: Spread | None

    def __init__(
        self,
        kernel: Any = None,
        *,
        alpha: Any = 1e-3,
        solver: str = "auto",
        train_time: float | None = None,
        optimizer: str | None = None,
        n_components: int = 2000,
        tol: float = 1e-6,
        max_iter: int = 1000,
        random_state: Any = None,
        engine: Engine | None = None,
    ) -> None:
        super().__init__(
            kernel,
            alpha=alpha,
            solver=solver,
            n_components=n_components,
            tol=tol,
            max_iter=max_iter,
            random_state=random_state,
            engine=engine,
        )
        self.train_time = train_time
        self.optimizer = optimizer

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Solve for the coefficients.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Finite numbers; images (n_samples, *input_shape), or those as rows, where the network has an `input_shape`;
            sequences, as a list of arrays (T_i, n_features) or an array, where it is `Recurrent`; the
            Gram matrix (n_samples, n_samples) with kernel="precomputed".
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
            if self.optimizer is not None:
                kernel = learn(kernel, X[rows], y[rows], self._noise(weights), self.optimizer, engine=self.engine)
            time = np.inf if self.train_time is None else self.train_time
            self._fit_dual(kernel, X, y[rows], rows=rows, weights=weights, time=time)
            self.y_fit_, self._weights, self._spread = y, None if weights is None else (rows, weights), None
        return self

    def predict(self, X: Any, return_std: bool = False, return_cov: bool = False) -> Any:
        """Evaluate f, and say how sure it is.

        With ``NNGP(network)`` the spread is that of the posterior of the Bayesian network, with noise of variance alpha
        (alpha / w_i on weighted samples),

            K(x, x) - K(x, X) (K + alpha I)^-1 K(X, x);

        add alpha for new observations. With ``NTK(network)``, and with the NNGP at a finite `train_time`, it is the
        spread of an infinite ensemble of trained networks of infinite width, each from its own initial parameters: with
        K the NNGP, T the NTK (the NNGP if that is the kernel), G = T + alpha I and A = T(x, X) G^-1 (1 - exp(-G t)),

            K(x, x) + A K A' - A K(X, x) - K(x, X) A'.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            As in fit; with kernel="precomputed" the kernel of new samples (rows) with the training samples (columns).
        return_std : bool, default=False
            Also return standard deviations.
        return_cov : bool, default=False
            Also return covariances; one of the two.

        Returns
        -------
        mean : ndarray of shape (n_samples,) or (n_samples, n_targets)
            Predictions, float64.
        std : ndarray of shape (n_samples,) or (n_samples, n_targets)
            With `return_std`. The first call after fit factors the Gram matrix, and the factor is kept.
        cov : ndarray of shape (n_samples, n_samples) or (n_samples, n_samples, n_targets)
            With `return_cov`.

        Raises
        ------
        ValueError
            If both are asked for, or the kernel is none of the two, so that it has no spread.

        References
        ----------
        Lee, Xiao, Schoenholz, Bahri, Novak, Sohl-Dickstein, Pennington (2019), Wide Neural Networks of Any Depth Evolve
        as Linear Models Under Gradient Descent, equations 14 to 16.
        """
        mean = self._evaluate(X)
        if not (return_std or return_cov):
            return mean
        if return_std and return_cov:
            raise ValueError("return_std and return_cov are both True; ask for one, the standard deviation is in both.")
        check_spread(self.kernel_)
        X = check_input(self, X, kernel=self.kernel_, reset=False)
        if self._spread is None:
            self._spread = find_spread(self.kernel_, self._seen(), self.alpha, time=self.train_time, engine=self.engine)
        spread = self._spread.std(X) if return_std else self._spread.cov(X)
        return mean, spread if mean.ndim == 1 else np.repeat(spread[..., None], mean.shape[1], axis=-1)

    def log_marginal_likelihood(self, theta: Any = None, *, eval_gradient: bool = False) -> Any:
        """Log of the density of the training targets under the Gaussian process with covariance K + alpha I.

            log p(y) = -1/2 y' G^-1 y - 1/2 log det G - n/2 log 2 pi,    G = K + alpha I,

        summed over targets; alpha / w_i on weighted samples.

        Parameters
        ----------
        theta : array-like of shape (p,), optional
            Logs of the kernel's free hyperparameters, as ``kernel_.theta``, which is the default.
        eval_gradient : bool, default=False
            Also return the gradient with respect to theta.

        Returns
        -------
        log_likelihood : float
        gradient : ndarray of shape (p,)
            With `eval_gradient`; by reverse mode, in the memory of one Gram matrix.

        Raises
        ------
        ValueError
            If the kernel has no hyperparameters, being a callable or "precomputed".

        References
        ----------
        Rasmussen and Williams (2006), Gaussian Processes for Machine Learning, equations 2.30 and 5.9.
        """
        check_is_fitted(self)
        kernel = check_learnable(self.kernel_, "log_marginal_likelihood")
        if theta is not None:
            kernel = kernel.clone_with_theta(np.asarray(theta, dtype=float))
        X, rows, weights = self._seen()
        loss, gradient = evaluate_loss(
            kernel,
            X,
            self.y_fit_[rows],
            self._noise(weights),
            "marginal_likelihood",
            engine=self.engine,
            eval_gradient=eval_gradient,
        )
        return -loss if gradient is None else (-loss, -gradient)

    def _noise(self, weights: np.ndarray | None) -> Any:
        """The variance of the noise, one number or one a sample."""
        if np.ndim(self.alpha) and len(np.unique(self.alpha)) > 1:
            raise ValueError(f"One alpha a target has no common noise; give one alpha for all, found {self.alpha!r}.")
        alpha = float(np.ravel(self.alpha)[0])
        return alpha if weights is None else alpha / weights

    def _seen(self) -> tuple[np.ndarray, Any, np.ndarray | None]:
        """Training inputs of positive weight, which they are, and their weights."""
        rows, weights = (slice(None), None) if self._weights is None else self._weights
        if self.solver_ == "nystrom":
            raise ValueError("A machine on centres (solver='nystrom') has no posterior: use another solver.")
        assert self.X_fit_ is not None  # kernels were checked
        return self.X_fit_[rows], rows, weights
