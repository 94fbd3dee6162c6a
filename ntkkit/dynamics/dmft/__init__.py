"""Dynamical mean-field theory of networks that learn features."""

from ntkkit.dynamics.dmft.fluctuations import Fluctuations, fluctuations
from ntkkit.dynamics.dmft.mean_field import MeanField, solve

__all__ = ["Fluctuations", "MeanField", "fluctuations", "solve"]
