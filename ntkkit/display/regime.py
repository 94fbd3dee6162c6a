"""Networks that learn features, beside the theory of them and the kernel that stays."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from sklearn.utils._optional_dependencies import check_matplotlib_support

from ntkkit.display.style import BLUE, DARK, RED, clean, get_axes, set_title
from ntkkit.finite.regimes import RegimeReport

COLOURS = (BLUE, RED, DARK)
# Of networks, the widest last.
MARKERS = ("v", "s", "^", "o")


class RegimeDisplay:
    """Outputs at some points over training: of trained networks, of mean-field theory, and of the NTK that stays.

    Use `from_report`, or the constructor with arrays and `plot`; the arguments of the constructor are kept as
    attributes.

    Parameters
    ----------
    times : array-like of shape (n_times,)
        Learning rate times steps.
    theory, lazy : array-like of shape (n_times, n_points)
        Predictions of mean-field theory, and of the NTK before training; at most three points.
    network_times : array-like of shape (n_reports,)
    networks : dict from str to array-like of shape (n_networks, n_reports, n_points)
        By name, at most four, the last one nearest to theory: means, and of the last standard deviations.
    title : str, default=""

    Attributes
    ----------
    ax_ : matplotlib Axes
    figure_ : matplotlib Figure
    lines_, lazy_lines_ : list of matplotlib Line2D
        One a point.
    errorbars_ : list of matplotlib ErrorbarContainer
        One a point of each of networks.

    Raises
    ------
    ValueError
        If arrays do not fit.

    Examples
    --------
    >>> import numpy as np
    >>> from ntkkit.display import RegimeDisplay
    >>> path = np.linspace(0, 1, 3)[:, None]
    >>> display = RegimeDisplay(
    ...     times=[0, 1, 2],
    ...     theory=path,
    ...     lazy=0.9 * path,
    ...     network_times=[0, 2],
    ...     networks={"4": np.ones((4, 2, 1))},
    ... )
    >>> display.plot().ax_.get_ylabel()
    'output'
    """

    def __init__(
        self, *, times: Any, theory: Any, lazy: Any, network_times: Any, networks: Any, title: str = ""
    ) -> None:
        self.times, self.theory, self.lazy, self.network_times = (
            np.asarray(part, dtype=np.float64) for part in (times, theory, lazy, network_times)
        )
        self.networks = {name: np.asarray(part, dtype=np.float64) for name, part in networks.items()}
        self.title = title
        if not 1 <= len(self.networks) <= len(MARKERS):
            raise ValueError(f"networks must be 1 to {len(MARKERS)} by name, found {len(self.networks)}.")
        n_points = self.theory.shape[-1]
        shapes = [part.shape for part in (self.theory, self.lazy, *(part[0] for part in self.networks.values()))]
        expected = [(len(self.times), n_points)] * 2
        expected += [(len(self.network_times), n_points)] * len(self.networks)
        if shapes != expected or not 1 <= n_points <= len(COLOURS):
            raise ValueError(
                f"theory, lazy and each of networks must have shapes {expected}, of 1 to {len(COLOURS)} points, found "
                f"{shapes}."
            )

    @classmethod
    def from_report(cls, report: RegimeReport, *, points: Any = (0, 1, 2), ax: Any = None) -> Self:
        """Show what `ntkkit.finite.regime_report` returned.

        Parameters
        ----------
        report : RegimeReport
        points : sequence of int, default=(0, 1, 2)
            Which, of those of training and then others; at most three. What there are fewer of is left out.
        ax : matplotlib Axes, optional
            By default those of a new figure.

        Returns
        -------
        RegimeDisplay
            With networks of all widths, or of the four largest.
        """
        check_matplotlib_support(f"{cls.__name__}.from_report")
        theory = report.theory
        shown = [point for point in points if point < theory.predictions.shape[1]]
        networks = {
            f"width {width}": outputs[..., shown]
            for width, outputs in list(zip(report.widths, report.outputs, strict=True))[-len(MARKERS) :]
        }
        return cls(
            times=theory.times,
            theory=theory.predictions[:, shown],
            lazy=theory.lazy_predictions[:, shown],
            network_times=theory.times[report.steps],
            networks=networks,
            title=f"gamma0 = {theory.gamma0:g}: means of {report.outputs.shape[1]} networks, and two theories",
        ).plot(ax)

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
        self.lines_, self.lazy_lines_, self.errorbars_ = [], [], []
        for point, colour in zip(range(self.theory.shape[1]), COLOURS, strict=False):
            labels = ("mean-field theory", "NTK that stays") if point == 0 else (None, None)
            self.lines_ += ax.plot(self.times, self.theory[:, point], color=colour, lw=1.8, label=labels[0])
            self.lazy_lines_ += ax.plot(
                self.times, self.lazy[:, point], color=colour, lw=1.3, ls=(0, (4, 2)), label=labels[1]
            )
            for (name, outputs), marker in zip(self.networks.items(), MARKERS[-len(self.networks) :], strict=True):
                last = marker == MARKERS[-1]
                self.errorbars_.append(
                    ax.errorbar(
                        *(self.network_times, outputs[..., point].mean(axis=0)),
                        outputs[..., point].std(axis=0) if last else None,
                        fmt=marker, ms=4.5, color=colour, mew=0.8, elinewidth=1, zorder=4 if last else 3,
                        mfc=colour if last else "white", mec="white" if last else colour,
                        label=name if point == 0 else None,
                    )
                )  # fmt: skip
        ax.set_xlabel("learning rate × steps")
        ax.set_ylabel("output")
        ax.legend(frameon=False, fontsize=9)
        clean(ax, grid="y")
        set_title(ax, self.title)
        return self
