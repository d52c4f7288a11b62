"""The interpreter's handlers by number, as slots and `Shared.handlers` have them.

Two for each instruction, 2 * index + (size == 2); then the special ones; then again two for each,
of branches and jumps whose target is on another page.
"""

from __future__ import annotations

from enum import IntEnum, auto

from ringzero.isa.registry import INSTRUCTIONS

COUNT = 2 * len(INSTRUCTIONS)


class Special(IntEnum):
    """Handlers that are no instruction. Each is a method of `interpreter.special_handlers`."""

    ILLEGAL = COUNT  # what has no definition: decoding gives it the next index, and two sizes
    ILLEGAL_SHORT = auto()
    DECODE = auto()  # not decoded yet
    CROSS = auto()  # a guard: go on at the next page
    STRADDLE = auto()  # a 32-bit instruction over the end of its page
    HALT = auto()  # of the scratch page: a single step ends here, other code is fetched anew
    JUMP_TO = auto()  # to any address, given in place of the slot
    EVENT = auto()  # the budget is spent
    SPENT_IN_REGION = auto()  # EVENT, in a region
    SIDE_EXIT = auto()  # of a region: the interpreter does this instruction
    LINK = auto()  # a region is at the end of its page; then JUMP_TO
    LINK_SIDE_EXIT = auto()  # the same; then SIDE_EXIT
    WARM = auto()  # a leader that is not compiled yet

    @property
    def symbol(self) -> str:
        """Its function in the interpreter's module."""
        return self.name.lower()


FAR = COUNT + len(Special)  # branches and jumps to another page
HANDLERS = FAR + COUNT
