"""Support vector classification: hinge loss on labels."""

from __future__ import annotations

from typing import Any, ClassVar, Self

import numpy as np
from sklearn.base import ClassifierMixin, _fit_context
from sklearn.svm import SVC
from sklearn.utils._param_validation import StrOptions
from sklearn.utils.multiclass import _ovr_decision_function
from sklearn.utils.validation import check_is_fitted

from ntkkit.engine import Engine
from ntkkit.estimators._labels import Labels, find_labels, is_multilabel, times_class_weights
from ntkkit.estimators._support import SupportMachine, mirrored, solve_mirrored
from ntkkit.estimators._validation import all_or_nothing, check_input, check_kernel, check_weights


class NeuralKernelSVC(ClassifierMixin, SupportMachine):
    """Support vector classification: f minimises |f|^2 / 2 + C sum_i w_i max(0, 1 - y_i (f(x_i) + b)).

    With `fit_intercept` it is scikit-learn's SVC (more than two classes one against one), at the price of evaluating
    the kernel once a pair. Without, b = 0 and f is, with the NTK of a network, that network, infinitely wide and
    trained by gradient descent on sum_i max(0, 1 - y_i f(x_i)) + |f|^2 / 2 C, weight decay 1 / C (Chen et al. 2021);
    more than two classes are then one output each, one against the rest.

    Parameters
    ----------
    kernel : kernel, callable, "precomputed" or None, default=None
        As in `NeuralKernelRegressor`: ``NTK(network)`` or another kernel of ntkkit or scikit-learn, a callable
        ``k(X, Y) -> (n, m)`` on whole matrices, or "precomputed". None is ``NTK(FullyConnected())``.
    C : float, default=1.0
        Inverse regularisation in (0, inf), the bound of the dual coefficients of samples of weight 1.
    fit_intercept : bool, default=True
        Whether there is a b.
    class_weight : dict, "balanced" or None, default=None
        Weight > 0 of each class, multiplied into the sample weights; "balanced" is n_samples / (n_classes * samples of
        the class).
    decision_function_shape : {"ovr", "ovo"}, default="ovr"
        Of more than two classes, with intercept: one column a class, votes and confidence as SVC makes them of the
        pairs; or one column a pair. `predict` does not depend on it.
    tol : float, default=1e-8
        By how much the slopes of the dual may miss optimality: about the error of f. (SVC's default is 1e-3, a third
        of the iterations.)
    max_iter : int, default=10_000_000
        Most iterations of libsvm, each n operations; -1 is no limit.
    engine : Engine, optional
        Memory budget and progress of evaluating kernels of ntkkit; the default engine otherwise.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        The labels, sorted; those of samples of weight zero only are not among them.
    support_ : ndarray of shape (n_support,)
        Places of the support vectors in X, by class.
    n_support_ : ndarray of shape (n_classes,)
        How many there are of each class.
    X_fit_ : ndarray of shape (n_support, n_features) or None
        The support vectors, images as rows, sequences (n_support, T, n_features) filled up with NaN; None with
        kernel="precomputed".
    dual_coef_ : ndarray of shape (n_outputs, n_support)
        Signed coefficients: for two classes one row, positive for `classes_[1]`; for more, with intercept, laid out as
        SVC's (n_classes - 1 rows); without, one row a class.
    intercept_ : ndarray of shape (1,), (n_pairs,) or (n_classes,)
        b, zero without intercept.
    n_iter_ : ndarray of shape (1,), (n_pairs,) or (n_classes,)
        Iterations of libsvm.
    kernel_ : kernel, callable or "precomputed"
        What was evaluated.
    n_features_in_ : int
        Columns of X; of images, the numbers in one; of sequences, those in a step.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Column names, where X has any.

    See Also
    --------
    ntkkit.certified_radius : How far an input may move before the prediction can change.
    sklearn.calibration.CalibratedClassifierCV : Probabilities from the decision function.

    Notes
    -----
    fit takes n^2 kernel entries and n^2 numbers of memory, 5 n^2 without intercept: libsvm is then given each sample
    and its mirror image (-phi(x), -y), and the intercept of a symmetric problem is zero. predict evaluates the kernel
    with the support vectors only.

    References
    ----------
    Chang, Lin (2011), LIBSVM: A library for support vector machines.
    Chen, Huang, Nguyen, Weng (2021), On the equivalence between neural network and support vector machine.

    Examples
    --------
    The exclusive or: by symmetry all four samples are support vectors, of one coefficient.

    >>> from ntkkit import NTK, FullyConnected, NeuralKernelSVC
    >>> X = [[-1, -1], [-1, 1], [1, -1], [1, 1]]
    >>> model = NeuralKernelSVC(NTK(FullyConnected(depth=1)), C=100.0)
    >>> model.fit(X, ["same", "other", "other", "same"]).predict([[-2, -2], [2, -1]])
    array(['same', 'other'], dtype='<U5')
    >>> model.decision_function(X).round(6)
    array([ 1., -1., -1.,  1.])
    """

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        **SupportMachine._parameter_constraints,
        "class_weight": [StrOptions({"balanced"}), dict, None],
        "decision_function_shape": [StrOptions({"ovr", "ovo"})],
    }

    classes_: np.ndarray
    _labels: Labels
    n_support_: np.ndarray
    n_iter_: np.ndarray

    def __init__(
        self,
        kernel: Any = None,
        *,
        C: float = 1.0,
        fit_intercept: bool = True,
        class_weight: dict | str | None = None,
        decision_function_shape: str = "ovr",
        tol: float = 1e-8,
        max_iter: int = 10_000_000,
        engine: Engine | None = None,
    ) -> None:
        self.kernel = kernel
        self.C = C
        self.fit_intercept = fit_intercept
        self.class_weight = class_weight
        self.decision_function_shape = decision_function_shape
        self.tol = tol
        self.max_iter = max_iter
        self.engine = engine

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Solve for the coefficients.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Finite numbers; images (n_samples, *input_shape), or those as rows, where the network has an `input_shape`;
            sequences, as a list of arrays (T_i, n_features) or an array, where it is `Recurrent`; the
            Gram matrix (n_samples, n_samples) with kernel="precomputed".
        y : array-like of shape (n_samples,)
            Labels: text, integers or booleans, of two classes or more.
        sample_weight : float or array-like of shape (n_samples,), optional
            Weights >= 0 of the losses; 0 is as good as removing the sample.

        Returns
        -------
        self
            The fitted estimator. Where fit raises, the estimator is as it was before.

        Raises
        ------
        ValueError
            If y is multilabel or of one class, a class weight is not positive, or decision_function_shape="ovo" is
            asked for without intercept. And, with TypeError for a sparse X, for input that cannot be used.

        Warns
        -----
        sklearn.exceptions.ConvergenceWarning
            If `max_iter` was reached.
        """
        with all_or_nothing(self):
            if self.decision_function_shape == "ovo" and not self.fit_intercept:
                raise ValueError(
                    "decision_function_shape='ovo' needs fit_intercept=True: the machine without intercept has one "
                    "output a class, one against the rest. Use decision_function_shape='ovr'."
                )
            kernel = check_kernel(self)
            if is_multilabel(y):
                raise ValueError(
                    f"y must be 1-D, found shape {np.shape(y)}: for several labels a sample, wrap the classifier in "
                    "sklearn.multioutput.MultiOutputClassifier."
                )
            X, y = check_input(self, X, y, kernel=kernel, reset=True)
            rows, weights = check_weights(sample_weight, X)
            self._labels = find_labels(y[rows], multilabel=False)
            self.classes_ = self._labels.classes
            codes = np.searchsorted(self.classes_, y[rows])
            weights = times_class_weights(weights, y[rows], class_weight=self.class_weight)
            K = self._dense_gram(kernel, X, rows)
            solver = SVC(C=self.C, kernel="precomputed", tol=self.tol, max_iter=self.max_iter)
            support = (self._fit_pairs if self.fit_intercept else self._fit_each)(solver, K, codes, weights)
            self.n_support_ = np.bincount(codes[support], minlength=len(self.classes_))
            self._keep_support(kernel, X, rows, support)
        return self

    def _fit_pairs(self, solver: SVC, K: np.ndarray, codes: np.ndarray, weights: np.ndarray | None) -> np.ndarray:
        solver.fit(K, codes, sample_weight=weights)
        self.dual_coef_, self.intercept_, self.n_iter_ = solver.dual_coef_, solver.intercept_, solver.n_iter_
        return solver.support_

    def _fit_each(self, solver: SVC, K: np.ndarray, codes: np.ndarray, weights: np.ndarray | None) -> np.ndarray:
        """One machine without intercept for every class, or one for two classes."""
        whole = mirrored(K)
        wanted = range(len(self.classes_)) if len(self.classes_) > 2 else [1]
        solved = [solve_mirrored(solver, whole, np.where(codes == code, 1.0, -1.0), weights) for code in wanted]
        coefficients = np.stack([of_class for of_class, _ in solved])
        support = np.flatnonzero(coefficients.any(axis=0))
        support = support[np.argsort(codes[support], kind="stable")]
        self.dual_coef_, self.intercept_ = coefficients[:, support], np.zeros(len(coefficients))
        self.n_iter_ = np.array([n_iter for _, n_iter in solved])
        return support

    def _values(self, X: Any) -> np.ndarray:
        """f of every output: (n, 1) for two classes, a column a pair (positive for the first) or a class."""
        check_is_fitted(self)
        if len(self.classes_) == 2 or not self.fit_intercept:
            return self._expand_support(X, self.dual_coef_.T)
        code = np.repeat(np.arange(len(self.classes_)), self.n_support_)
        pairs = list(zip(*np.triu_indices(len(self.classes_), 1), strict=True))
        coefficients = np.zeros((len(code), len(pairs)))
        for column, (first, second) in enumerate(pairs):
            coefficients[code == first, column] = self.dual_coef_[second - 1, code == first]
            coefficients[code == second, column] = self.dual_coef_[first, code == second]
        return self._expand_support(X, coefficients)

    def decision_function(self, X: Any) -> np.ndarray:
        """Evaluate f + b, or for more than two classes with intercept what `decision_function_shape` says.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            As in fit; with kernel="precomputed" the kernel of new samples (rows) with all training samples (columns).

        Returns
        -------
        ndarray of shape (n_samples,), (n_samples, n_classes) or (n_samples, n_pairs)
            For two classes, of `classes_[1]` alone.
        """
        values = self._values(X)
        if len(self.classes_) == 2:
            return values[:, 0]
        if self.fit_intercept and self.decision_function_shape == "ovr":
            return _ovr_decision_function(values < 0, -values, len(self.classes_))
        return values

    def predict(self, X: Any) -> np.ndarray:
        """Predict labels.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            As in `decision_function`.

        Returns
        -------
        ndarray of shape (n_samples,)
            The class of largest f; with intercept, the class that wins most pairs, the first of several.
        """
        values = self._values(X)
        n_classes = len(self.classes_)
        if n_classes == 2 or not self.fit_intercept:
            return self._labels.decode(values[:, 0] if n_classes == 2 else values)
        votes = np.zeros((len(values), n_classes), dtype=int)
        for won, first, second in zip((values > 0).T, *np.triu_indices(n_classes, 1), strict=True):
            votes[np.arange(len(values)), np.where(won, first, second)] += 1
        return self.classes_[votes.argmax(axis=1)]
