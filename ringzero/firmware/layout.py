"""The state that the firmware's harts share, in its own memory at the beginning of RAM."""

from __future__ import annotations

from ringzero.lang import Array, Struct, field, u32, u64

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

    mail: Array[u64] = field(HARTS)
    state: Array[u64] = field(HARTS)  # state of each hart, as HSM has it
    start_address: Array[u64] = field(HARTS)
    start_argument: Array[u64] = field(HARTS)
    asked: Array[u64] = field(HARTS)  # whose fences each hart is to do, as bits
    fence_left: Array[u64] = field(HARTS)  # how many harts have not done each hart's fence yet
    fence_kind: Array[u64] = field(HARTS)  # what each hart's fence is: the function of SBI's RFENCE
    fence_page: Array[u64] = field(HARTS)  # its first page
    fence_count: Array[u64] = field(HARTS)  # how many pages; arguments.EVERY: all there are
    fence_space: Array[u64] = field(HARTS)  # its ASID or VMID
    fence_guest: Array[u64] = field(HARTS)  # hgatp of the hart that asks
    locked: Array[u64] = field(HARTS)  # FWFT's features that were closed, as bits
    present: Array[u64] = field(1)  # harts that there are, as bits
    asleep: Array[u64] = field(1)  # harts that sleep until their fence is done, as bits
    console_lock: Array[u64] = field(1)
    ram_start: Array[u64] = field(8)  # RAM that is not the firmware's
    ram_end: Array[u64] = field(8)
    has_stimecmp: bool
    has_guests: bool  # the hypervisor extension


class Stacks(Struct):
    words: Array[u64] = field(HARTS * STACK_SIZE // 8)


boot = Boot()
boot.unclaimed, boot.held = u32(1), u32(1)
shared = Shared()
stacks = Stacks()
