"""Networks of finite width."""

from ntkkit.finite.ensembles import Predictions, Simulation
from ntkkit.finite.langevin import LangevinTrainer

__all__ = ["LangevinTrainer", "Predictions", "Simulation"]
