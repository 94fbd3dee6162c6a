"""Classification: least squares on targets +1 and -1, one output a class."""

from __future__ import annotations

from typing import Any, ClassVar, Self

import numpy as np
from sklearn.base import ClassifierMixin, _fit_context
from sklearn.utils._param_validation import StrOptions

from ntkkit.engine import Engine
from ntkkit.estimators._base import RidgeMachine
from ntkkit.estimators._labels import Labels, encode_weighted, find_labels, is_multilabel
from ntkkit.estimators._validation import all_or_nothing, check_input, check_kernel, check_weights


class NeuralKernelClassifier(ClassifierMixin, RidgeMachine):
    """Least-squares classification: sign f(x), or argmax_c f_c(x), with (K + alpha I) a = Y and Y in {-1, +1}.

    One machine against the rest for every class (a single one for two classes), as in scikit-learn's RidgeClassifier
    but without intercept beyond what the kernel brings. With the NTK of a network and alpha = 0 this is the mean
    prediction of that network, infinitely wide and trained on squared error (Jacot et al. 2018).

    Parameters
    ----------
    kernel : kernel, callable, "precomputed" or None, default=None
        As in `NeuralKernelRegressor`: ``NTK(network)`` or another kernel of ntkkit or scikit-learn, a callable
        ``k(X, Y) -> (n, m)`` on whole matrices, or "precomputed". None is ``NTK(FullyConnected())``.
    alpha : float, default=0.1
        Ridge term in [0, inf), absolute; 0 interpolates.
    class_weight : dict, "balanced" or None, default=None
        Weights > 0 of the classes, which multiply the sample weights; "balanced": inversely as their frequencies. They
        also say which class is likely where the kernel says nothing: f is fitted around the targets' weighted mean.
    solver : {"auto", "cholesky", "eigen", "pcg", "nystrom"}, default="auto"
        As in `NeuralKernelRegressor`.
    n_components : int, default=2000
        Centres of solver="nystrom"; rank of the preconditioner of solver="pcg".
    tol : float, default=1e-6
        Relative residual at which the iterative solvers stop.
    max_iter : int, default=1000
        Bound of their iterations.
    random_state : int, RandomState instance or None, default=None
        For the choice of centres and preconditioner; an int for the same result in every call.
    engine : Engine, optional
        Memory budget and progress of evaluating kernels of ntkkit; the default engine otherwise.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        The labels, sorted; those of samples of weight zero only are not among them. Of several labels a sample, the
        numbers of the columns.
    kernel_ : kernel, callable or "precomputed"
        What was evaluated.
    X_fit_ : ndarray of shape (n_samples, n_features) or None
        The training inputs, images as rows, sequences (n_samples, T, n_features) filled up with NaN; with
        solver="nystrom" the centres; None with kernel="precomputed".
    intercept_ : float or ndarray of shape (n_classes,)
        With class weights, the weighted mean of the targets, which f adds; else 0.
    dual_coef_ : ndarray of shape (n_samples,) or (n_samples, n_classes)
        The coefficients a, one column a class; for two classes one column in all. Zero where the sample weight is.
    solver_ : str
        The solver that found them: "cholesky", "eigen", "pcg" or "nystrom".
    solver_reason_ : str
        Why that one, with solver="auto".
    n_iter_ : int
        Iterations of the solver; 1 for the direct ones.
    n_features_in_ : int
        Columns of X; of images, the numbers in one; of sequences, those in a step.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Column names, where X has any.

    See Also
    --------
    NeuralKernelRegressor : The same machine for numbers, with notes on cost and memory.
    sklearn.calibration.CalibratedClassifierCV : Probabilities from the decision function.

    References
    ----------
    Jacot, Gabriel, Hongler (2018), Neural Tangent Kernel: Convergence and Generalization in Neural Networks.
    Lee, Bahri, Novak, Schoenholz, Pennington, Sohl-Dickstein (2018), Deep Neural Networks as Gaussian Processes.

    Examples
    --------
    The exclusive or, which no linear machine can learn; by symmetry f is 0 where the inputs cancel.

    >>> from ntkkit import NTK, FullyConnected, NeuralKernelClassifier
    >>> X = [[-1, -1], [-1, 1], [1, -1], [1, 1]]
    >>> model = NeuralKernelClassifier(NTK(FullyConnected(depth=1))).fit(
    ...     X, ["same", "other", "other", "same"]
    ... )
    >>> model.predict([[-2, -2], [2, -1]])
    array(['same', 'other'], dtype='<U5')
    """

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        **RidgeMachine._parameter_constraints,
        "class_weight": [dict, StrOptions({"balanced"}), None],
    }

    classes_: np.ndarray
    intercept_: Any
    _labels: Labels

    def __init__(
        self,
        kernel: Any = None,
        *,
        alpha: float = 0.1,
        class_weight: Any = None,
        solver: str = "auto",
        n_components: int = 2000,
        tol: float = 1e-6,
        max_iter: int = 1000,
        random_state: Any = None,
        engine: Engine | None = None,
    ) -> None:
        super().__init__(
            kernel,
            alpha=alpha,
            solver=solver,
            n_components=n_components,
            tol=tol,
            max_iter=max_iter,
            random_state=random_state,
            engine=engine,
        )
        self.class_weight = class_weight

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = True
        return tags

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Solve for the coefficients.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Finite numbers; images (n_samples, *input_shape), or those as rows, where the network has an `input_shape`;
            sequences, as a list of arrays (T_i, n_features) or an array, where it is `Recurrent`; the
            Gram matrix (n_samples, n_samples) with kernel="precomputed".
        y : array-like of shape (n_samples,) or (n_samples, n_labels)
            Labels: text, integers or booleans, of two classes or more. Or zeros and ones, a column a label, where a
            sample may have several.
        sample_weight : float or array-like of shape (n_samples,), optional
            Weights >= 0 of the squared errors; 0 is as good as removing the sample.

        Returns
        -------
        self
            The fitted estimator. Where fit raises, the estimator is as it was before.

        Raises
        ------
        ValueError
            If y has one class only, or several columns that are not zeros and ones. And, with TypeError for a sparse X
            and LinAlgError from solver="cholesky", for input that cannot be used.
        """
        with all_or_nothing(self):
            kernel, multilabel = check_kernel(self), is_multilabel(y)
            X, y = check_input(self, X, y, kernel=kernel, reset=True, multi_output=multilabel)
            rows, weights = check_weights(sample_weight, X)
            y = y[rows]
            labels = find_labels(y, multilabel=multilabel)
            targets, intercept, weights = encode_weighted(labels, y, weights, class_weight=self.class_weight)
            self._fit_dual(kernel, X, targets, rows=rows, weights=weights)
            self.intercept_, self.classes_, self._labels = intercept, labels.classes, labels
        return self

    def decision_function(self, X: Any) -> np.ndarray:
        """Evaluate f.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            As in fit; with kernel="precomputed" the kernel of new samples (rows) with the training samples (columns).

        Returns
        -------
        ndarray of shape (n_samples,) or (n_samples, n_classes)
            f, about +1 on samples of the class and -1 elsewhere; for two classes, of `classes_[1]` alone.
        """
        return self._evaluate(X) + self.intercept_

    def predict(self, X: Any) -> np.ndarray:
        """Predict labels.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            As in `decision_function`.

        Returns
        -------
        ndarray of shape (n_samples,) or (n_samples, n_labels)
            The class of largest f; of several labels, those with f > 0 as ones.
        """
        scores = self.decision_function(X)
        return self._labels.decode(scores)
