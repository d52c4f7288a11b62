"""The hypervisor: several guests on one RISC-V hart, each believing that it owns it.

`program()` compiles it; `host/build.py` adds configuration, device trees and, if wanted, kernels.
It runs in M-mode on this package's machine, on QEMU's `virt`, and on boards like it.
"""
