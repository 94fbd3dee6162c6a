"""Regression with a kernel that has learned from the data."""

from __future__ import annotations

from numbers import Integral, Real
from typing import Any, ClassVar, Self

import numpy as np
from scipy.linalg import eigh
from sklearn.base import RegressorMixin, _fit_context
from sklearn.utils import check_random_state, gen_batches
from sklearn.utils._param_validation import Interval
from sklearn.utils.validation import check_is_fitted

from ntkkit.dynamics import dmft
from ntkkit.dynamics.dmft.adapted import learn_units, learned_change
from ntkkit.dynamics.dmft.problem import check_network
from ntkkit.dynamics.dmft.two_layer import Units
from ntkkit.estimators._network import NetworkEstimator
from ntkkit.estimators._validation import all_or_nothing, check_input
from ntkkit.kernels import NTK
from ntkkit.linalg import matmul, solve_ridge
from ntkkit.networks import FullyConnected, Identity, resolve_activation

# Rows that are predicted at a time.
AT_ONCE = 256


class FeatureLearningRegressor(RegressorMixin, NetworkEstimator):
    """Kernel ridge regression with the tangent kernel that an infinitely wide network has after training.

    fit trains the network in mean-field theory, `ntkkit.dynamics.dmft.solve`, for n_steps of gradient descent on the
    samples. With Theta its tangent kernel at the end, which has adapted to the targets,

        f(x) = Theta(x, X) (Theta(X, X) + alpha I)^-1 y.

    As gamma0 goes to 0 it is ``NeuralKernelRegressor(NTK(network), alpha=alpha)``. How far the kernel moves depends on
    gamma0 times the size of y: standardise y (`TransformedTargetRegressor`), and choose gamma0 by cross-validation.

    Parameters
    ----------
    network : FullyConnected or None, default=None
        As `solve` takes it. None is ``FullyConnected(depth=1)``; deeper ones are for few samples, see Notes.
        ``network__weight_var`` and other parameters of it can be set and searched.
    gamma0 : float, default=1.0
        Strength of feature learning, in (0, inf).
    learning_rate : float or None, default=None
        In (0, inf). None takes n_samples / (4 lambda), lambda the largest eigenvalue of the NTK, and with one hidden
        layer halves it until training does not diverge.
    n_steps : int, default=100
        Steps of training; the kernel moves most while errors are large.
    alpha : float, default=1e-3
        Ridge term in [0, inf), absolute. Sampling of units may leave Theta with small negative eigenvalues: it is at
        least twice the largest of these, see `alpha_`.
    n_units : int or None, default=None
        Units that stand for the infinitely wide layer, a power of 2. None takes 8192 with one hidden layer and 1024
        with more; the kernel's change has an error of about 1 / sqrt(n_units).
    random_state : int, RandomState instance or None, default=None
        Of units.

    Attributes
    ----------
    dual_coef_ : ndarray of shape (n_samples,)
        Coefficients of Theta(x, x_i).
    alpha_ : float
        The ridge term.
    X_fit_, y_fit_ : ndarray of shape (n_samples, n_features) and (n_samples,)
        The training samples, float64.
    errors_ : ndarray of shape (n_steps + 1, n_samples)
        y - f of the samples as the network trains.
    learning_rate_ : float
        That of training.
    network_ : FullyConnected
        The network.
    initial_units_, units_ : ndarray of shape (n_units, n_features + 2)
        Weights, bias and readout of each unit before and after training; with one hidden layer that is not linear.
    n_features_in_ : int
        Columns of X.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Column names, where X has any.

    See Also
    --------
    NeuralKernelRegressor : With the kernel before training.
    FiniteNetworkRegressor : Networks of a finite width, which learn features with parametrization="mup".

    Notes
    -----
    With one hidden layer fit costs some 8 n_units n_samples n_features operations a step, and predict as much as two
    steps for as many rows. Linear and deeper networks are solved anew in predict, with the new rows beside the samples,
    for (n_samples n_steps)^3 operations: for some ten samples.

    References
    ----------
    Bordelon, Pehlevan (2022), Self-consistent dynamical field theory of kernel evolution in wide neural networks.

    Examples
    --------
    One direction of ten matters; the kernel finds it:

    >>> import numpy as np
    >>> from ntkkit import FeatureLearningRegressor
    >>> X = np.random.default_rng(0).standard_normal((300, 10))
    >>> y = np.sin(2 * X[:, 0])
    >>> lazy, rich = (
    ...     FeatureLearningRegressor(gamma0=gamma0, n_steps=200, n_units=2048, random_state=0)
    ...     .fit(X[:200], y[:200])
    ...     .score(X[200:], y[200:])
    ...     for gamma0 in (0.01, 10.0)
    ... )
    >>> bool(rich > lazy + 0.1)
    True
    """

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        "network": "no_validation",  # check_network does, with a remedy
        "gamma0": [Interval(Real, 0, None, closed="neither")],
        "learning_rate": [Interval(Real, 0, None, closed="neither"), None],
        "n_steps": [Interval(Integral, 1, None, closed="left")],
        "alpha": [Interval(Real, 0, None, closed="left")],
        "n_units": [Interval(Integral, 2, None, closed="left"), None],
        "random_state": ["random_state"],
    }

    def __init__(
        self,
        network: Any = None,
        *,
        gamma0: float = 1.0,
        learning_rate: float | None = None,
        n_steps: int = 100,
        alpha: float = 1e-3,
        n_units: int | None = None,
        random_state: Any = None,
    ) -> None:
        self.network = network
        self.gamma0 = gamma0
        self.learning_rate = learning_rate
        self.n_steps = n_steps
        self.alpha = alpha
        self.n_units = n_units
        self.random_state = random_state

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X: Any, y: Any) -> Self:
        """Train the network, and solve for the coefficients.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Finite numbers; images as rows or (n_samples, *input_shape), where the network has an `input_shape`.
        y : array-like of shape (n_samples,)
            Targets.

        Returns
        -------
        self
            The fitted estimator. Where fit raises (ValueError or TypeError for input or a network that cannot be used,
            ValueError where training diverges, MemoryError), it is as it was before.
        """
        with all_or_nothing(self):
            network = FullyConnected(depth=1) if self.network is None else self.network
            check_network(network)
            X, y = check_input(self, X, y, kernel=network, reset=True, y_numeric=True)
            self.network_, self.X_fit_, self.y_fit_ = network, X.astype(np.float64), y
            self._seed = int(check_random_state(self.random_state).randint(2**31))
            kernel = self._learn_units() if self._has_units else self._sweep(None)
            least = float(eigh(kernel, eigvals_only=True, subset_by_index=[0, 0])[0])
            self.alpha_ = max(float(self.alpha), -2 * least)
            self.dual_coef_ = solve_ridge(kernel, self.y_fit_, self.alpha_).dual_coef
        return self

    def predict(self, X: Any) -> np.ndarray:
        """Evaluate f.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            As in fit.

        Returns
        -------
        ndarray of shape (n_samples,)
            Float64.
        """
        check_is_fitted(self)
        X = check_input(self, X, kernel=self.network_, reset=False).astype(np.float64)
        kernel = self._learned_kernel if self._has_units else self._sweep
        size = AT_ONCE if self._has_units else len(self.X_fit_)
        return np.concatenate([matmul(kernel(X[rows]), self.dual_coef_) for rows in gen_batches(len(X), size)])

    @property
    def _has_units(self) -> bool:
        """Whether there is one hidden layer, whose units are kept; other networks are solved anew for new points."""
        return self.network_.depth == 1 and not isinstance(resolve_activation(self.network_.activation), Identity)

    def _learn_units(self) -> np.ndarray:
        """The learned kernel of the samples."""
        X = self.X_fit_
        theta = NTK(self.network_)(X)
        learned = learn_units(
            self.network_, X, self.y_fit_, theta,
            gamma0=self.gamma0,
            learning_rate=self.learning_rate,
            n_steps=self.n_steps,
            n_units=8192 if self.n_units is None else self.n_units,
            random_state=np.random.default_rng(self._seed),
        )  # fmt: skip
        self.errors_, self.learning_rate_ = learned.errors, learned.learning_rate
        self.initial_units_, self.units_ = (np.column_stack(units) for units in (learned.start, learned.end))
        return theta + learned_change(self.network_, learned.start, learned.end, X, X)

    def _learned_kernel(self, X: np.ndarray) -> np.ndarray:
        """The learned kernel of new points with the samples."""
        start, end = (Units(units[:, :-1], units[:, -1]) for units in (self.initial_units_, self.units_))
        return NTK(self.network_)(X, self.X_fit_) + learned_change(self.network_, start, end, X, self.X_fit_)

    def _sweep(self, X: np.ndarray | None) -> np.ndarray:
        """The learned kernel of new points with the samples, or of these with each other."""
        theory = dmft.solve(
            self.network_, self.X_fit_, self.y_fit_, X,
            gamma0=self.gamma0,
            learning_rate=self.learning_rate,
            n_steps=self.n_steps,
            n_units=self.n_units,
            random_state=self._seed,
        )  # fmt: skip
        n = len(self.X_fit_)
        if X is not None:
            return theory.ntk[-1][n:, :n]
        self.errors_, self.learning_rate_ = theory.errors, theory.learning_rate
        return theory.ntk[-1][:n, :n]
