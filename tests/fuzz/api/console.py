"""Consoles that do to their machine what no console should, once the guest has said something."""

from __future__ import annotations

import os
import random
from typing import Any


class Refusal(Exception):
    """What a console of ours raises; it must reach whoever runs the machine."""


class Meddler:
    """A console that sometimes raises, closes, runs, looks, sends, pauses or forks."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.machine: Any = None  # not kept alive by the machine: a console may outlive it
        self.active = True

    def write(self, data: bytes) -> None:
        """From the guest."""
        if not self.active or self.machine is None or self.random.random() > 0.3:
            return
        machine = self.machine()
        if machine is None:
            return
        what = self.random.choice(
            ("raise", "close", "run", "pause", "send", "look", "write", "fork", "abandon")
        )
        if what == "raise":
            raise Refusal("the console has had enough")
        if what == "fork":
            child = os.fork()
            if child == 0:
                os._exit(0)
            os.waitpid(child, 0)
        elif what == "send":
            machine.send(b"x")
        elif what == "look":
            machine.counters()
            machine.read_memory(machine.memory.base, 64)
        elif what == "write":
            machine.write_memory(machine.memory.end - 4096, bytes(64))
        else:
            getattr(machine, what)()
