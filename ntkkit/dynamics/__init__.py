"""Theory in time: how infinitely wide networks learn."""

from ntkkit.dynamics import dmft
from ntkkit.dynamics.drift import drift
from ntkkit.dynamics.gradient_flow import GradientFlow, gradient_flow
from ntkkit.dynamics.learning_curve import LearningCurve, learning_curve
from ntkkit.dynamics.ndk import NDK

__all__ = ["NDK", "GradientFlow", "LearningCurve", "dmft", "drift", "gradient_flow", "learning_curve"]
