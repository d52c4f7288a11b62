"""The vCPUs of a machine on threads of their own, and guest time, which both stand still together.

While vCPUs stand still the guest's clocks do too: kvmclock, the time-stamp counters, and the timers
that the board counts. Otherwise a guest would see minutes pass between two of its instructions, and
report a soft lockup.
"""

from __future__ import annotations

import threading
import time

from ringzero.kvm import api
from ringzero.kvm.board.exits import Server
from ringzero.kvm.board.wiring import Board
from ringzero.kvm.errors import KvmError
from ringzero.kvm.vcpu import Vcpu

PATIENCE = 10.0  # seconds for all vCPUs to come out of the guest
TSC = 0x10  # IA32_TIME_STAMP_COUNTER


class VcpuThreads:
    """A thread for each vCPU of a board, from `start` to `halt`."""

    def __init__(self, board: Board, stands_still: bool = True) -> None:
        """`stands_still` is false where guest time goes on while no vCPU runs."""
        self.board, self.stands_still = board, stands_still
        self._threads: list[threading.Thread] = []
        self._stopped: tuple[int, list[dict[int, int]]] | None = None
        if stands_still:
            board.clock.pause()

    @property
    def vcpus(self) -> list[Vcpu]:
        """The vCPUs of the machine, by number."""
        return self.board.vm.vcpus

    def start(self) -> None:
        """Let all vCPUs run the guest."""
        self.board.halting = False
        self._continue_clocks()
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
        if self.stands_still:
            self._stop_clocks()

    def forget_clocks(self) -> None:
        """Another state was put into the vCPUs: go on from the clocks that it has."""
        self._stopped = None

    def _stop_clocks(self) -> None:
        self.board.clock.pause()
        clock = api.ClockData()
        self.board.vm.request(api.GET_CLOCK, clock)
        self._stopped = clock.clock, [vcpu.read_msrs([TSC]) for vcpu in self.vcpus]

    def _continue_clocks(self) -> None:
        self.board.clock.resume()
        if self._stopped is None:
            return
        clock, counters = self._stopped
        self.board.vm.request(api.SET_CLOCK, api.ClockData(clock))
        for vcpu, counter in zip(self.vcpus, counters, strict=True):
            vcpu.write_msrs(counter)
            vcpu.stood_still()
