"""Leave-one-out errors over the ridge term."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from sklearn.utils._optional_dependencies import check_matplotlib_support

from ntkkit.display._machine import find_machine
from ntkkit.display.style import BLUE, RED, clean, get_axes, set_title
from ntkkit.estimators import NeuralKernelClassifierCV, NeuralKernelRegressorCV

CRITERIA = {
    "loo": "mean squared leave-one-out error",
    "gcv": "generalised cross-validation",
    "error_rate": "leave-one-out error rate",
}
# Of more targets, lines are not named.
MOST_NAMES = 8


class RidgePathDisplay:
    """What leave-one-out says of every ridge term, and the one chosen.

    A choice at the end of the grid is no minimum: the title says so, and `alphas` should reach further.

    Use `from_estimator`; the arguments of the constructor are kept as attributes.

    Parameters
    ----------
    alphas : ndarray of shape (n_alphas,)
        Ridge terms >= 0, in any order. 0 is drawn left of the least positive one.
    cv_errors : ndarray of shape (n_alphas,) or (n_alphas, n_targets)
        What was minimised at each of them.
    alpha : float or ndarray of shape (n_targets,)
        The ridge terms chosen.
    criterion : {"loo", "gcv", "error_rate"}
        What the errors are. Error rates are drawn on a linear axis, the others on a logarithmic one.

    Attributes
    ----------
    at_end : bool
        Whether a choice is at an end of the grid; 0 is not, since nothing is below.
    ax_ : matplotlib Axes
    figure_ : matplotlib Figure
    lines_ : list of matplotlib Line2D
        One, or one a target.
    chosen_ : list of matplotlib Line2D
        The marks of the ridge terms chosen, as many.

    Examples
    --------
    >>> from sklearn.datasets import load_diabetes
    >>> from ntkkit import NeuralKernelRegressorCV
    >>> from ntkkit.display import RidgePathDisplay
    >>> X, y = load_diabetes(return_X_y=True)
    >>> display = RidgePathDisplay.from_estimator(NeuralKernelRegressorCV().fit(X[:100], y[:100]))
    >>> display.at_end
    False
    """

    def __init__(self, *, alphas: Any, cv_errors: Any, alpha: Any, criterion: str) -> None:
        self.alphas = np.asarray(alphas)
        self.cv_errors = np.asarray(cv_errors)
        self.alpha = alpha
        self.criterion = criterion
        ends, chosen = (self.alphas.min(), self.alphas.max()), np.ravel(alpha)
        self.at_end = len(np.unique(self.alphas)) > 1 and bool(np.isin(chosen[chosen > 0], ends).any())

    @classmethod
    def from_estimator(cls, estimator: Any, *, ax: Any = None) -> Self:
        """Show the path of a fitted machine.

        Parameters
        ----------
        estimator : NeuralKernelRegressorCV or NeuralKernelClassifierCV
            Fitted; or a pipeline or a search that ends in one.
        ax : matplotlib Axes, optional
            By default those of a new figure.

        Returns
        -------
        RidgePathDisplay

        Raises
        ------
        TypeError
            If it is another estimator. And NotFittedError.
        """
        check_matplotlib_support(f"{cls.__name__}.from_estimator")
        machine, _ = find_machine(estimator)
        if not isinstance(machine, NeuralKernelRegressorCV | NeuralKernelClassifierCV):
            raise TypeError(
                f"estimator must be a NeuralKernelRegressorCV or NeuralKernelClassifierCV, found {machine!r}; those of "
                "one ridge term have no path."
            )
        return cls(
            alphas=machine.alphas_,
            cv_errors=machine.cv_errors_,
            alpha=machine.alpha_,
            criterion=machine.criterion,
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
        order = np.argsort(self.alphas, kind="stable")
        alphas, errors = self.alphas[order], self.cv_errors[order].reshape(len(order), -1)
        chosen, n_targets = np.ravel(self.alpha), errors.shape[1]
        colours = _choose_colours(n_targets)
        self.lines_, self.chosen_ = [], []
        for target, colour in enumerate(colours):
            name = f"target {target}" if 1 < n_targets <= MOST_NAMES else None
            at = np.argmax(alphas == chosen[target])
            style = {"color": colour, "mec": "white", "zorder": 3}
            self.lines_ += ax.plot(alphas, errors[:, target], "o-", color=colour, ms=4, lw=1.8, label=name)
            self.chosen_ += ax.plot(alphas[at], errors[at, target], "*", ms=17, **style)
        _set_scales(ax, alphas, errors, logarithmic=self.criterion != "error_rate")
        ax.set_xlabel("ridge term alpha")
        ax.set_ylabel(CRITERIA[self.criterion])
        clean(ax, grid="both")
        if 1 < n_targets <= MOST_NAMES:
            ax.legend(frameon=False, fontsize=9)
        self._set_title()
        return self

    def _set_title(self) -> None:
        if np.ndim(self.alpha) == 0:
            title = f"Chosen: alpha = {self.alpha:.3g}"
        else:
            title = f"Chosen: alpha from {np.min(self.alpha):.3g} to {np.max(self.alpha):.3g}"
        if self.at_end:
            set_title(self.ax_, f"{title}, the end of the grid", colour=RED)
        else:
            set_title(self.ax_, title)


def _choose_colours(n_targets: int) -> list[Any]:
    if n_targets == 1:
        return [BLUE]
    import matplotlib as mpl

    return list(mpl.colormaps["viridis"](np.linspace(0, 0.85, n_targets)))


def _set_scales(ax: Any, alphas: np.ndarray, errors: np.ndarray, *, logarithmic: bool) -> None:
    """Logarithmic scales where numbers allow them."""
    positive = alphas[alphas > 0]
    if len(positive) == len(alphas):
        ax.set_xscale("log")
    elif len(positive):
        ax.set_xscale("symlog", linthresh=positive.min(), linscale=0.5)
    if logarithmic and errors.min() > 0:
        ax.set_yscale("log")
        if errors.max() < 10 * errors.min():  # powers of ten are too far apart to be labels
            for set_formatter in (ax.yaxis.set_major_formatter, ax.yaxis.set_minor_formatter):
                set_formatter("{x:g}")
