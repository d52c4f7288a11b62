"""`ringzero.Machine`: build a machine, run it, look into it, change it.

```python
with Machine(kernel="Image", initrd="initrd.gz", append="console=ttyS0") as machine:
    machine.expect(b"# ", timeout=30)
    machine.send(b"uname -a\n")
    outcome = machine.run()
```
"""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from ringzero.board.addresses import TIMEBASE
from ringzero.engine.ports import Profile, Why
from ringzero.errors import UsageError
from ringzero.isa.hart import VIRTUAL
from ringzero.isa.privileged.trap import CAUSES, INTERRUPT, INTERRUPT_NAMES, STCE
from ringzero.machine.disk import DiskImage
from ringzero.machine.outcome import Exit
from ringzero.machine.outcome import Outcome as BoardOutcome
from ringzero.machine.virt import NEVER
from ringzero.machines.assemble import Console, Software, assemble
from ringzero.machines.inspect import Csrs, Registers, register_number, stopped_at
from ringzero.outcome import Counters, Halted, Outcome, Paused, PoweredOff, Rebooted, TimedOut

if TYPE_CHECKING:
    from ringzero.lang.image import Image

UNITS = {"": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30}
MODES = {0: "U", 1: "S", 3: "M", 4: "VU", 5: "VS"}
STAGES = ("S", "VS", "G", "G")  # by isa.paging's OWN, VIRTUAL, GUEST, TABLES
LONGEST_SLEEP = 1.0  # seconds; a waiting machine looks at its clock at least this often


class Recorder:
    """A console that keeps what the guest wrote."""

    def __init__(self) -> None:
        self.data = bytearray()

    def write(self, data: bytes) -> None:
        """From the guest."""
        self.data += data


class Machine:
    """A RISC-V machine like QEMU's `virt`, with `cpus` harts and what they boot.

    `memory` is bytes or a string such as "512M". Without `bios` the built-in SBI firmware starts
    the kernel, unless that is an ELF with a `tohost` symbol, which runs alone in M-mode.
    `clock="instructions"` makes runs repeatable. Several harts run in `parallel`, each on a thread
    of its own, unless that clock is chosen or an engine that cannot do it. By
    `hypervisor_extension` harts have H, so that hypervisors may run guests in VS-mode. `console`
    gets the guest's output; by default it is kept for `expect`. `extensions` are those that the
    device tree tells of. Raises `UsageError` and `NotFound` for what cannot be built or loaded.
    """

    def __init__(
        self,
        *,
        memory: int | str = "512M",
        cpus: int = 1,
        engine: str = "auto",
        clock: str = "host",
        parallel: bool | None = None,
        hypervisor_extension: bool = True,
        kernel: str | Path | Image | None = None,
        initrd: str | Path | None = None,
        append: str = "",
        bios: str | Path | None = None,
        disks: Sequence[DiskImage] = (),
        mounts: Sequence[tuple[str, str | Path, bool]] = (),
        console: Console | None = None,
        extensions: Sequence[str] | None = None,
    ) -> None:
        self.recorder = Recorder()
        self._ended: BoardOutcome | None = None
        self._woken = threading.Event()
        self._pausing = False
        self._deadline: float | None = None
        self.parts = assemble(
            memory_size=parse_size(memory),
            cpus=cpus,
            engine=engine,
            clock=clock,
            parallel=parallel,
            hypervisor_extension=hypervisor_extension,
            software=Software(kernel, initrd, append, bios),
            disks=disks,
            mounts=mounts,
            console=console or self.recorder,
            extensions=extensions,
            stop=self._stop,
            wake=self._wake,
        )
        self.cpus, self.board, self.harts = cpus, self.parts.board, self.parts.harts
        self.memory = self.parts.memory
        self.harts.after_write = self._set_time
        self.harts.on_watched = self._on_watched
        self.harts.serve = self._serve
        if self.board.htif is not None:
            self.harts.watch(self.board.htif.tohost)
        self._set_time()

    def __enter__(self) -> Machine:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let memory and files go; the machine cannot be used any more."""
        self.parts.close()

    def abandon(self) -> None:
        """The same where the process ends at once: memory and threads are left to the host."""
        self.parts.abandon()

    # ---- running

    def run(self, timeout: float | None = None, instructions: int | None = None) -> Outcome:
        """Run until the guest ends, `pause` is called, or a limit is reached.

        `timeout` is in seconds of the host; `instructions` counts all harts together, exactly.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        timer = self._timer(timeout)
        end = None if instructions is None else self.harts.elapsed + instructions
        try:
            return self._run(deadline, end)
        finally:
            if timer is not None:
                timer.cancel()

    def _timer(self, timeout: float | None) -> threading.Timer | None:
        if timeout is None:
            return None
        timer = threading.Timer(timeout, self._wake)
        timer.daemon = True
        timer.start()
        return timer

    def _tend(self) -> None:
        """Take devices' news, and tell the harts the time."""
        self._woken.clear()
        with self.board.bus.lock:
            self.board.tick()
            self._set_time()

    def _serve(self) -> bool:
        """While harts run on threads of their own: whether they may go on."""
        self._tend()
        late = self._deadline is not None and time.monotonic() >= self._deadline
        return self._ended is None and not self._pausing and not late

    def _run(self, deadline: float | None, end: int | None) -> Outcome:
        self._deadline = deadline
        while True:
            self._tend()
            if self._ended is not None:
                return self._outcome(self._ended)
            if self._pausing:
                self._pausing = False
                return Paused()
            if deadline is not None and time.monotonic() >= deadline:
                return TimedOut()
            remaining = None if end is None else end - self.harts.elapsed
            if remaining is not None and remaining <= 0:
                return TimedOut()
            stop = self.harts.run(remaining)
            if stop.why is Why.FAULT and self._ended is None:
                return self._halted("The trap handler itself traps, without end", stop.hart)
            if stop.why is Why.WAITING and not self._sleep(deadline):
                return self._halted("Every hart waits, and no interrupt can come", stop.hart)

    def _sleep(self, deadline: float | None) -> bool:
        """All harts wait: until the next deadline or news; False if neither can ever come."""
        due = min([self.board.deadline(), *(self._stimecmp(i) for i in range(self.cpus))])
        if self.parts.clock.skip_to(due) if due != NEVER else False:
            return True
        until = None if due == NEVER else (due - self.parts.clock.now()) / TIMEBASE
        if deadline is not None:
            left = deadline - time.monotonic()
            until = left if until is None else min(until, left)
        self._woken.wait(LONGEST_SLEEP if until is None else max(0.0, min(until, LONGEST_SLEEP)))
        return True

    def _stimecmp(self, index: int) -> int:
        """When the timer of a hart's S-mode, or of its guest, is due (Sstc)."""
        hart = self.harts.hart(index)
        if not int(hart.menvcfg) & STCE:
            return NEVER
        own, guest = int(hart.stimecmp), int(hart.vstimecmp) - int(hart.htimedelta) & NEVER
        return min(own, guest) if int(hart.henvcfg) & STCE else own

    def _outcome(self, ended: BoardOutcome) -> Outcome:
        return PoweredOff(ended.code) if isinstance(ended, Exit) else Rebooted()

    def _halted(self, reason: str, index: int) -> Halted:
        hart = self.harts.hart(index)
        pc, mode = int(hart.pc), MODES[int(hart.mode) + VIRTUAL * int(hart.virtual)]
        word, text = stopped_at(self, pc)
        return Halted(reason, index, pc, mode, word, text)

    def step(self, count: int = 1, hart: int = 0) -> None:
        """Execute `count` instructions of one hart; a trap or interrupt taken counts as one."""
        for _ in range(count):
            self._tend()
            self.harts.step(hart)

    def pause(self) -> None:
        """Make `run` return `Paused`, from any thread or from the console's `write`."""
        self._pausing = True
        self._wake()

    def _stop(self, outcome: BoardOutcome) -> None:
        self._ended = outcome
        self._wake()

    def _wake(self) -> None:
        self._woken.set()
        if hasattr(self, "harts"):
            self.harts.stop()

    def _set_time(self) -> None:
        self.harts.set_time(self.parts.clock.offset)

    def _on_watched(self, address: int) -> None:
        htif = self.board.htif
        if htif is not None:
            htif.poll()

    # ---- the console

    def send(self, data: bytes) -> None:
        """Input for the guest's console, from any thread."""
        for device in self.board.virtio:
            if device.name == "virtio-console" and getattr(device, "opened", False):
                device.feed(data)  # type: ignore[attr-defined]
                return
        self.parts.feed(data)

    def expect(self, pattern: bytes, timeout: float = 60.0) -> bytes:
        """Run until the recorded output matches a regular expression; all of it up to the match.

        What was matched is taken out of the record. Raises `UsageError` with the last output if
        the guest ends, or the time is up, before that.
        """
        deadline = time.monotonic() + timeout
        while True:
            found = re.search(pattern, self.recorder.data)
            if found:
                seen = bytes(self.recorder.data[: found.end()])
                del self.recorder.data[: found.end()]
                return seen
            left = deadline - time.monotonic()
            outcome = self.run(timeout=min(0.02, max(left, 0.0)))
            if not isinstance(outcome, TimedOut) or left <= 0:
                if re.search(pattern, self.recorder.data):
                    continue
                last = bytes(self.recorder.data[-300:]).decode("utf-8", "replace")
                raise UsageError(f"{pattern!r} did not come ({outcome}); the last output: {last}")

    # ---- looking in

    @property
    def x(self) -> Any:
        """The integer registers of hart 0, by number."""
        return Registers(self.harts.hart(0))

    @property
    def pc(self) -> int:
        """The program counter of hart 0."""
        return int(self.harts.hart(0).pc)

    @pc.setter
    def pc(self, value: int) -> None:
        state = self.harts.hart(0)
        state.pc = type(state.pc)(value)

    def read_register(self, name: str, hart: int = 0) -> int:
        """A register by ABI name or number: `a0`, `x10`, `fa0` (raw bits), `pc`."""
        state = self.harts.hart(hart)
        if name == "pc":
            return int(state.pc)
        array, number = register_number(name)
        return int(getattr(state, array)[number])

    def write_register(self, name: str, value: int, hart: int = 0) -> None:
        """Set a register; x0 stays zero."""
        state = self.harts.hart(hart)
        if name == "pc":
            state.pc = type(state.pc)(value)
            return
        array, number = register_number(name)
        if (array, number) != ("x", 0):
            registers = getattr(state, array)
            registers[number] = type(registers[number])(value & NEVER)

    def read_csr(self, name: str, hart: int = 0) -> int:
        """A CSR by name, as M-mode reads it."""
        return Csrs(self.harts.hart(hart), self.parts.clock).read(name)

    def write_csr(self, name: str, value: int, hart: int = 0) -> None:
        """Write a CSR as M-mode does, WARL rules included."""
        Csrs(self.harts.hart(hart), self.parts.clock).write(name, value)
        self.harts.flush_translations()

    def read_memory(self, address: int, size: int) -> bytes:
        """Physical memory."""
        return self.memory.read(address, size)

    def write_memory(self, address: int, data: bytes) -> None:
        """Physical memory; code that was translated from it is forgotten."""
        self.memory.write(address, data)

    def profile(self) -> Profile:
        """How the engine executed that: its share in compiled code, and what leaves that often."""
        return self.harts.profile()

    def counters(self) -> Counters:
        """What all harts did since the machine was built."""
        instructions = dict.fromkeys(("M", "S", "U"), 0)
        traps: dict[str, int] = {}
        interrupts: dict[str, int] = {}
        translation = dict.fromkeys(("refills", *STAGES), 0)
        for index in range(self.cpus):
            counts = self.harts.counts(index)
            for mode, number in counts.retired.items():
                name = MODES[mode]
                instructions[name] = instructions.get(name, 0) + number
            for cause, number in counts.traps.items():
                table, names = (
                    (interrupts, INTERRUPT_NAMES) if cause & INTERRUPT else (traps, CAUSES)
                )
                name = names.get(cause & 63, f"cause {cause & 63}")
                table[name] = table.get(name, 0) + number
            translation["refills"] += counts.refills
            for stage, number in counts.entries.items():
                translation[STAGES[stage]] += number
        return Counters(instructions, traps, interrupts, translation)


def parse_size(size: int | str) -> int:
    """Bytes of a number, or of a string such as 512M or 2G."""
    if isinstance(size, int):
        return size
    found = re.fullmatch(r"(\d+)\s*([kmg]?)i?b?", size.strip().lower())
    if not found:
        raise UsageError(f"{size!r} is no size of memory: give bytes, or 512M, or 2G.")
    return int(found[1]) * UNITS[found[2]]
