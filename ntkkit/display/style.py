"""What the pictures share: colours, axes, and how numbers are written."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Real
from typing import Any

from sklearn.utils._optional_dependencies import check_matplotlib_support

BLUE, GREY, DARK, RED = "#1f6fb4", "#b9c0c7", "#333b44", "#c23b22"
LIGHT_BLUE, LIGHT = "#cfe2f3", "#e6e9ec"


def get_axes(ax: Any, display: object, *, size: tuple[float, float] = (6.4, 4.8)) -> Any:
    """The given axes, or those of a new pyplot figure of a size in inches.

    Raises
    ------
    ImportError
        If matplotlib is missing.
    """
    check_matplotlib_support(f"{type(display).__name__}.plot")
    import matplotlib.pyplot as plt

    return plt.subplots(figsize=size, layout="constrained")[1] if ax is None else ax


def divide(ax: Any, ratios: Sequence[float]) -> list[Any]:
    """Axes side by side in the place of one, of widths in these ratios.

    Raises
    ------
    ValueError
        If the axes have no place in a grid.
    """
    place = ax.get_subplotspec()
    if place is None:
        raise ValueError(
            "ax must be made by subplots to be divided, found axes without a place in a grid; or give "
            f"{len(ratios)} of them."
        )
    ax.set_axis_off()
    return list(place.subgridspec(1, len(ratios), width_ratios=ratios).subplots())


def clean(axes: Any, *, grid: Any) -> None:
    """Leave out what is not data; grid is "x", "y" or "both"."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis=grid, color=LIGHT, lw=0.8)
    axes.set_axisbelow(True)


def set_title(axes: Any, title: str, *, colour: str = DARK) -> None:
    """Write a title that starts where the axes do."""
    axes.set_title(title, loc="left", color=colour, fontsize=11)


def write_value(value: Any) -> str:
    """A parameter's value as a label: numbers short, long texts cut in the middle."""
    if isinstance(value, Real) and not isinstance(value, bool):
        return f"{value:.3g}"
    text = str(value)
    return text if len(text) <= 20 else f"{text[:10]}…{text[-9:]}"
