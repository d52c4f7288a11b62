"""Harts on threads of their own: who may be using what, and who wakes whom."""
