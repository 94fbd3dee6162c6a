"""Lazy or rich? Trained networks beside two theories of them: a kernel that stays, and one that learns."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np

from ntkkit.dynamics import dmft
from ntkkit.dynamics.dmft import MeanField
from ntkkit.engine.progress import Progress, reporting
from ntkkit.finite._together import check_widths, runs_of
from ntkkit.finite.parametrization import FiniteNetwork
from ntkkit.finite.trained import TrainedNetworks
from ntkkit.finite.training import NetworkTrainer
from ntkkit.kernels.inputs import check_inputs
from ntkkit.networks.network import Network, as_key
from ntkkit.networks.value import check_count

# Reports of a training.
REPORTS = 20


@dataclass(frozen=True, eq=False)
class RegimeReport:
    """Trained networks in the mean-field parametrisation beside theory, see `regime_report`.

    Points are those of training, then those of X_test.

    Attributes
    ----------
    widths : tuple of int
    theory : MeanField
        With `lazy_predictions`, those of the NTK that stays.
    steps : ndarray of shape (n_times,)
        Steps of training at which networks were asked.
    outputs : ndarray of shape (n_widths, n_networks, n_times, n_points)
        What each network said, less what it said at the start.
    """

    widths: tuple[int, ...]
    theory: MeanField
    steps: np.ndarray
    outputs: np.ndarray

    @property
    def standard_errors(self) -> np.ndarray:
        """Of the mean over networks, (n_widths, n_times, n_points)."""
        return self.outputs.std(axis=1, ddof=1) / math.sqrt(self.outputs.shape[1])

    @property
    def lazy_distances(self) -> np.ndarray:
        """How far the mean network is from the NTK that stays, (n_widths,): root mean squares, relative to theory's."""
        return self._distances(self.theory.lazy_predictions)

    @property
    def mean_field_distances(self) -> np.ndarray:
        """How far the mean network is from mean-field theory, (n_widths,)."""
        return self._distances(self.theory.predictions)

    @property
    def noise(self) -> np.ndarray:
        """What networks of the same mean as a theory's would be away by, for their number is finite: (n_widths,)."""
        return np.sqrt((self.standard_errors**2).mean(axis=(1, 2))) / self._size

    @property
    def _size(self) -> float:
        return math.sqrt((self.theory.predictions[self.steps] ** 2).mean())

    def _distances(self, predictions: np.ndarray) -> np.ndarray:
        gaps = self.outputs.mean(axis=1) - predictions[self.steps]
        return np.sqrt((gaps**2).mean(axis=(1, 2))) / self._size

    def to_frame(self) -> Any:
        """A row a width, as a pandas.DataFrame."""
        import pandas as pd

        columns = {
            "ntk_distance": self.lazy_distances,
            "mean_field_distance": self.mean_field_distances,
            "noise": self.noise,
        }
        return pd.DataFrame(columns, index=pd.Index(self.widths, name="width"))

    def summary(self) -> str:
        """What was found, in a sentence."""
        kernel = self.theory.ntk
        change = np.linalg.norm(kernel[-1] - kernel[0]) / np.linalg.norm(kernel[0])
        return (
            f"At gamma0 = {self.theory.gamma0:g} and width {self.widths[-1]} the NTK that stays errs by "
            f"{self.lazy_distances[-1]:.1%} and mean-field theory by {self.mean_field_distances[-1]:.1%} (of which "
            f"{self.noise[-1]:.1%} is the noise of {self.outputs.shape[1]} networks); in theory training changes the "
            f"tangent kernel by {change:.0%}."
        )


def regime_report(
    network: Network,
    X: Any,
    y: Any,
    X_test: Any = None,
    *,
    gamma0: float = 1.0,
    learning_rate: float | None = None,
    n_steps: int = 100,
    widths: Sequence[int] = (64, 256, 1024),
    n_networks: int = 16,
    n_units: int | None = None,
    random_state: Any = None,
    progress: Progress = False,
) -> RegimeReport:
    """Train networks that learn features, and hold them against the NTK and against mean-field theory.

    Networks f(theta) / (gamma0 sqrt(N)), less their output at the start, under gradient descent on
    (1 / 2n) sum (y - f)^2 at the rate learning_rate gamma0^2 N: `FiniteNetwork(network, N, "mup", gamma0)`. Their mean
    differs from `ntkkit.dynamics.dmft.solve` by O(1 / N), and from the NTK's gradient descent by what features learn.

    Parameters
    ----------
    network : FullyConnected
        As `ntkkit.dynamics.dmft.solve` takes it.
    X, y, X_test
        Points (n, d), targets (n,), and other points (m, d) that are asked about, too.
    gamma0, learning_rate, n_steps, n_units
        As of `solve`.
    widths : sequence of int, default=(64, 256, 1024)
        Increasing.
    n_networks : int, default=16
        Networks of each width, >= 2.
    random_state : int, RandomState instance, None, or jax key, default=None
        Of units and of initial parameters.
    progress : bool or callable, default=False
        A bar of networks.

    Returns
    -------
    RegimeReport
        With `summary`, `to_frame`, and `ntkkit.display.RegimeDisplay.from_report` for a picture.

    Raises
    ------
    TypeError, ValueError, MemoryError
        As of `solve`, and for widths that do not increase.

    References
    ----------
    Bordelon, Pehlevan (2022), Self-consistent dynamical field theory of kernel evolution in wide neural networks;
    Chizat, Oyallon, Bach (2019), On lazy training in differentiable programming.

    Examples
    --------
    >>> import numpy as np
    >>> from ntkkit import FullyConnected
    >>> from ntkkit.finite import regime_report
    >>> report = regime_report(
    ...     FullyConnected(depth=1, activation="erf"),
    ...     np.eye(3),
    ...     [1.0, -1.0, 1.0],
    ...     gamma0=2.0,
    ...     n_steps=20,
    ...     widths=[512],
    ...     random_state=0,
    ... )
    >>> bool(report.mean_field_distances[0] < 0.2 * report.lazy_distances[0])
    True
    """
    widths = check_widths(widths)
    check_count(n_networks, "n_networks", low=2)
    key = as_key(random_state)
    seed = int(jax.random.randint(jax.random.fold_in(key, len(widths)), (), 0, 2**31 - 1))
    theory = dmft.solve(
        network, X, y, X_test, gamma0=gamma0, learning_rate=learning_rate, n_steps=n_steps, n_units=n_units,
        random_state=seed,
    )  # fmt: skip
    X, *others = (
        check_inputs(points, kind=network.input_kind, input_shape=network.input_shape).astype(np.float64)
        for points in (X, X_test)
        if points is not None
    )
    points, steps = np.concatenate([X, *others]), np.unique(np.linspace(0, n_steps, REPORTS + 1).round().astype(int))
    found = []
    with reporting(progress, len(widths) * n_networks, unit="network") as done:
        for width in widths:
            finite = FiniteNetwork(network, width, "mup", gamma0)
            parts = []
            for part, count in enumerate(runs_of(finite, X, 1, n_networks)):
                parts.append(_outputs(finite, X, theory, points, steps, count, jax.random.fold_in(key, part)))
                done(count)
            found.append(np.concatenate(parts))
    return RegimeReport(widths, theory, steps, np.stack(found))


def _outputs(
    network: FiniteNetwork,
    X: np.ndarray,
    theory: MeanField,
    points: np.ndarray,
    steps: np.ndarray,
    count: int,
    key: Any,
) -> np.ndarray:
    """What networks say as they learn, (count, n_times, n_points)."""
    said = []

    def ask(trained: TrainedNetworks) -> None:
        said.append(trained.outputs(points)[..., 0])

    NetworkTrainer(
        network,
        n_networks=count,
        learning_rate=theory.learning_rate / len(X),
        n_epochs=int(steps[-1]),
        centered=True,
        callbacks=[ask],
        report_every=steps[steps > 0],
        random_state=key,
    ).run(X, theory.targets)
    return np.stack(said, axis=1)
