"""What is for the guest and what is for ringzero among the typed bytes."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from ringzero.cli.console.keys import BY_KEY, HELP, Command, KeyFilter

PREFIX = b"\x01"


def test_ordinary_bytes_go_to_the_guest() -> None:
    assert KeyFilter().feed(b"ls\r\x03\x1a\xff") == (b"ls\r\x03\x1a\xff", [])


def test_each_command_has_its_key() -> None:
    for command in Command:
        assert KeyFilter().feed(PREFIX + command.key.encode()) == (b"", [command])
        assert f"Ctrl-A {command.key}" in HELP


def test_prefix_twice_is_one_for_the_guest() -> None:
    assert KeyFilter().feed(PREFIX + PREFIX + b"x") == (b"\x01x", [])


def test_prefix_is_remembered_between_reads() -> None:
    keys = KeyFilter()
    assert keys.feed(b"a" + PREFIX) == (b"a", [])
    assert keys.feed(b"xb") == (b"b", [Command.EXIT])


def test_unknown_key_shows_the_help_and_goes_nowhere() -> None:
    assert KeyFilter().feed(PREFIX + b"?y") == (b"y", [Command.HELP])


@given(st.lists(st.binary(max_size=6), max_size=6))
def test_how_input_is_cut_into_reads_does_not_matter(pieces: list[bytes]) -> None:
    together = KeyFilter().feed(b"".join(pieces))
    keys = KeyFilter()
    bytes_ = b""
    commands: list[Command] = []
    for piece in pieces:
        some, more = keys.feed(piece)
        bytes_, commands = bytes_ + some, commands + more
    assert (bytes_, commands) == together


@given(st.binary())
def test_a_guest_can_be_sent_anything(data: bytes) -> None:
    assert KeyFilter().feed(data.replace(PREFIX, PREFIX * 2)) == (data, [])


def test_keys_are_different() -> None:
    assert len(BY_KEY) == len(Command)
