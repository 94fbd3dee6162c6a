"""The engine: evaluating any kernel over a data set."""

from ntkkit.engine.cache import Cache
from ntkkit.engine.evaluate import Engine, gram
from ntkkit.engine.plan import Plan

__all__ = ["Cache", "Engine", "Plan", "gram"]
