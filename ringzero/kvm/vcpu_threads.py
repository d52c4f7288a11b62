"""The vCPUs of a machine on threads of their own, which stand still between two runs."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence

from ringzero.kvm.board.exits import Server
from ringzero.kvm.board.wiring import Board
from ringzero.kvm.errors import KvmError
from ringzero.kvm.vcpu import Vcpu

PATIENCE = 10.0  # seconds for all vCPUs to come out of the guest


class VcpuThreads:
    """A thread for each vCPU, from `start` to `halt`."""

    def __init__(self, board: Board, vcpus: Sequence[Vcpu]) -> None:
        self.board, self.vcpus = board, vcpus
        self._threads: list[threading.Thread] = []

    def start(self) -> None:
        """Let all vCPUs run the guest."""
        self.board.halting = False
        self._threads = [
            threading.Thread(target=Server(self.board, v).run, name=f"vcpu {v.number}", daemon=True)
            for v in self.vcpus
        ]
        for thread in self._threads:
            thread.start()

    def halt(self) -> None:
        """Bring all of them out of the guest, and wait for their threads."""
        self.board.halting = True
        deadline = time.monotonic() + PATIENCE
        for thread in self._threads:
            while thread.is_alive():
                if time.monotonic() > deadline:
                    raise KvmError(
                        f"The thread {thread.name} does not come back: the console's `write` or a "
                        "file of the host blocks it."
                    )
                self.board.kick()
                thread.join(0.05)
        self._threads = []
