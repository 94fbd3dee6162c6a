"""Classification: least squares on targets +1 and -1, or the log loss of probabilities; one output a class."""

from __future__ import annotations

from numbers import Real
from typing import Any, ClassVar, Self

import numpy as np
from sklearn.base import ClassifierMixin, _fit_context
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.metaestimators import available_if

from ntkkit.engine import Engine
from ntkkit.estimators._base import RidgeMachine
from ntkkit.estimators._labels import Labels, encode_weighted, find_labels, is_multilabel
from ntkkit.estimators._log_loss import check_log_loss, fit_log_loss, prior_log_odds, probabilities
from ntkkit.estimators._validation import all_or_nothing, check_input, check_kernel, check_weights


def _has_probabilities(machine: NeuralKernelClassifier) -> bool:
    if machine.loss != "log":
        raise AttributeError(
            "Probabilities are there with loss='log'; for others, wrap the classifier in "
            "sklearn.calibration.CalibratedClassifierCV."
        )
    return True


class NeuralKernelClassifier(ClassifierMixin, RidgeMachine):
    """Classification by f(x) = sum_i a_i k(x, x_i): sign f(x), or argmax_c f_c(x).

    With loss="squared", (K + alpha I) a = Y and Y in {-1, +1}: one machine against the rest for every class (a single
    one for two classes), as in scikit-learn's RidgeClassifier but without intercept beyond what the kernel brings. With
    the NTK of a network and alpha = 0 this is the mean prediction of that network, infinitely wide and trained on
    squared error (Jacot et al. 2018).

    With loss="log", kernel logistic regression, with probabilities p = 1 / (1 + exp(-f)) for two classes and for each
    of several labels, and p = softmax(f) for more classes: f minimises sum_i -w_i log p(y_i | x_i) + alpha |f|^2 / 2 in
    the kernel's own norm. Stopped at a `train_time`, and from f = 0, it is the infinitely wide network in training on
    cross-entropy (Lee et al. 2019).

    Parameters
    ----------
    kernel : kernel, callable, "precomputed" or None, default=None
        As in `NeuralKernelRegressor`: ``NTK(network)`` or another kernel of ntkkit or scikit-learn, a callable
        ``k(X, Y) -> (n, m)`` on whole matrices, or "precomputed". None is ``NTK(FullyConnected())``.
    alpha : float, default=0.1
        Ridge term in [0, inf), absolute; 0 interpolates. With loss="log" and no `train_time` it must be positive:
        classes that the kernel separates leave the log loss without a minimiser.
    loss : {"squared", "log"}, default="squared"
        What is minimised. "squared" solves one linear system for all classes; "log" gives probabilities.
    train_time : float, default=None
        How long the network trains, in [0, inf); None is to convergence. The unit is one over an eigenvalue of K. With
        loss="squared" as in `NeuralKernelRegressor`; with loss="log", da/dt = -l'(K a) - alpha a with the sum of losses
        l, from a = 0, by a solver of differential equations, see `gradient_flow`.
    class_weight : dict, "balanced" or None, default=None
        Weights > 0 of the classes, which multiply the sample weights; "balanced": inversely as their frequencies. They
        also say which class is likely where the kernel says nothing: f is fitted around the targets' weighted mean;
        with loss="log" around the log odds of the classes' shares in the weights.
    solver : {"auto", "cholesky", "eigen", "pcg", "nystrom"}, default="auto"
        As in `NeuralKernelRegressor`; of least squares. With loss="log" only "auto": Newton's method.
    n_components : int, default=2000
        Centres of solver="nystrom"; rank of the preconditioner of solver="pcg".
    tol : float, default=1e-6
        Relative residual at which the iterative solvers stop.
    max_iter : int, default=1000
        Bound of their iterations, and of Newton's.
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
        With class weights, the weighted mean of the targets, or the log odds, which f adds; else 0.
    dual_coef_ : ndarray of shape (n_samples,) or (n_samples, n_classes)
        The coefficients a, one column a class; for two classes one column in all. Zero where the sample weight is.
    solver_ : str
        The solver that found them: "cholesky", "eigen", "pcg" or "nystrom"; with loss="log", "newton", or "lsoda" with
        a `train_time`.
    solver_reason_ : str
        Why that one, with solver="auto".
    n_iter_ : int
        Iterations of the solver; 1 for the direct ones; evaluations of l' for "lsoda".
    n_features_in_ : int
        Columns of X; of images, the numbers in one; of sequences, those in a step.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Column names, where X has any.

    See Also
    --------
    NeuralKernelRegressor : The same machine for numbers, with notes on cost and memory.
    sklearn.calibration.CalibratedClassifierCV : Probabilities from the decision function, by cross-validation.

    Notes
    -----
    loss="log" takes 10 to 40 steps of Newton's method. One costs n^3 / 3 operations with two classes and about k n^3
    with k > 2, and these need (k + 3) n^2 numbers of memory. With a `train_time` and k > 2 classes, a system of
    n (k - 1) rows is factored some ten to a hundred times once t is beyond about 100 over the largest eigenvalue.

    References
    ----------
    Jacot, Gabriel, Hongler (2018), Neural Tangent Kernel: Convergence and Generalization in Neural Networks.
    Lee, Bahri, Novak, Schoenholz, Pennington, Sohl-Dickstein (2018), Deep Neural Networks as Gaussian Processes.
    Lee, Xiao, Schoenholz, Bahri, Novak, Sohl-Dickstein, Pennington (2019), Wide Neural Networks of Any Depth Evolve as
    Linear Models Under Gradient Descent.

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
    >>> model = model.set_params(loss="log").fit(X, ["same", "other", "other", "same"])
    >>> model.predict_proba([[-2, -2]]).round(2)
    array([[0.01, 0.99]])
    """

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        **RidgeMachine._parameter_constraints,
        "loss": [StrOptions({"squared", "log"})],
        "train_time": [Interval(Real, 0, None, closed="left"), None],
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
        loss: str = "squared",
        train_time: float | None = None,
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
        self.loss = loss
        self.train_time = train_time
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
            Weights >= 0 of the losses; 0 is as good as removing the sample.

        Returns
        -------
        self
            The fitted estimator. Where fit raises, the estimator is as it was before.

        Raises
        ------
        ValueError
            If y has one class only, or several columns that are not zeros and ones; with loss="log" for another solver
            than "auto", and for alpha = 0 without a train_time. And, with TypeError for a sparse X
            and LinAlgError from solver="cholesky", for input that cannot be used.
        """
        with all_or_nothing(self):
            kernel, multilabel = check_kernel(self), is_multilabel(y)
            X, y = check_input(self, X, y, kernel=kernel, reset=True, multi_output=multilabel)
            rows, weights = check_weights(sample_weight, X)
            y = y[rows]
            labels = find_labels(y, multilabel=multilabel)
            targets, intercept, weights = encode_weighted(labels, y, weights, class_weight=self.class_weight)
            if self.loss == "log":
                check_log_loss(self)
                intercept = prior_log_odds(labels, y, weights, class_weight=self.class_weight)
                found = fit_log_loss(self._training_gram(kernel, X, rows), labels, y, weights, intercept, self)
                self._keep(kernel, X, found.dual_coef, rows)
                self.solver_, self.solver_reason_, self.n_iter_ = found.solver, "loss='log'", found.n_iter
            else:
                time = np.inf if self.train_time is None else self.train_time
                self._fit_dual(kernel, X, targets, rows=rows, weights=weights, time=time)
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
            f, about +1 on samples of the class and -1 elsewhere; for two classes, of `classes_[1]` alone. With
            loss="log" it is log p up to a constant a sample; for two classes, log p / (1 - p).
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

    @available_if(_has_probabilities)
    def predict_proba(self, X: Any) -> np.ndarray:
        """Predict probabilities; with loss="log" only.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            As in `decision_function`.

        Returns
        -------
        ndarray of shape (n_samples, n_classes) or (n_samples, n_labels)
            Of the classes in the order of `classes_`, which add up to one; of several labels, of each by itself.
        """
        scores = self.decision_function(X)
        return probabilities(self._labels, scores)

    @available_if(_has_probabilities)
    def predict_log_proba(self, X: Any) -> np.ndarray:
        """Logarithms of `predict_proba`, finite where those are rounded to zero."""
        scores = self.decision_function(X)
        return probabilities(self._labels, scores, log=True)
