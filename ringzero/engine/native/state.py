"""What a native engine keeps for each hart beside its architectural state, and what harts share.

`Core` begins with its `Hart`, so typed text that has only the hart finds the core by
`core_of(hart)`. Python sees the same memory through `lang.host.view(Core)`.
"""

from __future__ import annotations

from ringzero.engine.native.compiler.state import Compiler
from ringzero.isa.hart import Hart
from ringzero.lang import Array, Struct, field, native, ptr, reinterpret, u8, u16, u32, u64

TLB_SIZE = 8192  # entries of one table, for 32 MiB; direct mapped
TABLES = 4  # read, write, execute, and stores into pages that hold decoded code
READS, WRITES, EXECUTES, CODE_WRITES = (table * TLB_SIZE for table in range(TABLES))
CONTEXT_SIZE = TABLES * TLB_SIZE
CONTEXTS = 32  # per hart; a bit each in the masks below
LOG = 1024  # entries of a context that are remembered, so that emptying it looks at no others
DECODED_MASKS = 4096

# The states of a hart that translate differently: QEMU's MMU indexes (`contexts`).
# UNUSUAL: MPRV or MXR; GUEST: V=1, both stages.
MMU_MODES = 8
USER, SUPERVISOR, SUPERVISOR_SUM, MACHINE, UNUSUAL = range(5)
GUEST_USER, GUEST_SUPERVISOR, GUEST_SUPERVISOR_SUM = range(5, MMU_MODES)

LARGE = 1024  # places for the superpages that a context holds pieces of
LARGE_WORDS = 64

SLICE = 16384  # instructions between looks at interrupts and deadlines

PAGE_SLOTS = 2048  # one per two bytes of a code page
ALL_SLOTS = PAGE_SLOTS + 2  # and two guards, which go on at the next page
PAGE_STRIDE = 65536  # bytes between decoded pages, each at a multiple of it: masks find its begin
NO_PAGE = 0
LINK_COUNT = 1 << 16
WORD_COUNT = 1 << 24
EVENTS = 8192  # entries of the ring of events; a power of two
HOT_COUNTS = 8192  # entries of the table; a power of two
SIDE_EXITS = 4096  # entries of the table of side exits; a power of two
TARGETS = 4096  # entries of the table of indirect jumps; a power of two
HOT_SLICES = 256  # slices that ended at one slot before Python hears of it
FIRST_SLICE = 1 << 63  # an event: the first slice that ended in a decoded page
HOT_EXIT = 1 << 62  # an event: regions often leave there
NEW_PAGE = 1 << 60  # an event: the decoded page is new
JUMP_TARGET = 1 << 61  # an event: the second number is how far an indirect jump goes
HOT_EXIT_COUNT = 8192  # side exits at one place before Python hears of it

CAUSES = 64  # exceptions 0–31, interrupts 32–63, in the counters
MODES = 6  # by which retired instructions are counted: U, S, none, M, and VU and VS behind them
STAGES = 4  # of translation, by which page table entries are counted
FENCES = 4  # kinds of fences, by what they name
GAP = 16  # words between two cores: no cache line holds fields of both


class TlbEntry(Struct):
    """A cached page: where its bytes are from the start of the backing memory, less the address."""

    tag: u64
    offset: u64


class TlbKey(Struct):
    """Whose translations a context holds."""

    mmu_mode: u64  # and, where that is UNUSUAL, the bits of the hart that matter then
    space: u64  # satp or vsatp, as of the last use where address spaces share the context
    guest: u64  # hgatp
    regime: u64  # which fences concern it (`contexts`)
    digest: u64


class TlbContext(Struct):
    """A context of the TLB: four tables for one address space and state of the hart."""

    key: TlbKey
    used: u64  # Core.chosen when it was last looked for; 0 for never
    private: u64  # entries that were not global
    filled: u64  # how often it was entered since it was empty
    pieces: u64  # entries that are pieces of superpages
    large: Array[u64] = field(LARGE)  # their numbers, each at one of two places
    others: Array[u64] = field(LARGE_WORDS)  # bit number % 4096: those that found no place
    tera: u64  # whether pages above 1 GiB are among them
    entered: Array[u16] = field(LOG)  # the first LOG of its entries


class Slot(Struct):
    """One decoded instruction, or what stands in for it."""

    handler: u64
    rd: u8
    rs1: u8
    rs2: u8
    rs3: u8
    imm: u32


class DecodedPage(Struct):
    """A page of code as slots, and what is known of it. Decoded pages are known by number.

    The fields behind `changes` are read and written while other harts do the same
    (`decoded_pages.read_shared`).
    """

    slots: Array[Slot] = field(ALL_SLOTS)
    # Whether a block begins at a slot, and how often it ran (`leaders`).
    marks: Array[u8] = field(PAGE_SLOTS)
    numbers: Array[u16] = field(PAGE_SLOTS)  # of a decoded slot's handler in the interpreter
    originals: Array[u64] = field(PAGE_SLOTS)  # the handler that a region has displaced, or 0
    regions: u64  # how many slots hold regions
    seen: u64  # a slice has ended in it since it was made
    first_link: u64  # 1 + the first of the links that are bound to it
    compiled: u64  # the arenas of code memory where its blocks lie, as bits
    drops: u64  # how often stores into its code dropped its blocks
    changes: u64  # how often decoded code of it changed
    data_stores: u64  # stores to its page that touched no code, since it was decoded
    epoch: u64  # when something of it was last taken away, or 0
    leaving: u64  # harts that may be using what was taken away then, as bits
    users: u64  # harts that may be in it, as bits
    ready: u64  # no store by a write table is on its way to its page


class HotCount(Struct):
    """How many slices ended at a slot lately."""

    slot: u64
    count: u64


class JumpCount(Struct):
    """How often an indirect jump went to one place, by samples."""

    slot: u64
    distance: u64
    count: u64


class Link(Struct):
    """What a region expects of one page that is not its own (`code/links.py`)."""

    bound: u64  # offset of the first slot of the page that it holds for; INVALID for none
    next: u64  # 1 + the next link bound to the same page
    first: u64  # its words, in Shared.words
    count: u64
    refused: u64


class Shared(Struct):
    """What all harts of a machine have in common."""

    memory: ptr[u8]  # RAM
    ram_base: u64
    ram_size: u64
    pages: ptr[u32]  # per page of RAM: 1 + the number of its decoded page, or NO_PAGE
    slots: ptr[u8]
    owners: ptr[u32]  # per decoded page: the page of RAM that it is of
    decoded_pages: u64  # how many fit
    decoded_used: u64
    spare: ptr[u32]  # a ring of decoded pages freed, the oldest first
    spare_first: u64
    spares: u64
    releases: ptr[u8]  # per page of RAM: how often it stopped being a code page
    idle_page: u64  # 1 + a decoded page that many stores go to, and that perhaps is not run
    handlers: ptr[u64]  # by 2 * index + (size == 2), then the special handlers
    cores: ptr[u8]  # the Cores, one after the other
    harts: u64
    read_device: u64  # C functions: (address, size, core) -> value; sets Core.answered
    write_device: u64
    clock: u64  # clock_gettime, or 0: time is counted in instructions
    clock_offset: u64  # ticks added to it
    elapsed: u64  # instructions retired by all harts, as of the last look
    watched: u64  # page (by index) whose stores Python hears of, or NO_WATCH
    notify: u64  # C function: (address, core)
    hot_counts: ptr[HotCount]
    side_exits: ptr[HotCount]  # side exits, by the slot that they left at
    targets: ptr[JumpCount]
    events: ptr[u64]  # a ring of events, two numbers each: a slot's offset with flags, and a pc
    event_count: u64  # how many numbers were ever written
    links: ptr[Link]
    words: ptr[u32]  # of links: two bytes of code << 16 | their offset | instruction begins
    stop: u64  # Python asks all harts to come back
    turn: u64  # instructions per hart and turn, where harts share a thread
    next: u64  # whose turn it is
    limit: u64  # come back when `elapsed` reaches this
    stopped: u64  # the hart whose Core.why says why we came back
    parallel: u64  # harts run on threads of their own just now
    common: ptr[u8]  # see `epochs`
    yield_thread: u64  # C function: sched_yield
    system_call: u64  # C function: syscall
    futex: u64  # the number of that system call
    clint: ptr[u8]  # see `board.clint`
    clint_base: u64
    clint_size: u64  # 0: there is none
    compiling: u64  # whether warm code is compiled
    compiler: ptr[Compiler]


NO_WATCH = 0xFFFF_FFFF_FFFF_FFFF


class Core(Struct):
    """One hart under a native engine."""

    hart: Hart
    shared: ptr[Shared]
    memory: ptr[u8]  # Shared.memory again, one load nearer
    slots: ptr[u8]  # Shared.slots again
    tlb: ptr[TlbEntry]  # the tables of the present context
    tables: ptr[TlbEntry]  # of all contexts
    contexts: ptr[TlbContext]
    mmu_mode: u64
    context: u64
    bound: Array[u64] = field(MMU_MODES)  # per context 1 + its context in this address space, or 0
    digests: Array[u64] = field(CONTEXTS)  # of the contexts' keys; 0 for one never used
    superpages: u64  # contexts that hold pieces of superpages
    chosen: u64  # how often a context was looked for
    scratch: ptr[Slot]  # a decoded page of its own: instructions that are fetched for just once
    scratch_slot: u64  # the one slot of it that does not halt
    number: u64  # among the cores
    horizon: u64  # hart.retired = horizon - budget, while running
    limit: u64  # stop when retired reaches this
    why: u64  # `ports.Why`
    stepping: bool
    answered: bool  # by the last device access
    waiting: bool  # in wfi
    retired_in: Array[u64] = field(MODES)  # by mode, VU and VS behind the others
    floats: u64  # whether f registers may be used, and FS needs no more than mstatus tells
    counted: u64  # hart.retired as of the last attribution to a mode
    charged: u64  # the mode that what retires from then on belongs to
    seen: u64  # hart.retired as of the last addition to Shared.elapsed
    turn_end: u64
    traps_taken: u64
    last_trap: u64  # hart.retired at the last trap
    trap_loop: u64  # traps since then with nothing retired
    traps: Array[u64] = field(CAUSES)
    decoded: u64  # slots decoded, for --stats
    refills: u64  # pages translated for the tables above, bare M-mode's aside
    entries: Array[u64] = field(STAGES)  # page table entries read, by stage of `paging`
    aside: u64  # no entry counts while this is 1
    double: u64  # the result of a floating-point operation that was not the host's alone
    single: u32
    slices: u64  # slices that ended
    region_slices: u64  # those that ended in a region
    side_exits: u64  # side exits of regions
    handlers: ptr[u64]  # Shared.handlers again
    exit_pc: u64  # where the last region that was left went on
    jump_site: u64  # the last indirect jump that was looked up, or 0
    jump_target: u64  # where it went
    ended_in_region: u64  # whether the budget was spent in a region
    link: ptr[Link]  # what a region found wanting
    link_page: u64  # and the page it is about
    claimed: u64  # contexts taken for one that had none
    flushed: u64  # contexts emptied by fences, and by what voids all translations
    fences: Array[u64] = field(FENCES)  # by what they name: address 1, address space 2
    by_page: Array[u32] = field(TLB_SIZE)  # contexts that may hold a page; by index in tables
    by_frame: Array[u32] = field(TLB_SIZE)  # those with a page of RAM in the write table
    by_decoded: Array[u32] = field(DECODED_MASKS)  # those with a decoded page in the execute table
    wires: u64  # interrupt lines as devices drive them; the hart takes them over into hart.lines
    reach: u64  # the last place in RAM where a load of eight bytes ends inside
    page: u64  # the virtual page that compiled code runs in
    frame: u64  # the host's rbp while compiled code uses that register
    quiescence: u64  # what the hart may be using (`epochs`)
    quiescent_epoch: u64  # the newest epoch when it last used nothing
    gap: Array[u64] = field(GAP)  # no cache line holds two harts' fields


@native(inline=True)
def core_of(hart: Hart) -> Core:
    """The core that a hart is the first field of."""
    return reinterpret(Core, hart)


@native
def core_at(shared: Shared, index: u64) -> Core:
    """One of the machine's cores."""
    return reinterpret(ptr[Core], shared.cores)[index]


@native(inline=True)
def hart_bit(core: Core) -> u64:
    """A hart in a set of harts."""
    return u64(1) << core.number
