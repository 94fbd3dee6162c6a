"""Do trained networks do what their kernel says? Ensembles of several widths against the infinitely wide network."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import jax
import numpy as np
from sklearn.utils import check_array, check_consistent_length

from ntkkit.engine.progress import Progress, reporting
from ntkkit.finite._limit import TrainedLimit, trained_limit
from ntkkit.finite._together import check_widths, runs_of
from ntkkit.finite.distances import frobenius_distance
from ntkkit.finite.empirical import empirical_ntk
from ntkkit.finite.parametrization import FiniteNetwork
from ntkkit.finite.trained import network_outputs
from ntkkit.finite.training import NetworkTrainer
from ntkkit.kernels import NTK
from ntkkit.kernels.inputs import check_inputs
from ntkkit.networks.network import Network, as_key
from ntkkit.networks.value import check_count, check_real

# Rows on which tangent kernels are compared, at most: evenly spaced among those of training.
PROBED = 64
# Draws of the bootstrap over networks, which the intervals of exponents are from.
N_DRAWS = 500


class Exponent(NamedTuple):
    """A power of the width, by least squares on logarithms, with the 95% interval of a bootstrap over networks.

    NaN where more than 5% of the bootstrap's draws do not find what is fitted above its noise at every width: a bias
    wants hundreds of networks.
    """

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Comparison:
    """Trained ensembles of several widths beside the infinitely wide network, at the same training time.

    Attributes
    ----------
    widths : tuple of int
    limit : TrainedLimit
        Mean and standard deviation of the infinitely wide network's outputs, and learning rate, steps and time.
    outputs : ndarray of shape (n_widths, n_networks, n + m, k)
        Of the trained networks, at the training points and behind them the test points.
    deviations : ndarray of shape (n_widths, n_networks, n + m, k)
        Outputs less what an infinitely wide network says that had the same outputs before it was trained.
    start_errors, end_errors : ndarray of shape (n_widths, n_networks)
        |K - Theta| / |Theta| of the empirical NTK K before and after training, in the Frobenius norm.
    drifts : ndarray of shape (n_widths, n_networks)
        |K_end - K_start| / |K_start|.
    test_errors : ndarray of shape (n_widths, n_networks) or None
        Mean squared errors at the test points.
    limit_test_error : float or None
        That of the infinitely wide network's mean.
    """

    widths: tuple[int, ...]
    limit: TrainedLimit
    outputs: np.ndarray
    deviations: np.ndarray
    start_errors: np.ndarray
    end_errors: np.ndarray
    drifts: np.ndarray
    test_errors: np.ndarray | None = None
    limit_test_error: float | None = None

    @property
    def differences(self) -> np.ndarray:
        """Root mean square of networks' deviations, relative to the limit's mean: (n_widths, n_networks)."""
        return np.sqrt((self.deviations**2).mean(axis=(2, 3)) / (self.limit.mean**2).mean())

    @property
    def biases(self) -> np.ndarray:
        """The same of the mean over networks, without its noise: (n_widths,).

        The squared standard error of the mean is subtracted; 0 where nothing is left.
        """
        return np.array([_bias(part, self.limit.mean) for part in self.deviations])

    @property
    def variance_ratios(self) -> np.ndarray:
        """Variance over networks, summed over points, against the limit's: (n_widths,)."""
        return self.outputs.var(axis=1, ddof=1).sum(axis=(1, 2)) / (self.limit.std**2).sum() / self.outputs.shape[3]

    def z_scores(self) -> np.ndarray:
        """(mean over networks - limit's mean) / standard error: (n_widths, n + m, k)."""
        errors = self.outputs.std(axis=1, ddof=1) / math.sqrt(self.outputs.shape[1])
        return (self.outputs.mean(axis=1) - self.limit.mean) / errors

    @cached_property
    def exponents(self) -> dict[str, Exponent]:
        """Powers of the width: theory has -1/2 for "kernel_error" and "difference", -1 for "drift" and "bias"."""
        rng = np.random.default_rng(0)
        n_networks = self.outputs.shape[1]
        draws = [np.arange(n_networks), *rng.integers(n_networks, size=(N_DRAWS, n_networks))]
        return {
            "kernel_error": self._exponent([self.start_errors[:, draw].mean(axis=1) for draw in draws]),
            "difference": self._exponent([self.differences[:, draw].mean(axis=1) for draw in draws]),
            "drift": self._exponent([self.drifts[:, draw].mean(axis=1) for draw in draws]),
            "bias": self._exponent(
                [
                    [_bias(part[draw], self.limit.mean) for part in self.deviations]
                    for draw in draws[: 1 + N_DRAWS // 10]
                ]
            ),
        }

    def _exponent(self, draws: Any) -> Exponent:
        """The slope of the first draw, and the interval of all."""
        values = np.asarray(draws)
        if len(self.widths) < 2 or not (values[0] > 0).all():
            return Exponent(math.nan, math.nan, math.nan)
        resolved = values[(values > 0).all(axis=1)]
        if len(resolved) < 0.95 * len(values):
            return Exponent(math.nan, math.nan, math.nan)
        slopes = np.polyfit(np.log(self.widths), np.log(resolved.T), 1)[0]
        low, high = np.quantile(slopes, [0.025, 0.975])
        return Exponent(float(slopes[0]), float(low), float(high))

    def to_frame(self) -> Any:
        """A row a width, as a pandas.DataFrame; the limit's test error in a row of infinite width."""
        import pandas as pd

        columns = {
            "kernel_error": self.start_errors.mean(axis=1),
            "kernel_error_trained": self.end_errors.mean(axis=1),
            "kernel_drift": self.drifts.mean(axis=1),
            "difference": self.differences.mean(axis=1),
            "bias": self.biases,
            "variance_ratio": self.variance_ratios,
        }
        if self.test_errors is not None:
            columns["test_error"] = self.test_errors.mean(axis=1)
        frame = pd.DataFrame(columns, index=pd.Index(self.widths, name="width", dtype=float))
        zero = dict.fromkeys(columns, 0.0) | {"variance_ratio": 1.0, "test_error": self.limit_test_error}
        frame.loc[math.inf] = [zero[name] for name in columns]
        return frame

    def summary(self) -> str:
        """What was found, in a sentence or two."""
        width, n_networks = self.widths[-1], self.outputs.shape[1]
        text = (
            f"At width {width} a trained network is within {self.differences[-1].mean():.1%} of its infinite-width "
            f"limit (root mean square), the mean of {n_networks} within {self.biases[-1]:.1%}; its tangent kernel is "
            f"{self.start_errors[-1].mean():.1%} from the limit, and training moved it by {self.drifts[-1].mean():.1%}."
        )
        if len(self.widths) > 1:
            powers = (f"width^{self.exponents[name].value:.2f}" for name in ("difference", "kernel_error", "drift"))
            text += " These fall like {}, {} and {}.".format(*powers)
        return text


def compare(
    network: Network,
    X: Any,
    y: Any,
    X_test: Any = None,
    y_test: Any = None,
    *,
    widths: Sequence[int] = (64, 256, 1024),
    n_networks: int = 16,
    train_time: float | None = None,
    random_state: Any = None,
    progress: Progress = False,
) -> Comparison:
    r"""Train networks of several widths, and hold them against the infinitely wide one.

    Gradient descent with full batches on half the sum of squared errors, at the learning rate eta = 1 / (largest
    eigenvalue of the NTK). After s steps the infinitely wide network's outputs are Gaussian, over initial parameters,
    with

        mean = A y,    cov = K(x, x') + A K A' - A K(X, x') - K(x, X) A',
        A = Theta(x, X) Theta^-1 (1 - (1 - eta Theta)^s),

    Theta the NTK and K the NNGP, without any error of finite steps: one that says f_0 at first says
    A y + f_0(x) - A f_0(X) in the end. Theory has that finite networks' tangent kernels, and outputs, differ from these
    by O(width^-1/2), and that training moves kernels, and mean outputs off A y, by O(1 / width).

    Parameters
    ----------
    network : Network
        Of rows, images or sequences.
    X : array-like of shape (n, ...)
        Training inputs; trained on in float32.
    y : array-like of shape (n,) or (n, k)
        Targets; of classification +1 and -1, a column a class.
    X_test, y_test : array-like, optional
        Test inputs (m, ...), and their targets, for test errors.
    widths : sequence of int, default=(64, 256, 1024)
        Increasing.
    n_networks : int, default=16
        Networks of each width, >= 2.
    train_time : float, optional
        eta times steps, > 0: the time of gradient flow. Rounded up to whole steps; None is 100 steps.
    random_state : int, RandomState instance, None, or jax key, default=None
        Of initial parameters.
    progress : bool or callable, default=False
        A bar of networks.

    Returns
    -------
    Comparison
        With `exponents`, `to_frame`, `summary`, and `ntkkit.display.ComparisonDisplay.from_comparison` for a picture.

    Raises
    ------
    ValueError
        For bad input, widths that do not increase, or a training that diverges: networks so narrow that their kernel is
        far from its limit.

    Notes
    -----
    Kernels are compared on at most 64 training points. Cost: steps x networks x three evaluations, the widest the most.

    References
    ----------
    Jacot, Gabriel, Hongler (2018), Neural Tangent Kernel; Lee et al. (2019), Wide neural networks of any depth evolve
    as linear models under gradient descent; Dyer, Gur-Ari (2020), Asymptotics of wide networks from Feynman diagrams.

    Examples
    --------
    >>> import numpy as np
    >>> from ntkkit import FullyConnected
    >>> from ntkkit.finite import compare
    >>> X = np.eye(4)
    >>> comparison = compare(FullyConnected(depth=1), X, X[:, 0], widths=[64, 1024], random_state=0)
    >>> narrow, wide = comparison.start_errors.mean(axis=1)
    >>> bool(wide < narrow)
    True
    """
    widths = check_widths(widths)
    check_count(n_networks, "n_networks", low=2)
    X, Y, X_test, Y_test = _check_data(network, X, y, X_test, y_test)
    points = X if X_test is None else np.concatenate([X, X_test])
    limit = trained_limit(network, X, Y, points, train_time=check_real(train_time, "train_time", optional=True))
    probe = X[np.unique(np.linspace(0, len(X) - 1, min(PROBED, len(X))).round().astype(int))]
    theta, key = NTK(network)(probe), as_key(random_state)
    found = []
    with reporting(progress, len(widths) * n_networks, unit="network") as done:
        for width in widths:
            finite = FiniteNetwork(network, width)
            parts = []
            for part, count in enumerate(runs_of(finite, X, Y.shape[1], n_networks)):
                trained = NetworkTrainer(
                    finite,
                    n_networks=count,
                    learning_rate=limit.learning_rate,
                    n_epochs=limit.n_steps,
                    random_state=jax.random.fold_in(key, part),
                ).run(X, Y)
                outputs = trained.outputs(points)
                initial = network_outputs(finite, trained.initial_params, points)
                parts.append((outputs, outputs - limit.continued(initial), *_kernel_changes(trained, probe, theta)))
                done(count)
            found.append([np.concatenate(values) for values in zip(*parts, strict=True)])
    outputs, deviations, start, end, drifts = (np.stack(values) for values in zip(*found, strict=True))
    n, errors, limit_error = len(X), None, None
    if Y_test is not None:
        errors = ((outputs[:, :, n:] - Y_test) ** 2).mean(axis=(2, 3))
        limit_error = float(((limit.mean[n:] - Y_test) ** 2).mean())
    return Comparison(widths, limit, outputs, deviations, start, end, drifts, errors, limit_error)


def _kernel_changes(trained: Any, probe: np.ndarray, theta: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Errors of each network's kernel before and after training, and how far it moved."""
    rows = []
    for index in range(trained.n_networks):
        before, after = (
            empirical_ntk(trained.network, jax.tree.map(lambda leaf: leaf[index], params), probe)  # noqa: B023
            for params in (trained.initial_params, trained.params)
        )
        rows.append([frobenius_distance(*pair) for pair in ((before, theta), (after, theta), (after, before))])
    start, end, drift = np.transpose(rows)
    return start, end, drift


def _bias(deviations: np.ndarray, mean: np.ndarray) -> float:
    """The root mean square of the mean of deviations (networks, points, k) beyond its noise, relative to outputs."""
    noise = deviations.var(axis=0, ddof=1) / len(deviations)
    square = (deviations.mean(axis=0) ** 2 - noise).mean()
    return math.sqrt(max(square, 0.0) / (mean**2).mean())


def _check_data(
    network: Any, X: Any, y: Any, X_test: Any, y_test: Any
) -> tuple[np.ndarray, np.ndarray, np.ndarray | None, np.ndarray | None]:
    """Inputs in float32, targets as columns in float64."""
    if not isinstance(network, Network):
        raise TypeError(f"network must be a network such as FullyConnected(), found {network!r}.")

    def inputs(X: Any, name: str) -> np.ndarray:
        return check_inputs(X, kind=network.input_kind, input_shape=network.input_shape, name=name).astype(np.float32)

    def targets(y: Any, X: np.ndarray, name: str) -> np.ndarray:
        y = check_array(y, dtype=np.float64, ensure_2d=False, input_name=name)
        check_consistent_length(X, y)
        return y.reshape(len(y), -1)

    X = inputs(X, "X")
    Y = targets(y, X, "y")
    if X_test is None:
        if y_test is not None:
            raise ValueError("y_test needs X_test.")
        return X, Y, None, None
    X_test = inputs(X_test, "X_test")
    Y_test = None if y_test is None else targets(y_test, X_test, "y_test")
    if X_test.shape[1:] != X.shape[1:] or (Y_test is not None and Y_test.shape[1] != Y.shape[1]):
        raise ValueError(
            f"X_test and y_test must have the columns of X and y, found inputs of shape {X_test.shape[1:]} and "
            f"{X.shape[1:]}."
        )
    return X, Y, X_test, Y_test
