"""Keys that are for ringzero and not for the guest: what follows Ctrl-A.

A pure filter of the typed bytes, so that its rules can be tested without a terminal.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass

PREFIX = 0x01
"""Ctrl-A, as in QEMU and screen."""


class Command(enum.Enum):
    """What a key after Ctrl-A asks for, and what its line in the help says."""

    EXIT = ("x", "end the machine")
    HELP = ("h", "this help")
    STATISTICS = ("s", "instructions, traps and interrupts so far")
    DUMP = ("d", "registers of the hart")

    def __init__(self, key: str, meaning: str) -> None:
        self.key = key
        self.meaning = meaning


BY_KEY = {ord(command.key): command for command in Command}

HELP = "\n".join(
    [
        *(f"Ctrl-A {command.key}       {command.meaning}" for command in Command),
        "Ctrl-A Ctrl-A  a Ctrl-A for the guest",
    ]
)


@dataclass
class KeyFilter:
    """Splits what was typed into bytes for the guest and commands, also across reads."""

    after_prefix: bool = False

    def feed(self, data: bytes) -> tuple[bytes, list[Command]]:
        """The guest's bytes and the commands in `data`; an unknown key is dropped with a help."""
        if not self.after_prefix and PREFIX not in data:
            return data, []
        for_guest = bytearray()
        commands = []
        for byte in data:
            if self.after_prefix:
                self.after_prefix = False
                if byte == PREFIX:
                    for_guest.append(byte)
                else:
                    commands.append(BY_KEY.get(byte, Command.HELP))
            elif byte == PREFIX:
                self.after_prefix = True
            else:
                for_guest.append(byte)
        return bytes(for_guest), commands
