"""The guest's output: in order, whole, and in few pieces, whatever the guest's own are."""

from __future__ import annotations

import os
import signal

import pytest

from ringzero.cli.console import session
from ringzero.cli.console.session import Output


def test_bytes_leave_together_and_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    reader, writer = os.pipe()
    monkeypatch.setattr(session, "STDOUT", writer)
    pieces: list[int] = []
    write = os.write

    def counted(fd: int, data: bytes) -> int:
        pieces.append(fd)
        return write(fd, data)

    monkeypatch.setattr(os, "write", counted)
    output = Output(lambda number: None)
    text = bytes(range(256)) * 40
    for value in text:
        output.write(bytes([value]))
    output.flush()
    got = b""
    while len(got) < len(text):
        got += os.read(reader, 65536)
    assert got == text
    assert 0 < len(pieces) < len(text) // 10


def test_output_appears_without_being_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    reader, writer = os.pipe()
    monkeypatch.setattr(session, "STDOUT", writer)
    output = Output(lambda number: None)
    for part in (b"login: ", b"again"):
        output.write(part)
        assert os.read(reader, 100) == part


def test_a_reader_that_went_away_is_told_of_once(monkeypatch: pytest.MonkeyPatch) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    monkeypatch.setattr(session, "STDOUT", writer)
    ends: list[int] = []
    output = Output(ends.append)
    for _ in range(3):
        output.write(b"x")
        output.flush()
    assert ends == [signal.SIGPIPE]
