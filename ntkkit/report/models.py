"""What is compared: the kernel machine of an infinitely wide network and three peers, each with its grid."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from sklearn.base import clone
from sklearn.compose import TransformedTargetRegressor
from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor
from sklearn.model_selection import GridSearchCV
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC, SVR

from ntkkit.estimators import FiniteNetworkClassifier, NeuralKernelClassifier, NeuralKernelRegressor
from ntkkit.kernels import NTK
from ntkkit.model_selection import KernelSearchCV
from ntkkit.networks import FullyConnected
from ntkkit.networks.network import Network
from ntkkit.report.problem import Grids, Problem

Grid = list[dict[str, list[Any]]]

NTK_MACHINE = "NTK machine"
LARGEST_BATCH = 100


@dataclass(frozen=True)
class Candidate:
    """One model, and the settings that a grid search tries.

    Attributes
    ----------
    name : str
    estimator : Pipeline
        The problem's preparation, then the model; for numbers, on standardised targets.
    grid : list of dict
        As GridSearchCV takes it, for this pipeline.
    prefix : str
        What the names in the grid begin with.
    search : type
        The grid search: KernelSearchCV for machines with kernels of ntkkit.
    """

    name: str
    estimator: Pipeline
    grid: Grid
    prefix: str
    search: type[GridSearchCV] = GridSearchCV


def as_candidate(name: str, model: Any, grid: Grid, problem: Problem) -> Candidate:
    """A model behind the problem's preparation, and its grid with the names that go with it."""
    prefix = "model__"
    if problem.task == "regression":
        model = TransformedTargetRegressor(model, transformer=StandardScaler(), check_inverse=False)
        prefix = "model__regressor__"
    estimator = Pipeline([("prepare", problem.prepare), ("model", model)])
    prefixed = [{prefix + key: values for key, values in part.items()} for part in grid]
    return Candidate(name, estimator, prefixed, prefix)


def prepared_rows(problem: Problem, rows: np.ndarray) -> np.ndarray:
    """Training rows as the models see them; the scales of the grids are taken from these."""
    X = problem.X_train.iloc[rows] if hasattr(problem.X_train, "iloc") else problem.X_train[rows]
    if problem.prepare == "passthrough":
        return X
    return clone(problem.prepare).fit_transform(X)


def prepared_tests(problem: Problem, rows: np.ndarray) -> np.ndarray:
    """The test rows as models see them that are trained on these training rows."""
    if problem.prepare == "passthrough":
        return problem.X_test
    X = problem.X_train.iloc[rows] if hasattr(problem.X_train, "iloc") else problem.X_train[rows]
    return clone(problem.prepare).fit(X).transform(problem.X_test)


def ntk_machine(problem: Problem, X: np.ndarray) -> Candidate:
    """Kernel ridge with the NTK of a fully connected ReLU network: the infinitely wide, fully trained network.

    The diagonal of the kernel grows with depth and variances, so each network gets its own `alpha`: multiples of the
    mean of its diagonal on the training rows.
    """
    grids = problem.grids
    varied = {"depth": grids.depths, "weight_var": grids.weight_vars, "bias_var": grids.bias_vars}
    grid = kernel_grid(FullyConnected(), varied, grids.relative_alphas, X)
    model = (NeuralKernelRegressor if problem.task == "regression" else NeuralKernelClassifier)(NTK(FullyConnected()))
    name = f"{NTK_MACHINE} (dense)" if grids.conv_depths else NTK_MACHINE
    return replace(as_candidate(name, model, grid, problem), search=KernelSearchCV)


def kernel_grid(
    network: Network, varied: Mapping[str, Sequence[Any]], relative_alphas: Sequence[float], X: np.ndarray
) -> Grid:
    """All combinations of a network's parameters, each with multiples of the mean of its NTK's diagonal as `alpha`."""
    grid: Grid = []
    for values in itertools.product(*varied.values()):
        params = dict(zip(varied, values, strict=True))
        scale = float(NTK(network.replace(**params)).diag(X).mean())
        networks = {f"kernel__network__{name}": [value] for name, value in params.items()}
        grid.append({**networks, "alpha": [scale * alpha for alpha in relative_alphas]})
    return grid


def support_vectors(problem: Problem, X: np.ndarray) -> Candidate:
    """A support vector machine with the Gaussian kernel."""
    grids = problem.grids
    scale = 1 / max(X.shape[1] * float(np.var(X, dtype=np.float64)), np.finfo(float).tiny)
    grid = {"C": list(grids.Cs), "gamma": [scale * gamma for gamma in grids.relative_gammas]}
    return as_candidate("SVM (RBF kernel)", SVR() if problem.task == "regression" else SVC(), [grid], problem)


def forest(problem: Problem, X: np.ndarray, *, random_state: int) -> Candidate:
    """A random forest."""
    grids, n_features = problem.grids, X.shape[1]
    regression = problem.task == "regression"
    usual = n_features / 3 if regression else math.sqrt(n_features)
    wanted = {min(max(round(usual * ratio), 1), n_features) for ratio in grids.relative_max_features}
    grid = {"max_features": sorted(wanted), "min_samples_leaf": list(grids.min_samples_leaf)}
    model = (RandomForestRegressor if regression else RandomForestClassifier)(grids.n_trees, random_state=random_state)
    return as_candidate("Random forest", model, [grid], problem)


def trained_network(problem: Problem, X: np.ndarray, *, chosen: dict[str, Any], random_state: int) -> Candidate:
    """A network of finite width and the chosen depth, trained by gradient descent (Adam) for a set number of epochs.

    Stopping there is the early stopping: none of the few rows is held out to decide when.
    """
    grids, depth = problem.grids, max(chosen["depth"], 1)
    model = (MLPRegressor if problem.task == "regression" else MLPClassifier)(
        hidden_layer_sizes=(grids.width,) * depth,
        batch_size=max(1, min(LARGEST_BATCH, len(X) // 4)),
        max_iter=grids.n_epochs,
        random_state=random_state,
    )
    grid = {"learning_rate_init": list(grids.learning_rates), "alpha": list(grids.weight_decays)}
    name = f"Trained net ({depth} x {grids.width})"
    return as_candidate(name, model, [grid], problem)


def finite_network(network: Network, grids: Grids, *, random_state: int) -> FiniteNetworkClassifier:
    """The mean of two trained networks of finite width; a fifth of the samples says when each is at its best."""
    return FiniteNetworkClassifier(
        network,
        width=grids.width,
        n_networks=2,
        batch_size=16,
        n_epochs=grids.n_epochs,
        early_stopping=True,
        validation_fraction=0.2,
        n_iter_no_change=30,
        random_state=random_state,
    )
