"""Regions: hot code of several blocks and pages, compiled by LLVM on a thread of its own."""

from ringzero.engine.regions.tier import Regions

__all__ = ["Regions"]
