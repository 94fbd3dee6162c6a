"""Spectra of kernels on the sphere: which degrees a kernel machine learns first."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

import numpy as np
from sklearn.utils._optional_dependencies import check_matplotlib_support

from ntkkit.display.style import BLUE, DARK, GREY, RED, clean, get_axes, set_title
from ntkkit.kernels import kernel_spectrum

COLOURS = (BLUE, RED, DARK, GREY)
# Of the largest eigenvalue: what is less is rounding, and drawn at the bottom.
VANISHING = 1e-13


class KernelSpectrumDisplay:
    """Eigenvalues of rotation-invariant kernels by the degree of spherical harmonics, on a logarithmic axis.

    Use `from_kernels`, or the constructor with arrays and `plot`; the arguments of the constructor are kept as
    attributes.

    Parameters
    ----------
    spectra : dict from str to array-like of shape (n_degrees,)
        Eigenvalues by name, at most four. Those that vanish, as odd ones of many kernels do, are hollow triangles at
        the bottom.
    dimension : int
        Of the space around the sphere.

    Attributes
    ----------
    ax_ : matplotlib Axes
    figure_ : matplotlib Figure
    lines_ : list of matplotlib Line2D
        One a kernel.
    vanishing_ : list of matplotlib Line2D
        One a kernel that has eigenvalues which vanish.

    Raises
    ------
    ValueError
        If there are none, or more than four.

    Examples
    --------
    >>> from ntkkit.display import KernelSpectrumDisplay
    >>> KernelSpectrumDisplay(spectra={"a kernel": [1.0, 0.1, 0.01]}, dimension=3).plot().ax_.get_yscale()
    'log'
    """

    def __init__(self, *, spectra: Any, dimension: int) -> None:
        self.spectra = {name: np.asarray(values, dtype=np.float64) for name, values in spectra.items()}
        self.dimension = dimension
        if not 1 <= len(self.spectra) <= len(COLOURS):
            raise ValueError(f"spectra must be of 1 to {len(COLOURS)} kernels, found {len(self.spectra)}.")
        for name, values in self.spectra.items():
            if values.ndim != 1 or not np.isfinite(values).all() or not (values > 0).any():
                raise ValueError(f"spectra[{name!r}] must be finite, 1-D and somewhere positive, found {values!r}.")

    @classmethod
    def from_kernels(cls, kernels: Mapping[str, Any], *, dimension: int, n_degrees: int = 10, ax: Any = None) -> Self:
        """Show the spectra of kernels.

        Parameters
        ----------
        kernels : dict from str to kernel
            By name; what `kernel_spectrum` takes.
        dimension : int
            Of the space around the sphere, >= 2.
        n_degrees : int, default=10
            From degree 0 on.
        ax : matplotlib Axes, optional
            By default those of a new figure.

        Returns
        -------
        KernelSpectrumDisplay
        """
        check_matplotlib_support(f"{cls.__name__}.from_kernels")
        spectra = {name: kernel_spectrum(kernel, dimension, n_degrees).eigenvalues for name, kernel in kernels.items()}
        return cls(spectra=spectra, dimension=dimension).plot(ax)

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
        self.lines_, self.vanishing_ = [], []
        seen = {name: values > VANISHING * values.max() for name, values in self.spectra.items()}
        bottom = min(values[seen[name]].min() for name, values in self.spectra.items()) / 10
        for (name, values), colour in zip(self.spectra.items(), COLOURS, strict=False):
            degrees, shown = np.arange(len(values)), seen[name]
            self.lines_ += ax.plot(degrees[shown], values[shown], "o-", color=colour, ms=5, lw=1.3, label=name)
            if not shown.all():
                hidden = degrees[~shown]
                self.vanishing_ += ax.plot(
                    hidden, np.full(len(hidden), bottom), "v", color=colour, mfc="none", ms=6, label=f"{name}: 0"
                )
        ax.set_yscale("log")
        ax.xaxis.get_major_locator().set_params(integer=True)
        ax.set_xlabel("degree of spherical harmonics")
        ax.set_ylabel("eigenvalue")
        ax.legend(frameon=False, fontsize=9)
        clean(ax, grid="y")
        set_title(ax, f"Spectra on the unit sphere of {self.dimension} dimensions")
        return self
