"""The data of a search, and its splits. scikit-learn gets numbers of rows in its place, so that fits know theirs."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.utils import _safe_indexing
from sklearn.utils.metadata_routing import get_routing_for_object


class Rows(np.ndarray):
    """Numbers of rows, in place of the rows. What scikit-learn cuts from it is of this type, too."""

    @classmethod
    def of(cls, n_samples: int) -> Rows:
        return np.arange(n_samples).view(cls)


class Folds:
    """A splitter that splits the data in place of the numbers of its rows, and remembers how.

    Parameters
    ----------
    cv : splitter
    X : indexable of length n_samples
        The data.
    """

    def __init__(self, cv: Any, X: Any) -> None:
        self.cv = cv
        self.X = X

    def get_n_splits(self, X: Any = None, y: Any = None, **params: Any) -> int:
        return self.cv.get_n_splits(self.X, y, **params)

    def split(self, X: Rows, y: Any = None, **params: Any) -> list[tuple[Any, Any]]:
        splits = list(self.cv.split(self.X, y, **params))
        self.trains = [np.asarray(X[train]) for train, _ in splits]
        self.tests = [np.asarray(X[test]) for _, test in splits]
        self._numbers = {train.tobytes(): i for i, train in reversed(list(enumerate(self.trains)))}
        return splits

    def get_metadata_routing(self) -> Any:
        return get_routing_for_object(self.cv)

    def data(self, rows: np.ndarray) -> Any:
        """The rows of these numbers."""
        return _safe_indexing(self.X, np.asarray(rows))

    def number(self, train: np.ndarray) -> int:
        """The number of the (first) split with this training set."""
        return self._numbers[np.asarray(train).tobytes()]

    def used(self) -> np.ndarray:
        """The rows of all splits."""
        return np.unique(np.concatenate([*self.trains, *self.tests]))

    def one_matrix_is_less(self) -> bool:
        """Whether the pairs of all used rows are no more than those of the splits, one by one."""
        apart = sum(
            len(train) ** 2 / 2 + len(train) * len(test) for train, test in zip(self.trains, self.tests, strict=True)
        )
        return len(self.used()) ** 2 / 2 <= apart
