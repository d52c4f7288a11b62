"""What every machine does, whichever way its guest gets a processor.

`Machine` emulates one, `VirtualMachines` shares that among guests of our hypervisor, `KvmMachine`
uses the host's. What they have in common is here, and is tested once for all of them
(`tests/machines/test_shared.py`).
"""

from __future__ import annotations

import atexit
import ctypes
import re
import warnings
import weakref
from abc import ABC, abstractmethod
from collections.abc import Callable
from types import TracebackType
from typing import ClassVar, TypeVar

from ringzero.errors import UsageError
from ringzero.machine.memory import GuestMemory
from ringzero.machines import arguments
from ringzero.machines.console import Console, Recorder
from ringzero.machines.counters import Counters
from ringzero.machines.lifecycle import GRACE, Lifecycle, Resources, Run
from ringzero.outcome import Outcome, Paused

Self = TypeVar("Self", bound="BaseMachine")
LONGEST = 0xFFFF  # columns or rows that a guest can be told of
LAST = 300  # bytes of output that a refusal shows


class BaseMachine(ABC):
    """A machine: built, run, looked into, closed."""

    memory: GuestMemory
    cpus: int
    register_names: ClassVar[str]
    """Some names of registers, for a refusal."""

    def __init__(self, console: Console | None, wake: Callable[[], None]) -> None:
        if console is not None and not callable(getattr(console, "write", None)):
            raise arguments.wrong("console", console, "an object with a method write(data)")
        self.recorder = console if isinstance(console, Recorder) else Recorder()
        self._records = console is None or console is self.recorder
        self._life = Lifecycle(wake)
        self._output = self._life.relay(console or self.recorder)
        self._resources = Resources()
        self._finalizer = weakref.finalize(self, _dropped, self._resources, type(self).__name__)
        self._finalizer.atexit = False  # `_at_exit` sees to those that are left then
        _open.add(self)

    # ---- its life

    def __enter__(self: Self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if not self._life.inside:  # a run on another thread would have nobody left to end it
            self._life.rest()
        self.close()

    @property
    def closed(self) -> bool:
        """Whether `close` was called."""
        return self._life.closed

    @property
    def running(self) -> bool:
        """Whether a run, or a step, is under way on some thread."""
        return self._life.running

    def close(self) -> None:
        """Let memory and files go; the machine cannot be used any more. Again is harmless.

        Refused while `run` is under way: `pause` it first, and wait until it has come back.
        """
        if self._life.close("close"):
            self._finalizer.detach()
            self._resources.close()

    def abandon(self) -> None:
        """The same where the process ends at once: memory and threads are left to the host."""
        if self._life.close("abandon"):
            self._finalizer.detach()
            self._resources.close_files()

    def _failed(self) -> None:
        """A constructor cannot go on: leave nothing behind."""
        self._life.closed = True
        self._finalizer.detach()
        self._resources.close()

    # ---- running

    def run(self, timeout: float | None = None) -> Outcome:
        """Run until the guest ends, `pause` is called, or the time (in seconds) is up."""
        return self._run(Run(arguments.seconds("timeout", timeout)))

    def _run(self, run: Run) -> Outcome:
        outcome = self._life.run(run, self._go)
        return Paused() if outcome is None else outcome  # called off: its `with` block was left

    @abstractmethod
    def _go(self, run: Run) -> Outcome | None:
        """Run the guest, on a thread for it, until a limit is reached; None where it is off."""

    def pause(self) -> None:
        """Make `run` return `Paused`, from any thread or from the console's `write`.

        Where none is under way, the next one returns at once.
        """
        self._life.check_usable()
        self._pause()

    @abstractmethod
    def _pause(self) -> None:
        """See `pause`."""

    # ---- the console

    def send(self, data: bytes) -> None:
        """Input for the guest's console, from any thread."""
        told = arguments.data("send", data)
        self._life.check_usable()
        self._send(told)

    @abstractmethod
    def _send(self, data: bytes) -> None:
        """See `send`."""

    def resize(self, columns: int, rows: int) -> None:
        """How large the console's terminal is, from any thread; the guest may ask at any time.

        Linux has it as the size of `hvc0` (virtio 1.2 §5.3.4); a serial port has no size.
        """
        width = arguments.whole("columns", columns, 0, LONGEST)
        height = arguments.whole("rows", rows, 0, LONGEST)
        self._life.check_usable()
        self._resize(width, height)

    @abstractmethod
    def _resize(self, columns: int, rows: int) -> None:
        """See `resize`."""

    def expect(self, pattern: bytes | re.Pattern[bytes], timeout: float = 60.0) -> bytes:
        """Run until the recorded output matches a regular expression; all of it up to the match.

        What was matched is taken out of the record. Raises `UsageError` with the last output if
        the guest ends, or the time is up, before that.
        """
        wanted = arguments.pattern("expect", pattern)
        run = Run(arguments.seconds("timeout", timeout))
        self._life.check_usable()
        if not self._records:
            raise UsageError(
                "expect looks at what the machine's recorder keeps, and the output goes to another "
                "console: leave `console` out, or give it a Recorder."
            )

        def look() -> re.Match[bytes] | None:
            return wanted.search(bytes(self.recorder.data))  # a copy: the guest writes meanwhile

        def seen() -> bool:
            return look() is not None

        outcome = None if seen() else self._life.run(run, self._go, until=seen)
        found = look()
        if found is None:
            last = bytes(self.recorder.data[-LAST:]).decode("utf-8", "replace")
            raise UsageError(
                f"{wanted.pattern!r} did not come ({outcome}); the last output: {last}"
            )
        taken = bytes(self.recorder.data[: found.end()])
        del self.recorder.data[: found.end()]
        return taken

    # ---- looking in

    @abstractmethod
    def counters(self) -> Counters:
        """What was counted since the machine was built."""

    @abstractmethod
    def describe(self) -> str:
        """Where the guest stands, in lines for people."""

    @property
    @abstractmethod
    def pc(self) -> int:
        """The address of the next instruction of the first hart or vCPU."""

    @pc.setter
    @abstractmethod
    def pc(self, value: int) -> None: ...

    @abstractmethod
    def read_register(self, name: str, hart: int = 0) -> int:
        """A register by its name in the architecture, or `pc`."""

    @abstractmethod
    def write_register(self, name: str, value: int, hart: int = 0) -> None:
        """Set a register, while the machine is at rest."""

    def read_memory(self, address: int, size: int) -> bytes:
        """Physical memory."""
        self._life.check_usable()
        at, count = arguments.whole("address", address, 0), arguments.whole("size", size, 0)
        return self.memory.read(at, count)

    def write_memory(self, address: int, data: bytes) -> None:
        """Physical memory; code that was translated from it is forgotten.

        While the machine is at rest, or from the console's `write`.
        """
        told, at = arguments.data("write_memory", data), arguments.whole("address", address, 0)
        self._life.check_still("write_memory")
        self.memory.write(at, told)

    def _hart_number(self, hart: object) -> int:
        return arguments.whole("hart", hart, 0, self.cpus - 1)


_open: weakref.WeakSet[BaseMachine] = weakref.WeakSet()


def _dropped(resources: Resources, kind: str) -> None:
    """Nobody holds a machine any more, and nobody has closed it."""
    if resources.ours:
        told = f"a {kind} was dropped without `close`: use `with`, or close it"
        warnings.warn(told, ResourceWarning, stacklevel=2)
    resources.close()


@atexit.register
def _at_exit() -> None:
    """Let no guest run on while the interpreter takes its memory down."""
    for machine in list(_open):
        if machine._life.rest(GRACE):
            machine.close()
        else:  # its console does not come back: leave it whole, the host takes all of it
            ctypes.pythonapi.Py_IncRef(ctypes.py_object(machine))
