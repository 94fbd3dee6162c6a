"""Labels as the machines see them: targets +1 and -1, one column a class or a label."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.utils.class_weight import compute_sample_weight
from sklearn.utils.multiclass import check_classification_targets, type_of_target


@dataclass(frozen=True)
class Labels:
    """What the targets of a classification stand for.

    Attributes
    ----------
    classes : ndarray of shape (n_classes,)
        The labels, sorted; with `multilabel` the numbers of the columns.
    multilabel : bool
        Whether a sample has any number of labels, each a column of zeros and ones.
    """

    classes: np.ndarray
    multilabel: bool

    def encode(self, y: np.ndarray) -> np.ndarray:
        """Targets +1 and -1: (n,) for two classes, else (n, n_classes)."""
        if self.multilabel:
            return np.where(y > 0, 1.0, -1.0)
        targets = np.where(y[:, None] == self.classes, 1.0, -1.0)
        return targets[:, 1] if len(self.classes) == 2 else targets

    def decode(self, scores: np.ndarray) -> np.ndarray:
        """Labels of the largest scores, (n,); with `multilabel` the columns of positive score, (n, n_labels)."""
        if self.multilabel:
            return (scores > 0).astype(int)
        return self.classes[(scores > 0).astype(int) if scores.ndim == 1 else scores.argmax(axis=-1)]


def is_multilabel(y: Any) -> bool:
    """Say whether y has several columns, all of zeros and ones.

    Raises
    ------
    ValueError
        If it has several columns of something else.
    """
    try:
        shape = np.asarray(y).shape
    except ValueError:  # lists of different lengths: whoever validates y will say so
        return False
    if len(shape) != 2 or shape[1] < 2:
        return False
    found = type_of_target(np.asarray(y), input_name="y")
    if found != "multilabel-indicator":
        raise ValueError(
            f"y must be 1-D, or zeros and ones with a column a label; found shape {shape} ({found}): for several "
            "multiclass targets, wrap the classifier in sklearn.multioutput.MultiOutputClassifier."
        )
    return True


def find_labels(y: np.ndarray, *, multilabel: bool) -> Labels:
    """Labels of checked targets.

    Raises
    ------
    ValueError
        If there are fewer than two classes.
    """
    if multilabel:
        return Labels(np.arange(y.shape[1]), True)
    check_classification_targets(y)
    classes = np.unique(y)
    if len(classes) < 2:
        raise ValueError(
            "y must have at least two classes among the samples of positive sample_weight, found one class: "
            f"{classes[0]!r}."
        )
    return Labels(classes, False)


def times_class_weights(weights: np.ndarray | None, y: np.ndarray, *, class_weight: Any) -> np.ndarray | None:
    """The samples' weights, multiplied by those of their classes.

    Raises
    ------
    ValueError
        If the weights name a class that is not there, or are not positive.
    """
    if class_weight is None:
        return weights
    by_class = compute_sample_weight(class_weight, y)
    if not (np.isfinite(by_class).all() and by_class.min() > 0):
        raise ValueError(
            f"class_weight must be finite and positive, found {class_weight!r}; to leave a class out, leave out its "
            "samples."
        )
    return by_class if weights is None else weights * by_class


def encode_weighted(
    labels: Labels, y: np.ndarray, weights: np.ndarray | None, *, class_weight: Any
) -> tuple[np.ndarray, Any, np.ndarray | None]:
    """Targets less their weighted mean, that mean, and the samples' weights; the mean is 0 without class weights.

    Raises
    ------
    ValueError
        If a sample has several labels, or as `times_class_weights`.
    """
    targets = labels.encode(y)
    if class_weight is None:
        return targets, 0.0, weights
    if labels.multilabel:
        raise ValueError(f"class_weight={class_weight!r} needs one label a sample; use sample_weight for several.")
    weights = times_class_weights(weights, y, class_weight=class_weight)
    mean = np.average(targets, axis=0, weights=weights)
    return targets - mean, mean, weights
