"""How trained networks come near their infinite-width limit."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from sklearn.utils._optional_dependencies import check_matplotlib_support

from ntkkit.display.style import BLUE, DARK, GREY, RED, clean, get_axes, set_title
from ntkkit.finite.comparison import Comparison, Exponent

FITTED = ("kernel_error", "difference", "bias", "drift")
COLOURS = (BLUE, RED, DARK, GREY)


class ComparisonDisplay:
    """Relative distances from infinite width against the width, on logarithmic axes, with the powers fitted to them.

    Use `from_comparison`, or the constructor with arrays and `plot`; the arguments of the constructor are kept as
    attributes.

    Parameters
    ----------
    widths : array-like of shape (n_widths,)
        Positive.
    distances : dict from str to array-like of shape (n_widths,) or (n_widths, n_networks)
        By name; the mean over networks is drawn, with one standard error. What is 0 or less has no place on the axes.
    exponents : dict from str to Exponent, optional
        Of some of the distances.

    Attributes
    ----------
    ax_ : matplotlib Axes
    figure_ : matplotlib Figure
    errorbars_ : list of matplotlib ErrorbarContainer
    lines_ : list of matplotlib Line2D
        The powers.

    Raises
    ------
    ValueError
        If arrays do not fit.

    Examples
    --------
    >>> from ntkkit.display import ComparisonDisplay
    >>> display = ComparisonDisplay(widths=[64, 256], distances={"kernel": [0.2, 0.1]}).plot()
    >>> display.ax_.get_xscale()
    'log'
    """

    def __init__(self, *, widths: Any, distances: Any, exponents: dict[str, Exponent] | None = None) -> None:
        self.widths = np.asarray(widths, dtype=np.float64)
        if self.widths.ndim != 1 or not (self.widths > 0).all():
            raise ValueError(f"widths must be positive and of shape (n_widths,), found {widths!r}.")
        self.distances = {name: np.asarray(values, dtype=np.float64) for name, values in distances.items()}
        for name, values in self.distances.items():
            if values.ndim not in (1, 2) or len(values) != len(self.widths) or not np.isfinite(values).all():
                raise ValueError(
                    f"distances[{name!r}] must be finite, one a width ({len(self.widths)}), found shape {values.shape}."
                )
        self.exponents = {} if exponents is None else exponents

    @classmethod
    def from_comparison(cls, comparison: Comparison, *, ax: Any = None) -> Self:
        """Show what `ntkkit.finite.compare` returned.

        Parameters
        ----------
        comparison : Comparison
        ax : matplotlib Axes, optional
            By default those of a new figure.

        Returns
        -------
        ComparisonDisplay
        """
        check_matplotlib_support(f"{cls.__name__}.from_comparison")
        fits = comparison.exponents
        distances = {
            "tangent kernel, before training": comparison.start_errors,
            "output of one network": comparison.differences,
            "mean output": comparison.biases,
            "kernel's change in training": comparison.drifts,
        }
        exponents = dict(zip(distances, (fits[name] for name in FITTED), strict=True))
        return cls(widths=comparison.widths, distances=distances, exponents=exponents).plot(ax)

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
        from matplotlib.ticker import LogLocator, PercentFormatter

        self.figure_ = ax.figure
        self.errorbars_: list[Any] = []
        self.lines_: list[Any] = []
        for index, (name, values) in enumerate(self.distances.items()):
            self._draw(name, values, COLOURS[index % len(COLOURS)])
        ax.set_xscale("log", base=2)
        ax.set_yscale("log")
        ax.set_xticks(self.widths, [f"{width:g}" for width in self.widths])
        ax.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        ax.yaxis.set_major_formatter(PercentFormatter(1, decimals=None))
        ax.minorticks_off()
        ax.set_xlabel("width")
        ax.set_ylabel("relative distance from infinite width")
        ax.legend(frameon=False, fontsize=9, loc="upper center", bbox_to_anchor=(0.5, -0.13), ncols=2)
        clean(ax, grid="y")
        set_title(ax, "Trained networks beside their limit")
        return self

    def _draw(self, name: str, values: np.ndarray, colour: str) -> None:
        mean, errors = values, None
        if values.ndim == 2:
            mean = values.mean(axis=1)
            errors = values.std(axis=1, ddof=1) / np.sqrt(values.shape[1])
        shown = mean > 0
        power = self.exponents.get(name)
        label = name if power is None or np.isnan(power.value) else f"{name}: width^{power.value:.2f}"
        self.errorbars_.append(
            self.ax_.errorbar(
                *(self.widths[shown], mean[shown], None if errors is None else errors[shown]),
                fmt="o", ms=5, color=colour, mec="white", mew=0.8, capsize=2, label=label, zorder=3,
            )
        )  # fmt: skip
        if power is not None and not np.isnan(power.value):
            centre = np.log(mean[shown]).mean() - power.value * np.log(self.widths[shown]).mean()
            line = np.exp(centre) * self.widths[shown] ** power.value
            self.lines_ += self.ax_.plot(self.widths[shown], line, color=colour, lw=1.2)
