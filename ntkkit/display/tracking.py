"""What is measured of a kernel while a network trains."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from sklearn.utils._optional_dependencies import check_matplotlib_support

from ntkkit.display.style import BLUE, GREY, LIGHT_BLUE, clean, get_axes, set_title
from ntkkit.finite import KernelTracker

NAMES = {
    "distance": "kernel distance from the start",
    "frobenius": "relative change from the start",
    "velocity": "kernel velocity",
    "polar": "part of the way to the end",
    "largest_eigenvalue": "largest eigenvalue",
    "effective_rank": "effective rank",
    "top_mass": "part of the trace in ten eigenvalues",
    "alignment": "alignment with the targets",
    "accuracy": "leave-one-out accuracy of the kernel machine",
}
# Numbers that span so much are drawn on a logarithmic axis.
WIDE = 100


class KernelTrackingDisplay:
    """A metric of a kernel over training: of each network, their mean, and where tasks shift.

    Use `from_tracker`; the arguments of the constructor are kept as attributes.

    Parameters
    ----------
    epochs : array-like of shape (n_snapshots,)
        When.
    values : array-like of shape (n_snapshots, n_networks)
        The metric; NaN is left out.
    value_name : str
        What it is, in words.
    boundaries : sequence of int, default=()
        Epochs at which further runs began.

    Attributes
    ----------
    ax_ : matplotlib Axes
    figure_ : matplotlib Figure
    lines_ : list of matplotlib Line2D
        One a network; the mean's is `mean_`.
    mean_ : matplotlib Line2D
        The mean, where there are several networks; else the network's.
    boundaries_ : list of matplotlib Line2D
        One a boundary.

    Examples
    --------
    >>> import numpy as np
    >>> from ntkkit import FullyConnected
    >>> from ntkkit.display import KernelTrackingDisplay
    >>> from ntkkit.finite import FiniteNetwork, KernelTracker, NetworkTrainer
    >>> X, y = np.eye(3), np.array([1.0, -1.0, 0.0])
    >>> tracker = KernelTracker(X)
    >>> line = FiniteNetwork(FullyConnected(depth=0, bias_var=0.0))
    >>> _ = NetworkTrainer(line, n_epochs=2, callbacks=[tracker], random_state=0).run(X, y)
    >>> KernelTrackingDisplay.from_tracker(tracker, "effective_rank").ax_.get_ylabel()
    'effective rank'
    """

    def __init__(self, *, epochs: Any, values: Any, value_name: str, boundaries: Any = ()) -> None:
        self.epochs = np.asarray(epochs)
        self.values = np.asarray(values, dtype=np.float64)
        if self.values.ndim != 2 or self.epochs.shape != self.values.shape[:1]:
            raise ValueError(
                "values must be of shape (n_snapshots, n_networks) for as many epochs, found shapes "
                f"{self.values.shape} and {self.epochs.shape}."
            )
        self.value_name = value_name
        self.boundaries = boundaries

    @classmethod
    def from_tracker(cls, tracker: KernelTracker, metric: Any = "distance", *, ax: Any = None) -> Self:
        """Show a metric of what was tracked.

        Parameters
        ----------
        tracker : KernelTracker
            With snapshots.
        metric : str or callable, default="distance"
            As `KernelTracker.measure` takes it, or one of the tracker's own names.
        ax : matplotlib Axes, optional
            By default those of a new figure.

        Returns
        -------
        KernelTrackingDisplay

        Raises
        ------
        ValueError
            If there are no snapshots, or no such metric.
        """
        check_matplotlib_support(f"{cls.__name__}.from_tracker")
        own = tracker.metrics.get(metric, metric) if isinstance(metric, str) else metric
        name = metric if isinstance(metric, str) else getattr(metric, "__name__", "metric").replace("_", " ")
        return cls(
            epochs=tracker.epochs,
            values=tracker.measure(own),
            value_name=NAMES.get(name, name),
            boundaries=tracker.boundaries,
        ).plot(ax)

    def plot(self, ax: Any = None) -> Self:
        """Draw, on the given axes or on those of a new figure.

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
        n_networks = self.values.shape[1]
        self.boundaries_ = [ax.axvline(at, color=GREY, lw=1.2, ls="--", zorder=1) for at in self.boundaries]
        self.lines_ = ax.plot(self.epochs, self.values, color=LIGHT_BLUE if n_networks > 1 else BLUE, lw=1.2)
        [self.mean_] = (
            ax.plot(self.epochs, self.values.mean(axis=1), color=BLUE, lw=2) if n_networks > 1 else self.lines_
        )
        known = self.values[np.isfinite(self.values) & (self.values != 0)]
        if len(known) and known.min() > 0 and known.max() > WIDE * known.min():
            ax.set_yscale("log")
        ax.set_xlabel("epoch")
        ax.set_ylabel(self.value_name)
        clean(ax, grid="both")
        set_title(ax, f"{n_networks} networks and their mean" if n_networks > 1 else "One network")
        return self
