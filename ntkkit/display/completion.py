"""A table or a picture with holes, as it was completed, and where that is wrong."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from sklearn.preprocessing import StandardScaler
from sklearn.utils._optional_dependencies import check_matplotlib_support

from ntkkit.display._cells import check_values, choose, find_limits
from ntkkit.display._machine import find_machine
from ntkkit.display.style import DARK, LIGHT, LIGHT_BLUE, divide, get_axes, set_title, write_value
from ntkkit.estimators import NeuralInpainter

# Cells smaller than two dots of a panel cannot be seen.
MOST_ROWS = 150
MOST_COLUMNS = 150
# Names of more columns have no room.
MOST_NAMES = 24


class CompletionDisplay:
    """What was observed, which cells were missing, the completion, and, where it is known, the truth and the error.

    The panels observed, completed and truth share one colour scale, from the 0.5% to the 99.5% quantile of the observed
    cells. The scale of the errors, completed - truth at the missing cells, is centred at 0; the root mean square above
    it is over all missing cells whose truth is known.

    Columns of a table are drawn, and their errors counted, in standard deviations of their observed cells from the mean
    of those, unless `standardize` is False: columns of different units then share the scale. Of large tables up to 150
    rows and 150 columns are drawn, with missing cells where there are such, evenly spread.

    Pictures are drawn as they are: values in [0, 1], or in [0, 255], from black to white, others from the least to the
    largest observed one. A pixel counts as missing in the picture if any of its channels is, and its error is the mean
    over channels.

    Use `from_estimator`, or the constructor and `plot`; the arguments of the constructor are kept as attributes.

    Parameters
    ----------
    observed : array-like of shape (n_rows, n_columns), (H, W), (H, W, 1) or (H, W, 3)
        NaN where missing.
    completed : array-like of the same shape
        Without NaN.
    truth : array-like of the same shape, optional
        NaN where unknown. Without it the last two panels are left out.
    feature_names : sequence of str, optional
        The columns' names.
    image : bool, default=False
        Whether arrays of two axes are pictures; those of three axes always are.
    standardize : bool, default=True
        Whether columns of tables are standardised.

    Attributes
    ----------
    missing : ndarray of bool, of the shape of `observed`
    rmse : float or None
        Over missing cells with known truth; of standardised columns in standard deviations. None without truth.
    axes_ : dict of matplotlib Axes
        "observed", "mask", "completed" and, with truth, "truth" and "error".
    ax_ : matplotlib Axes
        The first of them.
    figure_ : matplotlib Figure
    images_ : dict of matplotlib AxesImage
        What is drawn in each.

    Raises
    ------
    ValueError
        If shapes differ or are none of those above, nothing or everything is missing, `completed` has NaN or infinite
        values, or `truth` is NaN at all missing cells.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.impute import SimpleImputer
    >>> from ntkkit.display import CompletionDisplay
    >>> truth = np.array([[0.0, 1.0], [4.0, 3.0], [2.0, 7.0]])
    >>> observed = np.where(truth == 7.0, np.nan, truth)
    >>> display = CompletionDisplay.from_estimator(SimpleImputer().fit(observed), observed, truth=truth)
    >>> display.rmse  # (mean 2 - truth 7) / standard deviation 1
    5.0
    """

    def __init__(
        self,
        *,
        observed: Any,
        completed: Any,
        truth: Any = None,
        feature_names: Any = None,
        image: bool = False,
        standardize: bool = True,
    ) -> None:
        self.observed = check_values(observed, "observed", finite="allow-nan")
        self.completed = check_values(completed, "completed", shape=self.observed.shape)
        self.truth = truth
        self.feature_names = feature_names
        self.image = image or self.observed.ndim == 3
        self.standardize = standardize
        self.missing = np.isnan(self.observed)
        if self.missing.all():
            raise ValueError("observed has no value: every entry is missing (NaN).")
        if not self.missing.any():
            raise ValueError("observed has no missing (NaN) entry: there is nothing to complete.")
        if feature_names is not None and len(feature_names) != self.observed.shape[1]:
            raise ValueError(f"feature_names has {len(feature_names)} names for {self.observed.shape[1]} columns.")
        self.rmse: float | None = None
        self._scaler = None if self.image or not standardize else self._fit_scaler()
        if truth is not None:
            self.truth = check_values(truth, "truth", shape=self.observed.shape, finite="allow-nan")
            errors = self._errors()[self.missing]
            if np.isnan(errors).all():
                raise ValueError("truth is NaN wherever observed is: there is no error to show; leave truth out.")
            self.rmse = float(np.sqrt(np.nanmean(errors**2)))

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        X: Any,
        *,
        truth: Any = None,
        row_features: Any = None,
        image: bool | None = None,
        standardize: bool = True,
        ax: Any = None,
    ) -> Self:
        """Show what a fitted imputer makes of missing entries.

        Parameters
        ----------
        estimator : estimator
            Fitted, with `transform`: `NeuralMatrixCompleter`, `NeuralInpainter` or an imputer of scikit-learn; or a
            pipeline that ends in one, whose earlier steps transform X and truth before they are shown.
        X : array-like of shape (n_rows, n_columns), (H, W), (H, W, 1) or (H, W, 3)
            NaN where missing. Names of a data frame's columns are shown.
        truth : array-like of the same shape, optional
            NaN where unknown.
        row_features : array-like of shape (n_rows, n_row_features), optional
            Handed to `transform`.
        image : bool, optional
            Whether an X of two axes is a picture; by default for `NeuralInpainter`.
        standardize : bool, default=True
            Whether columns of tables are standardised.
        ax : matplotlib Axes, or a list of them, optional
            As in `plot`.

        Returns
        -------
        CompletionDisplay

        Raises
        ------
        TypeError
            If the estimator has no `transform`.
        ValueError
            As in the constructor, or if there are not as many axes as panels. And NotFittedError.
        """
        check_matplotlib_support(f"{cls.__name__}.from_estimator")
        machine, observed = find_machine(estimator, X)
        if not hasattr(machine, "transform"):
            raise TypeError(f"estimator must have transform, as imputers do; found {machine!r}.")
        completed = machine.transform(observed, **({} if row_features is None else {"row_features": row_features}))
        if np.shape(completed) != np.shape(observed):
            raise ValueError(
                f"{machine!r} made an array of shape {np.shape(completed)} of one of shape {np.shape(observed)}: "
                "imputers must keep empty columns and add none to be shown."
            )
        return cls(
            observed=observed,
            completed=completed,
            truth=None if truth is None else find_machine(estimator, truth)[1],
            feature_names=list(map(str, observed.columns)) if hasattr(observed, "columns") else None,
            image=isinstance(machine, NeuralInpainter) if image is None else image,
            standardize=standardize,
        ).plot(ax)

    def plot(self, ax: Any = None) -> Self:
        """Draw.

        Parameters
        ----------
        ax : matplotlib Axes, or a list of them, optional
            One, made by `subplots`, is divided; of several, each is a panel's. By default those of a new figure.

        Returns
        -------
        self

        Raises
        ------
        ImportError
            If matplotlib is missing.
        ValueError
            If there are not as many axes as panels.
        """
        names = ["observed", "mask", "completed", *(["truth", "error"] if self.rmse is not None else [])]
        ax = get_axes(ax, self, size=(3.2 * len(names), self._height()))
        axes = divide(ax, [1] * len(names)) if np.ndim(ax) == 0 else np.ravel(ax)
        if len(axes) != len(names):
            raise ValueError(f"ax must be one, or {len(names)}: {', '.join(names)}; found {len(axes)}.")
        self.axes_ = dict(zip(names, axes, strict=True))
        self.ax_ = self.axes_["observed"]
        self.figure_ = self.ax_.figure
        self.images_: dict[str, Any] = {}
        rows, columns = self._choose_cells()
        self._draw_values(np.ix_(rows, columns))
        self._draw_mask(np.ix_(rows, columns))
        if self.rmse is not None:
            self._draw_errors(np.ix_(rows, columns))
        for panel in self.axes_.values():
            panel.spines[:].set_visible(False)
            panel.set(xticks=[], yticks=[])
            if not self.image:
                self._name_columns(panel, columns)
        if not self.image:
            self._name_rows(rows)
        return self

    def _choose_cells(self) -> tuple[np.ndarray, np.ndarray]:
        """Rows and columns to draw."""
        if self.image:
            height, width = self.observed.shape[:2]
            return np.arange(height), np.arange(width)
        return choose(self.missing.any(axis=1), MOST_ROWS), choose(self.missing.any(axis=0), MOST_COLUMNS)

    def _draw_values(self, cells: Any) -> None:
        import matplotlib as mpl

        observed = self._scaled(self.observed)
        low, high = find_limits(observed, image=self.image)
        for name in [name for name in ("observed", "completed", "truth") if name in self.axes_]:
            values = self._scaled(getattr(self, name))[cells]
            if values.ndim == 3:  # channels are drawn as colours, in [0, 1]
                blank = np.isnan(values).any(axis=2, keepdims=True)
                values = np.clip((values - low) / (high - low), 0, 1)
                values = np.where(blank, mpl.colors.to_rgb(LIGHT_BLUE), values)
            cmap = mpl.colormaps["gray" if self.image else "viridis"].with_extremes(bad=self._blank())
            self.images_[name] = self._show(name, values, cmap=cmap, vmin=low, vmax=high)
            set_title(self.axes_[name], name.capitalize())
        if self.observed.ndim == 2:
            extend = "neither" if self.image else "both"
            self._add_bar(name, "standard deviations from the column's mean" if self._scaler else "", extend=extend)

    def _draw_mask(self, cells: Any) -> None:
        from matplotlib.colors import ListedColormap

        missing = self.missing[cells]
        missing = missing.any(axis=2) if missing.ndim == 3 else missing
        self.images_["mask"] = self._show("mask", missing, cmap=ListedColormap([DARK, self._blank()]), vmin=0, vmax=1)
        set_title(self.axes_["mask"], f"Mask: {100 * self.missing.mean():.3g}% missing")

    def _draw_errors(self, cells: Any) -> None:
        import matplotlib as mpl

        errors = np.ma.masked_invalid(self._errors())
        limit = float(np.quantile(np.abs(errors.compressed()), 0.995)) or 1.0
        shown = errors[cells].mean(axis=2) if errors.ndim == 3 else errors[cells]
        cmap = mpl.colormaps["RdBu_r"].with_extremes(bad=LIGHT)
        self.images_["error"] = self._show("error", shown, cmap=cmap, vmin=-limit, vmax=limit)
        self._add_bar("error", "completed − truth" + (", standard deviations" if self._scaler else ""))
        set_title(self.axes_["error"], f"Error: RMSE {write_value(self.rmse)}")

    def _show(self, name: str, values: Any, **settings: Any) -> Any:
        aspect = "equal" if self.image else "auto"
        return self.axes_[name].imshow(values, aspect=aspect, interpolation="nearest", **settings)

    def _add_bar(self, name: str, label: str, *, extend: str = "both") -> None:
        bar = self.figure_.colorbar(
            self.images_[name], ax=self.axes_[name], fraction=0.06, pad=0.03, aspect=30, extend=extend, label=label
        )
        bar.outline.set_visible(False)

    def _name_columns(self, axes: Any, columns: np.ndarray) -> None:
        if self.feature_names is not None and len(columns) <= MOST_NAMES:
            names = [write_value(self.feature_names[column]) for column in columns]
            axes.set_xticks(range(len(names)), names, rotation=90, fontsize=8)
        else:
            places = np.unique(np.linspace(0, len(columns) - 1, 4).round().astype(int))
            axes.set_xticks(places, columns[places], fontsize=8)
        axes.tick_params(length=0)

    def _name_rows(self, rows: np.ndarray) -> None:
        places = np.unique(np.linspace(0, len(rows) - 1, 6).round().astype(int))
        self.ax_.set_yticks(places, [f"{row:,}" for row in rows[places]], fontsize=8)
        (n_rows, n_columns), n_shown = self.observed.shape, self.images_["mask"].get_array().shape
        self.ax_.set_ylabel("row" if n_shown[0] == n_rows else f"row ({n_shown[0]} of {n_rows:,} shown)")
        if n_shown[1] < n_columns:
            self.ax_.set_xlabel(f"column ({n_shown[1]} of {n_columns:,} shown)")

    def _blank(self) -> str:
        return LIGHT_BLUE if self.image else LIGHT

    def _height(self) -> float:
        """Inches of a figure: of pictures, what a panel 2.8 inches wide needs."""
        if not self.image:
            return 4.8
        height, width = self.observed.shape[:2]
        return 2.8 * min(max(height / width, 0.4), 2.5) + 0.5

    def _fit_scaler(self) -> StandardScaler:
        """Means and standard deviations of observed cells; of a column without any, of its completion."""
        known = np.where(self.missing.all(axis=0), self.completed, self.observed)
        return StandardScaler().fit(known)

    def _scaled(self, values: np.ndarray) -> np.ndarray:
        return self._scaler.transform(values) if self._scaler else values

    def _errors(self) -> np.ndarray:
        """Of missing cells with known truth; NaN elsewhere."""
        assert self.truth is not None
        return np.where(self.missing, self._scaled(self.completed) - self._scaled(self.truth), np.nan)
