"""The command line: a thin layer over `ringzero.machines`, with the habits of container tools.

Modules import click and what else is small; the machine and its engines are imported by the command
that runs one, so that `--help` and mistakes are answered at once.
"""
