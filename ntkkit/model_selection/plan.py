"""Which points of a grid share a kernel matrix."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np
from sklearn import get_config
from sklearn.base import clone
from sklearn.compose import TransformedTargetRegressor
from sklearn.gaussian_process.kernels import Kernel as SklearnKernel
from sklearn.kernel_ridge import KernelRidge
from sklearn.multiclass import OneVsRestClassifier
from sklearn.multioutput import MultiOutputClassifier, MultiOutputRegressor
from sklearn.pipeline import Pipeline
from sklearn.svm import SVC, SVR, NuSVC, NuSVR, OneClassSVM

from ntkkit.estimators._base import KernelMachine, RidgeMachine
from ntkkit.estimators._large import choose_solver
from ntkkit.estimators._validation import check_kernel, is_precomputed
from ntkkit.kernels import NNGP, NTK
from ntkkit.model_selection.grams import Front, Shared

# Estimators that hand X over to the one inside as it is, and where that is.
WRAPPERS: dict[type, str] = {
    TransformedTargetRegressor: "regressor",
    MultiOutputClassifier: "estimator",
    MultiOutputRegressor: "estimator",
    OneVsRestClassifier: "estimator",
}


@dataclass
class Candidate:
    """A point of the grid: what to fit, and where its kernel matrix is, if it is shared."""

    number: int
    params: dict[str, Any]
    estimator: Any
    shared: Shared | None = None
    kernel: int = 0
    kernel_name: str = ""
    front_steps: tuple[str, ...] = ()
    waits: dict[int, float] = field(default_factory=dict)  # seconds that fits spent on matrices, by split

    def __sklearn_clone__(self) -> Self:
        return self

    def __str__(self) -> str:
        return "(" + ", ".join(f"{name}={self.params[name]}" for name in sorted(self.params)) + ")"

    def wait(self, split: int, seconds: float) -> None:
        """Note that a fit did nothing for so long."""
        self.waits[split] = self.waits.get(split, 0.0) + seconds

    @property
    def place_in_order(self) -> tuple[int, int]:
        return self.kernel, self.number


def plan(estimator: Any, points: Iterable[dict[str, Any]], *, n_samples: int, has_params: bool) -> list[Candidate]:
    """Candidates in an order in which those that share a matrix follow each other.

    Parameters
    ----------
    estimator : estimator
    points : iterable of dict
        The grid.
    n_samples : int
        Rows of the data.
    has_params : bool
        Whether fit has parameters besides X and y.

    Returns
    -------
    list of Candidate
    """
    groups: list[_Group] = []
    alone: list[Candidate] = []
    reasons: dict[str, None] = {}
    for number, params in enumerate(points):
        candidate = Candidate(number, params, clone(estimator).set_params(**clone(params, safe=False)))
        try:
            found = _Found.of(candidate.estimator, params, n_samples, has_params=has_params)
        except _NotShared as reason:
            reasons.update({str(reason): None} if str(reason) else {})
            alone.append(candidate)
            continue
        for group in groups:
            if group.admits(found):
                break
        else:
            front = next((other.shared.front for other in groups if other.is_behind_the_same(found)), None)
            group = _Group(found, front or Front(found.front))
            groups.append(group)
        group.add(candidate, found)
    if reasons:
        warnings.warn(
            f"Some kernel matrices are evaluated anew in each fit, as by GridSearchCV: {'; '.join(reasons)}.",
            stacklevel=4,
        )
    return [candidate for group in groups for candidate in group.in_order()] + alone


class _NotShared(Exception):
    """Why no kernel matrix can be shared; empty where nobody would expect it."""


@dataclass
class _Found:
    """The kernel machine of an estimator."""

    machine: Any
    kernel: Any
    prefix: str
    front: Pipeline | None
    front_steps: tuple[str, ...]
    settings: dict[str, Any]  # parameters of the point that are not of the machine

    @classmethod
    def of(cls, estimator: Any, params: dict[str, Any], n_samples: int, *, has_params: bool) -> Self:
        front, steps, prefix, inner = None, (), "", estimator
        if isinstance(estimator, Pipeline):
            inner = estimator.steps[-1][1]
            prefix = f"{estimator.steps[-1][0]}__"
            if any(step not in (None, "passthrough") for _, step in estimator.steps[:-1]):
                front, steps = Pipeline(estimator.steps[:-1]), tuple(name for name, _ in estimator.steps[:-1])
                if has_params and get_config()["enable_metadata_routing"]:
                    raise _NotShared("a preparation of the data and metadata that are routed do not go together")
        settings = {k: v for k, v in params.items() if not f"{k}__".startswith(prefix)} if prefix else {}
        while type(inner) in WRAPPERS:
            prefix += f"{WRAPPERS[type(inner)]}__"
            inner = getattr(inner, WRAPPERS[type(inner)])
        return cls(inner, _kernel_of(inner, n_samples), prefix, front, steps, settings)


def _kernel_of(machine: Any, n_samples: int) -> Any:
    """The kernel object or callable that evaluates the machine's matrix of all pairs, as "precomputed" takes it."""
    kernel = getattr(machine, "kernel", None)
    if is_precomputed(kernel):
        raise _NotShared
    if getattr(machine, "optimizer", None) is not None:
        raise _NotShared(f"{type(machine).__name__} with optimizer={machine.optimizer!r} learns its kernel in each fit")
    if isinstance(machine, RidgeMachine) and _solver_of(machine, n_samples) == "nystrom":
        raise _NotShared(
            f"solver='nystrom', asked for or taken for {n_samples} rows, evaluates a part of the kernel only"
        )
    if isinstance(machine, KernelMachine):
        try:
            return check_kernel(machine)
        except ValueError:
            raise _NotShared from None  # each fit says what is wrong
    if isinstance(machine, (SVC, SVR, NuSVC, NuSVR, OneClassSVM)) and callable(kernel):
        return kernel
    if isinstance(machine, KernelRidge) and isinstance(kernel, SklearnKernel) and not machine.kernel_params:
        return kernel
    raise _NotShared(
        f"{type(machine).__name__} with kernel={kernel!r} is no kernel machine of ntkkit, nor a support vector machine "
        "with a callable kernel or KernelRidge with a kernel object"
    )


def _solver_of(machine: RidgeMachine, n_samples: int) -> str:
    whole = getattr(machine, "train_time", None) is not None or getattr(machine, "loss", "squared") == "log"
    if machine.solver != "auto" or whole:  # what is no ridge system takes the whole matrix
        return machine.solver
    return choose_solver(n_samples, alpha=machine.alpha, itemsize=8, engine=machine.engine, rectangles=True)[0]


class _Group:
    """Candidates whose kernels one pass evaluates."""

    def __init__(self, found: _Found, front: Front) -> None:
        self.settings = found.settings
        self.shared = Shared(found.machine, front)
        self.candidates: list[Candidate] = []

    def admits(self, found: _Found) -> bool:
        mine, theirs = self.shared.kernels[0], found.kernel
        depths = [depth for depth in map(depth_of, (mine, theirs)) if depth is not None]
        if len(depths) == 2:
            mine, theirs = (kernel.replace(network__depth=max(depths)) for kernel in (mine, theirs))
        same_machine = type(found.machine) is type(self.shared.machine)
        return same_machine and self.is_behind_the_same(found) and equal(mine, theirs)

    def is_behind_the_same(self, found: _Found) -> bool:
        """Whether the data pass the same before the machine: what the grid does not set is the same for all points."""
        return self.settings.keys() == found.settings.keys() and all(
            equal(value, found.settings[name]) for name, value in self.settings.items()
        )

    def add(self, candidate: Candidate, found: _Found) -> None:
        kernels, counts = self.shared.kernels, self.shared.n_candidates
        index = next((i for i, kernel in enumerate(kernels) if equal(kernel, found.kernel)), len(kernels))
        if index == len(kernels):
            kernels.append(found.kernel)
            counts.append(0)
        counts[index] += 1
        candidate.estimator.set_params(**dict.fromkeys(found.front_steps, "passthrough"))
        candidate.shared, candidate.kernel, candidate.front_steps = self.shared, index, found.front_steps
        candidate.kernel_name = f"{found.prefix}kernel"
        self.candidates.append(candidate)

    def in_order(self) -> list[Candidate]:
        return sorted(self.candidates, key=lambda candidate: candidate.place_in_order)


def depth_of(kernel: Any) -> int | None:
    """The depth, where one pass evaluates the kernel at several."""
    if isinstance(kernel, (NTK, NNGP)) and kernel.network.nested:
        return kernel.network.depth
    return None


def equal(a: Any, b: Any) -> bool:
    """Equality by value, also of what scikit-learn copies on cloning and Python compares by identity."""
    if isinstance(a, functools.partial) and isinstance(b, functools.partial):
        return equal(a.func, b.func) and equal(a.args, b.args) and equal(a.keywords, b.keywords)
    try:
        return a is b or (type(a) is type(b) and bool(np.all(a == b)))
    except ValueError:  # arrays inside, of which nobody says what equality is
        return False
