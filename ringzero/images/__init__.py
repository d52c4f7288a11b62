"""Kernels and root file systems for guests, from the host's own package manager, without root."""

from ringzero.images.cache import Progress, cache_root
from ringzero.images.debian import DebianImage, fetch_debian, fetch_firmware, fetch_installer
from ringzero.images.errors import ImageError
from ringzero.images.tree import clone

__all__ = [
    "DebianImage",
    "ImageError",
    "Progress",
    "cache_root",
    "clone",
    "fetch_debian",
    "fetch_firmware",
    "fetch_installer",
]
