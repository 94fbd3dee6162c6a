"""What the estimators of learning dynamics share: the network's parameters, training it, and asking it at a time."""

from __future__ import annotations

from numbers import Integral, Real
from typing import Any, ClassVar

import numpy as np
from sklearn.utils._param_validation import Interval
from sklearn.utils.validation import check_is_fitted

from ntkkit.dynamics import NDK
from ntkkit.dynamics.learning_curve import make_grid
from ntkkit.dynamics.trajectory import Trajectory, find_trajectory
from ntkkit.engine.progress import Progress
from ntkkit.estimators._network import NetworkEstimator
from ntkkit.estimators._validation import check_input
from ntkkit.networks import FullyConnected


class DynamicsMachine(NetworkEstimator):
    """f(x, t) = int_0^t ds sum_i Kd(x, t; x_i, s) e_i(s). Subclasses say what is learned, and for how long."""

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        "network": "no_validation",  # NDK does, with a remedy
        "temperature": [Interval(Real, 0, None, closed="left")],
        "init_var": [Interval(Real, 0, None, closed="left")],
        "prior_var": [Interval(Real, 0, None, closed="neither")],
        "n_steps": [Interval(Integral, 2, None, closed="left")],
        "progress": ["boolean", callable],
    }

    temperature: float
    init_var: float
    prior_var: float
    n_steps: int
    progress: Progress
    ndk_: NDK
    X_fit_: np.ndarray
    times_: np.ndarray
    errors_: np.ndarray
    train_time_: float

    def _make_ndk(self) -> NDK:
        network = FullyConnected() if self.network is None else self.network
        return NDK(network, self.temperature, self.init_var, self.prior_var)

    def _train(self, ndk: NDK, X: np.ndarray, targets: np.ndarray, train_time: float | None) -> None:
        """Solve for the errors up to a time, None for equilibrium, and keep them."""
        X = np.asarray(X, dtype=np.float64)
        grid, _ = make_grid(ndk, X, train_time, self.n_steps)
        found = find_trajectory(ndk, X, targets.reshape(len(X), -1), grid, progress=self.progress)
        self.ndk_, self.X_fit_, self.times_ = ndk, X, grid
        self.errors_ = found.errors.reshape(len(grid), *targets.shape)
        self.train_time_ = float(grid[-1])

    def _outputs(self, X: Any, time: float | None) -> np.ndarray:
        """f(X) at a time, by default the last."""
        check_is_fitted(self)
        if time is None:
            time = self.train_time_
        elif not isinstance(time, Real) or not 0 <= time <= self.train_time_:
            raise ValueError(
                f"time must be a number from 0 to train_time_ = {self.train_time_:g}, found {time!r}: fit with a later "
                "train_time."
            )
        X = check_input(self, X, kernel=self.ndk_.network, reset=False).astype(np.float64)
        errors = self.errors_.reshape(*self.errors_.shape[:2], -1)
        trajectory = Trajectory(self.ndk_, self.X_fit_, self.times_, errors)
        after = int(np.searchsorted(self.times_, time))
        outputs = trajectory.outputs(X, after)
        if time < self.times_[after]:
            share = (self.times_[after] - time) / (self.times_[after] - self.times_[after - 1])
            outputs += share * (trajectory.outputs(X, after - 1) - outputs)
        return outputs.reshape(len(X), *self.errors_.shape[2:])


def check_train_time(estimator: Any) -> float | None:
    """The training time, None where it is until equilibrium.

    Raises
    ------
    ValueError
        If there is no equilibrium.
    """
    time = estimator.train_time
    if time is not None and time < np.inf:
        return float(time)
    if estimator.temperature == 0:
        raise ValueError(
            f"train_time={time!r} is until equilibrium, to which weights come only at temperature > 0: give a time, "
            "such as train_time=10.0; the limit of long times at temperature 0 is "
            "NeuralKernelRegressor(NTK(network), alpha=0)."
        )
    return None
