"""What decoding gives: a Struct of its own, which needs none of the instructions' definitions.

A process that finds its engine in the cache starts without them.
"""

from __future__ import annotations

from ringzero.lang import Struct, u32, u64


class Decoded(Struct):
    """What a word says; fields that the instruction does not have hold whatever stands there."""

    index: u32  # into INSTRUCTIONS; ILLEGAL is their number
    rd: u32
    rs1: u32
    rs2: u32
    rs3: u32
    size: u32  # bytes: 2 or 4
    imm: u64
