"""`python -m ringzero`, and the `ringzero` command: hands over to the command line."""

from __future__ import annotations

import sys


def main() -> None:
    """Run the command line and end the process with its exit code."""
    from ringzero.cli.main import main as command_line

    sys.exit(command_line())


if __name__ == "__main__":
    main()
