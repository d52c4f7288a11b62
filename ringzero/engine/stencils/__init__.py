"""Stencils: machine code of each instruction with holes, and the tables that the stitcher reads."""
