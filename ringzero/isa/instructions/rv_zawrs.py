"""Zawrs, waiting on a reservation set (unprivileged spec, "Zawrs" extension).

Both may complete at once for any reason, and here they do: harts may share one host thread, where
stalling this one would stall the hart that it waits for.
"""

from __future__ import annotations

from ringzero.isa.instruction import insn


@insn("wrs.nto", "000000001101 00000 000 00000 1110011", extension="Zawrs")
def wrs_nto() -> None:
    """Wait for a store to the reservation set, with no timeout."""


@insn("wrs.sto", "000000011101 00000 000 00000 1110011", extension="Zawrs")
def wrs_sto() -> None:
    """Wait for a store to the reservation set, with a short timeout."""
