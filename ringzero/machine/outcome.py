"""How a run of the machine ends, as values that the board hands to `stop`."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Exit:
    """The guest powered off, or its program ended, with this code (0: all well)."""

    code: int = 0


@dataclass(frozen=True)
class Reboot:
    """The guest asks for a reset of the whole machine."""


Outcome = Exit | Reboot
