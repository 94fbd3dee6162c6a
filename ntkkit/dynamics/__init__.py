"""Theory in time: how infinitely wide networks learn."""

from ntkkit.dynamics.learning_curve import LearningCurve, learning_curve
from ntkkit.dynamics.ndk import NDK

__all__ = ["NDK", "LearningCurve", "learning_curve"]
