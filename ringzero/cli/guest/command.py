"""The words after `--`, on their way to the guest's first program: any bytes but NUL.

They travel on the kernel's command line as `ringzero.words="…"`. The kernel knows no escapes there:
a quotation mark ends the value, and a newline ends what a shell's `read` gives. So whatever is not
plain text is written as printf(1) takes it, and `images/init.sh` hands the value to printf.
"""

from __future__ import annotations

import os
from dataclasses import replace

from ringzero.cli.guest.plan import Plan
from ringzero.errors import UsageError

PARAMETER = "ringzero.words"
SAFE = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789@%+=:,./-_")
ESCAPES = {ord("\n"): "\\n", ord("\t"): "\\t", ord("\\"): "\\\\", ord("%"): "%%"}


def with_command(plan: Plan, words: tuple[str, ...]) -> Plan:
    """The plan with a command for the guest's first program to run instead of a shell."""
    from ringzero.machine.loading.boot import COMMAND_LINE_SIZE

    if not words:
        return plan
    if plan.bundled or "ringzero.run=" in plan.append or f"{PARAMETER}=" in plan.append:
        raise UsageError(
            "A command after `--` needs the image `debian`, whose first program runs it."
        )
    command = quoted(words)
    # A command whose kernel panics must not wait for somebody to press a key.
    append = f'{plan.append} panic=-1 {PARAMETER}="{printf_format(command)}"'.strip()
    length = len(os.fsencode(append))
    if length >= COMMAND_LINE_SIZE:
        raise UsageError(
            f"The command makes the kernel's command line {length} bytes long, more than the "
            f"{COMMAND_LINE_SIZE - 1} that Linux keeps: put it into a script on a --mount."
        )
    return replace(plan, append=append, command=command)


def quoted(words: tuple[str, ...]) -> str:
    """Words for a shell; single quotes keep all other characters as they are."""
    return " ".join(_quoted(word) for word in words)


def _quoted(word: str) -> str:
    if word and set(word) <= SAFE:
        return word
    return "'" + word.replace("'", "'\\''") + "'"


def printf_format(text: str) -> str:
    """A format from which printf(1) makes the text: printable, and without quotation marks."""
    made = "".join(
        ESCAPES.get(byte) or (chr(byte) if 32 <= byte < 127 and byte != 34 else f"\\{byte:03o}")
        for byte in os.fsencode(text)
    )
    return f"\\055{made[1:]}" if made.startswith("-") else made  # it is no option of printf's
