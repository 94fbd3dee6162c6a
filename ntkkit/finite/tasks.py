"""Tasks one after another, that differ in classes, in inputs or in targets: what a kernel does when its task shifts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import ndimage
from sklearn.utils import check_array, check_consistent_length, check_random_state

from ntkkit.networks.value import check_count


@dataclass(frozen=True, eq=False)
class Task:
    """Rows and targets of one task.

    Parameters
    ----------
    X : ndarray of shape (n, ...)
    y : ndarray of shape (n,)
        Classes, or numbers.
    name : str
        What is its own, in words.

    Examples
    --------
    >>> import numpy as np
    >>> Task(np.zeros((2, 3)), np.array([0, 1]), "both classes")
    Task('both classes', X of shape (2, 3))
    """

    X: np.ndarray
    y: np.ndarray
    name: str

    def __repr__(self) -> str:
        return f"Task({self.name!r}, X of shape {self.X.shape})"


@dataclass(frozen=True, eq=False)
class TaskSequence:
    """Tasks that a network is trained on one after another. Iterating gives (X, y) of each.

    Made by one of its class methods, which are of three families: other classes (`by_classes`, `by_overlap`), other
    inputs of the same classes (`permuted_inputs`, `rotated_inputs`, `rotated_images`), and other targets of the same
    inputs (`frequency_mixtures`). What is random depends on `random_state` alone.

    Parameters
    ----------
    tasks : tuple of Task
        In order, at least one.

    Raises
    ------
    ValueError
        If there is none, or inputs of tasks are of different shapes.

    References
    ----------
    arXiv 2507.16039: empirical NTK dynamics under task shifts.

    Examples
    --------
    >>> import numpy as np
    >>> sequence = TaskSequence.by_classes(np.eye(4), ["a", "b", "c", "d"])
    >>> [y.tolist() for X, y in sequence]
    [['a', 'b'], ['c', 'd']]
    >>> sequence
    TaskSequence(classes a, b -> classes c, d)
    """

    tasks: tuple[Task, ...]

    def __post_init__(self) -> None:
        shapes = sorted({task.X.shape[1:] for task in self.tasks})
        if len(shapes) != 1:
            raise ValueError(f"tasks must be at least one, with inputs of one shape; found shapes {shapes}.")

    def __len__(self) -> int:
        return len(self.tasks)

    def __getitem__(self, index: int) -> Task:
        return self.tasks[index]

    def __iter__(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        return ((task.X, task.y) for task in self.tasks)

    def __repr__(self) -> str:
        return f"TaskSequence({' -> '.join(task.name for task in self.tasks)})"

    @property
    def classes(self) -> np.ndarray:
        """The distinct targets of all tasks, sorted: the outputs of a network that learns them all."""
        return np.unique(np.concatenate([task.y for task in self.tasks]))

    def one_hot(self, y: Any) -> np.ndarray:
        """Targets (n, n_classes) of classes (n,): 1 for the class, 0 for all others of any task.

        Parameters
        ----------
        y : array-like of shape (n,)

        Returns
        -------
        ndarray of shape (n, n_classes)

        Raises
        ------
        ValueError
            If a class is of no task.
        """
        y, classes = np.asarray(y), self.classes
        if unknown := sorted(set(np.unique(y).tolist()) - set(classes.tolist())):
            raise ValueError(f"y has classes of no task: {unknown}.")
        return (y[:, None] == classes).astype(np.float64)

    @classmethod
    def by_classes(cls, X: Any, y: Any, *, splits: Sequence[Sequence[Any]] | None = None) -> TaskSequence:
        """Tasks of some classes each, with all their rows.

        Parameters
        ----------
        X : array-like of shape (n, ...)
            Rows or images.
        y : array-like of shape (n,)
            Classes.
        splits : sequence of sequences of classes, optional
            The classes of each task; a class may be of several. By default the first half of the sorted classes, then
            the other: of ten, five then five.

        Returns
        -------
        TaskSequence

        Raises
        ------
        ValueError
            If X or y is not finite or they do not fit, or a class has no rows.

        Examples
        --------
        >>> X, y = [[1.0], [2.0], [3.0]], [0, 1, 2]
        >>> TaskSequence.by_classes(X, y, splits=[[0, 1], [1, 2], [0]])
        TaskSequence(classes 0, 1 -> classes 1, 2 -> classes 0)
        """
        X, y = _check(X, y)
        classes = np.unique(y)
        halves = np.array_split(classes, [-(-len(classes) // 2)])
        chosen = [half for half in halves if len(half)] if splits is None else splits
        return cls(tuple(_of_classes(X, y, split) for split in chosen))

    @classmethod
    def by_overlap(
        cls,
        X: Any,
        y: Any,
        *,
        jaccard: float,
        n_classes: int = 5,
        new_rows: bool = False,
        random_state: Any = None,
    ) -> TaskSequence:
        """Two tasks of as many classes, of which some are of both: m of k make Jaccard's index m / (2 k - m).

        Parameters
        ----------
        X : array-like of shape (n, ...)
            Rows or images.
        y : array-like of shape (n,)
            Classes; the sorted ones are taken in order.
        jaccard : float
            From 0 (all classes are new) to 1 (none is), one of m / (2 n_classes - m), to two digits.
        n_classes : int, default=5
            Classes of each task, >= 1.
        new_rows : bool, default=False
            Whether classes of both come with other rows in the second: every task then has half of the rows of each of
            its classes. Otherwise it has them all.
        random_state : int, RandomState instance or None, default=None
            Which rows are new.

        Returns
        -------
        TaskSequence

        Raises
        ------
        ValueError
            If no number of shared classes makes the index, or there are too few classes, or rows of one.

        Examples
        --------
        >>> import numpy as np
        >>> X, y = np.zeros((8, 1)), [0, 0, 1, 1, 2, 2, 3, 3]
        >>> TaskSequence.by_overlap(X, y, jaccard=1 / 3, n_classes=2)
        TaskSequence(classes 0, 1 -> classes 1, 2)
        """
        X, y = _check(X, y)
        k = check_count(n_classes, "n_classes", low=1)
        indices = np.array([m / (2 * k - m) for m in range(k + 1)])
        n_shared = int(np.abs(indices - jaccard).argmin())
        if not abs(indices[n_shared] - jaccard) < 0.01:  # two digits say which
            known = ", ".join(f"{index:.3g}" for index in indices)
            raise ValueError(f"jaccard must be one of {known} for {k} classes a task, found {jaccard!r}.")
        chosen = np.unique(y)[: 2 * k - n_shared]
        if len(chosen) < 2 * k - n_shared:
            raise ValueError(f"jaccard={jaccard} needs {2 * k - n_shared} classes, found {len(chosen)} in y.")
        first = _halved(y, random_state) if new_rows else np.ones(len(y), bool)
        second = ~first if new_rows else first
        return cls((_of_classes(X[first], y[first], chosen[:k]), _of_classes(X[second], y[second], chosen[-k:])))

    @classmethod
    def permuted_inputs(
        cls, X: Any, y: Any, *, n_tasks: int = 2, fraction: float = 1.0, random_state: Any = None
    ) -> TaskSequence:
        """The same rows with features in another order: as they are, then in a random order a task.

        Parameters
        ----------
        X : array-like of shape (n, ...)
            Rows, or images, whose pixels are features.
        y : array-like of shape (n,)
            Targets.
        n_tasks : int, default=2
            >= 1.
        fraction : float, default=1.0
            How many of the features are permuted, from 0 to 1; those are drawn for each task.
        random_state : int, RandomState instance or None, default=None

        Returns
        -------
        TaskSequence

        Raises
        ------
        ValueError
            If X or y is not finite or they do not fit, or the fraction is not from 0 to 1.

        Examples
        --------
        >>> sequence = TaskSequence.permuted_inputs([[1.0, 2.0, 3.0]], [0], random_state=0)
        >>> [X.tolist() for X, y in sequence]
        [[[1.0, 2.0, 3.0]], [[3.0, 2.0, 1.0]]]
        """
        X, y = _check(X, y)
        if not 0 <= fraction <= 1:
            raise ValueError(f"fraction must be from 0 to 1, found {fraction!r}.")
        random, rows = check_random_state(random_state), X.reshape(len(X), -1)
        tasks = [Task(X, y, "inputs as they are")]
        for number in range(1, check_count(n_tasks, "n_tasks", low=1)):
            order = np.arange(rows.shape[1])
            chosen = random.permutation(len(order))[: round(fraction * len(order))]
            order[np.sort(chosen)] = chosen
            tasks.append(Task(rows[:, order].reshape(X.shape), y, f"permutation {number} of {len(chosen)} features"))
        return cls(tuple(tasks))

    @classmethod
    def rotated_inputs(
        cls, X: Any, y: Any, *, angles: Sequence[float] = (0.0, 90.0), random_state: Any = None
    ) -> TaskSequence:
        """The same rows turned by some angles, all about the origin in the same random planes.

        R = cos(a) I + sin(a) J, with J a quarter turn in each of d / 2 random orthogonal planes: every row makes the
        angle a with its image. Of an odd number of features, one random direction stays.

        Parameters
        ----------
        X : array-like of shape (n, d)
            Rows, d >= 2.
        y : array-like of shape (n,)
            Targets.
        angles : sequence of float, default=(0, 90)
            Degrees, one a task.
        random_state : int, RandomState instance or None, default=None

        Returns
        -------
        TaskSequence

        Raises
        ------
        ValueError
            If X or y is not finite or they do not fit, or X is not 2-D with two features or more.

        Examples
        --------
        >>> (X, _), (turned, _) = TaskSequence.rotated_inputs([[3.0, 4.0]], [0], angles=(0, 60), random_state=0)
        >>> float((X @ turned.T / 25)[0, 0].round(12))  # cos 60 degrees
        0.5
        """
        X, y = _check(X, y)
        if X.ndim != 2 or X.shape[1] < 2:
            raise ValueError(f"X must be rows of two features or more, found shape {X.shape}; or use rotated_images.")
        d = X.shape[1] // 2 * 2
        basis = np.linalg.qr(check_random_state(random_state).standard_normal((X.shape[1], X.shape[1])))[0][:, :d]
        in_planes = X @ basis
        quarter = np.stack([-in_planes[:, 1::2], in_planes[:, ::2]], axis=2).reshape(in_planes.shape) @ basis.T
        flat = in_planes @ basis.T

        def turned(angle: float) -> np.ndarray:
            sine, cosine = np.sin(np.deg2rad(angle)), np.cos(np.deg2rad(angle))
            return X + (cosine - 1) * flat + sine * quarter

        return cls(tuple(Task(turned(angle), y, f"turned by {angle:g} degrees") for angle in angles))

    @classmethod
    def rotated_images(cls, X: Any, y: Any, *, angles: Sequence[float] = (0.0, 90.0)) -> TaskSequence:
        """The same pictures turned by some angles in their plane; corners are filled with 0.

        Parameters
        ----------
        X : array-like of shape (n, H, W) or (n, H, W, C)
            Images.
        y : array-like of shape (n,)
            Targets.
        angles : sequence of float, default=(0, 90)
            Degrees, one a task, anticlockwise; between pixels linearly interpolated.

        Returns
        -------
        TaskSequence

        Raises
        ------
        ValueError
            If X or y is not finite or they do not fit, or X is no images.

        Examples
        --------
        >>> import numpy as np
        >>> picture = np.array([[[1.0, 2.0], [3.0, 4.0]]])
        >>> TaskSequence.rotated_images(picture, [0])[1].X[0]
        array([[2., 4.],
               [1., 3.]])
        """
        X, y = _check(X, y)
        if X.ndim not in (3, 4):
            raise ValueError(f"X must be images (n, H, W) or (n, H, W, C), found shape {X.shape}.")
        turned = [ndimage.rotate(X, angle, axes=(1, 2), reshape=False, order=1) if angle else X for angle in angles]
        return cls(
            tuple(Task(part, y, f"turned by {angle:g} degrees") for part, angle in zip(turned, angles, strict=True))
        )

    @classmethod
    def frequency_mixtures(
        cls, X: Any, *, frequencies: Sequence[float], weights: Any, random_state: Any = None
    ) -> TaskSequence:
        """The same rows with other targets: y_t(x) = sum_j w_tj sqrt(2) sin(2 pi f_j u.x + p_j).

        The direction u, of length 1, and the phases p_j are drawn once. Weights (1, 0), (0, 1) are an abrupt shift,
        those between a gradual one.

        Parameters
        ----------
        X : array-like of shape (n, d)
            Rows.
        frequencies : sequence of float
            f_j > 0, in periods a unit of length.
        weights : array-like of shape (n_tasks, n_frequencies)
            w_tj.
        random_state : int, RandomState instance or None, default=None

        Returns
        -------
        TaskSequence

        Raises
        ------
        ValueError
            If X is not 2-D and finite, a frequency not positive, or weights do not fit.

        Examples
        --------
        >>> import numpy as np
        >>> X = np.linspace(0, 1, 9)[:-1, None]
        >>> sequence = TaskSequence.frequency_mixtures(X, frequencies=[1, 3], weights=np.eye(2), random_state=0)
        >>> [float(np.mean(y**2).round(12)) for X, y in sequence], sequence
        ([1.0, 1.0], TaskSequence(frequencies 1 -> frequencies 3))
        """
        X = check_array(X, dtype="numeric", input_name="X")
        scales, weights = np.asarray(frequencies, dtype=np.float64), np.asarray(weights, dtype=np.float64)
        if scales.ndim != 1 or not scales.size or not np.isfinite(scales).all() or (scales <= 0).any():
            raise ValueError(f"frequencies must be positive numbers, found {frequencies!r}.")
        if weights.ndim != 2 or weights.shape[1] != len(scales) or not np.isfinite(weights).all():
            raise ValueError(
                f"weights must be finite and of shape (n_tasks, {len(scales)}), a weight for each of the frequencies; "
                f"found shape {weights.shape}."
            )
        random = check_random_state(random_state)
        direction = random.standard_normal(X.shape[1])
        along = X @ (direction / np.linalg.norm(direction))
        waves = np.sqrt(2) * np.sin(2 * np.pi * along[:, None] * scales + random.uniform(0, 2 * np.pi, len(scales)))
        names = ["frequencies " + ", ".join(f"{f:g}" for f, w in zip(scales, row, strict=True) if w) for row in weights]
        return cls(tuple(Task(X, waves @ row, name) for row, name in zip(weights, names, strict=True)))


def _check(X: Any, y: Any) -> tuple[np.ndarray, np.ndarray]:
    X = check_array(X, dtype="numeric", ensure_2d=False, allow_nd=True, input_name="X")
    y = np.asarray(y)
    if X.ndim < 2 or y.ndim != 1:
        raise ValueError(f"X must be rows or images and y 1-D, found shapes {X.shape} and {y.shape}.")
    check_consistent_length(X, y)
    return X, y


def _halved(y: np.ndarray, random_state: Any) -> np.ndarray:
    """Whether each row is in the first half of its class."""
    order, first = check_random_state(random_state).permutation(len(y)), np.zeros(len(y), bool)
    for label in np.unique(y):
        rows = order[y[order] == label]
        if len(rows) < 2:
            raise ValueError(f"Every class must have 2 rows or more, to be halved; found 1 of {label!r}.")
        first[rows[: len(rows) // 2]] = True
    return first


def _of_classes(X: np.ndarray, y: np.ndarray, classes: Any) -> Task:
    wanted = np.asarray(classes)
    if len(missing := np.setdiff1d(wanted, y)):
        raise ValueError(f"splits has classes that y has not: {missing.tolist()}.")
    rows = np.isin(y, wanted)
    return Task(X[rows], y[rows], "classes " + ", ".join(map(str, wanted.tolist())))
