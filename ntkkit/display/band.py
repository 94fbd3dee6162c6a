"""Predictions and how sure they are."""

from __future__ import annotations

from inspect import signature
from numbers import Real
from typing import Any, Self

import numpy as np
from scipy.stats import norm
from sklearn.utils import check_array, check_consistent_length
from sklearn.utils._optional_dependencies import check_matplotlib_support

from ntkkit.display._machine import find_machine
from ntkkit.display.style import BLUE, DARK, LIGHT_BLUE, RED, clean, get_axes, set_title
from ntkkit.estimators import NeuralKernelRegressor
from ntkkit.kernels import NNGP

# Points of the curve, and error bars that can be told apart.
CURVE_POINTS = 300
MOST_BARS = 200


class PredictionBandDisplay:
    """A predictive mean with its band at a level, over one input; or predictions in ascending order beside the truth.

    The band is for new observations: mean -+ z sqrt(std^2 + noise_var), where z is the normal quantile of the level.

    With ``NNGP(network)`` trained to convergence, `predict` gives the posterior of f, and an observation is f plus
    noise of variance alpha: `noise_var` is alpha, and the band should cover a share `level` of new observations; the
    inner band of a curve is that of f. With ``NTK(network)``, or a finite `train_time`, the spread is that of trained
    networks around their mean: alpha is no variance of noise there and is not added, and the band need not cover data.
    Standard deviations of other regressors are taken as they are: in scikit-learn's GaussianProcessRegressor those
    include a WhiteKernel.

    Use `from_estimator` or `from_predictions`; the arguments of the constructor are kept as attributes.

    Parameters
    ----------
    y_pred, y_std : ndarray of shape (n,)
        Means and standard deviations.
    level : float
        Share in (0, 1) that the band should cover.
    noise_var : float
        Variance to add to that of `y_std`.
    y_true : ndarray of shape (n_true,), optional
        Observations: at `x_true` for a curve, else of `y_pred`, one by one.
    x : ndarray of shape (n,), optional
        Where `y_pred` are, for a curve; None for predictions in ascending order.
    x_true : ndarray of shape (n_true,), optional
        Where `y_true` are.
    x_name : str, default="x"

    Attributes
    ----------
    coverage : float or None
        For predictions in ascending order, the share of all `y_true` in their bands.
    ax_ : matplotlib Axes
    figure_ : matplotlib Figure
    line_ : matplotlib Line2D
        The mean.
    band_, inner_band_ : matplotlib PolyCollection or None
        For observations and, where there is noise, for f. Of a curve.
    bars_ : matplotlib LineCollection or None
        The bands of predictions in ascending order.
    points_ : list of matplotlib Line2D
        Observations; for predictions in ascending order those in their bands, and those outside.

    Examples
    --------
    >>> import numpy as np
    >>> from ntkkit import NNGP, FullyConnected, NeuralKernelRegressor
    >>> from ntkkit.display import PredictionBandDisplay
    >>> X = np.linspace(-1, 1, 10)[:, None]
    >>> model = NeuralKernelRegressor(NNGP(FullyConnected()), alpha=0.01).fit(X, X[:, 0])
    >>> PredictionBandDisplay.from_estimator(model, X, X[:, 0]).noise_var
    0.01
    """

    def __init__(
        self,
        *,
        y_pred: np.ndarray,
        y_std: np.ndarray,
        level: float,
        noise_var: float,
        y_true: np.ndarray | None = None,
        x: np.ndarray | None = None,
        x_true: np.ndarray | None = None,
        x_name: str = "x",
    ) -> None:
        self.y_pred = y_pred
        self.y_std = y_std
        self.level = level
        self.noise_var = noise_var
        self.y_true = y_true
        self.x = x
        self.x_true = x_true
        self.x_name = x_name
        self.coverage = None
        if x is None:
            self.coverage = float(np.mean(np.abs(y_true - y_pred) <= self._half_width(noise_var)))

    def _half_width(self, noise_var: float) -> np.ndarray:
        return norm.ppf((1 + self.level) / 2) * np.sqrt(self.y_std**2 + noise_var)

    @classmethod
    def from_estimator(
        cls, regressor: Any, X: Any, y: Any = None, *, feature: int | None = None, level: float = 0.9, ax: Any = None
    ) -> Self:
        """Show the predictions of a fitted regressor.

        Parameters
        ----------
        regressor : estimator
            Fitted, whose predict takes `return_std`: `NeuralKernelRegressor` or scikit-learn's Gaussian processes; or a
            pipeline or a search that ends in one.
        X : array-like of shape (n_samples, n_features)
            Samples, new ones if the coverage is to mean anything. Of one feature: the curve over their range is drawn.
        y : array-like of shape (n_samples,), optional
            Their targets, required for more features than one.
        feature : int, optional
            Of X with more features: draw the curve over this one, the others at their medians, without the targets.
        level : float, default=0.9
            Share of observations that the band should cover, in (0, 1).
        ax : matplotlib Axes, optional
            By default those of a new figure.

        Returns
        -------
        PredictionBandDisplay

        Raises
        ------
        TypeError
            If the regressor has no standard deviations.
        ValueError
            If y is missing, the feature is not there, there are several targets, or input cannot be used.
        """
        check_matplotlib_support(f"{cls.__name__}.from_estimator")
        _check_level(level)
        machine, _ = find_machine(regressor)
        regressor = getattr(regressor, "best_estimator_", regressor)  # a search's own predict takes X only
        if "return_std" not in signature(getattr(machine, "predict", object)).parameters:
            raise TypeError(
                f"regressor must have predict(X, return_std=True), as NeuralKernelRegressor has; found {machine!r}."
            )
        noise_var, observed = _find_noise(machine), None if y is None else _check_column(y, "y")
        check_consistent_length(X, observed)
        shape = _shape(X)
        if feature is None and shape[1:] != (1,):
            if observed is None:
                raise ValueError(f"y is None; for X of shape {shape} give y, or, of rows, feature=.")
            y_pred, y_std = _predict(regressor, X)
            return cls(y_pred=y_pred, y_std=y_std, level=level, noise_var=noise_var, y_true=observed).plot(ax)
        x, grid, x_name = _make_grid(X, feature)
        y_pred, y_std = _predict(regressor, grid)
        display = cls(y_pred=y_pred, y_std=y_std, level=level, noise_var=noise_var, x=x, x_name=x_name)
        if feature is None and observed is not None:
            display.x_true, display.y_true = np.asarray(X, dtype=float)[:, 0], observed
        return display.plot(ax)

    @classmethod
    def from_predictions(cls, y_true: Any, y_pred: Any, *, y_std: Any, level: float = 0.9, ax: Any = None) -> Self:
        """Show predictions in ascending order beside the truth.

        Parameters
        ----------
        y_true, y_pred : array-like of shape (n_samples,)
            Observations, and their predictive means.
        y_std : array-like of shape (n_samples,)
            Standard deviations >= 0 of observations, noise included.
        level : float, default=0.9
            Share of observations that the band should cover, in (0, 1).
        ax : matplotlib Axes, optional
            By default those of a new figure.

        Returns
        -------
        PredictionBandDisplay

        Raises
        ------
        ValueError
            If they are not finite, not 1-D, not of one length, or a standard deviation is negative.
        """
        check_matplotlib_support(f"{cls.__name__}.from_predictions")
        _check_level(level)
        y_true, y_pred, y_std = (
            _check_column(y_true, "y_true"),
            _check_column(y_pred, "y_pred"),
            _check_column(y_std, "y_std"),
        )
        check_consistent_length(y_true, y_pred, y_std)
        if y_std.min() < 0:
            raise ValueError(f"y_std must be >= 0, found {y_std.min():g}.")
        return cls(y_true=y_true, y_pred=y_pred, y_std=y_std, level=level, noise_var=0.0).plot(ax)

    def plot(self, ax: Any = None) -> Self:
        """Draw.

        Parameters
        ----------
        ax : matplotlib Axes, optional
            By default those of a new figure.

        Returns
        -------
        self

        Raises
        ------
        ImportError
            If matplotlib is missing.
        """
        self.ax_ = get_axes(ax, self)
        self.figure_ = self.ax_.figure
        self.band_ = self.inner_band_ = self.bars_ = None
        self.points_: list[Any] = []
        if self.x is None:
            self._draw_sorted()
        else:
            self._draw_curve()
        self.ax_.legend(frameon=False, fontsize=9)
        clean(self.ax_, grid="y")
        return self

    def _draw_curve(self) -> None:
        ax, level = self.ax_, f"{100 * self.level:.3g}%"
        outer, inner = self._half_width(self.noise_var), self._half_width(0.0)
        name = f"{level} of observations" if self.noise_var else f"{level} band"
        self.band_ = ax.fill_between(
            self.x, self.y_pred - outer, self.y_pred + outer, color=LIGHT_BLUE, lw=0, label=name
        )
        if self.noise_var:
            self.inner_band_ = ax.fill_between(
                self.x, self.y_pred - inner, self.y_pred + inner, color=BLUE, alpha=0.35, lw=0, label=f"{level} of f"
            )
        (self.line_,) = ax.plot(self.x, self.y_pred, color=BLUE, lw=2, label="mean")
        if self.y_true is not None:
            self.points_ = ax.plot(self.x_true, self.y_true, "o", color=DARK, ms=4, mec="none", label="observations")
        ax.set_xlabel(self.x_name)
        ax.set_ylabel("y")
        set_title(ax, "Predictive mean and band")

    def _draw_sorted(self) -> None:
        assert self.y_true is not None
        ax, n = self.ax_, len(self.y_pred)
        order = np.argsort(self.y_pred, kind="stable")
        places = np.linspace(0, n - 1, min(n, MOST_BARS)).round().astype(int)
        rows = order[places]
        mean, half, truth = self.y_pred[rows], self._half_width(self.noise_var)[rows], self.y_true[rows]
        covered = f"{100 * self.level:.3g}% band: covers {self.coverage:.1%} of {n:,}"
        self.bars_ = ax.vlines(places, mean - half, mean + half, color=BLUE, alpha=0.3, lw=2, label=covered)
        (self.line_,) = ax.plot(places, mean, color=BLUE, lw=2, label="predicted")
        inside = np.abs(truth - mean) <= half
        for chosen, colour, name in ((inside, DARK, "true, in the band"), (~inside, RED, "true, outside")):
            self.points_ += ax.plot(places[chosen], truth[chosen], "o", color=colour, ms=3.5, mec="none", label=name)
        ax.set_xlabel("samples, by prediction")
        ax.set_ylabel("y")
        set_title(ax, "Predictions and truth" + (f": {len(places):,} of {n:,} samples" if n > len(places) else ""))


def _predict(regressor: Any, X: Any) -> tuple[np.ndarray, np.ndarray]:
    y_pred, y_std = regressor.predict(X, return_std=True)
    if y_pred.ndim != 1:
        raise ValueError(f"The regressor predicts {y_pred.shape[1]} targets; fit one for the target to show.")
    return y_pred, y_std


def _find_noise(machine: Any) -> float:
    """The variance of noise that a machine's standard deviations leave out."""
    if not isinstance(machine, NeuralKernelRegressor) or type(machine.kernel_) is not NNGP:
        return 0.0
    return 0.0 if machine.train_time is not None else float(np.ravel(machine.alpha)[0])


def _check_level(level: float) -> None:
    if not isinstance(level, Real) or not 0.0 < float(level) < 1.0:
        raise ValueError(f"level must be a number in (0, 1), such as 0.9; found {level!r}.")


def _check_column(values: Any, name: str) -> np.ndarray:
    values = check_array(values, ensure_2d=False, dtype="numeric", input_name=name)
    if values.ndim != 1:
        raise ValueError(f"{name} must be 1-D, found shape {values.shape}.")
    return values.astype(np.float64)


def _shape(X: Any) -> tuple[int, ...]:
    """The shape of X; of a list of sequences, its length."""
    try:
        return tuple(np.shape(X))
    except ValueError:
        return (len(X),)


def _make_grid(X: Any, feature: int | None) -> tuple[np.ndarray, Any, str]:
    """Values of one feature over its range, rows like those of X with them and the others at their medians, its name.

    Raises
    ------
    ValueError
        If X has no such column, or is not finite numbers.
    """
    if len(_shape(X)) != 2:
        raise ValueError(f"feature={feature!r} is for rows; X is of shape {_shape(X)}: leave feature out.")
    rows = check_array(X, dtype="numeric", input_name="X").astype(np.float64)
    column, n_features = 0 if feature is None else feature, rows.shape[1]
    if not isinstance(column, int | np.integer) or not 0 <= column < n_features:
        raise ValueError(f"feature must be a column of X, 0 to {n_features - 1}; found {feature!r}.")
    grid = np.tile(np.median(rows, axis=0), (CURVE_POINTS, 1))
    x = grid[:, column] = np.linspace(rows[:, column].min(), rows[:, column].max(), CURVE_POINTS)
    if hasattr(X, "iloc"):  # pandas: the regressor knows the columns' names
        return x, type(X)(grid, columns=X.columns), str(X.columns[column])
    return x, grid, "x" if n_features == 1 else f"feature {column}"
