"""PCI Express: configuration space, and a host bridge like QEMU's gpex."""
