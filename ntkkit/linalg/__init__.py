"""Solvers: they know matrices, never kernels. Factor once, solve many times."""

from ntkkit.linalg.cholesky import Cholesky, cholesky
from ntkkit.linalg.eigen import Eigen, eigen
from ntkkit.linalg.ridge import SOLVERS, RidgeSolution, solve_ridge

__all__ = ["SOLVERS", "Cholesky", "Eigen", "RidgeSolution", "cholesky", "eigen", "solve_ridge"]
