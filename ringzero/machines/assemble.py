"""The one place where a RISC-V machine is put together: memory, board, devices, software, harts."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from random import Random
from typing import Any

from ringzero import engine as engines
from ringzero.board.addresses import CLINT_BASE, ROM_BASE
from ringzero.engine.ports import Hooks
from ringzero.errors import UsageError
from ringzero.isa.hart import Hart, add_hypervisor, reset
from ringzero.isa.privileged.paging import ADUE
from ringzero.lang import u64
from ringzero.machine.clock import Clock, HostClock, InstructionClock
from ringzero.machine.disk import DiskImage
from ringzero.machine.memory import GuestMemory
from ringzero.machine.virt import VirtBoard
from ringzero.machine.virtio.console import ConsoleDevice
from ringzero.machines import plug
from ringzero.machines.lifecycle import Resources
from ringzero.machines.run_loop import Parts, RunLoop
from ringzero.machines.software import Software, Start, load
from ringzero.machines.storage import Mount

CLOCKS = ("host", "realtime", "instructions")
HARTS_A_PROCESSOR = 8  # of the host's, on which harts run in parallel by default
INFO_OFFSET = 40  # of fw_dynamic_info in the boot ROM (machine/loading/boot.py)
DETERMINISTIC_EPOCH = 1_700_000_000 * 1_000_000_000  # the real-time clock of equal runs


def assemble(
    loop: RunLoop,
    resources: Resources,
    *,
    output: Callable[[bytes], object],
    memory_size: int,
    cpus: int,
    engine: str,
    clock: str,
    parallel: bool | None,
    hypervisor_extension: bool,
    software: Software,
    disks: Sequence[DiskImage],
    mounts: Sequence[Mount],
    extensions: Sequence[str] | None = None,
) -> Parts:
    """Build everything, load the software, and hand it to the loop that will run it."""
    if clock not in CLOCKS:
        raise UsageError(f"There is no clock {clock!r}: choose one of {', '.join(CLOCKS)}.")
    engines.check_name(engine)
    parallel = runs_parallel(parallel, cpus, engine, clock)
    memory = GuestMemory(memory_size)
    resources.memory(memory.close)
    repeatable = clock == "instructions"
    ticks: Clock = InstructionClock(lambda: loop.elapsed) if repeatable else HostClock()
    board = _board(loop, memory, ticks, cpus, output, hypervisor_extension, extensions)
    console = plug.console_device(output)
    board.add_virtio(console)
    random = Random(0).randbytes if repeatable else None
    for one in plug.devices(disks, mounts, resources, random):
        bus, legacy = (one.image.bus, one.image.legacy) if one.image else (None, False)
        board.add_virtio(one.device, bus or "pci", legacy=legacy)
    start = load(memory, board, software)  # before an engine is made: that may take seconds
    harts = engines.make(
        engine, memory, board.bus, cpus, deterministic=repeatable, parallel=parallel
    )
    resources.threads(harts.close)
    harts.connect(Hooks(loop.set_time, loop.poll_htif, loop.serve))
    harts.share_clint(CLINT_BASE, board.clint.registers)
    for index in range(cpus):
        _start(harts.hart(index), index, start, hypervisor_extension)
    feed = _input(console, board.uart.feed)
    parts = Parts(memory, ticks, board, harts, feed, console.resize, parallel, clock != "realtime")
    loop.attach(parts)
    resources.memory(loop.detach)
    return parts


def _board(
    loop: RunLoop,
    memory: GuestMemory,
    clock: Clock,
    cpus: int,
    output: Callable[[bytes], object],
    hypervisor_extension: bool,
    extensions: Sequence[str] | None,
) -> VirtBoard:
    from ringzero.isa.extensions import names

    return VirtBoard(
        memory,
        cpus,
        clock,
        stop=loop.stop,
        isa_extensions=extensions or names(hypervisor=hypervisor_extension),
        set_lines=loop.set_lines,
        output=output,
        wake=loop.wake,
        epoch=DETERMINISTIC_EPOCH if clock.deterministic else None,
        rng_seed=bytes(64) if clock.deterministic else os.urandom(64),
    )


def _input(console: ConsoleDevice, serial: Callable[[bytes], None]) -> Callable[[bytes], None]:
    """Input goes where the guest prints: to the virtio console once it is open."""

    def feed(data: bytes) -> None:
        (console.feed if console.opened else serial)(data)

    return feed


def runs_parallel(asked: bool | None, cpus: int, engine: str, clock: str) -> bool:
    """Whether each hart gets a thread; by default where there are several, but not far too many.

    Harts that wait for one another's locks on threads that wait for a processor bring a kernel of
    32 harts on two processors to a standstill; in turns, 64 boot in seconds.
    """
    possible = engine != "reference" and clock != "instructions"
    if asked and not possible:
        raise UsageError(
            "Harts run in parallel with the host's clock and a native engine only: leave out "
            f"{'--clock instructions' if engine != 'reference' else '--engine reference'}, or "
            "--parallel."
        )
    most = HARTS_A_PROCESSOR * len(os.sched_getaffinity(0))
    return possible and 1 < cpus <= most if asked is None else asked


def _start(hart: Any, index: int, start: Start, hypervisor_extension: bool) -> None:
    """The state in which the boot ROM leaves a hart (its code only loads these registers).

    The specification leaves menvcfg open; as on QEMU's board, harts set A and D bits until firmware
    says otherwise, for kernels in M-mode that never do (xv6).
    """
    fresh = Hart()
    reset(fresh, u64(index), u64(start.entry))
    fresh.menvcfg = u64(ADUE)
    if hypervisor_extension:
        add_hypervisor(fresh)
    for name in Hart.fields:
        value = getattr(fresh, name)
        if isinstance(value, int) and value:
            setattr(hart, name, type(getattr(hart, name))(value))
    for register, value in ((10, index), (11, start.tree), (12, ROM_BASE + INFO_OFFSET)):
        hart.x[register] = type(hart.x[register])(value)
