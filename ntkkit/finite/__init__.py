"""Networks of finite width."""

from ntkkit.finite.barriers import ErrorBarrier, error_barrier
from ntkkit.finite.children import ParentChild, spawn_children
from ntkkit.finite.comparison import Comparison, Exponent, compare
from ntkkit.finite.distances import frobenius_distance, kernel_distance, kernel_velocity, polar_dynamics
from ntkkit.finite.empirical import empirical_nngp, empirical_ntk, empirical_ntk_by_layer
from ntkkit.finite.empirical_kernel import EmpiricalNTK
from ntkkit.finite.ensembles import Predictions, Simulation
from ntkkit.finite.langevin import LangevinTrainer
from ntkkit.finite.linearization import linearize, taylor
from ntkkit.finite.linearized import LinearizedNetwork
from ntkkit.finite.metrics import (
    effective_rank,
    eigenvector_alignment,
    largest_eigenvalue,
    leave_one_out_accuracy,
    machine_accuracy,
    stability_ratio,
    target_alignment,
    top_mass,
)
from ntkkit.finite.parametrization import FiniteNetwork
from ntkkit.finite.regimes import RegimeReport, regime_report
from ntkkit.finite.spectrum import empirical_ntk_matvec, top_eigenpairs
from ntkkit.finite.stability import EdgeOfStability, align_by_learning_rate, sharpness
from ntkkit.finite.tasks import Task, TaskSequence
from ntkkit.finite.tracking import KernelTracker
from ntkkit.finite.trained import TrainedNetworks, network_outputs
from ntkkit.finite.training import NetworkTrainer

__all__ = [
    "Comparison",
    "EdgeOfStability",
    "EmpiricalNTK",
    "ErrorBarrier",
    "Exponent",
    "FiniteNetwork",
    "KernelTracker",
    "LangevinTrainer",
    "LinearizedNetwork",
    "NetworkTrainer",
    "ParentChild",
    "Predictions",
    "RegimeReport",
    "Simulation",
    "Task",
    "TaskSequence",
    "TrainedNetworks",
    "align_by_learning_rate",
    "compare",
    "effective_rank",
    "eigenvector_alignment",
    "empirical_nngp",
    "empirical_ntk",
    "empirical_ntk_by_layer",
    "empirical_ntk_matvec",
    "error_barrier",
    "frobenius_distance",
    "kernel_distance",
    "kernel_velocity",
    "largest_eigenvalue",
    "leave_one_out_accuracy",
    "linearize",
    "machine_accuracy",
    "network_outputs",
    "polar_dynamics",
    "regime_report",
    "sharpness",
    "spawn_children",
    "stability_ratio",
    "target_alignment",
    "taylor",
    "top_eigenpairs",
    "top_mass",
]
