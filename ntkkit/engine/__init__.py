"""The engine: evaluating any kernel over a data set."""

from ntkkit.engine.evaluate import Engine, gram
from ntkkit.engine.plan import Plan

__all__ = ["Engine", "Plan", "gram"]
