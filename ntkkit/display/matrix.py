"""A kernel matrix, its samples sorted by target, and its spectrum."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from sklearn.base import is_classifier
from sklearn.utils._optional_dependencies import check_matplotlib_support

from ntkkit.display._machine import find_machine
from ntkkit.display.style import BLUE, clean, divide, get_axes, set_title
from ntkkit.estimators._base import KernelMachine
from ntkkit.estimators._validation import check_input, check_kernel
from ntkkit.linalg import eigen
from ntkkit.linalg.symmetric import entry_error

# More rows than a picture has pixels cannot be seen.
MOST_ROWS = 500
# Integers of more values than this are numbers to sort by, not classes, unless a classifier says so.
MOST_CLASSES = 20
# Classes of a smaller share of the rows have no room for a label.
LEAST_SHARE = 1 / 40


class KernelMatrixDisplay:
    """A kernel matrix with its samples sorted by class, or by the target's value, beside its eigenvalues.

    The picture shows the cosines K_ij / sqrt(K_ii K_jj), which are comparable between samples: entries of K grow with
    the norms of the samples, and a few long ones would hide the others. The spectrum is that of K itself. Bright blocks
    along the diagonal say that the kernel knows the classes; the slower the eigenvalues fall, the more directions it
    can learn.

    Use `from_estimator` or `from_kernel`; the arguments of the constructor are kept as attributes.

    Parameters
    ----------
    gram : ndarray of shape (n_shown, n_shown)
        K of the samples shown, sorted.
    y : ndarray of shape (n_shown,)
        Their targets.
    classes : bool
        Whether `y` are classes, whose boundaries are drawn.
    n_samples : int
        How many samples there are. Of more than 500, every so many-th in the sorted order is shown, and evaluated.

    Attributes
    ----------
    eigenvalues : ndarray of shape (n_shown,)
        Of `gram`, the largest first.
    rounding : float
        Eigenvalues up to this one are not told from zero.
    ax_, spectrum_ax_ : matplotlib Axes
        The matrix, and the spectrum.
    figure_ : matplotlib Figure
    image_ : matplotlib AxesImage
    boundaries_ : list of matplotlib Line2D
        Between classes, a horizontal and a vertical one each.
    spectrum_line_ : matplotlib Line2D
        The eigenvalues that are above rounding.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from ntkkit import NTK, FullyConnected
    >>> from ntkkit.display import KernelMatrixDisplay
    >>> X, y = load_iris(return_X_y=True)
    >>> display = KernelMatrixDisplay.from_kernel(NTK(FullyConnected(depth=2)), X, y)
    >>> display.gram.shape, len(display.boundaries_)
    ((150, 150), 4)
    """

    def __init__(self, *, gram: np.ndarray, y: np.ndarray, classes: bool, n_samples: int) -> None:
        self.gram = gram
        self.y = y
        self.classes = classes
        self.n_samples = n_samples
        decomposition = eigen(gram, error=entry_error(gram.dtype))
        self.eigenvalues, self.rounding = decomposition.values[::-1], decomposition.cutoff()

    @classmethod
    def from_estimator(cls, estimator: Any, X: Any, y: Any, *, ax: Any = None) -> Self:
        """Show the kernel of a fitted machine on some samples.

        Parameters
        ----------
        estimator : estimator
            Fitted, with a `kernel_`: a machine of ntkkit or a Gaussian process of scikit-learn; or a pipeline or a
            search that ends in one.
        X : array-like of shape (n_samples, n_features)
            As in predict; (n_samples, n_samples) with kernel="precomputed".
        y : array-like of shape (n_samples,)
            Classes, or numbers for a regressor.
        ax : matplotlib Axes, or two of them, optional
            As in `plot`.

        Returns
        -------
        KernelMatrixDisplay

        Raises
        ------
        TypeError
            If the estimator has no `kernel_`. And NotFittedError, or ValueError for input that cannot be used.
        """
        check_matplotlib_support(f"{cls.__name__}.from_estimator")
        machine, X = find_machine(estimator, X)
        if not hasattr(machine, "kernel_"):
            raise TypeError(
                f"estimator must have a kernel_, as NeuralKernelClassifier and GaussianProcessRegressor do; found "
                f"{machine!r}. For the kernel of another, use {cls.__name__}.from_kernel(kernel, X, y)."
            )
        X, y = check_input(machine, X, y, kernel=machine.kernel_, reset=False)
        evaluator = _Evaluator(machine.kernel_, engine=getattr(machine, "engine", None))
        return cls._from_checked(evaluator, X, y, classes=is_classifier(machine), ax=ax)

    @classmethod
    def from_kernel(cls, kernel: Any, X: Any, y: Any, *, ax: Any = None) -> Self:
        """Show a kernel on some samples.

        Parameters
        ----------
        kernel : kernel, callable or "precomputed"
            As in `NeuralKernelRegressor`.
        X : array-like of shape (n_samples, n_features)
            Rows, images or sequences; the Gram matrix (n_samples, n_samples) with "precomputed".
        y : array-like of shape (n_samples,)
            Classes, or numbers: those with fractions or of more than 20 values.
        ax : matplotlib Axes, or two of them, optional
            As in `plot`.

        Returns
        -------
        KernelMatrixDisplay

        Raises
        ------
        ValueError
            For a kernel or input that cannot be used.
        """
        check_matplotlib_support(f"{cls.__name__}.from_kernel")
        evaluator = _Evaluator(kernel)
        X, y = check_input(evaluator, X, y, kernel=check_kernel(evaluator), reset=True)
        return cls._from_checked(evaluator, X, y, classes=_are_classes(y), ax=ax)

    @classmethod
    def _from_checked(cls, evaluator: _Evaluator, X: np.ndarray, y: np.ndarray, *, classes: bool, ax: Any) -> Self:
        order = np.argsort(y, kind="stable")
        rows = order[np.linspace(0, len(y) - 1, min(len(y), MOST_ROWS)).round().astype(int)]
        gram = evaluator.evaluate(X, rows)
        return cls(gram=gram, y=y[rows], classes=classes, n_samples=len(y)).plot(ax)

    def plot(self, ax: Any = None) -> Self:
        """Draw.

        Parameters
        ----------
        ax : matplotlib Axes, or two of them, optional
            One, made by `subplots`, is divided in two; two are the matrix' and the spectrum's. By default those of a
            new figure.

        Returns
        -------
        self

        Raises
        ------
        ImportError
            If matplotlib is missing.
        """
        ax = get_axes(ax, self, size=(10, 4.6))
        self.ax_, self.spectrum_ax_ = divide(ax, (1.15, 1)) if np.ndim(ax) == 0 else ax
        self.figure_ = self.ax_.figure
        self._draw_matrix()
        self._draw_spectrum()
        return self

    def _draw_matrix(self) -> None:
        shown = len(self.gram)
        cosines = _to_cosines(self.gram)
        off_diagonal = cosines[~np.eye(shown, dtype=bool)] if shown > 1 else cosines
        low, high = np.quantile(off_diagonal, [0.005, 0.995])
        limits = {"vmin": low, "vmax": high}
        self.image_ = self.ax_.imshow(cosines, cmap="viridis", aspect="auto", interpolation="nearest", **limits)
        bar = self.figure_.colorbar(self.image_, ax=self.ax_, fraction=0.06, pad=0.02, extend="both")
        bar.outline.set_visible(False)
        self.boundaries_ = []
        if self.classes:
            names, starts = np.unique(self.y, return_index=True)
            edges = np.append(starts, shown)
            for edge in starts[1:] - 0.5:
                self.boundaries_ += [draw(edge, color="white", lw=0.9) for draw in (self.ax_.axhline, self.ax_.axvline)]
            roomy = np.diff(edges) >= LEAST_SHARE * shown
            centres = (edges[:-1] + edges[1:] - 1) / 2
            self.ax_.set_yticks(centres[roomy], [str(name) for name in names[roomy]])
        else:
            places = np.unique(np.linspace(0, shown - 1, 5).round().astype(int))
            self.ax_.set_yticks(places, [f"{value:.3g}" for value in self.y[places]])
        self.ax_.set_xticks([])
        self.ax_.tick_params(length=0 if self.classes else 3)
        self.ax_.spines[:].set_visible(False)
        self.ax_.set_ylabel("class" if self.classes else "target, sorted")
        rows = f"{shown:,} rows" if shown == self.n_samples else f"{shown:,} of {self.n_samples:,} rows"
        set_title(self.ax_, f"Kernel, as cosines: {rows}")

    def _draw_spectrum(self) -> None:
        index = np.arange(1, len(self.eigenvalues) + 1)
        seen = self.eigenvalues > self.rounding
        (self.spectrum_line_,) = self.spectrum_ax_.loglog(
            index[seen], self.eigenvalues[seen], "o-", color=BLUE, ms=2.5, lw=1
        )
        clean(self.spectrum_ax_, grid="both")
        self.spectrum_ax_.set_xlabel("index")
        hidden = int((~seen).sum())
        set_title(self.spectrum_ax_, f"Eigenvalues ({hidden:,} below rounding)" if hidden else "Eigenvalues")


class _Evaluator(KernelMachine):
    """A kernel as the machines evaluate it."""

    def __init__(self, kernel: Any, engine: Any = None) -> None:
        self.kernel = kernel
        self.engine = engine

    def evaluate(self, X: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """The Gram matrix of the rows of checked X."""
        return self._training_gram(check_kernel(self), X, rows)


def _are_classes(y: np.ndarray) -> bool:
    """Say whether targets are classes: text, or few whole numbers."""
    if y.dtype.kind not in "fiu":
        return True
    return bool((y == np.round(y)).all()) and len(np.unique(y)) <= MOST_CLASSES


def _to_cosines(gram: np.ndarray) -> np.ndarray:
    """K_ij / sqrt(K_ii K_jj); 0 where K_ii is."""
    scale = np.sqrt(np.maximum(gram.diagonal(), 0))
    inverse = np.divide(1, scale, out=np.zeros_like(scale), where=scale > 0)
    return inverse[:, None] * gram * inverse
