"""`ringzero translate-address`: the moment, the addresses, and what is shown."""

from __future__ import annotations

import json

import pytest

from ringzero.cli.main import main

AT = ["--image", "guest", "--at-text", "test user reads"]


def test_addresses_and_registers_of_a_machine(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["translate-address", *AT, "--mode", "S", "sp", "0x40"]) == 0
    first, second = capsys.readouterr().out.split("\n\n")
    assert first.splitlines()[0].endswith("in S-mode, Sv39")
    assert "=> physical 0x8020" in first
    assert "load page fault (cause 13) at 0x40" in second


@pytest.mark.parametrize(("cpu", "shown"), [("trap", "the shadow"), ("hardware", "Sv39x4")])
def test_guests(cpu: str, shown: str, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["translate-address", "--cpu", cpu, *AT, "--mode", "S", "--access", "fetch"]
    assert main([*command, "0x80200000"]) == 0
    output = capsys.readouterr().out
    assert shown in output
    assert "Guest physical 0x80200000 is machine 0x82600000." in output
    assert main([*command, "--json", "0x80200000"]) == 0
    (told,) = json.loads(capsys.readouterr().out)
    assert (told["technique"], told["guest"]["physical"]) == (cpu, 0x8020_0000)
    assert told["real"]["physical"] == 0x8260_0000


def test_bad_wishes(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["translate-address", "--image", "guest", "0x40"]) == 125
    assert "Say when to look" in capsys.readouterr().err
    late = ["--image", "guest", "--at-instruction", "1000000000"]
    assert main(["translate-address", *late, "0x40"]) == 125
    assert "The guest ended before then" in capsys.readouterr().err
    early = ["--image", "guest", "--cpu", "trap", "--at-instruction", "10"]
    assert main(["translate-address", *early, "0x40"]) == 125
    assert "has not started its VMs yet" in capsys.readouterr().err
    assert main(["translate-address", *AT, "nowhere"]) == 125
    assert "There is no register 'nowhere'" in capsys.readouterr().err
