"""Floating-point operations on the host, exact in each rounding mode."""
