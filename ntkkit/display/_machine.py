"""What is inside of pipelines and searches."""

from __future__ import annotations

from typing import Any

from sklearn.pipeline import Pipeline
from sklearn.utils.validation import check_is_fitted


def find_machine(estimator: Any, X: Any = None) -> tuple[Any, Any]:
    """The last fitted estimator in searches and pipelines, and X, where given, as the steps before it transform it.

    Raises
    ------
    NotFittedError
        If it is not fitted.
    """
    check_is_fitted(estimator)
    if hasattr(estimator, "best_estimator_"):
        return find_machine(estimator.best_estimator_, X)
    if not isinstance(estimator, Pipeline):
        return estimator, X
    if X is not None and len(estimator) > 1:
        X = estimator[:-1].transform(X)
    return find_machine(estimator[-1], X)
