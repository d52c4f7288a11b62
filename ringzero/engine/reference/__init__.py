"""The reference engine: CPython runs the definitions as they stand. What it does is correct."""

from ringzero.engine.reference.engine import ReferenceEngine, Step
from ringzero.engine.reference.harts import ReferenceHarts

__all__ = ["ReferenceEngine", "ReferenceHarts", "Step"]
