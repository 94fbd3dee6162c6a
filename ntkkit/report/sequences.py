"""Sequences of unequal lengths: the shipped utterances as a problem, and what is compared on them."""

from __future__ import annotations

import importlib.util
import itertools
import warnings
from dataclasses import replace
from typing import Any, Self

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.preprocessing import FunctionTransformer
from sklearn.utils.validation import check_is_fitted

from ntkkit.datasets import load_japanese_vowels
from ntkkit.estimators import NeuralKernelClassifier
from ntkkit.kernels import NTK
from ntkkit.kernels.sequences import as_sequences
from ntkkit.model_selection import KernelSearchCV
from ntkkit.networks import Recurrent
from ntkkit.networks.sequences import lengths
from ntkkit.report.models import (
    NTK_MACHINE,
    Candidate,
    as_candidate,
    finite_network,
    kernel_grid,
    support_vectors,
)
from ntkkit.report.problem import Grids, Problem, of_split

SEQUENCE_GRIDS = Grids(
    depths=(1, 2),
    readouts=("last", "mean"),
    learning_rates=(0.03, 0.1),
    n_epochs=120,
)


def sequences_problem() -> Problem:
    """The shipped utterances, official split; features standardised by the steps of the training sequences."""
    data = load_japanese_vowels()
    train, test = data.train_idx, data.test_idx
    X, y = standardised(data.data, train), data.target_names[data.target]
    shortest, longest = data.lengths.min(), data.lengths.max()
    facts = [
        f"{len(train)} training and {len(test)} test utterances of {len(np.unique(y))} speakers; the official split.",
        f"Sequences of {shortest} to {longest} steps of {X.shape[2]} features, standardised by the training steps.",
    ]
    if not has_dtw():
        facts.append('Dynamic time warping is left out: tslearn not found (pip install "ntkkit[benchmark]").')
    settings = {"facts": tuple(facts), "grids": SEQUENCE_GRIDS}
    return of_split("Japanese Vowels", X, y, train, test, target="speaker", **settings)


def standardised(X: np.ndarray, train: np.ndarray) -> np.ndarray:
    """Sequences (n, T, m) whose features have mean 0 and standard deviation 1 over all steps of the rows `train`."""
    return (X - np.nanmean(X[train], axis=(0, 1))) / np.nanstd(X[train], axis=(0, 1))


def zero_padded(X: np.ndarray) -> np.ndarray:
    """Sequences (n, T, m), NaN behind their ends, as rows (n, T m), zero there."""
    return np.nan_to_num(X).reshape(len(X), -1)


def recurrent_machine(problem: Problem, X: np.ndarray) -> Candidate:
    """Kernel ridge with the NTK of a recurrent ReLU network; `alpha` is scaled as in `ntk_machine`."""
    grids = problem.grids
    varied = {
        "depth": grids.depths,
        "recurrent_weight_var": grids.weight_vars,
        "bias_var": grids.bias_vars,
        "readout": grids.readouts,
    }
    grid = kernel_grid(Recurrent(), varied, grids.relative_alphas, X)
    candidate = as_candidate(NTK_MACHINE, NeuralKernelClassifier(NTK(Recurrent())), grid, problem)
    return replace(candidate, search=KernelSearchCV)


def padded_support_vectors(problem: Problem, X: np.ndarray) -> Candidate:
    """A support vector machine with the Gaussian kernel, on sequences filled up with zeros."""
    return support_vectors(replace(problem, prepare=FunctionTransformer(zero_padded)), zero_padded(X))


def trained_rnn(problem: Problem, X: np.ndarray, *, chosen: dict[str, Any], random_state: int) -> Candidate:
    """The network of finite width behind the chosen kernel, trained by gradient descent."""
    grids = problem.grids
    network = Recurrent(**{name: value for name, value in chosen.items() if name != "alpha"})
    model = finite_network(network, grids, random_state=random_state)
    grid = {"learning_rate": list(grids.learning_rates)}
    return as_candidate(f"Trained RNN ({network.depth} x {grids.width})", model, [grid], problem)


def nearest_neighbour(problem: Problem, X: np.ndarray) -> Candidate:
    """The nearest training sequence; nothing to be tuned."""
    return as_candidate("1-NN (DTW)", NearestNeighbour(), [{}], problem)


def has_dtw() -> bool:
    """Whether the library with dynamic time warping is installed."""
    return importlib.util.find_spec("tslearn") is not None


class NearestNeighbour(ClassifierMixin, BaseEstimator):
    """The class of the nearest sequence by dynamic time warping, without a window. For three classes or more."""

    def fit(self, X: np.ndarray, y: np.ndarray) -> Self:
        """Keep sequences and their labels."""
        self.classes_, self.codes_ = np.unique(y, return_inverse=True)
        self.X_ = X
        return self

    def decision_function(self, X: np.ndarray) -> np.ndarray:
        """How near each class is: minus the distance to the nearest of its sequences."""
        check_is_fitted(self)
        distances = dtw(X, self.X_)
        nearest = [distances[:, self.codes_ == code].min(axis=1) for code in range(len(self.classes_))]
        return -np.stack(nearest, axis=1)

    def predict(self, X: np.ndarray) -> np.ndarray:
        """The class of the nearest sequence."""
        return self.classes_[self.decision_function(X).argmax(axis=1)]


def dtw(X: np.ndarray, Y: np.ndarray, **window: Any) -> np.ndarray:
    """Distances by dynamic time warping, (n, T, m), (k, S, m) -> (n, k); `window` as tslearn's `cdist_dtw` takes it.

    Sequences of one length at a time: in padded ones tslearn looks for the ends of every pair, which takes five times
    as long as the distances.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="h5py not installed")  # for files, which are not used
        from tslearn.metrics import cdist_dtw
    X, Y = as_sequences(X), as_sequences(Y)
    X_lengths, Y_lengths = lengths(X), lengths(Y)
    distances = np.empty((len(X), len(Y)))
    for n_steps, m_steps in itertools.product(np.unique(X_lengths), np.unique(Y_lengths)):
        rows, columns = np.flatnonzero(X_lengths == n_steps), np.flatnonzero(Y_lengths == m_steps)
        distances[np.ix_(rows, columns)] = cdist_dtw(X[rows, :n_steps], Y[columns, :m_steps], **window)
    return distances
