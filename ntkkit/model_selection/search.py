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

from ntkkit.estimators._validation import all_or_nothing
from ntkkit.model_selection.folds import Folds, Rows
from ntkkit.model_selection.grams import Matrices
from ntkkit.model_selection.plan import Candidate, plan

# What takes X first, and can be given a kernel matrix instead.
RESPONSES = ("predict", "predict_proba", "predict_log_proba", "decision_function", "score", "score_samples")
SCORER = type(get_scorer("accuracy"))  # what make_scorer returns: it hands X over to the estimator and no more


class KernelSearchCV(GridSearchCV):
    """placeholder"""

    @_fit_context(prefer_skip_nested_validation=False)
    def fit(self, X: Any, y: Any = None, **params: Any) -> Self:
        with all_or_nothing(self):
            X, y = indexable(X, y)
            folds = Folds(check_cv(self.cv, y, classifier=is_classifier(self.estimator)), X)
            candidates = plan(self.estimator, ParameterGrid(self.param_grid), has_params=bool(params))
            search = _Search(
                _OnRows(self.estimator, folds),
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
                search.fit(Rows.of(len_of(X)), y, **params)
            found = {name: value for name, value in vars(search).items() if name.endswith("_") and name[0] != "_"}
            vars(self).update(found)
            shared = {id(candidate.shared): candidate.shared for candidate in candidates}
            self.gram_time_ = sum(one.seconds for one in shared.values() if one is not None)
            scorers, _ = self._get_scorers()
            self.scorer_ = getattr(scorers, "_scorers", scorers)
            if self.refit:
                self.best_estimator_ = search.best_estimator_.fitted_
        return self


def len_of(X: Any) -> int:
    return X.shape[0] if hasattr(X, "shape") else len(X)


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
    """An estimator that is given numbers of rows: for a candidate that shares a matrix, it is fitted to blocks of that."""

    def __init__(self, estimator: Any, folds: Folds, candidate: Candidate | None = None) -> None:
        self.estimator = estimator
        self.folds = folds
        self.candidate = candidate

    def __sklearn_clone__(self) -> Self:
        return type(self)(clone(self.estimator), self.folds, self.candidate)

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
        self._matrices: Matrices | None = None
        self._shown: tuple[Any, Any] = (None, None)
        if self.candidate is None or self.candidate.shared is None:
            block = self._as_read(X)
        else:
            start = time.time()
            front = {name: params.pop(name) for name in list(params) if name.split("__")[0] in self.candidate.front_steps}
            try:
                self._matrices = self.candidate.shared.matrices(self.candidate.kernel, self.folds, self._rows, y, front)
            finally:
                waits, split = self.candidate.waits, self.folds.number(self._rows)
                waits[split] = waits.get(split, 0.0) + time.time() - start
            block = self._matrices.train(self._rows)
        self.fitted_.fit(block, **params) if y is None else self.fitted_.fit(block, y, **params)
        return self

    def show(self, rows: Rows) -> Any:
        """The data of these rows, to be known again."""
        self._shown = (self.folds.data(rows), rows)
        return self._shown[0]

    def _as_read(self, X: Any) -> Any:
        """What the fitted estimator reads in place of rows, numbers of rows, or rows that it has shown."""
        if X is self._shown[0]:
            X = self._shown[1]
        if self._matrices is None:
            return _safe_split(self.fitted_, self.folds.X, None, np.asarray(X), self._rows)[0] if isinstance(X, Rows) else X
        if isinstance(X, Rows):
            return self._matrices.cross(np.asarray(X), self._rows, self.folds)
        return self._matrices.new(X, self._rows)

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
