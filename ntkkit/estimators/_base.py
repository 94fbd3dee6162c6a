"""What the estimators share: parameters, the Gram matrix, one solve, one product."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from numbers import Integral, Real
from typing import Any, ClassVar, Self

import numpy as np
from sklearn import get_config
from sklearn.base import BaseEstimator, clone
from sklearn.gaussian_process.kernels import Kernel as SklearnKernel
from sklearn.utils import gen_batches
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.validation import check_is_fitted

from ntkkit.engine import Engine
from ntkkit.engine.store import load
from ntkkit.estimators._large import Options, choose_solver, solve_on_centres, solve_pcg
from ntkkit.estimators._validation import check_gram, check_input, check_symmetric, is_precomputed
from ntkkit.kernels import Kernel
from ntkkit.linalg import SOLVERS, matmul, solve_ridge


class KernelMachine(BaseEstimator):
    """f(x) = sum_i a_i k(x, x_i): a kernel, an engine that evaluates it, and parameters inside the kernel."""

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        "kernel": "no_validation",  # check_kernel does, with a remedy
        "engine": [Engine, None],
    }

    _kernel_parameters: ClassVar[tuple[str, ...]] = ("kernel",)

    kernel: Any
    engine: Engine | None
    kernel_: Any
    X_fit_: np.ndarray | None
    dual_coef_: np.ndarray

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.pairwise = is_precomputed(self.kernel)
        return tags

    def set_params(self, **params: Any) -> Self:
        """Set parameters; those of the kernel as ``kernel__network__depth=5``.

        The kernel object itself is not changed: a changed clone takes its place.

        Parameters
        ----------
        **params
            Parameters by name.

        Returns
        -------
        self
            The estimator.

        Raises
        ------
        ValueError
            For an unknown name, or parameters of a kernel that has none.
        """
        for parameter in self._kernel_parameters:
            prefix = f"{parameter}__"
            inner = {name: params.pop(name) for name in list(params) if name.startswith(prefix)}
            if not inner:
                continue
            kernel = params.get(parameter, getattr(self, parameter))
            if not isinstance(kernel, SklearnKernel):
                raise ValueError(
                    f"{parameter} is {kernel!r}, which has no parameters to set by {', '.join(inner)}: "
                    f"pass {parameter}=NTK(FullyConnected())."
                )
            changes = {name.removeprefix(prefix): value for name, value in inner.items()}
            params[parameter] = clone(kernel).set_params(**changes)
        return super().set_params(**params)

    def _expand(self, X: Any, coefficients: np.ndarray) -> np.ndarray:
        """Evaluate sum_i a_i k(x, x_i) over `X_fit_`, (n_samples,) or (n_samples, n_outputs), in bounded memory."""
        X = check_input(self, X, kernel=self.kernel_, reset=False)
        if self.X_fit_ is None:
            return matmul(X, coefficients)
        panels = self._panels(self.kernel_, X, self.X_fit_, apply=lambda panel: matmul(panel, coefficients))
        return np.concatenate([part for _, part in panels])

    def _panels(
        self, kernel: Any, X: np.ndarray, Y: np.ndarray, *, apply: Callable[[np.ndarray], np.ndarray]
    ) -> Iterator[tuple[slice, np.ndarray]]:
        """A function of k(X, Y), by rows: within the engine's memory, or scikit-learn's `working_memory`."""

        def checked(panel: np.ndarray) -> np.ndarray:
            return apply(check_gram(panel, panel.shape))

        if isinstance(kernel, Kernel):
            yield from self._engine.panels(kernel, X, Y, apply=checked)
            return
        n_rows = max(1, int(get_config()["working_memory"] * 2**20 / (8 * len(Y))))
        yield from ((chunk, checked(self._gram(kernel, X[chunk], Y))) for chunk in gen_batches(len(X), n_rows))

    @property
    def _engine(self) -> Engine:
        return self.engine or Engine()

    def _gram(self, kernel: Any, X: np.ndarray, Y: np.ndarray | None = None) -> np.ndarray:
        """Evaluate the kernel of every pair, symmetric without Y, and then by way of the engine's store and cluster."""
        shape = (len(X), len(X if Y is None else Y))
        if isinstance(kernel, Kernel):
            K = load(self._engine.gram(kernel, X)) if Y is None else self._engine.local.gram(kernel, X, Y)
            return check_gram(K, shape)
        if isinstance(kernel, SklearnKernel):
            return check_gram(kernel(X, Y), shape)
        K = check_gram(kernel(X, X if Y is None else Y), shape)
        if Y is None:
            check_symmetric(K, "The matrix that the kernel returns for k(X, X)")
        return K

    def _pairs(self, kernel: Any, X: np.ndarray, rows: Any, columns: np.ndarray) -> np.ndarray:
        """Evaluate the kernel between samples, given by their places; X is the Gram matrix of a precomputed kernel."""
        if is_precomputed(kernel):
            return X[rows][:, columns]
        return self._gram(kernel, X[rows], X[columns])

    def _diagonal(self, kernel: Any, X: np.ndarray) -> np.ndarray:
        """Evaluate k(x, x) as between different samples: without the noise of a WhiteKernel."""
        if is_precomputed(kernel):
            return X.diagonal()
        if isinstance(kernel, Kernel):
            return self._engine.diag(kernel, X)
        return np.concatenate([self._gram(kernel, X[part], X[part]).diagonal() for part in gen_batches(len(X), 64)])

    def _training_gram(self, kernel: Any, X: np.ndarray, rows: Any) -> np.ndarray:
        """The Gram matrix of the samples `rows`."""
        if not is_precomputed(kernel):
            return self._gram(kernel, X[rows])
        check_symmetric(X, "X, with kernel='precomputed',")
        return X[rows][:, rows]

    def _keep(self, kernel: Any, X: np.ndarray, dual_coef: np.ndarray, rows: Any) -> None:
        """Store what predict needs."""
        self.dual_coef_ = np.zeros((len(X), *dual_coef.shape[1:]))
        self.dual_coef_[rows] = dual_coef
        self.kernel_ = kernel
        self.X_fit_ = None if is_precomputed(kernel) else X

    def _evaluate(self, X: Any) -> np.ndarray:
        """f(X)."""
        check_is_fitted(self)
        return self._expand(X, self.dual_coef_)

    @property
    def _coefficient_columns(self) -> np.ndarray:
        """The coefficients with a column an output: (n_fit, n_outputs)."""
        return self.dual_coef_.reshape(len(self.dual_coef_), -1)

    def _outputs(self, X: np.ndarray) -> np.ndarray:
        """All outputs, (n, n_outputs), of checked input."""
        return self._expand(X, self._coefficient_columns) + np.ravel(getattr(self, "intercept_", 0.0))

    def _input_gradient(self, X: np.ndarray, weights: np.ndarray) -> np.ndarray:
        """The gradient of sum_k w_ik f_k(x_i) in each checked input: (n, d), (n, n_outputs) -> (n, d)."""
        return self._engine.local.input_gradient(self.kernel_, X, self.X_fit_, weights @ self._coefficient_columns.T)


class RidgeMachine(KernelMachine):
    """f(x) = sum_i a_i k(x, x_i) with (K + alpha I) a = y. Subclasses say what y is."""

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        **KernelMachine._parameter_constraints,
        "alpha": [Interval(Real, 0, None, closed="left")],
        "solver": [StrOptions({*SOLVERS, "pcg", "nystrom"})],
        "n_components": [Interval(Integral, 1, None, closed="left")],
        "tol": [Interval(Real, 0, None, closed="neither")],
        "max_iter": [Interval(Integral, 1, None, closed="left")],
        "random_state": ["random_state"],
    }

    solver_: str
    solver_reason_: str
    n_iter_: int

    def __init__(
        self,
        kernel: Any,
        *,
        alpha: Any,
        solver: str,
        n_components: int,
        tol: float,
        max_iter: int,
        random_state: Any,
        engine: Engine | None,
    ) -> None:
        self.kernel = kernel
        self.alpha = alpha
        self.solver = solver
        self.n_components = n_components
        self.tol = tol
        self.max_iter = max_iter
        self.random_state = random_state
        self.engine = engine

    def _fit_dual(
        self,
        kernel: Any,
        X: np.ndarray,
        targets: np.ndarray,
        *,
        rows: Any,
        weights: np.ndarray | None,
        time: float = np.inf,
    ) -> None:
        """Solve for the samples `rows`; the others' coefficients are zero."""
        solver, self.solver_reason_ = self.solver, "as asked"
        if solver == "auto" and time == np.inf:
            solver, self.solver_reason_ = choose_solver(
                len(targets),
                alpha=self.alpha,
                itemsize=X.dtype.itemsize,
                engine=self.engine,
                rectangles=not is_precomputed(kernel),
            )
        if solver in ("pcg", "nystrom"):
            self._fit_iteratively(solver, kernel, X, targets, rows=rows, weights=weights, time=time)
            return
        found = solve_ridge(
            self._training_gram(kernel, X, rows),
            targets,
            self.alpha,
            solver=solver,
            sample_weight=weights,
            time=time,
            overwrite=isinstance(kernel, SklearnKernel),  # what a callable returned may be its own
        )
        self._keep(kernel, X, found.dual_coef, rows)
        self.solver_, self.n_iter_ = found.solver, 1

    def _fit_iteratively(
        self,
        solver: str,
        kernel: Any,
        X: np.ndarray,
        targets: np.ndarray,
        *,
        rows: Any,
        weights: np.ndarray | None,
        time: float,
    ) -> None:
        if np.ndim(self.alpha) or time < np.inf:
            raise ValueError(
                f"solver={solver!r} takes one alpha and no train_time, found alpha={self.alpha!r}, time={time:g}: use "
                "solver='eigen'."
            )
        options = Options(self.n_components, self.tol, self.max_iter, self.random_state)
        if solver == "pcg":
            found = solve_pcg(self, kernel, X, targets, rows=rows, weights=weights, options=options)
            self._keep(kernel, X, found.dual_coef, rows)
        elif is_precomputed(kernel):
            raise ValueError("solver='nystrom' evaluates parts of the kernel, which kernel='precomputed' has none of.")
        else:
            centres, found = solve_on_centres(self, kernel, X[rows], targets, weights=weights, options=options)
            self._keep(kernel, centres, found.dual_coef, slice(None))
        self.solver_, self.n_iter_ = solver, max(found.n_iter, 1)
