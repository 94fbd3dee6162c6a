"""Ensembles of finite networks trained by Langevin dynamics, to hold against the theory of infinite width."""

from __future__ import annotations

import math
from functools import partial
from itertools import pairwise
from typing import Any

import jax
import numpy as np
from sklearn.base import BaseEstimator
from sklearn.utils import check_array

from ntkkit.engine.memory import available_memory
from ntkkit.engine.progress import Progress, reporting
from ntkkit.finite._langevin_steps import Steps, steps_to, train
from ntkkit.finite.ensembles import Predictions, Simulation
from ntkkit.kernels import NTK
from ntkkit.kernels.inputs import check_inputs, result_dtype
from ntkkit.networks import FullyConnected
from ntkkit.networks.network import as_key
from ntkkit.networks.value import check_count, check_real

# Numbers (parameters, activations, outputs) of the networks that are trained together: they stay in a CPU's cache, and
# are more than a few.
TOGETHER = 2**18
# Copies of these that a training holds at once, at most; measured by jax's memory_analysis.
COPIES = 10
# The step that `step_size=None` takes, as a part of 1 / the fastest rate of learning.
DEFAULT_STEP = 0.05


class LangevinTrainer(BaseEstimator):
    """An ensemble of finite fully connected networks, trained by Langevin dynamics on half the sum of squared errors.

    All entries Theta of weights and biases start as N(0, init_var) and follow

        dTheta = -grad E dt - (T / prior_var) Theta dt + sqrt(2 T) dB,    E = sum_mu |f(x_mu) - y_mu|^2 / 2,

    whose stationary density is exp(-E / T) times the prior N(0, prior_var): the posterior of noise variance T. A step
    of length h is one of gradient descent, then the rest exactly:

        Theta <- exp(-T h / prior_var) (Theta - h grad E) + sqrt(prior_var (1 - exp(-2 T h / prior_var))) N(0, 1).

    Of infinitely wide networks, its mean is the Neural Dynamical Kernel's, with the integral over the past by left
    rectangles of width h.

    Parameters
    ----------
    network : FullyConnected
        Its `weight_var` and `bias_var` stay in front of the entries: z = sqrt(weight_var / fan_in) W h + sqrt(bias_var)
        b. Frozen layers keep their first entries.
    temperature : float
        T >= 0; 0 is gradient descent.
    init_var, prior_var : float, default=1.0
        Variances > 0 of the entries at the start, and under the prior.
    width : int, default=512
        Units of each hidden layer. Means are off by an amount of order 1 / width.
    n_networks : int, default=100
        How many, >= 2. Standard errors fall like 1 / sqrt(n_networks).
    step_size : float, optional
        The longest step; those to a time that is no multiple of it are shorter. Means are off by up to
        0.2 step_size * rate of what there is to learn; None takes 0.05 / rate. The rate is the largest eigenvalue of
        NTK / init_var of the training rows, at weights of variance init_var or (T > 0) prior_var.
    random_state : int, RandomState instance, None, or jax key, default=None
        Of first entries and noise. Each network has its own: a larger ensemble contains the smaller one.
    progress : bool or callable, default=False
        True shows a bar; a function is called with networks (done, total).

    Notes
    -----
    Cost: for each network, step and parameter about 10 ns, which is what its noise takes; networks go through in parts,
    so that memory is that of the outputs, n_times n_networks n_points n_outputs numbers, and of 10 copies of the
    parameters, activations and outputs of one large network or of many small ones (3 million numbers). What does not
    fit is refused before the start.

    References
    ----------
    Avidan, Li, Sompolinsky (2023), Connecting NTK and NNGP: a unified theoretical framework for neural network learning
    dynamics in the kernel regime.

    Examples
    --------
    A linear model with one weight, at temperature 0, goes to the label as 1 - exp(-t):

    >>> import numpy as np
    >>> from ntkkit import FullyConnected
    >>> from ntkkit.finite import LangevinTrainer
    >>> line = FullyConnected(depth=0, weight_var=1.0, bias_var=0.0)
    >>> trainer = LangevinTrainer(line, temperature=0.0, step_size=1e-3, n_networks=2, random_state=0)
    >>> outputs = trainer.run([[1.0]], [2.0], times=[0.0, 1.0]).train.values  # (time, network, row)
    >>> bool(np.allclose((outputs[1] - 2) / (outputs[0] - 2), np.exp(-1), atol=2e-4))
    True
    """

    def __init__(
        self,
        network: FullyConnected,
        *,
        temperature: float,
        init_var: float = 1.0,
        prior_var: float = 1.0,
        width: int = 512,
        n_networks: int = 100,
        step_size: float | None = None,
        random_state: Any = None,
        progress: Progress = False,
    ) -> None:
        self.network = network
        self.temperature = temperature
        self.init_var = init_var
        self.prior_var = prior_var
        self.width = width
        self.n_networks = n_networks
        self.step_size = step_size
        self.random_state = random_state
        self.progress = progress

    def run(self, X: Any, y: Any, *, times: Any, X_test: Any = None, readout_time: float | None = None) -> Simulation:
        """Train the ensemble from the start, and keep what it says at some times.

        Parameters
        ----------
        X : array-like of shape (n, d)
            Training rows; images too, where the network has an `input_shape`. In float32, everything is.
        y : array-like of shape (n,) or (n, k)
            Targets.
        times : array-like of shape (n_times,)
            When outputs are kept, increasing, >= 0.
        X_test : array-like of shape (n_test, d), optional
            Rows to predict for.
        readout_time : float, optional
            One of `times`: outputs are kept of the readout of this time, too, on top of the hidden layers of each time,
            which drift away from it.

        Returns
        -------
        Simulation
            Outputs (n_times, n_networks, n[, k]) of training and test rows, with means and deviations.

        Raises
        ------
        ValueError
            For bad input or parameters, a step_size that does not converge, or outputs that are not finite.
        TypeError
            If the network is no `FullyConnected`.
        MemoryError
            If outputs or parameters do not fit.
        """
        self._check()
        kind, shape = self.network.input_kind, self.network.input_shape
        X = check_inputs(X, kind=kind, input_shape=shape)
        tests = [] if X_test is None else [check_inputs(X_test, kind=kind, input_shape=shape, name="X_test")]
        dtype = result_dtype(X, *tests)
        y, times = _check_targets(y, X, dtype), _check_times(times)
        if tests and tests[0].shape[1] != X.shape[1]:
            raise ValueError(f"X_test has {tests[0].shape[1]} features, X has {X.shape[1]}: give it the same columns.")
        steps = steps_to(times, self._longest_step(X))
        kept = None if readout_time is None else _position(readout_time, times)
        points = np.concatenate([X, *tests], dtype=dtype)
        found = self._outputs(points, y.reshape(len(y), -1), steps, kept)
        found = [outputs.reshape(*outputs.shape[:3], *y.shape[1:]) for outputs in found]

        def simulation(outputs: np.ndarray, drifted: Simulation | None = None) -> Simulation:
            test = Predictions(outputs[:, :, len(X) :]) if tests else None
            return Simulation(times, Predictions(outputs[:, :, : len(X)]), test, drifted)

        return simulation(found[0], *map(simulation, found[1:]))

    def _check(self) -> None:
        if not isinstance(self.network, FullyConnected):
            raise TypeError(f"network must be a FullyConnected, found {self.network!r}.")
        check_real(self.temperature, "temperature")
        for name in ("init_var", "prior_var", "step_size"):
            value = getattr(self, name)
            if check_real(value, name, optional=name == "step_size") == 0:
                raise ValueError(f"{name} must be positive, found {value!r}.")
        check_count(self.width, "width", low=1)
        check_count(self.n_networks, "n_networks", low=2)

    def _longest_step(self, X: np.ndarray) -> float:
        """The step size, if gradient descent converges with it, or one of our own."""
        variances = {self.init_var, self.prior_var} if self.temperature else {self.init_var}
        rate = max(np.linalg.eigvalsh(NTK(_scaled(self.network, var))(X))[-1] / var for var in variances)
        if self.step_size is None:
            return DEFAULT_STEP / rate if rate > 0 else math.inf
        if self.step_size * rate >= 2:
            raise ValueError(
                f"step_size={self.step_size!r} does not converge: errors fall at rates up to {rate:.3g}, the largest "
                f"eigenvalue of the NTK, so it must be less than {2 / rate:.3g}; {DEFAULT_STEP / rate:.2g} is good."
            )
        return float(self.step_size)

    def _outputs(self, points: np.ndarray, y: np.ndarray, steps: Steps, kept: int | None) -> list[np.ndarray]:
        """Outputs (time, network, point, output), and those through the kept readout if there is one."""
        shape = (len(steps.lengths), self.n_networks, len(points), y.shape[1])
        n_kinds = 1 if kept is None else 2
        together = self._together(points, n_kinds * math.prod(shape), y.shape[1])
        found = [np.empty(shape, points.dtype) for _ in range(n_kinds)]
        with jax.enable_x64(points.dtype == np.float64), reporting(self.progress, shape[1], unit="network") as report:
            key = as_key(self.random_state)
            for start in range(0, self.n_networks, together):
                rows = slice(start, min(start + together, self.n_networks))
                keys = jax.vmap(partial(jax.random.fold_in, key))(np.arange(start, start + together))
                outputs = train(
                    *(self.network, keys, points, y, steps, kept),
                    *(float(value) for value in (self.temperature, self.init_var, self.prior_var)),
                    width=self.width,
                    noisy=self.temperature > 0,
                )
                for into, part in zip(found, outputs, strict=True):
                    into[:, rows] = np.moveaxis(np.asarray(part), 0, 1)[:, : rows.stop - start]
                    if not np.isfinite(into[:, rows]).all():
                        raise ValueError(
                            "Training diverged: outputs are not finite. Take a smaller step_size or a larger width."
                        )
                report(rows.stop - start)
        return found

    def _together(self, points: np.ndarray, n_kept: int, n_outputs: int) -> int:
        """How many networks to train together; MemoryError if they do not fit."""
        sizes = [points.shape[1], *[self.width] * self.network.depth, n_outputs]
        n_params = sum((before + 1) * after for before, after in pairwise(sizes))
        size = n_params + len(points) * self.width * self.network.depth + n_kept // self.n_networks
        n_parts = -(-self.n_networks // max(1, TOGETHER // size))
        together = -(-self.n_networks // n_parts)
        kept, held = (number * points.dtype.itemsize / 1e9 for number in (n_kept, COPIES * together * size))
        if kept + held > (available := available_memory() / 1e9):
            raise MemoryError(
                f"The run needs {kept + held:.1f} GB, {kept:.1f} for outputs and {held:.1f} for {together} of the "
                f"networks, and {available:.1f} GB are available: keep fewer times or networks, take a smaller width, "
                "or float32 inputs."
            )
        return together


def _scaled(network: FullyConnected, var: float) -> FullyConnected:
    """The network whose standard normal entries do what entries of some variance do."""
    names = ("weight_var", "bias_var", "readout_weight_var", "readout_bias_var")
    own = {name: value for name in names if (value := getattr(network, name)) is not None}
    return network.replace(**{name: var * value for name, value in own.items()})


def _check_targets(y: Any, X: np.ndarray, dtype: np.dtype) -> np.ndarray:
    y = check_array(y, dtype=dtype, ensure_2d=False, input_name="y")
    if y.ndim not in (1, 2):
        raise ValueError(f"y must be 1-D, or 2-D with a column an output; found shape {y.shape}.")
    if len(y) != len(X):
        raise ValueError(f"y has {len(y)} rows, X has {len(X)}: give one target a row.")
    return y


def _check_times(times: Any) -> np.ndarray:
    times = check_array(
        np.atleast_1d(times), dtype=np.float64, ensure_2d=False, ensure_min_samples=0, input_name="times"
    )
    if times.ndim != 1 or not times.size or times[0] < 0 or (np.diff(times) <= 0).any():
        raise ValueError(f"times must be 1-D, increasing, >= 0 and not empty; found {times!r}.")
    return times


def _position(readout_time: float, times: np.ndarray) -> int:
    found = np.flatnonzero(times == readout_time)
    if not len(found):
        raise ValueError(f"readout_time must be one of times, found {readout_time!r}; add it to them.")
    return int(found[0])
