"""Regions: hot code of several blocks and pages, compiled by LLVM on a thread of its own."""
