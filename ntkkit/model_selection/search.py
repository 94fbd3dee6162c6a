"""KernelSearchCV: GridSearchCV that evaluates every kernel matrix once."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable
from typing import Any, Self

import numpy as np
from joblib import parallel_config
from sklearn.base import BaseEstimator, _fit_context, clone, is_classifier
from sklearn.metrics import get_scorer
from sklearn.model_selection import GridSearchCV, ParameterGrid, check_cv
from sklearn.model_selection._search import BaseSearchCV
from sklearn.utils import get_tags, indexable
from sklearn.utils.metadata_routing import get_routing_for_object
from sklearn.utils.metaestimators import _safe_split
from sklearn.utils.validation import _num_samples

from ntkkit.engine import Cache
from ntkkit.estimators._validation import all_or_nothing
from ntkkit.model_selection.blocks import Stored
from ntkkit.model_selection.folds import Folds, Rows
from ntkkit.model_selection.grams import Shared, remembering
from ntkkit.model_selection.plan import Candidate, plan

# What takes X first, and can be given a kernel matrix instead.
RESPONSES = ("predict", "predict_proba", "predict_log_proba", "decision_function", "score", "score_samples")
CACHE_MEMORY = "auto"
SCORER = type(get_scorer("accuracy"))  # what make_scorer returns: it hands X over to the estimator and no more


class KernelSearchCV(GridSearchCV):
    """Search over a grid with cross-validation: scikit-learn's GridSearchCV, each distinct kernel evaluated once.

    Interface and results are those of `sklearn.model_selection.GridSearchCV`. Where it evaluates the kernel anew in
    every fit and every prediction, this evaluates one matrix of all rows, K, for each distinct kernel of the grid; the
    fits of all folds and of all settings of the solver (`alpha`, `C`, `class_weight` ...) take
    K[train][:, train] and K[test][:, train] from it. Kernels that differ in the `depth` of their network only
    (``kernel__network__depth``, of NTK and NNGP of a family such as FullyConnected) cost one pass to the deepest.

    Kernels are shared by the estimators of ntkkit, by scikit-learn's SVC, SVR, NuSVC, NuSVR and OneClassSVM with a
    callable kernel, and by KernelRidge with a kernel object; also at the end of a Pipeline, inside
    TransformedTargetRegressor, MultiOutputClassifier, MultiOutputRegressor or OneVsRestClassifier, or both. A callable
    must be a function of pairs of rows, as every kernel is. With transformers in front, what they learn differs from
    fold to fold: each is fitted to the training rows of each fold, once, and a kernel is evaluated once a fold. Any
    other estimator is searched as by GridSearchCV, with a warning.

    Parameters
    ----------
    estimator : estimator
        Such as ``NeuralKernelClassifier(NTK(FullyConnected()))``. Its `engine` evaluates the kernels.
    param_grid : dict or list of dict
        From parameter name to a list of values. For a random search, give single points, as in the example.
    scoring, refit, cv, verbose, error_score, return_train_score
        As in GridSearchCV. A scoring function of one's own is given a stand-in for the estimator, which predicts and
        scores as the estimator does but has another kernel inside. The best estimator is refitted as it is, to rows.
    n_jobs : int, default=None
        Threads, whatever joblib's backend: matrices are shared, and LAPACK lets other threads run. Results do not
        depend on it.
    pre_dispatch : int or str, default="2*n_jobs"
        As in GridSearchCV.

    Attributes
    ----------
    cv_results_ : dict of ndarrays
        As of GridSearchCV, in the grid's order; `mean_fit_time` is the fit's own time and an equal share of what the
        evaluation of its kernel took.
    gram_time_ : float
        Seconds of evaluating kernels, transformers in front included, in all.
    best_estimator_, best_params_, best_score_, best_index_, scorer_, n_splits_, refit_time_, multimetric_, classes_,
    n_features_in_, feature_names_in_
        As of GridSearchCV.

    See Also
    --------
    sklearn.model_selection.GridSearchCV : Whose documentation holds here.

    Notes
    -----
    For p distinct kernels, q settings of the solver and k folds, kernels are evaluated for p n^2 / 2 pairs in place of
    about p q k n^2 / 2, and p q k systems of n (k - 1) / k rows are solved in either. So an expensive kernel becomes
    nearly q k times cheaper, while with a cheap one the solves remain.

    Memory: one matrix of all rows, n^2 numbers, besides what one fit needs; all depths of a network where the
    `memory` of the engine allows, else as many of them at a time as it does. With transformers in front, one matrix for
    each fold. With threads, the next kernel's is there before the last one's fits have ended. Matrices that a quarter
    of the available memory still holds are found by the refit; give the estimator ``Engine(cache=Cache())``, and the
    next search finds them, too.

    Examples
    --------
    >>> import numpy as np
    >>> from ntkkit import NTK, FullyConnected, KernelSearchCV, NeuralKernelRegressor
    >>> X = np.linspace(-1, 1, 20)[:, None]
    >>> grid = {"kernel__network__depth": [0, 1, 2], "alpha": [1e-3, 1e-1, 10.0]}
    >>> search = KernelSearchCV(NeuralKernelRegressor(NTK(FullyConnected())), grid, cv=4)
    >>> search.fit(X, np.abs(X[:, 0])).best_params_["alpha"]
    0.001

    A random search, over points of scikit-learn's ParameterSampler:

    >>> from scipy.stats import loguniform
    >>> from sklearn.model_selection import ParameterSampler
    >>> points = ParameterSampler(
    ...     {"kernel__network__depth": [0, 1, 2], "alpha": loguniform(1e-3, 10.0)}, n_iter=4, random_state=0
    ... )
    >>> search.set_params(param_grid=[{name: [value] for name, value in p.items()} for p in points])
    ... # doctest: +ELLIPSIS
    KernelSearchCV(...)
    >>> len(search.fit(X, np.abs(X[:, 0])).cv_results_["params"])
    4

    Successive halving by hand: search with ``cv=ShuffleSplit(train_size=...)``, whose kernels are evaluated on the rows
    that it draws alone, where that is cheaper; then give the points of best `rank_test_score` as the next grid.
    """

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags = get_tags(self.estimator).target_tags
        return tags

    @_fit_context(prefer_skip_nested_validation=False)
    def fit(self, X: Any, y: Any = None, **params: Any) -> Self:
        """Search, and refit with the best.

        Parameters
        ----------
        X : array-like of shape (n_samples, ...)
            What the estimator takes in fit.
        y : array-like of shape (n_samples,) or (n_samples, n_outputs), optional
            Targets.
        **params
            As in GridSearchCV: of the estimator's fit, cut along with X if there is one a sample, such as
            `sample_weight`; and `groups` for the splitter.

        Returns
        -------
        self
            The fitted search. Where fit raises, it is as it was before.

        Raises
        ------
        ValueError
            If y is missing where the estimator needs it, all fits fail, or the grid names an unknown parameter.

        Warns
        -----
        UserWarning
            If some kernels cannot be shared: with the reason.
        """
        with all_or_nothing(self):
            X, y = indexable(X, y)
            if y is None and get_tags(self.estimator).target_tags.required:
                raise ValueError(f"{type(self).__name__} requires y to be passed, but the target y is None.")
            folds = Folds(check_cv(self.cv, y, classifier=is_classifier(self.estimator)), X)
            points, n_samples = ParameterGrid(self.param_grid), _num_samples(X)
            cache = Cache(memory=CACHE_MEMORY)
            candidates = plan(self.estimator, points, n_samples=n_samples, has_params=bool(params))
            for candidate in candidates:
                if candidate.shared is not None:
                    candidate.shared.remember_in(cache)
            search = _Search(
                _OnRows(self.estimator, folds, cache=cache),
                candidates,
                scoring=_on_data(self.scoring),
                n_jobs=self.n_jobs,
                refit=self.refit,
                cv=folds,
                verbose=self.verbose,
                pre_dispatch=self.pre_dispatch,
                error_score=self.error_score,
                return_train_score=self.return_train_score,
            )
            with parallel_config(backend="threading"):  # the matrices are shared, and LAPACK lets threads run
                search.fit(Rows.of(n_samples), y, **params)
            found = {name: value for name, value in vars(search).items() if name.endswith("_") and name[0] != "_"}
            self.__dict__.update(found)
            shared = {id(candidate.shared): candidate.shared for candidate in candidates}
            self.gram_time_ = sum(one.seconds for one in shared.values() if one is not None)
            scorers, _ = self._get_scorers()
            self.scorer_ = getattr(scorers, "_scorers", scorers)
            if self.refit:
                self.best_estimator_ = search.best_estimator_.fitted_
        return self


class _Search(BaseSearchCV):
    """A search over candidates, in their order; results are in the grid's."""

    def __init__(self, estimator: Any, candidates: list[Candidate], **settings: Any) -> None:
        super().__init__(estimator, **settings)
        self.candidates = candidates

    def _run_search(self, evaluate_candidates: Callable[[list[dict[str, Any]]], Any]) -> None:
        evaluate_candidates([{"candidate": candidate} for candidate in self.candidates])

    def _format_results(self, candidate_params: Any, n_splits: int, out: Any, more_results: Any = None) -> Any:
        candidates = [params["candidate"] for params in candidate_params]
        by_number: list[Any] = [None] * len(candidates)
        for start, candidate in zip(range(0, len(out), n_splits), candidates, strict=True):
            fits = out[start : start + n_splits]
            by_number[candidate.number] = fits
            for split, fit in enumerate(fits):
                if candidate.shared is not None:
                    own = fit["fit_time"] - candidate.waits.get(split, 0.0)
                    fit["fit_time"] = own + candidate.shared.share_of_time(self.cv)
        points = [candidate.params for candidate in sorted(candidates, key=lambda candidate: candidate.number)]
        return super()._format_results(points, n_splits, [fit for fits in by_number for fit in fits], more_results)


class _OnRows(BaseEstimator):
    """An estimator that is given numbers of rows. If it shares a matrix, these are all that it is fitted to."""

    def __init__(self, estimator: Any, folds: Folds, candidate: Candidate | None = None, *, cache: Cache) -> None:
        self.estimator = estimator
        self.folds = folds
        self.candidate = candidate
        self.cache = cache

    def __sklearn_clone__(self) -> Self:
        return type(self)(clone(self.estimator), self.folds, self.candidate, cache=self.cache)

    def __sklearn_tags__(self) -> Any:
        tags = get_tags(self.estimator)
        tags.input_tags.pairwise = False
        return tags

    def get_metadata_routing(self) -> Any:
        return get_routing_for_object(self.estimator)

    def set_params(self, **params: Any) -> Self:
        if "candidate" in params:
            self.candidate = params["candidate"]
            self.estimator = clone(self.candidate.estimator)
        else:
            self.estimator.set_params(**params)
        return self

    def fit(self, X: Rows, y: Any = None, **params: Any) -> Self:
        self.fitted_, self._rows = self.estimator, np.asarray(X)
        self._stored: Stored | None = None
        self._shown: tuple[Any, Any] = (None, None)
        if self.candidate is not None and self.candidate.shared is not None:
            self._stored = self._take(self.candidate, self.candidate.shared, y, params)
            self.fitted_.set_params(**{self.candidate.kernel_name: self._stored})
        read = self._as_read(X)
        with remembering(self.fitted_, self.cache):  # the refit to all rows finds their matrix
            self.fitted_.fit(read, **params) if y is None else self.fitted_.fit(read, y, **params)
        return self

    def _take(self, candidate: Candidate, shared: Shared, y: Any, params: dict[str, Any]) -> Stored:
        """The candidate's kernel for these rows; takes from `params` what the preparation's fit wants."""
        front = {name: params.pop(name) for name in list(params) if name.split("__")[0] in candidate.front_steps}
        start = time.time()
        try:
            matrices = shared.matrices(candidate.kernel, self.folds, self._rows, y, front)
        finally:
            candidate.wait(self.folds.number(self._rows), time.time() - start)
        return Stored(matrices, self._rows, self.folds)

    def show(self, rows: Rows) -> Any:
        """The data of these rows, to be known again."""
        self._shown = (self.folds.data(rows), rows)
        return self._shown[0]

    def _as_read(self, X: Any) -> Any:
        """What the fitted estimator reads in place of rows, numbers of rows, or rows that it has shown."""
        if X is self._shown[0]:
            X = self._shown[1]
        if self._stored is not None:
            return self._stored.inputs(np.asarray(X)) if isinstance(X, Rows) else self._stored.new_inputs(X)
        if isinstance(X, Rows):
            return _safe_split(self.fitted_, self.folds.X, None, np.asarray(X), self._rows)[0]
        return X

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") or "estimator" not in vars(self):
            raise AttributeError(name)
        value = getattr(vars(self).get("fitted_", self.estimator), name)
        if name not in RESPONSES:
            return value

        @functools.wraps(value)
        def respond(X: Any, *args: Any, **kwargs: Any) -> Any:
            return value(self._as_read(X), *args, **kwargs)

        return respond


def _on_data(scoring: Any) -> Any:
    """Let scoring functions that are not scikit-learn's see the data in place of numbers of rows."""
    if isinstance(scoring, dict):
        return {name: _on_data(scorer) for name, scorer in scoring.items()}
    if not callable(scoring) or isinstance(scoring, SCORER):
        return scoring

    @functools.wraps(scoring)
    def on_rows(estimator: _OnRows, X: Rows, *args: Any, **kwargs: Any) -> Any:
        return scoring(estimator, estimator.show(X), *args, **kwargs)

    return on_rows
