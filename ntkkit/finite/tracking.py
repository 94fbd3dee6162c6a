"""A kernel while a network trains: snapshots on fixed points, and what is measured of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import numpy as np

from ntkkit.engine.memory import check_available
from ntkkit.finite import metrics as measures
from ntkkit.finite.distances import frobenius_distance, kernel_distance, kernel_velocity, polar_dynamics
from ntkkit.finite.empirical import empirical_ntk
from ntkkit.finite.trained import TrainedNetworks
from ntkkit.linalg.symmetric import as_columns
from ntkkit.networks.value import check_count

Metric = Callable[[np.ndarray], float]
Metrics = Sequence[str] | Mapping[str, str | Metric]

METRICS = (
    *("distance", "frobenius", "velocity", "polar"),
    *("largest_eigenvalue", "effective_rank", "top_mass"),
    *("alignment", "accuracy"),
)
OF_TARGETS = {"alignment", "accuracy"}


class KernelTracker:
    """A callback of training that keeps the empirical NTK on some points, and measures how it changes.

    Give it to `NetworkTrainer`, or to an estimator, among `callbacks`: at every report it takes a snapshot. Where one
    tracker follows several runs that go on from each other (``start=``), epochs are counted through, and `boundaries`
    are where a run ended and the next began.

    Parameters
    ----------
    X_probe : array-like of shape (n, ...)
        Points, as the network reads them.
    y_probe : array-like of shape (n,) or (n, k), optional
        Their targets, as numbers, for "alignment" and "accuracy": one-hot for classes, or 1 and -1 for two.
    every : int, default=1
        A snapshot at reports whose epoch is a multiple of this.
    n_networks : int, default=1
        The first so many of an ensemble are tracked.
    metrics : sequence of str, or dict, optional
        What `to_frame` measures, by name; a dict gives other names to these, or to functions of one kernel matrix.
        By default "distance", "velocity", "largest_eigenvalue", "effective_rank", and with targets "alignment".

        - "distance": `kernel_distance` from the first snapshot; "frobenius": `frobenius_distance` from it;
        - "velocity": `kernel_velocity` since the snapshot before; NaN at the first;
        - "polar": `polar_dynamics`, parts of the way to the last snapshot;
        - "largest_eigenvalue", "effective_rank", "top_mass" (of ten);
        - "alignment": `target_alignment`; "accuracy": `leave_one_out_accuracy` of the kernel machine, without ridge
          term; classes are columns of y_probe, or its distinct numbers.
    center : bool, default=False
        Centre kernels (and targets) in distances, velocities and alignments.

    Attributes
    ----------
    epochs : ndarray of shape (n_snapshots,)
        When they were taken.
    kernels : ndarray of shape (n_snapshots, n_networks, n, n)
        The snapshots: means over outputs, as `empirical_ntk` has them, in the precision of the training.
    boundaries : list of int
        Epochs at which a further run began.

    Raises
    ------
    ValueError
        For an unknown metric, or one of targets without them, or bad y_probe.

    Notes
    -----
    A snapshot costs the Jacobians of n points, and keeps n_networks n^2 numbers (`nbytes` in all): 100 snapshots of one
    network on 500 points in float32 are 100 MB. What does not fit is refused when it is taken.

    References
    ----------
    Fort et al. (2020), Deep learning versus kernel learning; arXiv 2507.16039.

    Examples
    --------
    A linear model's kernel does not change:

    >>> import numpy as np
    >>> from ntkkit import FullyConnected
    >>> from ntkkit.finite import FiniteNetwork, KernelTracker, NetworkTrainer
    >>> X, y = np.eye(3), np.array([1.0, -1.0, 0.0])
    >>> tracker = KernelTracker(X, y, metrics=["distance", "alignment"])
    >>> line = FiniteNetwork(FullyConnected(depth=0, bias_var=0.0))
    >>> trainer = NetworkTrainer(line, n_epochs=2, callbacks=[tracker], random_state=0)
    >>> _ = trainer.run(X, y)
    >>> tracker.epochs, tracker.measure("distance")[:, 0]
    (array([0, 1, 2]), array([0., 0., 0.]))
    """

    def __init__(
        self,
        X_probe: Any,
        y_probe: Any = None,
        *,
        every: int = 1,
        n_networks: int = 1,
        metrics: Metrics | None = None,
        center: bool = False,
    ) -> None:
        self.X_probe = np.asarray(X_probe)
        self.y_probe = None if y_probe is None else as_columns(y_probe, len(self.X_probe))
        self.every = check_count(every, "every", low=1)
        self.n_networks = check_count(n_networks, "n_networks", low=1)
        self.center = center
        self.metrics = self._checked(metrics)
        self.boundaries: list[int] = []
        self._epochs: list[int] = []
        self._kernels: list[np.ndarray] = []
        self._seen = self._offset = 0

    def __call__(self, report: TrainedNetworks) -> None:
        """Take a snapshot, if it is time.

        Parameters
        ----------
        report : TrainedNetworks
            What a trainer reports.

        Raises
        ------
        ValueError
            If fewer networks are trained than tracked. MemoryError if the snapshot does not fit.
        """
        if report.epoch == 0 and self._epochs:
            self._offset = self._seen
            self.boundaries.append(self._offset)
        self._seen = self._offset + report.epoch
        if report.epoch % self.every or self._seen in self._epochs[-1:]:
            return
        if report.n_networks < self.n_networks:
            raise ValueError(f"n_networks={self.n_networks} are to be tracked, and {report.n_networks} are trained.")
        dtype = np.result_type(*(leaf.dtype for leaf in jax.tree.leaves(report.params)))
        X = self.X_probe.astype(dtype, copy=False)
        check_available((self.n_networks, len(X), len(X)), dtype)
        kernels = [empirical_ntk(report.network.apply, report.one(i), X) for i in range(self.n_networks)]
        self.add(kernels, epoch=self._seen)

    def add(self, kernels: Any, *, epoch: int) -> None:
        """Add a snapshot that was taken elsewhere, of a training that is not ours.

        Parameters
        ----------
        kernels : array-like of shape (n_networks, n, n)
            The kernel of each network on `X_probe`.
        epoch : int
            When, after all others.

        Raises
        ------
        ValueError
            If shapes do not fit, or the epoch is not after the last.
        """
        kernels, n = np.array(kernels), len(self.X_probe)
        if kernels.shape != (self.n_networks, n, n):
            raise ValueError(f"kernels must be of shape {(self.n_networks, n, n)}, found {kernels.shape}.")
        if self._epochs and epoch <= self._epochs[-1]:
            raise ValueError(f"epoch must be after the last, {self._epochs[-1]}, found {epoch!r}.")
        self._epochs.append(epoch)
        self._kernels.append(kernels)

    @property
    def epochs(self) -> np.ndarray:
        return np.array(self._epochs, dtype=int)

    @property
    def kernels(self) -> np.ndarray:
        if not self._kernels:
            raise ValueError("There are no snapshots yet: give the tracker to a training, among its callbacks.")
        return np.stack(self._kernels)

    @property
    def nbytes(self) -> int:
        """Bytes that the snapshots take."""
        return sum(part.nbytes for part in self._kernels)

    def measure(self, metric: str | Metric) -> np.ndarray:
        """A metric over time.

        Parameters
        ----------
        metric : str or callable
            A name, as for `metrics`, or a function of one kernel matrix.

        Returns
        -------
        ndarray of shape (n_snapshots, n_networks)

        Raises
        ------
        ValueError
            Before the first snapshot; for an unknown metric, or one of targets without them.
        """
        self._check(metric)
        paths = np.moveaxis(self.kernels, 1, 0)
        return np.stack([self._along(metric, path) for path in paths], axis=1).astype(np.float64)

    def to_frame(self) -> Any:
        """All metrics, a row for each snapshot of each network: epoch, network, and one column a metric.

        Returns
        -------
        pandas.DataFrame

        Raises
        ------
        ImportError
            Without pandas. And ValueError as `measure`.
        """
        import pandas as pd

        n = len(self.kernels)
        columns = {"epoch": np.repeat(self.epochs, self.n_networks), "network": np.tile(range(self.n_networks), n)}
        return pd.DataFrame(columns | {name: self.measure(metric).ravel() for name, metric in self.metrics.items()})

    def _along(self, metric: str | Metric, path: np.ndarray) -> Any:
        """A metric of one network's kernels over time."""
        center, y = self.center, self.y_probe
        if metric == "velocity":
            return np.append(np.nan, kernel_velocity(path, self.epochs, center=center) if len(path) > 1 else [])
        if metric == "polar":
            return polar_dynamics(path)
        if callable(metric):
            return [metric(K) for K in path]
        one_by_one: dict[str, Metric] = {
            "distance": lambda K: kernel_distance(K, path[0], center=center),
            "frobenius": lambda K: frobenius_distance(K, path[0], center=center),
            "largest_eigenvalue": measures.largest_eigenvalue,
            "effective_rank": measures.effective_rank,
            "top_mass": measures.top_mass,
            "alignment": lambda K: measures.target_alignment(K, y, center=center),
            "accuracy": lambda K: measures.leave_one_out_accuracy(K, _classes(y)),
        }
        return [one_by_one[metric](K) for K in path]

    def _checked(self, metrics: Metrics | None) -> dict[str, str | Metric]:
        if metrics is None:
            metrics = ["distance", "velocity", "largest_eigenvalue", "effective_rank"]
            metrics += [] if self.y_probe is None else ["alignment"]
        named: dict[str, str | Metric] = {}
        named.update(metrics if isinstance(metrics, Mapping) else {name: name for name in metrics})
        for metric in named.values():
            self._check(metric)
        return named

    def _check(self, metric: Any) -> None:
        if callable(metric):
            return
        if metric not in METRICS:
            raise ValueError(f"metrics must be of {METRICS}, or functions of a kernel matrix; found {metric!r}.")
        if metric in OF_TARGETS and self.y_probe is None:
            raise ValueError(f"metric {metric!r} needs targets: give y_probe.")


def _classes(columns: Any) -> np.ndarray:
    """The class of each row: its largest column, or the number in the only one."""
    return columns[:, 0] if columns.shape[1] == 1 else columns.argmax(axis=1)
