"""Where things are, and the state of the hypervisor: its configuration, its VMs, their statistics.

`config` and `status` are exported as `hv_config` and `hv_status`: the host fills in the one before
the program starts and reads the other at any time (host/report.py), by the layout of these Structs.
"""

from __future__ import annotations

from ringzero.board.addresses import RAM_BASE
from ringzero.board.plic import Plic
from ringzero.board.uart import Uart
from ringzero.isa.hart import Hart
from ringzero.lang import Array, Struct, field, u8, u64

BASE, SIZE = RAM_BASE, 0x40_0000  # the hypervisor's code, data and stack
POOLS = BASE + SIZE  # shadow page tables: POOL_SIZE for each VM
POOL_SIZE = 0x40_0000
VMS = 8
SLICES = POOLS + VMS * POOL_SIZE  # the first VM's memory; the others follow
STACK_SIZE = 0x4000

PAGE, SUPERPAGE = 0x1000, 0x20_0000

# States of a VM.
ABSENT, CREATED, RUNNING, PAUSED, STOPPED, CRASHED = 0, 1, 2, 3, 4, 5
STATES = ("absent", "created", "running", "paused", "stopped", "crashed")

# Orders from the host, in hv_status: the hypervisor looks at them at timer interrupts.
NO_ORDER, PAUSE, RESUME, KILL = 0, 1, 2, 3

# Config.flags
PREFIX, REPORT, HEARTBEAT, ESCAPE = 1, 2, 4, 8  # HEARTBEAT: look at orders every slice
COUNT_SITES = 16  # with technique translate: choose what to rewrite, and count it as it traps

MAGIC = 0x7A72_6830  # "0hrz"
ROOTS, LOG = 24, 1024
NEVER = 0xFFFF_FFFF_FFFF_FFFF
ENVIRONMENT = 0xF1  # bits of menvcfg and senvcfg that say what U may do


class VmConfig(Struct):
    """One VM as the host wants it. Addresses of memory are the machine's, others the guest's."""

    memory: u64  # where its slice begins, and its size; both multiples of 2 MiB
    size: u64
    entry: u64
    tree: u64  # the device tree
    writes_accessed: u64  # menvcfg.ADUE of the virtual hart: 1 sets A and D, 0 faults
    technique: u64  # how it gets its CPU: see techniques/__init__.py
    area: u64  # for translate: where its copies of code are kept, and how large that is
    area_size: u64
    eagerness: u64  # for translate: traps of an instruction until it is rewritten


class Config(Struct):
    """What the host decides before the program starts."""

    magic: u64
    count: u64
    flags: u64
    slice_ticks: u64  # of mtime, before another VM may run
    vms: Array[VmConfig] = field(VMS)


class Tally(Struct):
    """How often something happened, and the hypervisor's instructions for it."""

    count: u64
    instructions: u64


class Translation(Struct):
    """What translating one VM's code has come to; sites are instructions that were looked at."""

    pages: u64  # copies made of pages of code
    dropped: u64  # of them, because the guest wrote or read there
    rewritten: u64  # sites
    again: u64  # of them, sites that had been rewritten before
    no_register: u64  # sites left: no register is dead there
    no_form: u64  # sites left: instructions that are not rewritten
    no_room: u64  # sites left: at the end of a page, or no memory is left
    trampolines: u64  # pieces of code that patch sites call
    inside: u64  # exits within these
    vain: u64  # of them, for fences of addresses that no shadow knew
    instructions: u64  # of the hypervisor, for choosing, copying and rewriting


# Where in Status.tallies an exit counts: below INSTRUCTIONS by a CSR's number; then by the kind of
# the emulated instruction (KINDS), of the SBI call (CALL_KINDS); else by mcause.
KINDS = ("csr", "sret", "fence", "wfi", "load", "store", "other")
CALL_KINDS = ("timer", "console", "fence", "other", "space", "deliver", "paravirt")
INSTRUCTIONS, CALLS, EXCEPTIONS, INTERRUPTS, TALLIES = 4096, 4104, 4112, 4144, 4160


class Status(Struct):
    """One VM as the host sees it."""

    state: u64
    technique: u64
    exit_code: u64
    order: u64
    user: u64  # guest instructions retired in virtual U, and in virtual S
    kernel: u64
    fills: u64  # shadow entries made
    flushes: u64  # shadow roots emptied
    recycles: u64  # times that the pool of table pages ran out
    switches: u64  # times that another VM's world was replaced by this one
    devices: Array[u64] = field(4)  # accesses by device: see devices/bus.py
    sites: u64  # address of technique translate's table of instructions (translate/sites.py), or 0
    translation: Translation
    # Traps handed on to the guest: exceptions by scause, interrupts from 16.
    reflected: Array[u64] = field(32)
    tallies: Array[Tally] = field(TALLIES)  # every exit, in exactly one of them


class Root(Struct):
    """One shadow page table: a guest's address space as one mode sees it."""

    satp: u64  # the guest's
    rights: u64  # the virtual mode, SUM and MXR; see guest_tables.rights_now
    table: u64  # the root page; 0 while this root is not in use
    space: u64  # its value for the real satp
    count: u64  # entries in `log`
    split_from: u64  # guest addresses whose guest page is larger than the shadow's
    split_to: u64
    near: Array[u64] = field(8)  # by rights: which root the guest was last seen to go to from here
    regions: u64  # a bit for each (address >> 21) % 64 that a leaf was written for
    region: u64  # the 2 MiB that `leaves` is the shadow's lowest table of
    leaves: u64  # or 0
    guest_region: u64  # the 2 MiB that `guest_leaves` is the guest's lowest table of
    guest_leaves: u64  # or 0
    log: Array[u64] = field(LOG)  # where leaves were written since the root was emptied


class Translator(Struct):
    """The state of technique translate for one VM; addresses are the machine's."""

    on: u64  # code is rewritten; cleared for good if the guest uses the addresses we need
    area: u64  # the CSR page and the pages of trampolines, which guest code reaches
    leaves: u64  # the table that maps them
    gigabyte: u64  # the table that maps the guest's memory, and has `leaves` at its end
    pages: u64  # what we know of each page of the guest's memory: see translate/copies.py
    tables: u64  # for each 2 MiB of it, shared tables by what they permit
    addresses: u64  # for each entry of each root's log, the guest address
    sites: u64  # patch sites in a hash table: see translate/sites.py
    next: u64  # pages not yet used, and their end
    end: u64
    free: u64  # a list of pages given back, each with the next one's address
    near: u64  # where the next short trampoline goes, in the CSR page
    pad: u64  # where the last landing pad is
    store_pad: u64  # where the next landing pad for stores is
    far: u64  # where the next longer trampoline goes
    trampolines: u64  # descriptions of those pieces
    owners: u64  # for each word of code, which of them it belongs to
    count: u64  # how many
    clash: u64  # the guest uses our addresses
    permits: u64  # how the CSR page is mapped
    volatile: u64  # until the next exit FS may change without our knowing
    fenced: u64  # the last guest page for which a fence dropped an entry
    poke_space: u64  # the satp for which the poke page was set (translate/patching.py)
    misses: u64  # fences that the filter let through in vain since it was made anew
    eagerness: u64
    counting: u64


class Line(Struct):
    """Input that has come in for a VM, and waits until its serial port has room."""

    first: u64
    used: u64
    bytes: Array[u8] = field(256)


class Vm(Struct):
    """One virtual machine. Its virtual hart comes first: a pointer to one is a pointer to both."""

    hart: Hart
    index: u64
    technique: u64
    size: u64  # of its memory
    offset: u64  # from a guest-physical address to the machine's
    active: u64  # index of the shadow root in use
    space: u64  # its value for the real satp
    pool_next: u64
    pool_end: u64
    filled: u64  # a bit for each root that is not empty
    victim: u64  # the next root to give up
    fills: u64  # Status.fills, which every slow exit brings up to date
    attention: u64  # an interrupt is pending that only mstatus.SIE holds back
    waiting: u64
    locked: u64  # a bit for each feature of FWFT that the guest has closed for good
    beside: u64  # the exit is a page fault, and the page is not in the guest's memory
    armed: u64  # hart.stimecmp as the machine's timer knows it
    entered: u64  # minstret as the last exit read it, SWITCH_IN instructions after its first
    resumed: u64  # minstret at the guest's first instruction after it, plus SWITCH_IN
    overhead: u64  # the hypervisor's instructions for this VM, up to the last exit but one
    tally: u64  # address of the Tally that the last exit counts in
    quick: u64  # address of sstatus's Tally
    tallies: u64  # and of them all
    plain: u64  # the virtual hart is in S, and no interrupt is held back
    emulated: u64  # instructions executed on the virtual hart, other than on sstatus
    away: u64  # minstret while other VMs ran
    stack: u64  # the hypervisor's, to be loaded in one instruction
    stage: u64  # hgatp, where the technique is hardware
    translator: Translator
    counted: u64  # hart.retired when `user` and `kernel` were last brought up to date
    page: u64  # a paravirtual kernel's shared page, at the machine's address; or 0
    seen: u64  # and at the guest's own
    forced: u64  # bits of sstatus that are always set for that kernel
    raised: u64  # sip when the page was last written
    faulted: u64  # the page fault that its user's program had last, or 0, and where
    fault: u64
    accounts: u64  # address of `user` and `kernel` in Status
    vector: u64  # the real mtvec while it runs
    # By virtual mode: what the real scounteren and senvcfg are in it.
    counters: Array[u64] = field(2)
    environment: Array[u64] = field(2)
    kernel: Array[u64] = field(32)  # address >> 21 of large pages that its kernel has used
    kernel_next: u64
    line: Line
    roots: Array[Root] = field(ROOTS)
    uart: Uart
    plic: Plic


class Machine(Struct):
    """What the VMs share."""

    slice_end: u64
    deadline: u64  # what mtimecmp holds; 0 when it is out of date
    focus: u64  # the VM that gets input
    speaker: u64  # the VM that wrote last, plus one
    column: u64  # 0 at the beginning of a line
    escape: u64  # the escape character came in
    claimed: u64  # the interrupt of the UART, which is not complete before its bytes are taken
    has_states: u64  # mstateen0 exists; known once a VM has the technique hardware


class Stack(Struct):
    words: Array[u64] = field(STACK_SIZE // 8)


config = Config()
config.magic = MAGIC
config.slice_ticks = 100_000  # 10 ms
status = Status[VMS]()
vms = Vm[VMS]()
machine = Machine()
stack = Stack()
