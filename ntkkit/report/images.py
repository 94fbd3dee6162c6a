"""Pictures read as pictures: a problem small enough for kernels of convolutional networks, and their candidates."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

import numpy as np
from sklearn.gaussian_process.kernels import Kernel as SklearnKernel

from ntkkit.datasets import load_fashion_mnist
from ntkkit.engine import Engine
from ntkkit.estimators import ImageStandardizer, NeuralKernelClassifier
from ntkkit.kernels import NTK
from ntkkit.networks import Convolutional
from ntkkit.networks.network import Network
from ntkkit.report.models import NTK_MACHINE, Candidate, as_candidate, finite_network
from ntkkit.report.problem import CLOTHES, Grids, Problem, of_split

# Training pictures, and as many to test on: the time of the kernels grows with the square.
N_PICTURES = 120
# Pixels of a side that are averaged: the time grows with the inverse fourth power.
BLOCK = 2
IMAGE_GRIDS = Grids(conv_depths=(1, 2, 3), learning_rates=(0.02, 0.06), width=32, n_epochs=120)


def images_problem() -> Problem:
    """The first shipped pictures of each kind of clothes, official split, averaged over blocks and standardised."""
    data = load_fashion_mnist()
    y = data.target_names[data.target]
    train, test = (_first_of_each(y, rows, N_PICTURES) for rows in (data.train_idx, data.test_idx))
    X, side = averaged(data.data, BLOCK), data.data.shape[1] // BLOCK
    X = ImageStandardizer().fit(X[train]).transform(X)
    facts = (
        f"The first {len(train)} training and {len(test)} test pictures of the official split, "
        f"{len(data.target_names)} kinds of clothes alike.",
        f"To save time, means over {BLOCK} x {BLOCK} pixels: {side} x {side}, standardised by the training pixels.",
    )
    settings = {"facts": facts, "grids": IMAGE_GRIDS, "image_shape": (side, side)}
    return of_split("Fashion-MNIST as pictures", X, y, train, test, target=CLOTHES, **settings)


def averaged(images: np.ndarray, block: int) -> np.ndarray:
    """Means over blocks of block x block pixels: (n, H, W, 1) of 0 to 255 -> float32 rows of 0 to 1."""
    n, height, width, _ = images.shape
    blocks = images.reshape(n, height // block, block, width // block, block)
    return blocks.mean(axis=(2, 4), dtype=np.float32).reshape(n, -1) / 255


def _first_of_each(y: np.ndarray, rows: np.ndarray, size: int) -> np.ndarray:
    """Of these rows, in order, the first of each label, `size` in all."""
    labels = np.unique(y[rows])
    return np.sort(np.concatenate([rows[y[rows] == label][: size // len(labels)] for label in labels]))


class KernelTable:
    """The NTKs of a network at several depths: each pair evaluated once, however folds and fits slice them.

    Parameters
    ----------
    network : Network
        Of a family with a depth.
    X : ndarray of shape (n, d)
        The training rows: each pair that is asked for has one of them.
    depths : sequence of int
    """

    def __init__(self, network: Network, X: np.ndarray, depths: Sequence[int]) -> None:
        self.kernel, self.X, self.depths = NTK(network), X, list(depths)
        self._places = {row.tobytes(): place for place, row in enumerate(X)}
        self._values = Engine().gram_at_depths(self.kernel, X, depths=self.depths)

    def __sklearn_clone__(self) -> Self:
        return self

    def block(self, depth: int, X: np.ndarray, Y: np.ndarray) -> np.ndarray:
        """The kernel of all pairs: (n, d), (m, d) -> (n, m), Y of training rows."""
        keys = [row.tobytes() for row in X]
        new = {key: row for key, row in zip(keys, X, strict=True) if key not in self._places}
        if new:
            values = Engine().gram_at_depths(self.kernel, np.stack(list(new.values())), self.X, depths=self.depths)
            self._places |= {key: self._values.shape[1] + i for i, key in enumerate(new)}
            self._values = np.concatenate([self._values, values], axis=1)
        rows = [self._places[key] for key in keys]
        columns = [self._places[row.tobytes()] for row in Y]
        return self._values[self.depths.index(depth)][np.ix_(rows, columns)]


class TabulatedKernel(SklearnKernel):
    """A kernel that is looked up.

    Parameters
    ----------
    table : KernelTable
    depth : int
        One of the table's.
    """

    def __init__(self, table: KernelTable, depth: int) -> None:
        self.table = table
        self.depth = depth

    @property
    def network(self) -> Network:
        """Whose kernel it is."""
        return self.table.kernel.network.replace(depth=self.depth)

    def __call__(self, X: np.ndarray, Y: np.ndarray | None = None, eval_gradient: bool = False) -> np.ndarray:
        return self.table.block(self.depth, X, X if Y is None else Y)

    def diag(self, X: np.ndarray) -> np.ndarray:
        return self(X).diagonal().copy()

    def is_stationary(self) -> bool:
        return False


def convolutional_machine(problem: Problem, X: np.ndarray, *, pooling: str) -> Candidate:
    """Kernel ridge with the NTK of a convolutional ReLU network; `alpha` is scaled as in `ntk_machine`."""
    grids = problem.grids
    table = KernelTable(_network(problem, pooling=pooling), problem.X_train, grids.conv_depths)
    grid: list[dict[str, list[Any]]] = []
    for depth in grids.conv_depths:
        scale = float(TabulatedKernel(table, depth).diag(X).mean())
        alphas = [scale * alpha for alpha in grids.relative_alphas]
        grid.append({"kernel__depth": [depth], "alpha": alphas})
    model = NeuralKernelClassifier(TabulatedKernel(table, grids.conv_depths[0]))
    return as_candidate(f"{NTK_MACHINE} ({pooling})", model, grid, problem)


def trained_cnn(problem: Problem, X: np.ndarray, *, chosen: dict[str, Any], random_state: int) -> Candidate:
    """The network of finite width behind the "gap" machine, trained by gradient descent."""
    grids, depth = problem.grids, chosen["depth"]
    model = finite_network(_network(problem, depth=depth), grids, random_state=random_state)
    grid = {"learning_rate": list(grids.learning_rates)}
    return as_candidate(f"Trained CNN ({depth} x {grids.width})", model, [grid], problem)


def _network(problem: Problem, **params: Any) -> Convolutional:
    return Convolutional(input_shape=(*(problem.image_shape or ()), 1), **params)
