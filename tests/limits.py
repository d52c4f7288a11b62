"""How long a test waits for what should happen: long, so that no busy host fails it."""

HUNG = 300
"""Seconds after which something is taken to hang."""
