"""What a machine counted, whichever of the three it is."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class ExitCount:
    """Exits of one kind to this process, and the time that it took to answer them."""

    count: int
    handled_ns: int


@dataclass(frozen=True)
class Counters:
    """What all harts did since the machine was built.

    Where we execute the instructions: those retired by mode, traps and interrupts by cause.
    `translation` tells what the engine's translation cache cost: its refills, and the page table
    entries read for them, of the hart's own tables (S), of a guest's (VS) and of the G-stage (G).
    The reference engine caches nothing and counts none of it; it is no part of what is equal
    between engines.

    Where the host's processor executes them: `exits` to this process by KVM's reason, `where` they
    went to, and the time inside the guest. Neither machine knows the other's half.
    """

    instructions: dict[str, int] = field(default_factory=dict)
    traps: dict[str, int] = field(default_factory=dict)
    interrupts: dict[str, int] = field(default_factory=dict)
    translation: dict[str, int] = field(default_factory=dict, compare=False)
    exits: dict[str, ExitCount] = field(default_factory=dict)
    where: dict[str, int] = field(default_factory=dict)
    inside_ns: int = 0
