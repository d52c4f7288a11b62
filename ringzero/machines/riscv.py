"""`ringzero.Machine`: build a machine, run it, look into it, change it.

```python
with Machine(kernel="Image", initrd="initrd.gz", append="console=ttyS0") as machine:
    machine.expect(b"# ", timeout=30)
    machine.send(b"uname -a\n")
    outcome = machine.run()
```
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from ringzero.engine.ports import Profile
from ringzero.machine.disk import DiskImage
from ringzero.machines import arguments
from ringzero.machines.arguments import StrPath
from ringzero.machines.assemble import assemble
from ringzero.machines.base import BaseMachine
from ringzero.machines.console import Console
from ringzero.machines.counters import Counters
from ringzero.machines.inspect import (
    ALL_ONES,
    Csrs,
    Registers,
    counted,
    described,
    get_register,
    set_register,
)
from ringzero.machines.lifecycle import Run
from ringzero.machines.run_loop import RunLoop
from ringzero.machines.software import Software
from ringzero.machines.storage import Mount, as_disk, as_mount
from ringzero.outcome import Outcome
from ringzero.sizes import parse_size

if TYPE_CHECKING:
    from ringzero.lang.image import Image


class Machine(BaseMachine):
    """A RISC-V machine like QEMU's `virt`, with `cpus` harts and what they boot.

    `memory` is an int of bytes, or text such as "512M". Without `bios` the built-in SBI firmware
    starts the kernel, unless that is an ELF with a `tohost` symbol, which runs alone in M-mode.
    `clock` is what guest time follows: "host", the host's clock, which stands still for the guest
    between two calls of `run`; "realtime", the same without that; "instructions" makes runs
    repeatable. Several harts run in `parallel`, each on a thread of its own, unless that clock is
    chosen or an engine that cannot do it. By `hypervisor_extension` harts have H, so that
    hypervisors may run guests in VS-mode. `disks` are paths or `DiskImage`s, `mounts` are `Mount`s.
    `console` gets the guest's output; by default it is kept for `expect`. `extensions` are those
    that the device tree tells of. Raises `UsageError` and `NotFound` for what cannot be built or
    loaded.
    """

    register_names: ClassVar[str] = "a0, x10, f3 or pc"

    def __init__(
        self,
        *,
        memory: int | str = "512M",
        cpus: int = 1,
        engine: str = "auto",
        clock: str = "host",
        parallel: bool | None = None,
        hypervisor_extension: bool = True,
        kernel: StrPath | Image | None = None,
        initrd: StrPath | None = None,
        append: str = "",
        bios: StrPath | None = None,
        disks: Sequence[StrPath | DiskImage] = (),
        mounts: Sequence[Mount | tuple[str, StrPath, bool]] = (),
        console: Console | None = None,
        extensions: Sequence[str] | None = None,
    ) -> None:
        self._loop = RunLoop()
        super().__init__(console, self._loop.wake)
        try:
            self.cpus = arguments.whole("cpus", cpus, 1)
            self.parts = assemble(
                self._loop,
                self._resources,
                output=self._output,
                memory_size=parse_size(memory),
                cpus=self.cpus,
                engine=engine,
                clock=clock,
                parallel=parallel,
                hypervisor_extension=hypervisor_extension,
                software=Software.named(kernel, initrd, append, bios),
                disks=[as_disk(one) for one in arguments.several("disks", disks, '["x.img"]')],
                mounts=[
                    as_mount(m) for m in arguments.several("mounts", mounts, '[Mount("t", p)]')
                ],
                extensions=_extensions(extensions),
            )
        except BaseException:
            self._failed()
            raise
        self.board, self.harts, self.memory = self.parts.board, self.parts.harts, self.parts.memory

    # ---- running

    def run(self, timeout: float | None = None, instructions: int | None = None) -> Outcome:
        """Run until the guest ends, `pause` is called, or a limit is reached.

        `timeout` is in seconds of the host; `instructions` counts all harts together, exactly.
        """
        if instructions is not None:
            instructions = arguments.whole("instructions", instructions, 0)
        return self._run(Run(arguments.seconds("timeout", timeout), instructions))

    def _go(self, run: Run) -> Outcome | None:
        outcome = self._loop.go(run)
        return None if outcome is None else self._told(outcome)

    def _told(self, outcome: Outcome) -> Outcome:
        """What the guest's end means to the user."""
        return outcome

    def step(self, count: int = 1, hart: int = 0) -> None:
        """Execute `count` instructions of one hart; a trap or interrupt taken counts as one."""
        number = self._hart_number(hart)
        with self._life.hold("step"):
            for _ in range(arguments.whole("count", count, 0)):
                self._loop.step(number)
                self._life.raise_failure()
                if self._life.ending:
                    break

    def _pause(self) -> None:
        self._loop.pausing = True
        self._loop.wake()

    def _send(self, data: bytes) -> None:
        self.parts.feed(data)

    def _resize(self, columns: int, rows: int) -> None:
        self.parts.resize(columns, rows)

    # ---- looking in

    def _state(self, hart: int = 0) -> Any:
        """A hart's state, to be read."""
        self._life.check_usable()
        return self.harts.hart(self._hart_number(hart))

    @property
    def x(self) -> Registers:
        """The integer registers of hart 0, by number."""
        return Registers(self._state, self.write_register)

    @property
    def pc(self) -> int:
        """The program counter of hart 0."""
        return int(self._state().pc)

    @pc.setter
    def pc(self, value: int) -> None:
        self.write_register("pc", value)

    def read_register(self, name: str, hart: int = 0) -> int:
        """A register by ABI name or number: `a0`, `x10`, `fa0` (raw bits), `pc`."""
        return get_register(self._state(hart), name)

    def write_register(self, name: str, value: int, hart: int = 0) -> None:
        """Set a register, while the machine is at rest; x0 stays zero."""
        with self._life.hold("write_register"):  # native code holds some in the host's registers
            set_register(self._state(hart), name, value)

    def read_csr(self, name: str, hart: int = 0) -> int:
        """A CSR by name, as M-mode reads it."""
        return Csrs(self._state(hart), self.parts.clock).read(name)

    def write_csr(self, name: str, value: int, hart: int = 0) -> None:
        """Write a CSR as M-mode does, WARL rules included, while the machine is at rest."""
        told = arguments.whole(name, value, -(1 << 63), ALL_ONES) & ALL_ONES
        with self._life.hold("write_csr"):
            Csrs(self._state(hart), self.parts.clock).write(name, told)
            self.harts.flush_translations()

    def profile(self) -> Profile:
        """How the engine executed that: its share in compiled code, and what leaves that often."""
        self._life.check_usable()
        return self.harts.profile()

    def counters(self) -> Counters:
        """What all harts did since the machine was built."""
        self._life.check_usable()
        return counted(self.harts.counts(index) for index in range(self.cpus))

    def describe(self) -> str:
        """The first hart's registers, and the CSRs that tell how it got where it is."""
        return described(self._state(), self.parts.clock)


def _extensions(named: object) -> list[str] | None:
    """Names of extensions for the device tree; None for all that there are."""
    if named is None:
        return None
    listed = arguments.several("extensions", named, '["i", "m", "a"]')
    return [arguments.text("an extension", one) for one in listed]
