"""Theory in time: how infinitely wide networks learn."""

from ntkkit.dynamics.drift import drift
from ntkkit.dynamics.learning_curve import LearningCurve, learning_curve
from ntkkit.dynamics.ndk import NDK

__all__ = ["NDK", "LearningCurve", "drift", "learning_curve"]
