"""Signals and exceptions reach the caller soon, and the machine can go on afterwards."""

from __future__ import annotations

from pathlib import Path

import pytest

from ringzero import PoweredOff
from tests.limits import HUNG
from tests.machines.guests import CODE, KINDS, start, start_bare
from tests.machines.scripts import ENGINES, kinds, script

INTERRUPTS = """
took = []
guest, *engine = arguments
make = (lambda: start_bare(folder, guest, engine=engine[0])) if engine else (
    lambda: start(kind, folder, guest))
with make() as machine:
    machine.expect(b"up", timeout=300)
    for _ in range(5):
        sent = []
        def send():
            while not machine.running:
                time.sleep(0.001)
            time.sleep(0.1)
            sent.append(time.process_time())
            os.kill(os.getpid(), signal.SIGINT)
        thread = threading.Thread(target=send)
        thread.start()
        try:
            machine.run(timeout=300)
        except KeyboardInterrupt:
            took.append(time.process_time() - sent[0])
        thread.join()
        assert not machine.running
    machine.run(timeout=0.01)  # and it goes on
print(len(took), min(took))
"""


@pytest.mark.parametrize("guest", ["talk", "spin"])
@pytest.mark.parametrize("engine", ENGINES)
def test_an_interrupt_is_raised_soon_on_every_engine_also_while_a_device_is_polled(
    engine: str, guest: str, tmp_path: Path
) -> None:
    count, least = script(INTERRUPTS, tmp_path, "machine", guest, engine).split()
    assert count == "5"
    assert float(least) < 0.2  # seconds of processor time: the guests never wait


@pytest.mark.parametrize("kind", KINDS[1:])
@pytest.mark.parametrize("guest", ["talk", "spin"])
def test_an_interrupt_is_raised_soon_on_the_other_machines(
    kind: str, guest: str, tmp_path: Path
) -> None:
    count, least = script(INTERRUPTS, tmp_path, kind, guest).split()
    assert count == "5"
    assert float(least) < 0.2


ELSEWHERE = """
with start(kind, folder, "spin") as machine:
    machine.expect(b"up", timeout=300)
    def send():
        while not machine.running:
            time.sleep(0.001)
        time.sleep(0.1)
        os.kill(os.getpid(), signal.SIGINT)
    thread = threading.Thread(target=send)
    thread.start()
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})  # so `send` itself gets it
    try:
        print(machine.run(timeout=200))
    except KeyboardInterrupt:
        print("interrupted")
    thread.join()
"""


@kinds
def test_a_signal_that_another_thread_of_the_process_gets_is_raised_too(
    kind: str, tmp_path: Path
) -> None:
    """Nothing wakes the thread that waits for the run, as where a signal comes just before that."""
    assert script(ELSEWHERE, tmp_path, kind) == "interrupted\n"


@kinds
def test_an_exception_of_the_console_reaches_the_caller_and_the_machine_goes_on(
    kind: str, tmp_path: Path
) -> None:
    class Console:
        data, angry = b"", True

        def write(self, data: bytes) -> None:
            self.data += data
            if self.angry and self.data.endswith(b"up\n"):
                raise LookupError("nobody listens")

    console = Console()
    with start(kind, tmp_path, console=console) as machine:
        with pytest.raises(LookupError, match="nobody listens"):
            machine.run(timeout=HUNG)
        console.angry = False
        machine.send(b"yes.q")
        assert machine.run(timeout=HUNG) == PoweredOff(CODE)
        assert console.data == b"up\nyes."


@pytest.mark.parametrize("guest", ["talk", "spin"])
def test_harts_in_threads_are_interrupted_and_raise_like_one(guest: str, tmp_path: Path) -> None:
    told = script(
        "class Console:\n"
        "    def write(self, data):\n"
        "        raise LookupError('nobody listens')\n"
        "try:\n"
        "    with start_bare(folder, arguments[0], cpus=3, console=Console()) as machine:\n"
        "        machine.run(timeout=300)\n"
        "except LookupError as error:\n"
        "    print(error)\n"
        "def interrupt():\n"
        "    time.sleep(0.2)\n"
        "    os.kill(os.getpid(), signal.SIGINT)\n"
        "with start_bare(folder, arguments[0], cpus=3) as machine:\n"
        "    machine.expect(b'up')\n"
        "    threading.Thread(target=interrupt).start()\n"
        "    try:\n"
        "        machine.run(timeout=300)\n"
        "    except KeyboardInterrupt:\n"
        "        print('interrupted', machine.run(timeout=0.1))\n",
        tmp_path, "machine", guest,
    )  # fmt: skip
    assert told.splitlines() == ["nobody listens", "interrupted TimedOut()"]


@pytest.mark.parametrize("engine", ENGINES)
def test_an_exception_of_the_console_is_raised_by_step_too(engine: str, tmp_path: Path) -> None:
    class Console:
        def write(self, data: bytes) -> None:
            raise LookupError("nobody listens")

    with (
        start_bare(tmp_path, "talk", engine=engine, console=Console()) as machine,
        pytest.raises(LookupError, match="nobody listens"),
    ):
        machine.step(100)
