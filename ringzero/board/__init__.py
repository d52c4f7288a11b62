"""Facts of the board, QEMU's `virt`, and of the SBI, each stated once.

Firmware, hypervisor, guests, the machine and the benchmarks share them: where devices are, which
numbers they are called by, and what their registers do. What runs on a hart is typed Python, so
that the machine runs the same text in CPython that the hypervisor compiles. The package knows
`isa` and `lang` only.
"""
