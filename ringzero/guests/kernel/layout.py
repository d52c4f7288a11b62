"""Where a user program lives, and its image as the kernel carries it."""

from __future__ import annotations

from ringzero.lang import Struct, Stub, u64
from ringzero.lang.image import Image

USER_BASE = 0x1_0000
USER_STACK = 0x1000_0000
HEAP, HEAP_END = 0x2000_0000, 0x2100_0000  # pages come here when they are first touched


class UserLayout(Struct):
    """How the user image is cut into pages."""

    text_size: u64
    file_size: u64
    memory_size: u64


user_layout = UserLayout()
user_image = Stub("user_image", [], None, [])


def embed(image: Image) -> None:
    """Make `image` the one that the kernel carries."""
    user_layout.text_size = u64(image.symbols["_data"] - image.base)
    user_layout.file_size = u64(len(image.flat))
    user_layout.memory_size = u64(image.memory_size)
    data = image.flat + bytes(-len(image.flat) % 8)
    words = range(0, len(data), 4)
    user_image.code[:] = [int.from_bytes(data[i : i + 4], "little") for i in words]
