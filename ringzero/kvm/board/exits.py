"""What the board answers to each reason for which a guest leaves the processor.

`run` is a vCPU thread's whole life: enter the guest, answer, enter again. Reads where nothing is
answer all ones as a real bus does, writes go nowhere; what KVM itself cannot run ends the run with
the guest's state in the message.
"""

from __future__ import annotations

from collections.abc import Callable

from ringzero.kvm.api import ExitReason
from ringzero.kvm.board.wiring import Board
from ringzero.kvm.errors import KvmStuck
from ringzero.kvm.vcpu import Vcpu
from ringzero.outcome import PoweredOff, Rebooted

IO, MMIO, HLT = int(ExitReason.IO), int(ExitReason.MMIO), int(ExitReason.HLT)
ONES = (1 << 64) - 1
SYSTEM_SHUTDOWN, SYSTEM_RESET, SYSTEM_CRASH = 1, 2, 3


class Server:
    """Runs one vCPU against a board."""

    def __init__(self, board: Board, vcpu: Vcpu) -> None:
        self.board = board
        self.vcpu = vcpu
        self.halted = False
        self.answers: dict[int, Callable[[], None]] = {
            IO: self.port,
            MMIO: self.memory,
            HLT: self.halt,
            int(ExitReason.INTR): self.nothing,
            int(ExitReason.IRQ_WINDOW_OPEN): self.nothing,
            int(ExitReason.SHUTDOWN): self.shutdown,
            int(ExitReason.SYSTEM_EVENT): self.system_event,
            int(ExitReason.X86_RDMSR): self.read_msr,
            int(ExitReason.X86_WRMSR): self.write_msr,
            int(ExitReason.INTERNAL_ERROR): self.internal_error,
            int(ExitReason.FAIL_ENTRY): self.fail_entry,
        }

    def run(self) -> None:
        """Serve until the board stops or halts; errors end the run."""
        vcpu, board, answers = self.vcpu, self.board, self.answers
        vcpu.adopt()
        try:
            while not (board.halting or board.ended or self.halted):
                reason = vcpu.enter()
                answers.get(reason, self.unknown)()
                vcpu.answered(reason)
        except BaseException as error:
            board.fail(error)
        finally:
            vcpu.abandon()

    def nothing(self) -> None:
        """KVM_RUN returned because somebody kicked the vCPU."""

    def port(self) -> None:
        """in, out, and their repeated forms."""
        vcpu = self.vcpu
        access = vcpu.port_access()
        size, start, data = access.size, access.offset, vcpu.bytes
        wire = self.board.ports.get(access.port)
        vcpu.stats.where[wire.device.name if wire else f"port {access.port:#x}"] += access.repeats
        if wire is None:
            if not access.write:
                data[start : start + size * access.repeats] = b"\xff" * (size * access.repeats)
            return
        offset = access.port - wire.base
        with self.board.lock:
            device = wire.device
            for place in range(start, start + size * access.repeats, size):
                if access.write:
                    value = int.from_bytes(data[place : place + size], "little")
                    device.write(offset, size, value)
                else:
                    value = device.read(offset, size) & (1 << 8 * size) - 1
                    data[place : place + size] = value.to_bytes(size, "little")
            wire.update()

    def memory(self) -> None:
        """A load or a store outside RAM."""
        vcpu = self.vcpu
        data = vcpu.bytes
        address, size, write = vcpu.quads[4], vcpu.words[12], data[52]
        wire = self.board.wire_at(address, size)
        if wire is None:
            vcpu.stats.where[f"memory {address & ~0xFFF:#x}"] += 1
            if not write:
                data[40:48] = b"\xff" * 8
            return
        vcpu.stats.where[wire.device.name] += 1
        offset = address - wire.base
        with self.board.lock:
            if write:
                wire.device.write(offset, size, int.from_bytes(data[40 : 40 + size], "little"))
            else:
                value = wire.device.read(offset, size) & (1 << 8 * size) - 1
                data[40 : 40 + size] = value.to_bytes(size, "little")
            wire.update()

    def halt(self) -> None:
        """hlt without in-kernel interrupt controllers: nothing can wake this vCPU again."""
        self.halted = True
        self.board.stop(PoweredOff(0))

    def shutdown(self) -> None:
        """A triple fault: on a PC that is a reset, and the last resort of Linux's reboot."""
        self.board.stop(Rebooted())

    def system_event(self) -> None:
        """KVM's own power-off, reset and crash events."""
        kind = self.vcpu.words[8]
        if kind == SYSTEM_SHUTDOWN:
            self.board.stop(PoweredOff(0))
        elif kind == SYSTEM_RESET:
            self.board.stop(Rebooted())
        elif kind == SYSTEM_CRASH:
            self.board.stop(PoweredOff(255))
        else:
            self.unknown()

    def read_msr(self) -> None:
        """rdmsr of a register that the guest does not have: general protection, as on hardware."""
        self.vcpu.stats.where[f"rdmsr {self.vcpu.words[11]:#x}"] += 1
        self.vcpu.bytes[32] = 1

    def write_msr(self) -> None:
        """wrmsr of a register that the guest does not have: general protection."""
        self.vcpu.stats.where[f"wrmsr {self.vcpu.words[11]:#x}"] += 1
        self.vcpu.bytes[32] = 1

    def internal_error(self) -> None:
        """KVM gave up: most often its emulator met an instruction that it does not know."""
        suberror, instruction = self.vcpu.internal_error()
        what = {
            1: "its emulator does not know the instruction",
            2: "two exceptions met in a way it cannot simulate",
            3: "an exit happened while it delivered an event",
        }.get(suberror, f"internal error {suberror}")
        shown = f" {instruction.hex(' ')}" if instruction else ""
        raise KvmStuck(
            f"This host's KVM cannot run the guest any further: {what}{shown} "
            f"({self.vcpu.describe()}); use a host with full VT-x or AMD-V, or --cpu emulate.",
            self.vcpu.where(),
            instruction,
        )

    def fail_entry(self) -> None:
        """The processor refused the guest's state."""
        raise KvmStuck(
            f"The processor refused to enter the guest (hardware reason {self.vcpu.quads[4]:#x}; "
            f"{self.vcpu.describe()}): the guest's state is inconsistent.",
            self.vcpu.where(),
        )

    def unknown(self) -> None:
        """An exit that was never asked for."""
        raise KvmStuck(
            f"KVM_RUN returned for reason {self.vcpu.words[2]}, which this board does not know "
            f"({self.vcpu.describe()}): report it with the host's kernel version.",
            self.vcpu.where(),
        )
