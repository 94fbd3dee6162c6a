"""What is to be learned: training and test rows, and how a model must prepare them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from ntkkit.datasets import load_fashion_mnist

Task = Literal["classification", "regression"]

CLOTHES = "kind of clothing"


class ReportError(Exception):
    """Something that the user can put right; the message is one line and says how."""


@dataclass(frozen=True)
class Grids:
    """What is searched; models whose fits are dear get fewer settings.

    Attributes
    ----------
    depths, weight_vars, bias_vars : tuple
        Of the fully connected or recurrent network behind the NTK.
    conv_depths : tuple
        Of convolutional networks, for pictures; empty where they are not compared.
    readouts : tuple
        Of recurrent networks, for sequences; empty where they are not compared.
    relative_alphas : tuple
        Ridge terms, as multiples of the mean of the kernel's diagonal.
    Cs, relative_gammas : tuple
        Of the SVM; gammas as multiples of scikit-learn's "scale", 1 / (n_features var(X)).
    relative_max_features, min_samples_leaf : tuple
        Of the forest; as multiples of sqrt(n_features) for classes, of n_features / 3 for numbers.
    learning_rates, weight_decays : tuple
        Of the trained network.
    n_trees, width, n_epochs : int
        Not searched: trees of the forest, units or channels of each hidden layer, and passes over the data in training.
    """

    depths: tuple[int, ...] = (1, 2, 4)
    weight_vars: tuple[float, ...] = (1.0, 2.0)
    bias_vars: tuple[float, ...] = (0.01, 0.1)
    conv_depths: tuple[int, ...] = ()
    readouts: tuple[str, ...] = ()
    relative_alphas: tuple[float, ...] = (1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1)
    Cs: tuple[float, ...] = (1.0, 4.0, 16.0, 64.0)
    relative_gammas: tuple[float, ...] = (0.5, 1.0, 2.0, 4.0)
    relative_max_features: tuple[float, ...] = (0.5, 1.0)
    min_samples_leaf: tuple[int, ...] = (1, 2, 4)
    learning_rates: tuple[float, ...] = (5e-4, 2e-3)
    weight_decays: tuple[float, ...] = (1e-4, 1e-1)
    n_trees: int = 100
    width: int = 128
    n_epochs: int = 30


@dataclass(frozen=True)
class Problem:
    """Rows to learn from and rows to test on.

    Attributes
    ----------
    title : str
        The name of the data.
    task : {"classification", "regression"}
    X_train, X_test : array or data frame, one row a sample
    y_train, y_test : ndarray
        Labels, or numbers.
    target : str
        What y is called.
    facts : tuple of str
        One line each: what the data are, and what was done to them.
    prepare : transformer or "passthrough"
        Put in front of every model.
    grids : Grids
    image_shape : (height, width), optional
        Rows are pictures of this shape, flattened.
    """

    title: str
    task: Task
    X_train: Any
    y_train: np.ndarray
    X_test: Any
    y_test: np.ndarray
    target: str
    facts: tuple[str, ...] = ()
    prepare: Any = "passthrough"
    grids: Grids = field(default_factory=Grids)
    image_shape: tuple[int, int] | None = None


def fashion_problem() -> Problem:
    """The shipped pictures of clothes, pixels from 0 to 1, official split."""
    data = load_fashion_mnist()
    X = data.data.reshape(len(data.data), -1).astype(np.float32) / 255
    y = data.target_names[data.target]
    train, test = data.train_idx, data.test_idx
    height, width = data.data.shape[1:3]
    fact = (
        f"{len(train)} training and {len(test)} test pictures of {height} x {width} pixels, "
        f"{len(data.target_names)} kinds of clothes; the official split, pixels scaled to [0, 1]."
    )
    settings = {"facts": (fact,), "image_shape": (height, width)}
    return of_split("Fashion-MNIST", X, y, train, test, target=CLOTHES, **settings)


def of_split(
    title: str, X: np.ndarray, y: np.ndarray, train: np.ndarray, test: np.ndarray, *, target: str, **settings: Any
) -> Problem:
    """The problem of telling classes, by samples of X that are trained and tested on."""
    return Problem(
        title=title,
        task="classification",
        X_train=X[train],
        y_train=y[train],
        X_test=X[test],
        y_test=y[test],
        target=target,
        **settings,
    )
