"""`python -m ringzero`, and the `ringzero` command: hands over to the command line."""

from __future__ import annotations

import gc
import os
import sys

MANY = 100_000  # objects between two collections: what a start makes nearly all stays


def main() -> None:
    """Run the command line and end the process with its exit code."""
    gc.set_threshold(MANY)
    from ringzero.cli.exits import Ending
    from ringzero.cli.main import main as command_line

    ending = Ending()
    code = command_line(ending=ending)
    if ending.quick:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    sys.exit(code)


if __name__ == "__main__":
    main()
