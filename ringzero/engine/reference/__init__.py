"""The reference engine: CPython runs the definitions as they stand. What it does is correct."""
