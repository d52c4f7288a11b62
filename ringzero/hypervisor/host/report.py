"""What the hypervisor did for each VM, read by the host from `hv_status`: `read(image, memory)`.

Every exit counts in exactly one row of the exit table, so the table's sum is the hypervisor's work
for that VM; the layout is that of the typed Structs themselves.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from ringzero.hypervisor.devices.bus import NAMES
from ringzero.hypervisor.techniques import TECHNIQUES
from ringzero.hypervisor.vm import state as layout
from ringzero.isa.csrs.registry import NUMBERS
from ringzero.isa.privileged.trap import CAUSES, INTERRUPT_NAMES
from ringzero.lang.host import view
from ringzero.lang.image import Image

CSR_NAMES = {number: name for name, number in NUMBERS.items()}
ORDERS = {"pause": layout.PAUSE, "resume": layout.RESUME, "kill": layout.KILL}


@dataclass(frozen=True)
class Exits:
    """One row of the exit table."""

    kind: str
    """csr, instruction, call, exception or interrupt."""
    name: str
    count: int
    instructions: int

    @property
    def each(self) -> float:
        """Hypervisor instructions per exit, end to end."""
        return self.instructions / self.count


@dataclass(frozen=True)
class VmReport:
    """One VM: its life, where its instructions went, and its exits.

    Of a VM under `hardware` all of the guest's instructions are in `kernel`.
    """

    index: int
    technique: str
    state: str
    exit_code: int
    user: int
    kernel: int
    hypervisor: int
    exits: tuple[Exits, ...]
    reflected: dict[str, int]
    devices: dict[str, int]
    shadow: dict[str, int]
    translation: dict[str, int]
    """What technique translate did: state.Translation; empty for others."""

    @property
    def exit_count(self) -> int:
        """All exits."""
        return sum(row.count for row in self.exits)

    def each(self, kind: str) -> float:
        """Hypervisor instructions per exit of one kind."""
        rows = [row for row in self.exits if row.kind == kind]
        return sum(row.instructions for row in rows) / max(1, sum(row.count for row in rows))

    def data(self) -> dict[str, Any]:
        """The same as plain data, for JSON."""
        return {**asdict(self), "exit_count": self.exit_count}


def read(image: Image, memory: Callable[[int, int], bytes]) -> list[VmReport]:
    """The VMs that exist; `memory(address, size)` reads the machine's memory."""
    array = view(layout.Status[layout.VMS])
    size = len(bytes(array()))
    statuses = array.from_buffer_copy(memory(image.symbols["hv_status"], size))
    return [_report(i, one) for i, one in enumerate(statuses) if one.state != layout.ABSENT]


def order(image: Image, index: int, what: str) -> tuple[int, bytes]:
    """The address to write, and the bytes, that pause, resume or kill a running VM."""
    status = view(layout.Status)
    place = image.symbols["hv_status"] + index * len(bytes(status())) + status.order.offset
    return place, ORDERS[what].to_bytes(8, "little")


def _report(index: int, status: Any) -> VmReport:
    rows = tuple(
        Exits(*_name(row), tally.count, tally.instructions)
        for row, tally in enumerate(status.tallies)
        if tally.count
    )
    reflected = {_trap(i): count for i, count in enumerate(status.reflected) if count}
    return VmReport(
        index,
        TECHNIQUES[status.technique],
        layout.STATES[status.state],
        status.exit_code,
        status.user,
        status.kernel,
        sum(row.instructions for row in rows),
        tuple(sorted(rows, key=lambda row: -row.instructions)),
        reflected,
        {name: status.devices[i] for i, name in enumerate(NAMES) if status.devices[i]},
        {name: getattr(status, name) for name in ("fills", "flushes", "recycles", "switches")},
        _translation(status),
    )


def _translation(status: Any) -> dict[str, int]:
    if TECHNIQUES[status.technique] != "translate":
        return {}
    return {name: getattr(status.translation, name) for name in layout.Translation.fields}


def _trap(number: int) -> str:
    if number >= 16:
        return INTERRUPT_NAMES.get(number - 16, f"interrupt {number - 16}")
    return CAUSES.get(number, f"cause {number}")


def _name(row: int) -> tuple[str, str]:
    """What a row of Status.tallies counts."""
    if row < layout.INSTRUCTIONS:
        return "csr", CSR_NAMES.get(row, f"{row:#x}")
    if row < layout.CALLS:
        return "instruction", layout.KINDS[row - layout.INSTRUCTIONS]
    if row < layout.EXCEPTIONS:
        return "call", layout.CALL_KINDS[row - layout.CALLS]
    if row < layout.INTERRUPTS:
        number = row - layout.EXCEPTIONS
        return "exception", CAUSES.get(number, f"cause {number}")
    number = row - layout.INTERRUPTS
    return "interrupt", INTERRUPT_NAMES.get(number, f"interrupt {number}")


def text(reports: Sequence[VmReport]) -> str:
    """The exit tables, for people."""
    lines = []
    for one in reports:
        total = one.user + one.kernel + one.hypervisor
        lines.append(
            f"vm{one.index}: {one.state}, exit code {one.exit_code}, --cpu {one.technique}"
        )
        staged = one.technique == "hardware"  # user and kernel are one number: no exit is between
        parts = {"user": one.user, "kernel": one.kernel, "hypervisor": one.hypervisor}
        if staged:
            parts = {"guest": one.user + one.kernel, "hypervisor": one.hypervisor}
        for name, count in parts.items():
            lines.append(f"  {name:10} {count:15,} instructions {count / max(1, total):7.2%}")
        lines.append(f"  {'exits':36} {'count':>9} {'each':>7} {'instructions':>14}")
        lines += [
            f"  {row.kind:12}{row.name:24} {row.count:9,} {row.each:7.0f} {row.instructions:14,}"
            for row in one.exits
        ]
        shadow = ", ".join(f"{name} {count:,}" for name, count in one.shadow.items())
        lines.append(f"  {'G-stage tables' if staged else 'shadow tables'}: {shadow}")
        if one.translation:
            told = ", ".join(
                f"{name.replace('_', ' ')} {count:,}" for name, count in one.translation.items()
            )
            lines.append(f"  translation: {told}")
        if one.reflected:
            handed = ", ".join(f"{name} {count:,}" for name, count in one.reflected.items())
            lines.append(f"  handed on to the guest: {handed}")
    return "\n".join(lines)
