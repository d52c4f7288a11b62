"""What goes wrong while getting kernels and file systems.

`ImageError` ends the program with 127, "image not found" in DESIGN §8's list of exit codes.
"""

from __future__ import annotations

from ringzero.errors import NotFound


class ImageError(NotFound):
    """An image could not be had; the message says what, where and what to try."""
