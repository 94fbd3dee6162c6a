"""Solvers: they know matrices, never kernels. Factor once, solve many times."""

from ntkkit.linalg.cholesky import Cholesky, cholesky
from ntkkit.linalg.eigen import Eigen, eigen
from ntkkit.linalg.kronecker import KroneckerPart
from ntkkit.linalg.nystrom import solve_nystrom
from ntkkit.linalg.path import generalized_cross_validation, leave_one_out, squared_loss_flow
from ntkkit.linalg.patterns import solve_patterns, solve_semidefinite
from ntkkit.linalg.pcg import IterativeSolution, conjugate_gradients
from ntkkit.linalg.periodic import PeriodicMatrix, periodic_matrix
from ntkkit.linalg.pivoted import PartialCholesky, pivoted_cholesky
from ntkkit.linalg.product import matmul
from ntkkit.linalg.ridge import SOLVERS, RidgeFactor, RidgeSolution, factor_ridge, solve_ridge
from ntkkit.linalg.symmetric import entry_error

__all__ = [
    "SOLVERS",
    "Cholesky",
    "Eigen",
    "IterativeSolution",
    "KroneckerPart",
    "PartialCholesky",
    "PeriodicMatrix",
    "RidgeFactor",
    "RidgeSolution",
    "cholesky",
    "conjugate_gradients",
    "eigen",
    "entry_error",
    "factor_ridge",
    "generalized_cross_validation",
    "leave_one_out",
    "matmul",
    "periodic_matrix",
    "pivoted_cholesky",
    "solve_nystrom",
    "solve_patterns",
    "solve_ridge",
    "solve_semidefinite",
    "squared_loss_flow",
]
