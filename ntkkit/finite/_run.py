"""A training on its way, from report to report."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import jax
import numpy as np

from ntkkit.engine.progress import Progress, reporting
from ntkkit.finite._learning_rate import fastest_rate
from ntkkit.finite._training_steps import LEG, Progressed, Rates, Rows, Settings, advance, start
from ntkkit.finite.parametrization import FiniteNetwork
from ntkkit.finite.trained import TrainedNetworks

Callback = Callable[[TrainedNetworks], Any]


@dataclass
class Run:
    """A training on its way."""

    given: tuple[FiniteNetwork, Rows, Rows | None]
    keys: Any
    rates: Rates
    settings: Settings
    state: TrainedNetworks
    n_steps: int  # an epoch

    def until(self, reports: np.ndarray, callbacks: Sequence[Callback], progress: Progress) -> TrainedNetworks:
        """Train to the last of some epochs."""
        stopping = self.given[2] is not None
        at = start(self.state.params, optimizer=self.settings.optimizer, stopping=stopping)
        with reporting(progress, int(reports[-1]), unit="epoch") as report:
            done = _told(callbacks, self.state)
            for epoch, count, last in _legs(reports if len(callbacks) else reports[-1:]):
                if done:
                    break
                at = self._advance(at, epoch, count)
                report(self.state.epoch - epoch)
                stopped = self.state.epoch < epoch + count
                done = (_told(callbacks, self.state) if last or stopped else False) or stopped
        params = at.best if stopping and self.state.epoch else at.params
        return self._replaced(params=jax.tree.map(np.array, params))

    def _advance(self, at: Progressed, epoch: int, count: int) -> Progressed:
        before = self.state
        done, at, *losses = advance(
            *self.given, at, self.keys, self.rates, np.int32(epoch), np.int32(count), settings=self.settings
        )
        inside, outside = (np.asarray(part)[: int(done)] for part in losses)
        if not np.isfinite(inside).all():
            raise ValueError(self._diverged())
        epoch += len(inside)
        self._replaced(
            params=at.params,
            epoch=epoch,
            step=epoch * self.n_steps,
            losses=np.concatenate([before.losses, inside]),
            held_out_losses=None
            if before.held_out_losses is None
            else np.concatenate([before.held_out_losses, outside]),
            best_epochs=None if at.best_epoch is None else np.array(at.best_epoch),
        )
        return at

    def _replaced(self, **changes: Any) -> TrainedNetworks:
        self.state = replace(self.state, **changes)
        return self.state

    def _diverged(self) -> str:
        network, rows, _ = self.given
        found = f"Training diverged at learning_rate={self.state.learning_rate:.3g}: losses are not finite. "
        if self.settings.optimizer not in ("sgd", "momentum") or self.settings.curvature is None:
            return found + "Take one ten times smaller, or scale X (StandardScaler)."
        params = jax.tree.map(lambda entry: entry[0], self.state.initial_params)
        fastest = fastest_rate(network, params, rows, self.settings, float(self.rates.weight_decay))
        return found + (
            f"At initialisation errors fall at rates up to {fastest:.3g}, the largest eigenvalue of the empirical NTK, "
            f"so it must be less than {2 / fastest:.2g}; {0.5 / fastest:.2g} is good."
        )


def _legs(reports: np.ndarray) -> Iterator[tuple[int, int, bool]]:
    """What is trained at a time: from which epoch, for how many, and whether a report follows."""
    epoch = 0
    for report in reports:
        while epoch < report:
            count = min(LEG, int(report) - epoch)
            yield epoch, count, epoch + count == report
            epoch += count


def _told(callbacks: Sequence[Callback], state: TrainedNetworks) -> bool:
    """Tell every callback; whether one of them wants to stop."""
    answers = [callback(state) for callback in callbacks]  # all of them are told
    return any(answer is True for answer in answers)
