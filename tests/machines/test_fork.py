"""A process that is forked while a machine exists can neither use it nor hang on it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.machines.guests import CODE
from tests.machines.scripts import kinds, script


@kinds
def test_a_forked_process_refuses_the_machine_and_cannot_change_its_memory(
    kind: str, tmp_path: Path
) -> None:
    told = script(
        "with start(kind, folder) as machine:\n"
        "    machine.expect(b'up')\n"
        "    address = machine.memory.base + machine.memory.size - 64\n"
        "    machine.write_memory(address, b'ours')\n"
        "    child = os.fork()\n"
        "    if child == 0:\n"
        "        try:\n"
        "            machine.run(timeout=1)\n"
        "        except Exception as error:\n"
        "            print(error, flush=True)\n"
        "        machine.memory.view(address, 4)[:] = b'mine'\n"
        "        assert bytes(machine.memory.view(address, 4)) == b'mine'\n"
        "        machine.close()\n"
        "        os._exit(0)\n"
        "    assert os.waitpid(child, 0)[1] == 0\n"
        "    assert machine.read_memory(address, 4) == b'ours'\n"
        "    machine.send(b'q')\n"
        "    print(machine.run(timeout=300))\n",
        tmp_path, kind,
    )  # fmt: skip
    refused, outcome = told.splitlines()
    assert "forked" in refused
    assert outcome == f"PoweredOff(code={CODE})"


@kinds
@pytest.mark.parametrize("what", ["run", "describe", "step", "close", "__exit__", "expect"])
def test_a_process_forked_while_the_machine_is_in_use_waits_for_no_lock(
    kind: str, what: str, tmp_path: Path
) -> None:
    """What another thread holds at the fork is held in the child for ever."""
    told = script(
        "with start(kind, folder) as machine:\n"
        "    machine.expect(b'up')\n"
        "    name = arguments[0]\n"
        "    use = getattr(machine, name, machine.describe)\n"
        "    given = {'__exit__': (None,) * 3, 'expect': (b'x',)}.get(name, ())\n"
        "    with machine._life._lock:\n"
        "        machine._life._held = 'step'\n"
        "        child = os.fork()\n"
        "        if child == 0:\n"
        "            signal.alarm(60)\n"
        "            try:\n"
        "                use(*given)\n"
        "            except Exception as error:\n"
        "                print(error, flush=True)\n"
        "            os._exit(0)\n"
        "        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))\n"
        "        machine._life._held = ''\n",
        tmp_path, kind, what,
    )  # fmt: skip
    assert told.splitlines()[-1] == "0"
    assert ("forked" in told) is (what not in ("close", "__exit__"))


def test_a_process_forked_while_code_is_compiled_can_drop_what_the_compiler_made(
    tmp_path: Path,
) -> None:
    script(
        "from ringzero.lang.binding import llvm\n"
        "binding, held = llvm(), threading.Event()\n"
        "module = binding.parse_assembly('')\n"
        "def compile():\n"
        "    with binding.ffi.lib._lock:\n"
        "        held.set()\n"
        "        time.sleep(0.5)\n"
        "threading.Thread(target=compile).start()\n"
        "held.wait()\n"
        "child = os.fork()\n"
        "if child == 0:\n"
        "    signal.alarm(60)\n"
        "    module.close()\n"
        "    os._exit(0)\n"
        "assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0\n"
        "module.close()\n",
        tmp_path,
    )  # fmt: skip


@kinds
def test_a_fork_in_the_consoles_write_does_not_come_back_into_the_guest(
    kind: str, tmp_path: Path
) -> None:
    told = script(
        "class Console:\n"
        "    def write(self, data):\n"
        "        if data == b'p':\n"
        "            child = os.fork()\n"
        "            if child:\n"
        "                print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))\n"
        "with start(kind, folder, console=Console()) as machine:\n"
        "    machine.run(timeout=1)\n",
        tmp_path, kind,
    )  # fmt: skip
    assert told.strip() == "125"
