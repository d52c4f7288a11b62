"""The state that the firmware's harts share, in its own memory at the beginning of RAM."""

from __future__ import annotations

from ringzero.lang import Struct, u32, u64

HARTS = 16
STACK_SIZE = 0x2000
S, M = 1, 3

# Why a hart got a software interrupt (bits of Shared.mail).
MAIL_SOFTWARE, MAIL_FENCE, MAIL_START = 1, 2, 4


class Boot(Struct):
    """What is decided before .bss is cleared, so none of it may be zero and land there."""

    unclaimed: u32  # 1 until one hart takes it and boots
    held: u32  # 1 until the boot hart has set up what all share


class Shared(Struct):
    """What harts ask of one another."""

    mail: u64[16]
    state: u64[16]  # state of each hart
    present: u64[16]  # 1 if there is such a hart
    start_address: u64[16]
    start_argument: u64[16]
    asked: u64[16]  # whose fences each hart is to do, as bits
    fence_left: u64[16]  # how many harts have not done each hart's fence yet
    fence_kind: u64[16]  # what each hart's fence is: the function of SBI's RFENCE
    fence_start: u64[16]
    fence_size: u64[16]
    fence_space: u64[16]
    asleep: u64[1]  # harts that sleep until their fence is done, as bits
    console_lock: u64[1]
    has_stimecmp: bool


class Stacks(Struct):
    words: u64[16 * 1024]


boot = Boot()
boot.unclaimed, boot.held = u32(1), u32(1)
shared = Shared()
stacks = Stacks()
