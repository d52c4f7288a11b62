"""Compiled regions on disk and in memory: what is known, loaded, installed, freed."""
