"""Scores of a search over one or two hyperparameters."""

from __future__ import annotations

from numbers import Real
from typing import Any, Self

import numpy as np
from sklearn.utils._optional_dependencies import check_matplotlib_support
from sklearn.utils.validation import check_is_fitted

from ntkkit.display.style import BLUE, DARK, LIGHT, RED, clean, get_axes, set_title, write_value

# Cells of larger surfaces are too small for a number.
MOST_NUMBERS = 130


class SearchSurfaceDisplay:
    """The mean test scores of a search: a heat map over two hyperparameters, or a curve over one.

    Where the search varied more hyperparameters, each cell is the best candidate over the others; the title says so. A
    heat map has one cell a value, whatever the distance between values; a cell without a score is grey. A curve has
    bars of one standard deviation over the folds.

    Use `from_estimator` or `from_cv_results`; the arguments of the constructor are kept as attributes.

    Parameters
    ----------
    params : tuple of str
        One or two names; the first is across, the second upwards.
    values : tuple of list
        The values of each; numbers in ascending order.
    mean_scores, std_scores : ndarray of shape (n_first,) or (n_first, n_second)
        Over the folds, of the best candidate there; NaN where there is none.
    best : tuple of int
        The place of the best.
    others : tuple of str
        Further names that the search varied.
    score_name : str
        What the scores are.

    Attributes
    ----------
    ax_ : matplotlib Axes
    figure_ : matplotlib Figure
    image_ : matplotlib AxesImage or None
        The heat map, second parameter upwards.
    errorbar_ : matplotlib ErrorbarContainer or None
        The curve.
    best_mark_ : matplotlib Rectangle or Line2D

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.model_selection import GridSearchCV
    >>> from sklearn.svm import SVC
    >>> from ntkkit.display import SearchSurfaceDisplay
    >>> search = GridSearchCV(SVC(), {"C": [0.1, 1, 10], "gamma": [0.01, 0.1]}).fit(
    ...     *load_iris(return_X_y=True)
    ... )
    >>> SearchSurfaceDisplay.from_estimator(search, params=("C", "gamma")).mean_scores.shape
    (3, 2)
    """

    def __init__(
        self,
        *,
        params: tuple[str, ...],
        values: tuple[list[Any], ...],
        mean_scores: np.ndarray,
        std_scores: np.ndarray,
        best: tuple[int, ...],
        others: tuple[str, ...],
        score_name: str,
    ) -> None:
        self.params = params
        self.values = values
        self.mean_scores = mean_scores
        self.std_scores = std_scores
        self.best = best
        self.others = others
        self.score_name = score_name

    @classmethod
    def from_estimator(cls, search: Any, *, params: Any = None, ax: Any = None) -> Self:
        """Show the scores of a fitted search.

        Parameters
        ----------
        search : GridSearchCV, KernelSearchCV or another search with `cv_results_`
            Fitted. Of several scores, the one of `refit` is shown.
        params : str or tuple of one or two str, optional
            Names as in the grid. By default those of which the search tried several values, if one or two.
        ax : matplotlib Axes, optional
            By default those of a new figure.

        Returns
        -------
        SearchSurfaceDisplay

        Raises
        ------
        TypeError
            If it is no search.
        ValueError
            If there are no such parameters, more than two without `params`, or several scores of which `refit` names
            none. And NotFittedError.
        """
        check_matplotlib_support(f"{cls.__name__}.from_estimator")
        check_is_fitted(search)
        if not hasattr(search, "cv_results_"):
            raise TypeError(f"search must be a search such as GridSearchCV, with cv_results_; found {search!r}.")
        metric, name = "score", search.scoring if isinstance(search.scoring, str) else "score"
        if search.multimetric_:
            metric = name = search.refit
            if not isinstance(metric, str):
                raise ValueError(
                    f"search has several scores, of which refit={metric!r} names none: give "
                    f"{cls.__name__}.from_cv_results the metric."
                )
        display = cls._read(search.cv_results_, params, metric, name)
        return display.plot(ax)

    @classmethod
    def from_cv_results(cls, cv_results: Any, *, params: Any = None, metric: str = "score", ax: Any = None) -> Self:
        """Show scores as searches keep them.

        Parameters
        ----------
        cv_results : dict of arrays
            With "params", and "mean_test_" and "std_test_" with the metric's name.
        params : str or tuple of one or two str, optional
            As in `from_estimator`.
        metric : str, default="score"
            Which of several scores.
        ax : matplotlib Axes, optional
            By default those of a new figure.

        Returns
        -------
        SearchSurfaceDisplay

        Raises
        ------
        ValueError
            If there are no such parameters or scores, or more than two parameters and no `params`.
        """
        check_matplotlib_support(f"{cls.__name__}.from_cv_results")
        return cls._read(cv_results, params, metric, metric).plot(ax)

    @classmethod
    def _read(cls, cv_results: Any, params: Any, metric: str, score_name: str) -> Self:
        missing = [key for key in ("params", f"mean_test_{metric}", f"std_test_{metric}") if key not in cv_results]
        if missing:
            raise ValueError(f"cv_results has no {missing[0]!r}; it has {', '.join(sorted(cv_results))}.")
        candidates = cv_results["params"]
        means, stds = (np.asarray(cv_results[f"{kind}_test_{metric}"], dtype=float) for kind in ("mean", "std"))
        tried = {name: None for candidate in candidates for name in candidate}
        found = {name: _find_values([c[name] for c in candidates if name in c]) for name in tried}
        varied = [name for name in found if len(found[name]) > 1]
        params = _check_params(params, varied, found)
        values = tuple(found[name] for name in params)
        shape = tuple(map(len, values))
        mean_scores, std_scores = np.full(shape, np.nan), np.full(shape, np.nan)
        best = None
        for i in np.argsort(-means, kind="stable")[::-1]:  # the best, and of equals the first, are written last
            if np.isfinite(means[i]) and all(name in candidates[i] for name in params):
                keys = [_key(candidates[i][name]) for name in params]
                best = tuple([*map(_key, v)].index(key) for v, key in zip(values, keys, strict=True))
                mean_scores[best], std_scores[best] = means[i], stds[i]
        if best is None:
            raise ValueError(f"No candidate with {' and '.join(params)} has a finite score: every fit failed.")
        return cls(
            params=params,
            values=values,
            mean_scores=mean_scores,
            std_scores=std_scores,
            best=best,
            others=tuple(name for name in varied if name not in params),
            score_name=score_name,
        )

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
        self.image_: Any = None
        self.errorbar_: Any = None
        if len(self.params) == 1:
            self._draw_curve()
        else:
            self._draw_surface()
        places = zip(self.params, self.values, self.best, strict=True)
        found = ", ".join(f"{name} = {write_value(values[place])}" for name, values, place in places)
        title = f"Best: {self.mean_scores[self.best]:.4g} at {found}"
        if self.others:
            title += f"\nEach score is the best over {', '.join(self.others)}"
        set_title(self.ax_, title)
        return self

    def _draw_curve(self) -> None:
        (name,), (values,) = self.params, self.values
        numeric = all(map(_is_number, values))
        places = np.asarray(values, dtype=float) if numeric else np.arange(len(values))
        self.errorbar_ = self.ax_.errorbar(
            places, self.mean_scores, yerr=self.std_scores, fmt="o-", color=BLUE, capsize=4, ms=6, lw=1.8
        )
        at = (places[self.best[0]], self.mean_scores[self.best])
        (self.best_mark_,) = self.ax_.plot(*at, "o", ms=14, mfc="none", mec=RED, mew=2)
        if not numeric:
            self.ax_.set_xticks(places, [write_value(value) for value in values])
        elif places[0] > 0 and places[-1] >= 50 * places[0]:
            self.ax_.set_xscale("log")
        self.ax_.set_xlabel(name)
        self.ax_.set_ylabel(f"mean test {self.score_name}, ± 1 std over folds")
        clean(self.ax_, grid="both")

    def _draw_surface(self) -> None:
        ax, scores = self.ax_, self.mean_scores.T
        ax.set_facecolor(LIGHT)
        self.image_ = ax.imshow(scores, cmap="viridis", aspect="auto", origin="lower", interpolation="nearest")
        bar = self.figure_.colorbar(self.image_, ax=ax, label=f"mean test {self.score_name}", fraction=0.06, pad=0.02)
        bar.outline.set_visible(False)
        labels = [[write_value(value) for value in values] for values in self.values]
        crowded = len(labels[0]) * max(map(len, labels[0])) > 70
        ax.set_xticks(range(len(labels[0])), labels[0], rotation=90 if crowded else 0)
        ax.set_yticks(range(len(labels[1])), labels[1])
        ax.tick_params(length=0)
        ax.spines[:].set_visible(False)
        ax.set_xlabel(self.params[0])
        ax.set_ylabel(self.params[1])
        if scores.size <= MOST_NUMBERS:
            self._write_scores(scores)
        from matplotlib.patches import Rectangle

        corner = (self.best[0] - 0.5, self.best[1] - 0.5)
        self.best_mark_ = ax.add_patch(Rectangle(corner, 1, 1, fill=False, ec=RED, lw=2.5, clip_on=False, zorder=3))

    def _write_scores(self, scores: np.ndarray) -> None:
        largest = np.nanmax(np.abs(scores))
        decimals = 3 if largest < 10 else 1 if largest < 1000 else 0
        for (row, column), score in np.ndenumerate(scores):
            if np.isfinite(score):
                colour = DARK if self.image_.norm(score) > 0.6 else "white"
                text = f"{score:.{decimals}f}"
                self.ax_.text(column, row, text, ha="center", va="center", fontsize=9, color=colour)


def _is_number(value: Any) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool | np.bool_)


def _key(value: Any) -> Any:
    """What equal values share: kernels, networks and functions count as what they are written as."""
    return float(value) if _is_number(value) else repr(value)


def _find_values(values: list[Any]) -> list[Any]:
    """The distinct values, numbers in ascending order if there are no others, else as first met."""
    distinct = list({_key(value): value for value in values}.values())
    return sorted(distinct) if all(map(_is_number, distinct)) else distinct


def _check_params(params: Any, varied: list[str], found: dict[str, list[Any]]) -> tuple[str, ...]:
    """The names of one or two parameters.

    Raises
    ------
    ValueError
        If there are others.
    """
    if params is None:
        if len(varied) not in (1, 2):
            raise ValueError(f"The search varied {', '.join(varied) or 'nothing'}: give params=, one or two names.")
        return tuple(varied)
    params = (params,) if isinstance(params, str) else tuple(params)
    unknown = [name for name in params if name not in found]
    if unknown:
        raise ValueError(f"params has {unknown[0]!r}, which the search does not: it has {', '.join(found)}.")
    if len(params) not in (1, 2) or len(set(params)) < len(params):
        raise ValueError(f"params must be one name or two different ones, found {params!r}.")
    return params
