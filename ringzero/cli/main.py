"""The `ringzero` command: finds the subcommand, and turns every failure into a sentence and a code.

No failure shows a traceback unless RINGZERO_DEBUG=1 asks for it.
"""

from __future__ import annotations

import errno
import importlib
import os
import signal
from collections.abc import Sequence

import click

from ringzero import __version__
from ringzero.cli import report
from ringzero.cli.exits import Ending, ExitCode, Interrupted
from ringzero.descriptors import occupy_standard_streams
from ringzero.errors import RingzeroError

COMMANDS = {
    "run": "ringzero.cli.commands.run",
    "image": "ringzero.cli.commands.image",
    "build": "ringzero.cli.commands.build",
    "compare": "ringzero.cli.commands.compare",
    "analyze": "ringzero.cli.commands.analyze",
    "translate-address": "ringzero.cli.commands.translate_address",
    "bench": "ringzero.cli.commands.bench",
    "doctor": "ringzero.cli.commands.doctor",
}


class LazyCommands(click.Group):
    """Imports a subcommand's module when it is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        command = getattr(importlib.import_module(COMMANDS[cmd_name]), cmd_name.replace("-", "_"))
        assert isinstance(command, click.Command)
        return command


@click.group(
    cls=LazyCommands,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(__version__, "-V", "--version", message="ringzero %(version)s")
def cli() -> None:
    """Give any kernel its own ring zero.

    Exit codes: the guest's own; 124 time is up; 125 wrong usage or our error; 126 not available on
    this host; 127 not found; 128+N signal N; 255 the guest panicked.
    """


def main(arguments: Sequence[str] | None = None, ending: Ending | None = None) -> int:
    """Run the command line; the process's exit code. With `ending` the process ends after it."""
    occupy_standard_streams()
    report.set_verbosity(report.Verbosity.NORMAL)
    try:
        result = cli.main(arguments, prog_name="ringzero", standalone_mode=False, obj=ending)
        return result if isinstance(result, int) else 0
    except (Exception, KeyboardInterrupt, Interrupted) as failure:
        if os.environ.get("RINGZERO_DEBUG") == "1":
            raise
        return _explained(failure)


def _explained(failure: BaseException) -> int:
    """Say what happened in a sentence; the exit code for it."""
    match failure:
        case click.exceptions.NoArgsIsHelpError():
            click.echo(failure.ctx.get_help() if failure.ctx else "", err=True)
            return ExitCode.ERROR
        case click.exceptions.Exit():
            return failure.exit_code
        case Interrupted():
            return failure.exit_code
        case KeyboardInterrupt() | click.Abort():
            return ExitCode.SIGNAL + signal.SIGINT
        case BrokenPipeError():
            return ExitCode.SIGNAL + signal.SIGPIPE
        case click.UsageError():
            report.error(_usage_sentence(failure))
            return ExitCode.ERROR
        case click.ClickException():
            report.error(failure.format_message())
            return ExitCode.ERROR
        case RingzeroError():
            report.error(str(failure))
            return failure.exit_code
        case MemoryError():
            report.error("This host has not enough memory for that: try a smaller -m.")
            return ExitCode.ERROR
        case OSError():
            return _system_error(failure)
    report.error(
        f"This is a mistake in ringzero ({type(failure).__name__}: {_first_line(failure)}): please "
        "report it with what RINGZERO_DEBUG=1 shows."
    )
    return ExitCode.ERROR


def _usage_sentence(failure: click.UsageError) -> str:
    sentence = failure.format_message().rstrip()
    path = failure.ctx.command_path if failure.ctx else "ringzero"
    ending = "" if sentence.endswith((".", "?", ")")) else "."
    return f"{sentence}{ending} See `{path} --help`."


def _system_error(failure: OSError) -> int:
    where = f"{failure.filename}: " if failure.filename else ""
    reason = failure.strerror or _first_line(failure)
    report.error(f"{where}{reason}.")
    missing = failure.errno in (errno.ENOENT, errno.ENOTDIR)
    return ExitCode.NOT_FOUND if missing else ExitCode.ERROR


def _first_line(failure: BaseException) -> str:
    return (str(failure).splitlines() or ["no message"])[0]
