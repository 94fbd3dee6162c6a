"""Networks of finite width."""

from ntkkit.finite.distances import frobenius_distance, kernel_distance, kernel_velocity, polar_dynamics
from ntkkit.finite.empirical import empirical_nngp, empirical_ntk, empirical_ntk_by_layer
from ntkkit.finite.ensembles import Predictions, Simulation
from ntkkit.finite.langevin import LangevinTrainer
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
from ntkkit.finite.tasks import Task, TaskSequence
from ntkkit.finite.trained import TrainedNetworks, network_outputs
from ntkkit.finite.training import NetworkTrainer

__all__ = [
    "FiniteNetwork",
    "LangevinTrainer",
    "NetworkTrainer",
    "Predictions",
    "Simulation",
    "Task",
    "TaskSequence",
    "TrainedNetworks",
    "effective_rank",
    "eigenvector_alignment",
    "empirical_nngp",
    "empirical_ntk",
    "empirical_ntk_by_layer",
    "frobenius_distance",
    "kernel_distance",
    "kernel_velocity",
    "largest_eigenvalue",
    "leave_one_out_accuracy",
    "machine_accuracy",
    "network_outputs",
    "polar_dynamics",
    "stability_ratio",
    "target_alignment",
    "top_mass",
]
