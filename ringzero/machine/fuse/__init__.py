"""A FUSE server for guests: a host folder, served over virtio-fs and never left."""

from ringzero.machine.fuse.server import FuseServer

__all__ = ["FuseServer"]
