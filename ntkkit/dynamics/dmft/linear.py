"""Deep linear networks: mean-field equations that close, in one sweep through time."""

from __future__ import annotations

from typing import NamedTuple, Self

import numpy as np

from ntkkit.dynamics.dmft.path import Path
from ntkkit.dynamics.dmft.problem import Lazy, Problem, check_memory


class _Layer(NamedTuple):
    """One hidden layer: h and z, linear in the Gaussians u and r, and how all of these vary together.

    Rows and columns of points are in order of (time, point); gradients are the same for all points. Later times hold 0.
    """

    sources: np.ndarray  # E[u u]
    back_sources: np.ndarray  # E[r r]
    h_by_u: np.ndarray
    h_by_r: np.ndarray
    z_by_u: np.ndarray
    z_by_r: np.ndarray
    features: np.ndarray  # E[h h]
    gradients: np.ndarray  # E[z z]

    @classmethod
    def empty(cls, size: int, n_times: int) -> Self:
        points, times = (size, size), (n_times, n_times)
        shapes = points, times, points, (size, n_times), (n_times, size), times, points, times
        return cls(*map(np.zeros, shapes))

    def move_features(self, pull: np.ndarray, now: slice, t: int) -> None:
        """h = u + pull z at new (time, point), and its covariances with all that is known."""
        known, past = slice(now.stop), slice(t)
        self.h_by_u[now, : now.start] = pull[:, past] @ self.z_by_u[past, : now.start]
        self.h_by_u[now, now] = np.eye(len(pull))
        self.h_by_r[now, past] = pull[:, past] @ self.z_by_r[past, past]
        rows = self.h_by_u[now, known] @ self.sources[known, known] @ self.h_by_u[known, known].T
        rows += self.h_by_r[now, past] @ self.back_sources[past, past] @ self.h_by_r[known, past].T
        self.features[now, known], self.features[known, now] = rows, rows.T

    def move_gradients(self, pull: np.ndarray, now: slice, t: int) -> None:
        """z = r + pull h at a new time, and its covariances with earlier ones."""
        known, times = slice(now.stop), slice(t + 1)
        self.z_by_u[t, known] = pull[known] @ self.h_by_u[known, known]
        self.z_by_r[t, :t] = pull[known] @ self.h_by_r[known, :t]
        self.z_by_r[t, t] = 1
        row = self.z_by_u[times, known] @ (self.sources[known, known] @ self.z_by_u[t, known])
        row += self.z_by_r[times, times] @ (self.back_sources[times, times] @ self.z_by_r[t, times])
        self.gradients[t, times] = self.gradients[times, t] = row


def solve_linear(problem: Problem, lazy: Lazy) -> Path:
    """The equations of `deep`, with averages that are exact for phi(h) = h; cost (n_steps n_points)^3 a layer."""
    n_points, n_times, n = len(problem.features), problem.n_times, len(problem.targets)
    size, depth = n_times * n_points, problem.depth
    check_memory(
        8.0 * depth * 4 * size**2,
        f"Mean-field theory of {n_points} points, {problem.n_steps} steps and {depth} hidden layers",
        "take fewer points or steps",
    )
    layers = [_Layer.empty(size, n_times) for _ in range(depth)]
    predictions = np.zeros((n_times, n_points))
    errors = np.zeros((n_times, n_points))  # 0 at points that are not trained on
    for t in range(n_times):
        predictions[t] = _up(problem, layers, lazy.preactivations[0], errors, t)
        _down(problem, layers, errors, t)
        errors[t, :n] = problem.targets - predictions[t, :n]
    features = [_at_equal_times(layer.features, n_times) for layer in layers]
    gradients = [layer.gradients.diagonal()[:, None, None] * np.ones((n_points, n_points)) for layer in layers]
    return Path.of_kernels(problem.variances, predictions, lazy.preactivations[0], features, gradients)


def _up(problem: Problem, layers: list[_Layer], first: np.ndarray, errors: np.ndarray, t: int) -> np.ndarray:
    """Features of all layers at time t, and the predictions."""
    n_times, n_points = errors.shape
    weight, bias, readout_weight, readout_bias, trained = problem.variances
    now, known = slice(t * n_points, (t + 1) * n_points), slice((t + 1) * n_points)
    covariance = np.tile(first, n_times)  # of u now and at all times
    response = np.zeros((n_points, n_times))
    for layer, is_trained in zip(layers, trained, strict=True):
        layer.sources[now, known], layer.sources[known, now] = covariance[:, known], covariance[:, known].T
        learned = (covariance * errors.ravel()).reshape(n_points, n_times, n_points).sum(axis=2)
        layer.move_features(response + is_trained * problem.pace * learned, now, t)
        response = weight * layer.h_by_r[now]
        covariance = weight * layer.features[now] + bias
    if not layers:
        return problem.pace / problem.gamma0 * covariance @ errors.ravel()
    covariance = readout_weight * layers[-1].features[now] + readout_bias
    response = readout_weight * layers[-1].h_by_r[now].sum(axis=1)
    return (response + problem.pace * covariance @ errors.ravel()) / problem.gamma0


def _down(problem: Problem, layers: list[_Layer], errors: np.ndarray, t: int) -> None:
    """Gradients of all layers at time t."""
    weight, _, readout_weight, _, trained = problem.variances
    n_points = errors.shape[1]
    now = slice(t * n_points, (t + 1) * n_points)
    response, covariance, rate = np.zeros(errors.size), np.full(len(errors), readout_weight), 1.0
    for layer, is_trained in zip(reversed(layers), reversed(trained), strict=True):
        layer.back_sources[t, : t + 1] = layer.back_sources[: t + 1, t] = covariance[: t + 1]
        layer.move_gradients(response + rate * problem.pace * (covariance[:, None] * errors).ravel(), now, t)
        response, covariance, rate = weight * layer.z_by_u[t], weight * layer.gradients[t], is_trained


def _at_equal_times(covariance: np.ndarray, n_times: int) -> np.ndarray:
    """The blocks on the diagonal, (n_times, n_points, n_points)."""
    n_points = len(covariance) // n_times
    blocks = covariance.reshape(n_times, n_points, n_times, n_points)
    return np.ascontiguousarray(np.einsum("tntm->tnm", blocks))
