"""What a wide network says while it learns, beside both of its limits and simulations."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from sklearn.utils._optional_dependencies import check_matplotlib_support

from ntkkit.display._learning import (
    DIFFUSION,
    check_lines,
    check_metric,
    check_simulation,
    check_times,
    find_lines,
    measure,
)
from ntkkit.display.style import BLUE, DARK, LIGHT, clean, get_axes, set_title
from ntkkit.dynamics import NDK, LearningCurve, learning_curve
from ntkkit.dynamics.limits import early_limit, late_limit

# More lines are not named, and have colours of a scale.
MOST_NAMES = 8


class LearningCurveDisplay:
    """Mean outputs, or test errors, over time on a logarithmic axis, through both phases of learning.

    Solid lines are the theory of infinite width, with bands of standard deviations of one network's outputs where they
    are known; dashed lines gradient flow (T = 0, the NTK); dotted lines the posterior (NNGP, noise of variance T) that
    all dynamics end in; points are simulations, with one standard error. The grey part of the axes is the phase where
    weights diffuse, from `diffusion_start` on; before it, gradients drive them.

    Use `from_ndk`, `from_curve`, or the constructor with arrays and `plot`; the arguments of the constructor are kept
    as attributes.

    Parameters
    ----------
    times : array-like of shape (n_times,)
        Increasing; 0 has no place on the axis and is left out.
    values : array-like of shape (n_times, n_lines) or (n_times,)
    stds : array-like of the shape of `values`, optional
        Standard deviations of one network's output around `values`.
    gradient_flow : array-like of the shape of `values`, optional
        The same at T = 0, at the same times.
    posterior : array-like of shape (n_lines,) or float, optional
        The limit of `values` for late times.
    diffusion_start : float, optional
        When weights begin to diffuse; None for all phases alike.
    simulated_times : array-like of shape (n_simulated,), optional
    simulated : array-like of shape (n_simulated, n_lines) or (n_simulated,), optional
        Means over finite networks at these times.
    simulated_errors : array-like of the shape of `simulated`, optional
        Their standard errors.
    names : sequence of str, optional
        Of the lines.
    value_name : str, default="output"
        What the values are.
    n_std : float, default=1
        Half the width of bands in standard deviations.

    Attributes
    ----------
    ax_ : matplotlib Axes
    figure_ : matplotlib Figure
    lines_, flow_lines_, posterior_lines_ : list of matplotlib Line2D
        Of theory, of gradient flow and of the posterior; as many as values have columns, or none.
    bands_ : list of matplotlib PolyCollection
    errorbars_ : list of matplotlib ErrorbarContainer
    phase_ : matplotlib Rectangle or None
        The phase of diffusion.

    Raises
    ------
    ValueError
        If arrays are not finite or their shapes do not fit.

    Examples
    --------
    >>> from ntkkit import FullyConnected
    >>> from ntkkit.display import LearningCurveDisplay
    >>> from ntkkit.dynamics import NDK
    >>> ndk = NDK(FullyConnected(depth=0, weight_var=1.0, bias_var=0.0), temperature=0.5)
    >>> display = LearningCurveDisplay.from_ndk(ndk, [[1.0]], [3.0], n_steps=100)
    >>> display.posterior  # 3 / (1 + T)
    array([2.])
    """

    def __init__(
        self,
        *,
        times: Any,
        values: Any,
        stds: Any = None,
        gradient_flow: Any = None,
        posterior: Any = None,
        diffusion_start: float | None = None,
        simulated_times: Any = None,
        simulated: Any = None,
        simulated_errors: Any = None,
        names: Any = None,
        value_name: str = "output",
        n_std: float = 1,
    ) -> None:
        self.times = check_times(times, "times")
        self.values = check_lines(values, "values", (len(self.times), None))
        shape = self.values.shape
        self.stds = None if stds is None else check_lines(stds, "stds", shape)
        self.gradient_flow = None if gradient_flow is None else check_lines(gradient_flow, "gradient_flow", shape)
        self.posterior = None
        if posterior is not None:
            self.posterior = check_lines(np.atleast_1d(posterior)[None], "posterior", (1, shape[1]))[0]
        self.diffusion_start = diffusion_start
        self.simulated_times, self.simulated, self.simulated_errors = check_simulation(
            simulated_times, simulated, simulated_errors, n_lines=shape[1]
        )
        if names is not None and len(names) != shape[1]:
            raise ValueError(f"names has {len(names)} names for {shape[1]} lines.")
        self.names = names
        self.value_name = value_name
        self.n_std = n_std

    @classmethod
    def from_ndk(
        cls,
        ndk: NDK,
        X: Any,
        y: Any,
        X_test: Any = None,
        y_test: Any = None,
        *,
        metric: str = "output",
        rows: Any = None,
        times: Any = None,
        n_steps: int = 400,
        return_std: bool = False,
        simulation: Any = None,
        ax: Any = None,
    ) -> Self:
        """Solve the dynamics, find both limits, and show them.

        Parameters
        ----------
        ndk : NDK
        X, y, X_test, times, n_steps, return_std
            As for `learning_curve`. What is shown are the test points, or without them the training points.
        y_test : array-like of shape (m,) or (m, k), optional
            Targets of the test points, for errors.
        metric : {"output", "mse", "error_rate"}, default="output"
            What is shown: mean outputs of some points; or, of the mean predictor, the mean squared error over all
            points, or the share of them whose class is wrong: the sign, or for k targets the largest.
        rows : array-like of int, optional
            Points whose outputs are shown; None for the first five.
        simulation : Simulation, optional
            What `LangevinTrainer.run` returns for the same X and X_test.
        ax : matplotlib Axes, optional
            By default those of a new figure.

        Returns
        -------
        LearningCurveDisplay

        Raises
        ------
        ValueError
            For input that `learning_curve` refuses, targets that are missing, or an unknown metric or row.
        """
        check_matplotlib_support(f"{cls.__name__}.from_ndk")
        truth = y if X_test is None else y_test
        check_metric(metric, truth, rows, return_std=return_std)
        curve = learning_curve(ndk, X, y, X_test, times=times, n_steps=n_steps, return_std=return_std)
        X, points = (ndk.check_inputs(part) for part in (X, X if X_test is None else X_test))
        Y = np.asarray(y, dtype=np.float64)
        shape = (len(points), *Y.shape[1:])
        flow = early_limit(ndk, points, X, Y.reshape(len(Y), -1), curve.times).reshape(-1, *shape)
        limits: dict[str, Any] = {"gradient_flow": measure(flow, truth, metric, rows)}
        if ndk.temperature > 0:
            late = late_limit(ndk, points, X, Y.reshape(len(Y), -1)).reshape(1, *shape)
            limits["posterior"] = measure(late, truth, metric, rows)[0]
            limits["diffusion_start"] = DIFFUSION * ndk.prior_var / ndk.temperature
        return cls(**find_lines(curve, truth, metric, rows, simulation), **limits).plot(ax)

    @classmethod
    def from_curve(
        cls,
        curve: LearningCurve,
        y: Any = None,
        *,
        metric: str = "output",
        rows: Any = None,
        simulation: Any = None,
        ax: Any = None,
    ) -> Self:
        """Show a curve that `learning_curve` has returned, without limits.

        Parameters
        ----------
        curve : LearningCurve
            Its test points are shown, or without them the training points.
        y : array-like of shape (m,) or (m, k), optional
            Targets of these points, for errors.
        metric, rows, simulation, ax
            As for `from_ndk`.

        Returns
        -------
        LearningCurveDisplay

        Raises
        ------
        ValueError
            If targets are missing or do not fit, or for an unknown metric or row.
        """
        check_matplotlib_support(f"{cls.__name__}.from_curve")
        check_metric(metric, y, rows, return_std=False)
        return cls(**find_lines(curve, y, metric, rows, simulation)).plot(ax)

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
        self.ax_ = ax = get_axes(ax, self)
        self.figure_ = ax.figure
        ax.set_xscale("log")
        colours = _choose_colours(self.values.shape[1])
        self._draw_lines(colours)
        self._draw_simulation(colours)
        ax.set_xlim(*self.times[self.times > 0][[0, -1]])
        ax.margins(y=0.1)  # room for the names of phases
        self._draw_phase()
        self._draw_legend()
        ax.set_xlabel("time")
        ax.set_ylabel(self.value_name)
        clean(ax, grid="y")
        set_title(ax, "Learning over time")
        return self

    def _draw_lines(self, colours: list[Any]) -> None:
        ax, later = self.ax_, self.times > 0
        times = self.times[later]
        self.lines_: list[Any] = []
        self.bands_: list[Any] = []
        self.flow_lines_: list[Any] = []
        self.posterior_lines_: list[Any] = []
        for line, colour in enumerate(colours):
            values = self.values[later, line]
            if self.stds is not None:
                half = self.n_std * self.stds[later, line]
                band = ax.fill_between(
                    times, values - half, values + half, fc=(*colour[:3], 0.1), ec=(*colour[:3], 0.4)
                )
                self.bands_.append(band)
            if self.gradient_flow is not None:
                flow = self.gradient_flow[later, line]
                self.flow_lines_ += ax.plot(times, flow, "--", color=colour, lw=1.2)
            if self.posterior is not None:
                self.posterior_lines_.append(ax.axhline(self.posterior[line], ls=":", color=colour, lw=1.2))
            self.lines_ += ax.plot(times, values, color=colour, lw=2)

    def _draw_simulation(self, colours: list[Any]) -> None:
        self.errorbars_: list[Any] = []
        if self.simulated is None or self.simulated_times is None:
            return
        later = self.simulated_times > 0
        for line, colour in enumerate(colours):
            errors = None if self.simulated_errors is None else self.simulated_errors[later, line]
            self.errorbars_.append(
                self.ax_.errorbar(
                    *(self.simulated_times[later], self.simulated[later, line], errors),
                    fmt="o", ms=5, color=colour, mec="white", mew=0.8, capsize=2, zorder=3, clip_on=False,
                )
            )  # fmt: skip

    def _draw_phase(self) -> None:
        self.phase_ = None
        first, last = self.ax_.get_xlim()
        if self.diffusion_start is None or self.diffusion_start >= last:
            return
        start = max(self.diffusion_start, first)
        self.phase_ = self.ax_.axvspan(start, last, color=LIGHT, alpha=0.6, lw=0, zorder=0)
        for name, low, high in (("gradients", first, start), ("diffusion", start, last)):
            if high > 3 * low:  # else there is no room
                self.ax_.annotate(
                    name, (np.sqrt(low * high), 1), (0, -4), xycoords=self.ax_.get_xaxis_transform(),
                    textcoords="offset points", ha="center", va="top", color=DARK, fontsize=9,
                )  # fmt: skip

    def _draw_legend(self) -> None:
        from matplotlib.lines import Line2D

        named = self.names is not None and 1 < len(self.names) <= MOST_NAMES
        entries = dict(zip(self.names, self.lines_, strict=True)) if named else {}
        colour = DARK if len(self.lines_) > 1 else BLUE
        if self.bands_ or self.flow_lines_ or self.posterior_lines_ or self.errorbars_:
            name = f"theory ± {self.n_std:g} std of networks" if self.bands_ else "theory"
            entries[name] = Line2D([], [], color=colour, lw=2)
        if self.flow_lines_:
            entries["gradient flow, NTK"] = Line2D([], [], ls="--", color=colour, lw=1.2)
        if self.posterior_lines_:
            entries["posterior, NNGP"] = Line2D([], [], ls=":", color=colour, lw=1.2)
        if self.errorbars_:
            name = "simulation" if self.simulated_errors is None else "simulation ± standard error"
            entries[name] = Line2D([], [], ls="", marker="o", ms=5, color=colour)
        if entries:
            self.ax_.legend(
                *(entries.values(), entries.keys()), frameon=False, fontsize=9,
                loc="upper center", bbox_to_anchor=(0.5, -0.13), ncols=2 if len(entries) == 4 else 3,
            )  # fmt: skip


def _choose_colours(n_lines: int) -> list[Any]:
    import matplotlib as mpl

    if n_lines == 1:
        return [mpl.colors.to_rgba(BLUE)]
    if n_lines <= MOST_NAMES:
        return list(mpl.colormaps["Dark2"](range(n_lines)))
    return list(mpl.colormaps["viridis"](np.linspace(0, 0.85, n_lines)))
