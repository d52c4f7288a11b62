"""SiFive's PLIC: 127 level-triggered sources, and an M and an S context for each hart.

Context 2h is hart h's machine mode, 2h + 1 its supervisor mode. A gateway forwards a level once and
then waits for the completion; the pending bit stays set even if the level drops before the claim
(PLIC specification, "Interrupt Gateways"). The board runs this text in CPython and the hypervisor
compiles it. All registers are 32 bits wide; whoever calls has refused other widths.
"""

from __future__ import annotations

from ringzero.lang import Array, Struct, ctz, field, native, u64

SIZE = 0x60_0000
SOURCES = 128  # number 0 means "no interrupt"
CONTEXTS = 128  # two for each of 64 harts
PRIORITY_MASK = 7
PENDING, ENABLE, CONTEXT = 0x1000, 0x2000, 0x20_0000
ENABLE_STRIDE, CONTEXT_STRIDE = 0x80, 0x1000
THRESHOLD, CLAIM = 0, 4  # registers of a context
MACHINE, SUPERVISOR = 0, 1  # contexts of one hart
LOW = 0xFFFF_FFFF
NO_SOURCE = 0xFFFF_FFFF_FFFF_FFFE  # all sources that there are, of the first word


class Plic(Struct):
    """The state of one controller. A set of sources is two words, source 0 the lowest bit."""

    contexts: u64
    priority: Array[u64] = field(SOURCES)
    threshold: Array[u64] = field(CONTEXTS)  # of each context
    enable: Array[u64] = field(2 * CONTEXTS)  # of each context
    pending: Array[u64] = field(2)
    claimed: Array[u64] = field(2)
    levels: Array[u64] = field(2)  # of the lines from devices


@native
def set_level(plic: Plic, source: u64, high: bool) -> bool:
    """A device's line; true if a source has become pending by that."""
    word, bit = source >> 6, 1 << (source & 63)
    if (plic.levels[word] & bit != 0) == high:
        return False
    plic.levels[word] = plic.levels[word] ^ bit
    if high and plic.claimed[word] & bit == 0:
        plic.pending[word] = plic.pending[word] | bit
    return high


@native
def best(plic: Plic, context: u64, threshold: u64) -> u64:
    """The source above a threshold with the highest priority, then the lowest number; or 0."""
    source, priority = u64(0), threshold
    for word in range(2):
        candidates = plic.pending[word] & plic.enable[2 * context + word]
        while candidates != 0:
            candidate = ctz(u64(candidates)) + 64 * word
            candidates &= candidates - 1
            if plic.priority[candidate] > priority:
                source, priority = candidate, plic.priority[candidate]
    return source


@native
def interrupts(plic: Plic, context: u64) -> bool:
    """Whether a context's interrupt line is high."""
    return best(plic, context, plic.threshold[context]) != 0


@native
def claim(plic: Plic, context: u64) -> u64:
    """Take a source for a context. A claim is not affected by the threshold."""
    source = best(plic, context, u64(0))
    if source != 0:
        word, bit = source >> 6, 1 << (source & 63)
        plic.pending[word] = plic.pending[word] & ~bit
        plic.claimed[word] = plic.claimed[word] | bit
    return source


@native
def complete(plic: Plic, context: u64, source: u64) -> None:
    """A source was dealt with; one that the context does not enable is ignored silently."""
    if source >= SOURCES:
        return
    word, bit = source >> 6, 1 << (source & 63)
    if plic.enable[2 * context + word] & bit == 0:
        return
    plic.claimed[word] = plic.claimed[word] & ~bit
    plic.pending[word] = plic.pending[word] | plic.levels[word] & bit


@native
def half(words: u64, offset: u64) -> u64:
    """The 32 bits of a word that are at a register's offset."""
    return words >> ((offset & 4) << 3) & LOW


@native
def read(plic: Plic, offset: u64) -> u64:
    """What a load from a register gives; zero where none is."""
    if offset >= CONTEXT:
        context = (offset - CONTEXT) // CONTEXT_STRIDE
        register = (offset - CONTEXT) % CONTEXT_STRIDE
        if context >= plic.contexts:
            return u64(0)
        if register == CLAIM:
            return claim(plic, context)
        return plic.threshold[context] if register == THRESHOLD else u64(0)
    if offset >= ENABLE:
        context, register = (offset - ENABLE) // ENABLE_STRIDE, (offset - ENABLE) % ENABLE_STRIDE
        if context >= plic.contexts or register >= SOURCES // 8:
            return u64(0)
        return half(plic.enable[2 * context + (register >> 3)], offset)
    if offset >= PENDING:
        register = offset - PENDING
        return half(plic.pending[register >> 3], offset) if register < SOURCES // 8 else u64(0)
    return plic.priority[offset >> 2] if offset >> 2 < SOURCES else u64(0)


@native
def write(plic: Plic, offset: u64, value: u64) -> None:
    """A store to a register: pending bits are read-only, and what has no storage ignores it."""
    if offset >= CONTEXT:
        context = (offset - CONTEXT) // CONTEXT_STRIDE
        register = (offset - CONTEXT) % CONTEXT_STRIDE
        if context < plic.contexts and register == THRESHOLD:
            plic.threshold[context] = value & PRIORITY_MASK
        elif context < plic.contexts and register == CLAIM:
            complete(plic, context, value)
    elif offset >= ENABLE:
        context, register = (offset - ENABLE) // ENABLE_STRIDE, (offset - ENABLE) % ENABLE_STRIDE
        if context < plic.contexts and register < SOURCES // 8:
            index, shift = 2 * context + (register >> 3), (offset & 4) << 3
            other = plic.enable[index] & LOW << (32 - shift)  # the half that is not written
            plic.enable[index] = other | value << shift
            plic.enable[2 * context] = plic.enable[2 * context] & NO_SOURCE  # 0 is none
    elif 0 < offset >> 2 < SOURCES:
        plic.priority[offset >> 2] = value & PRIORITY_MASK
