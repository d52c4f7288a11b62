"""The state that the firmware's harts share, in its own memory at the beginning of RAM."""

from __future__ import annotations

from ringzero.lang import Struct, u32, u64

HARTS = 64  # as many as the board has; sets of harts are bits of one word
STACK_SIZE = 0x1000
RANGES = 8  # of RAM that the device tree may name
S, M = 1, 3

# Why a hart got a software interrupt (bits of Shared.mail).
MAIL_SOFTWARE, MAIL_FENCE, MAIL_START = 1, 2, 4


class Boot(Struct):
    """What is decided before .bss is cleared, so none of it may be zero and land there."""

    unclaimed: u32  # 1 until one hart takes it and boots
    held: u32  # 1 until the boot hart has set up what all share


class Shared(Struct):
    """What harts ask of one another, and what they all know."""

    mail: u64[64]
    state: u64[64]  # state of each hart, as HSM has it
    start_address: u64[64]
    start_argument: u64[64]
    asked: u64[64]  # whose fences each hart is to do, as bits
    fence_left: u64[64]  # how many harts have not done each hart's fence yet
    fence_kind: u64[64]  # what each hart's fence is: the function of SBI's RFENCE
    fence_page: u64[64]  # its first page
    fence_count: u64[64]  # how many pages; arguments.EVERY: all there are
    fence_space: u64[64]  # its ASID or VMID
    fence_guest: u64[64]  # hgatp of the hart that asks
    locked: u64[64]  # FWFT's features that were closed, as bits
    present: u64[1]  # harts that there are, as bits
    asleep: u64[1]  # harts that sleep until their fence is done, as bits
    console_lock: u64[1]
    ram_start: u64[8]  # RAM that is not the firmware's
    ram_end: u64[8]
    has_stimecmp: bool
    has_guests: bool  # the hypervisor extension


class Stacks(Struct):
    words: u64[64 * 512]


boot = Boot()
boot.unclaimed, boot.held = u32(1), u32(1)
shared = Shared()
stacks = Stacks()
