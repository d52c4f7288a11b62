"""The state of the first vCPU at a kernel's first instruction, set through KVM without any code.

For Linux's 64-bit entry: long mode, flat segments, and the low 4 GiB mapped one to one with pages
of 2 MiB. For PVH: protected mode, flat segments, no paging.
"""

from __future__ import annotations

import struct

from ringzero.kvm import api
from ringzero.kvm.board import layout
from ringzero.kvm.boot.load import Entry, Loaded
from ringzero.kvm.vcpu import Vcpu
from ringzero.machine.memory import GuestMemory

CODE_SELECTOR, DATA_SELECTOR, TASK_SELECTOR = 0x10, 0x18, 0x20  # __BOOT_CS, __BOOT_DS of Linux
CODE_64, CODE_32, DATA = 0x00AF_9B00_0000_FFFF, 0x00CF_9B00_0000_FFFF, 0x00CF_9300_0000_FFFF
TASK = 0x0000_8B00_0000_0067
CR0_PE, CR0_ET, CR0_PG = 1, 1 << 4, 1 << 31
CR4_PAE = 1 << 5
EFER_LME, EFER_LMA = 1 << 8, 1 << 10
PRESENT, WRITABLE, LARGE = 1, 2, 0x80
TWO_MEGABYTES = 1 << 21


def segment(descriptor: int, selector: int) -> api.Segment:
    """A segment register as loading this descriptor would leave it (SDM 3.4.5)."""
    access, flags = descriptor >> 40 & 0xFF, descriptor >> 52 & 0xF
    limit = descriptor & 0xFFFF | descriptor >> 32 & 0xF_0000
    return api.Segment(
        base=descriptor >> 16 & 0xFF_FFFF | descriptor >> 32 & 0xFF00_0000,
        limit=limit << 12 | 0xFFF if flags & 8 else limit,
        selector=selector, type=access & 0xF, s=access >> 4 & 1, dpl=access >> 5 & 3,
        present=access >> 7, avl=flags & 1, l=flags >> 1 & 1, db=flags >> 2 & 1, g=flags >> 3,
    )  # fmt: skip


def enter(vcpu: Vcpu, memory: GuestMemory, loaded: Loaded) -> None:
    """Let a vCPU stand before the kernel's first instruction."""
    wide = loaded.kernel.entry is Entry.LINUX
    descriptors = (0, 0, CODE_64 if wide else CODE_32, DATA, TASK, 0)
    memory.write(layout.GDT, struct.pack(f"<{len(descriptors)}Q", *descriptors))
    sregs = vcpu.sregs()
    sregs.cs = segment(descriptors[2], CODE_SELECTOR)
    for name in ("ds", "es", "fs", "gs", "ss"):
        setattr(sregs, name, segment(DATA, DATA_SELECTOR))
    sregs.tr = segment(TASK, TASK_SELECTOR)
    sregs.gdt = api.Dtable(layout.GDT, 8 * len(descriptors) - 1)
    sregs.idt = api.Dtable(0, 0)
    sregs.cr0 = CR0_PE | CR0_ET
    sregs.cr4 = 0
    if wide:
        _map_one_to_one(memory)
        sregs.cr0 |= CR0_PG
        sregs.cr3, sregs.cr4 = layout.PAGE_TABLES, CR4_PAE
        sregs.efer |= EFER_LME | EFER_LMA
    vcpu.set_sregs(sregs)
    regs = api.Regs(rip=loaded.kernel.address, rflags=2, rsp=layout.BOOT_STACK)
    if wide:
        regs.rsi = loaded.argument
    else:
        regs.rbx = loaded.argument
    vcpu.set_regs(regs)


def _map_one_to_one(memory: GuestMemory) -> None:
    """Four page directories cover 4 GiB."""
    root, pointers = layout.PAGE_TABLES, layout.PAGE_TABLES + 0x1000
    directories = [pointers + 0x1000 * (i + 1) for i in range(4)]
    memory.write(root, struct.pack("<Q", pointers | PRESENT | WRITABLE))
    memory.write(pointers, struct.pack("<4Q", *(d | PRESENT | WRITABLE for d in directories)))
    first = PRESENT | WRITABLE | LARGE
    entries = range(first, first + (1 << 32), TWO_MEGABYTES)
    memory.write(directories[0], struct.pack("<2048Q", *entries))
