"""`python -m tests.fuzz.api.sequence SEED STEPS FOLDER`: one process of random uses of machines.

It writes what it does to standard output, a line for each, so that the last one tells where the
process ended. Exceptions other than sentences (`RingzeroError`), Ctrl-C's and the console's own are
findings, and so are descriptors, threads and mappings that are left when all machines are gone.
"""

from __future__ import annotations

import contextlib
import faulthandler
import gc
import os
import random
import signal
import sys
import threading
import time
import warnings
import weakref
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from ringzero import Machine
from ringzero.errors import RingzeroError
from tests.fuzz.api.console import Meddler, Refusal
from tests.machines.guests import start, start_bare

HANGS = 240  # seconds after which a process is taken to hang
LARGE = 100 << 20  # bytes of a mapping that only an engine makes
ALLOWED = (RingzeroError, Refusal, KeyboardInterrupt)
NONSENSE: tuple[Any, ...] = (None, -1, 1.5, "text", b"bytes", [], object(), 1 << 70, True)
BAD_OPTIONS: tuple[dict[str, Any], ...] = (
    {"memory": 1.5 * 2**30}, {"memory": "lots"}, {"memory": -4096}, {"memory": 1 << 61},
    {"cpus": 0}, {"cpus": 2.0}, {"cpus": 1 << 40}, {"console": 5}, {"disks": "x.img"},
    {"disks": ["nothing.img"]}, {"disks": [5]}, {"mounts": [("t", "nowhere", True)]},
    {"mounts": ["t"]}, {"append": b"x"}, {"initrd": 5}, {"kernel": b"x"},
)  # fmt: skip


class Sequence:
    """Machines, what is kept of them, and the threads that use them."""

    def __init__(self, seed: int, folder: Path) -> None:
        self.random, self.folder = random.Random(seed), folder
        self.machines: list[Any] = []
        self.built: weakref.WeakSet[Any] = weakref.WeakSet()  # dropped ones too, while they run
        self.kept: list[Callable[[], object]] = []
        self.threads: list[threading.Thread] = []
        self.findings: list[str] = []
        self.kvm = os.access("/dev/kvm", os.R_OK | os.W_OK)

    def steps(self) -> list[Callable[[], None]]:
        """All that can be done, the frequent ones more than once."""
        often = [self.run, self.run, self.run_aside, self.run_aside, self.look, self.look]
        once = [
            self.build, self.build, self.build_wrong, self.interrupt, self.pause, self.send,
            self.expect, self.single_steps, self.write, self.keep, self.use_kept, self.nonsense,
            self.close, self.close_aside, self.leave, self.drop, self.fork,
        ]  # fmt: skip
        return [*often, *once]

    def go(self, count: int) -> None:
        """Do so many things, then end all machines."""
        choices = self.steps()
        for _ in range(count):
            step = self.random.choice(choices) if self.machines else self.build
            print(step.__name__, flush=True)
            self.guarded(step)
        self.end()

    def guarded(self, step: Callable[[], object]) -> None:
        """Run something that may refuse."""
        try:
            step()
        except ALLOWED:
            pass
        except BaseException as error:  # anything else is a finding, whatever it is
            self.findings.append(f"{step}: {type(error).__name__}: {error}")

    def any(self) -> Any:
        """One of the machines, closed or not."""
        return self.random.choice(self.machines)

    # ---- building

    def build(self) -> None:
        """A machine of any kind, with any console."""
        if len(self.machines) >= 3:
            self.machines.pop(self.random.randrange(3)).close()
        guest, engine = self.random.choice(("talk", "spin")), self.random.choice(
            ("auto", "auto", "regions", "compiler", "interpreter", "reference")
        )  # fmt: skip
        console = Meddler(self.random.getrandbits(32)) if self.random.random() < 0.5 else None
        kind = self.random.choice(("bare", "bare", "machine", "virtual", *(("kvm",) * self.kvm)))
        options: dict[str, Any] = {} if console is None else {"console": console}
        if kind != "kvm":
            options |= {"engine": engine, "clock": self.random.choice(("host", "instructions"))}
        if kind in ("bare", "machine", "kvm"):
            options["cpus"] = self.random.choice((1, 1, 2))
        print(f"  {kind} {guest} {options}", flush=True)
        if kind == "bare":
            machine: Any = start_bare(self.folder, guest, **options)
        else:
            machine = start(kind, self.folder, guest, **options)
        if console is not None:
            console.machine = weakref.ref(machine)
        self.machines.append(machine)
        self.built.add(machine)

    def build_wrong(self) -> None:
        """A machine that cannot be: nothing of it is left."""
        options = self.random.choice(BAD_OPTIONS)
        start("machine", self.folder, **options) if "kernel" not in options else Machine(**options)
        raise AssertionError(f"{options} were accepted")

    # ---- running

    def run(self) -> None:
        """On this thread."""
        self.any().run(timeout=self.random.choice((0, 0.01, 0.1)))

    def run_aside(self) -> None:
        """On another thread, meanwhile."""
        machine, time_left = self.any(), self.random.choice((0.05, 0.3, None))
        self.aside(lambda: machine.run(timeout=time_left))
        if time_left is None:
            self.aside(partial(self._pause_later, machine))

    @staticmethod
    def _pause_later(machine: Any) -> None:
        time.sleep(0.2)
        machine.pause()

    def aside(self, work: Callable[[], object]) -> None:
        """Do it on a thread of its own."""
        thread = threading.Thread(target=self.guarded, args=(work,))
        self.threads.append(thread)  # first: Ctrl-C may come in between
        thread.start()

    def interrupt(self) -> None:
        """Ctrl-C in the middle of a run, or of whatever comes then."""
        machine, delay = self.any(), self.random.choice((0.0, 0.01, 0.05))
        main = os.getpid()

        def send() -> None:
            time.sleep(delay)
            os.kill(main, signal.SIGINT)

        thread = threading.Thread(target=send)
        try:
            thread.start()
            machine.run(timeout=1)
            time.sleep(1)  # it comes, now at the latest
        finally:
            thread.join()

    def pause(self) -> None:
        """From this thread, or from another in a moment."""
        machine = self.any()
        if self.random.random() < 0.5:
            machine.pause()
        else:
            self.aside(machine.pause)

    def send(self) -> None:
        """Input; `q` and `r` end some guests."""
        self.any().send(self.random.choice((b"hello", b"", b"q", b"r", bytes(5000))))

    def expect(self) -> None:
        """What may come, or not."""
        self.any().expect(self.random.choice((b"up", b"never")), timeout=0.2)

    def single_steps(self) -> None:
        """Where there is such a thing."""
        getattr(self.any(), "step", lambda count: None)(self.random.choice((0, 1, 50)))

    # ---- looking and changing

    def look(self) -> None:
        """Everything that can be read."""
        machine = self.any()
        for look in (
            machine.counters, machine.describe, lambda: machine.pc,
            lambda: machine.read_register("pc"), lambda: machine.read_memory(0x8000_0000, 64),
            lambda: machine.read_csr("time"), lambda: machine.profile(), lambda: machine.vms(),
        ):  # fmt: skip
            try:
                look()
            except AttributeError as error:
                if "object has no attribute" not in str(error):
                    raise
            except ALLOWED:
                pass

    def write(self) -> None:
        """Registers, CSRs and memory."""
        machine = self.any()
        at = machine.memory.base + self.random.randrange(0, 1 << 24, 64)
        for write in (
            lambda: machine.write_memory(at, self.random.randbytes(64)),
            lambda: machine.write_register("pc", machine.pc),
            lambda: machine.write_csr("mscratch", self.random.getrandbits(64)),
        ):
            if hasattr(machine, "write_csr"):
                self.guarded(write)

    def keep(self) -> None:
        """Views that may outlive their machine."""
        machine = self.any()
        memory = machine.memory
        kept: list[Callable[[], object]] = []
        if hasattr(machine, "x"):
            registers, state = machine.x, machine.harts.hart(0)
            kept += [lambda: registers[5], lambda: registers.__setitem__(5, 1)]
            kept += [lambda: int(state.pc)]
        if not machine.closed:
            view = memory.view(memory.base, 4096)
            kept += [lambda: bytes(view)]
        self.kept += kept

    def use_kept(self) -> None:
        """Look at them, whatever has become of the machine."""
        for use in self.kept:
            with contextlib.suppress(*ALLOWED):
                use()
        if self.random.random() < 0.5:
            self.kept.clear()

    def nonsense(self) -> None:
        """Arguments of wrong types are one sentence."""
        machine, what = self.any(), self.random.choice(NONSENSE)
        name, arguments = self.random.choice((
            ("run", {"timeout": what}), ("send", {"data": what}), ("expect", {"pattern": what}),
            ("read_memory", {"address": what, "size": 4}), ("read_register", {"name": what}),
            ("read_memory", {"address": 0, "size": what}), ("step", {"count": what}),
            ("write_memory", {"address": what, "data": b"x"}), ("step", {"hart": what}),
            ("write_memory", {"address": 0x8000_0000, "data": what}),
            ("run", {"instructions": what}), ("write_register", {"name": "pc", "value": what}),
            ("read_csr", {"name": what}),
        ))  # fmt: skip
        if name in ("run", "step") and what in (None, True, 1 << 70):
            return  # that is no nonsense, and may take for ever
        if name == "expect":
            arguments["timeout"] = 0.01
        if hasattr(machine, name) and not (name == "run" and not hasattr(machine, "step")):
            getattr(machine, name)(**arguments)

    # ---- ends

    def close(self) -> None:
        """Perhaps while it runs, which is refused."""
        self.any().close()

    def close_aside(self) -> None:
        """The same from another thread."""
        self.aside(self.any().close)

    def leave(self) -> None:
        """A `with` block ends, whoever runs the machine."""
        with self.machines.pop(self.random.randrange(len(self.machines))):
            pass

    def drop(self) -> None:
        """Nobody holds it any more; a thread that runs it does so to its end."""
        self.machines.pop(self.random.randrange(len(self.machines)))
        if self.random.random() < 0.5:
            gc.collect()

    def fork(self) -> None:
        """A child that tries everything, and its parent's memory afterwards."""
        machine = self.any()
        child = os.fork()
        if child == 0:
            os._exit(self.as_child(machine))
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        self.check(code == 0, f"the forked child ended with {code}")

    def as_child(self, machine: Any) -> int:
        """In a forked process: everything is refused, except to let it go."""
        faulthandler.register(signal.SIGALRM, chain=True)
        signal.alarm(HANGS // 4)  # not faulthandler's clock, whose thread is the parent's
        for use in (lambda: machine.run(timeout=0.1), lambda: machine.send(b"x"), self.use_kept):
            try:
                use()
            except ALLOWED:
                continue
            except BaseException as error:
                print("child", type(error).__name__, error, flush=True)
                return 1
        machine.close()
        return 0

    def check(self, holds: bool, what: str) -> None:
        """Note a finding."""
        if not holds:
            self.findings.append(what)

    def end(self) -> None:
        """Close everything that is left, whoever uses it."""
        print("end", flush=True)
        for machine in list(self.built):
            machine.__exit__(None, None, None)
        for thread in self.threads:
            if thread.ident is not None:
                thread.join()
        self.machines, self.kept, self.threads = [], [], []


def left() -> dict[str, object]:
    """What a process must not keep: descriptors, threads, guest memory, an engine's."""
    gc.collect()
    files = len(os.listdir("/proc/self/fd"))
    threads = sorted(thread.name for thread in threading.enumerate())
    ram = large = 0
    for line in Path("/proc/self/maps").read_text().splitlines():
        place, rights, *_ = line.split()
        first, _, last = place.partition("-")
        ram += "memfd:ringzero-ram" in line
        large += rights.startswith("rw") and int(last, 16) - int(first, 16) >= LARGE
    return {"files": files, "threads": threads, "RAM": ram, "engines": large}


def main(seed: int, steps: int, folder: Path) -> int:
    """One process's whole life; its exit code."""
    faulthandler.dump_traceback_later(HANGS, exit=True)
    warnings.simplefilter("ignore", ResourceWarning)
    for kind in ("machine", "virtual"):
        start(kind, folder).close()  # what is loaded once is not left over
    before = left()
    sequence = Sequence(seed, folder)
    try:
        sequence.go(steps)
    finally:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
    after = left()
    sequence.check(after == before, f"left: {after} after {before}")
    for finding in sequence.findings:
        print("FINDING", finding, flush=True)
    return 1 if sequence.findings else 0


if __name__ == "__main__":
    raise SystemExit(main(int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3])))
