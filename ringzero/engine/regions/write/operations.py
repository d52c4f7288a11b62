"""The operations of a region as LLVM text: registers, calls of the instructions' functions, and
accesses that share a look-up of the TLB, or a cached translation.

`RegionText` adds what is around them.
"""

from __future__ import annotations

from ringzero.engine.llvm_text import ENTRY, offsets
from ringzero.engine.native.translation import tlb
from ringzero.engine.native.translation.checked import FoundPage
from ringzero.engine.native.translation.tlb import PAGE_MASK
from ringzero.engine.regions.find.cached_translations import (
    CachedTranslation,
    cached_translations,
)
from ringzero.engine.regions.find.flow import Group, Register, written
from ringzero.engine.regions.find.graph import Graph
from ringzero.engine.regions.find.operation import PAGE, Operation
from ringzero.engine.regions.write.exits import KINDS, RegionExits, Segment
from ringzero.engine.regions.write.library import (
    CHECKED,
    PLAIN,
    UNALIGNED,
    RegionLibrary,
    symbol,
)

FOUND = offsets(FoundPage)


class RegionOperations(RegionExits):
    """Emits what operations do. In segments that start at `apart`, accesses are checked one by
    one.
    """

    def __init__(
        self, graph: Graph, library: RegionLibrary, name: str, apart: frozenset[int]
    ) -> None:
        super().__init__(graph, name)
        self.library, self.apart = library, apart
        self.values: dict[Register, str] = {}
        self.dirty: set[Register] = set()
        self.groups: dict[int, Group] = {}
        self.checked: dict[int, tuple[str, str]] = {}  # by group: where, and how much further on
        self.memory = ""  # the guest's memory on the host
        self.cached_translations = cached_translations(self.blocks)

    # ---- registers

    def _read(self, register: Register) -> str:
        if register == ("x", 0):
            return "0"
        if register not in self.values:
            array, number = register
            text = self.value(f"load {KINDS[array]}, ptr %{array}{number}")
            if array == "f":
                text = self.value(f"bitcast double {text} to i64")
            self.values[register] = text
        return self.values[register]

    def _write(self, register: Register, text: str) -> None:
        if register != ("x", 0):
            self.values[register] = text
            self.dirty.add(register)

    def _flush(self, done: int) -> None:
        """At the end of a block: registers and budget into their allocas."""
        for register in sorted(self.dirty):
            kind, text = KINDS[register[0]], self.values[register]
            if register[0] == "f":
                text = self.value(f"bitcast i64 {text} to double")
            self.line(f"store {kind} {text}, ptr %{register[0]}{register[1]}")
        budget = self.value("load i64, ptr %bud")
        self.line(f"store i64 {self.value(f'sub i64 {budget}, {done}')}, ptr %bud")
        self.dirty.clear()

    # ---- an operation

    def _arguments(self, op: Operation, hart: str) -> str:
        words = []
        for name in op.one.parameters:
            if name == "hart":
                words.append(f"ptr {hart}")
            elif name == "pc":
                words.append(f"i64 {self._pc(op.offset)}")
            elif name == "size":
                words.append(f"i64 {op.size}")
            else:
                words.append(f"i64 {self._operand(op, name)}")
        return ", ".join(words)

    def _operand(self, op: Operation, name: str) -> str:
        source = op.one.sources[name]
        if name in ("rs1", "rs2", "rs3"):
            return self._read(("x", op.field(source)))
        if name in ("frs1", "frs2", "frs3"):
            return self._read(("f", op.field(source)))
        return str(op.field(source))

    def _call(self, op: Operation) -> list[str]:
        raises, kind = self.library.results[op.one.name]
        name = symbol(
            op.one, UNALIGNED if op.access and self.segment.offset in self.apart else PLAIN
        )
        self.used.add(name)
        arguments = self._arguments(op, "%core")
        if raises:
            self.line("store i1 false, ptr %raised")
            arguments += ", ptr %raised"
        parts = self._called(f'{kind} @"{name}"({arguments})')
        if raises:
            self._go_on_unless(self.value("load i1, ptr %raised"))
        if kind.startswith("{"):
            pair = parts[0]
            parts = [self.value(f"extractvalue {kind} {pair}, {i}") for i in range(2)]
        return parts

    def _called(self, text: str) -> list[str]:
        if text.startswith("void"):
            self.line(f"call {text}")
            return []
        return [self.value(f"call {text}")]

    def _go_on_unless(self, flag: str) -> None:
        fine = self.new("ok")
        self.branch(flag, self._side_exit(), fine, self.unlikely)
        self.label(fine)

    def _plain(self, op: Operation, done: int) -> None:
        group = self._group(op)
        results = self._call(op) if group is None else self._in_group(op, group)
        target = written(op)
        if target:
            self._write(target, results[0])
        if op.stores:
            kept = {r: self.values[r] for r in self.dirty}
            self.segment = Segment(op.next, done + 1, kept)

    # ---- accesses that share a look

    def _group(self, op: Operation) -> Group | None:
        group = self.groups.get(op.offset)
        if group is None or id(group) in self.checked:
            return group
        if self.segment.offset in self.apart:
            del self.groups[op.offset]
            return None
        alone = len(group.operations) == 1 and op.stores
        return None if alone and op.offset not in self.cached_translations else group

    def _in_group(self, op: Operation, group: Group) -> list[str]:
        if id(group) not in self.checked:
            cached = self.cached_translations.get(op.offset)
            if cached is None:
                self.checked[id(group)] = self.memory, self._look_up(op, group)
            elif len(group.operations) == 1 and op.stores:
                return self._store_by_cached(op, group, cached)
            else:
                self._use_cached(op, group, cached)
                host = self.value(f"load ptr, ptr %host{cached.number}")
                self.checked[id(group)] = host, "0"
        return self._access(op, *self.checked[id(group)])

    def _access(self, op: Operation, memory: str, offset: str) -> list[str]:
        self.line(f"store ptr {memory}, ptr %place")
        self.line(f"store i64 {offset}, ptr {self.at('%place', FOUND['offset'])}")
        kind = self.library.results[op.one.name][1]
        name = symbol(op.one, CHECKED)
        self.used.add(name)
        return self._called(f'{kind} @"{name}"({self._arguments(op, "%place")})')

    def _address(self, op: Operation, imm: int) -> str:
        return self.value(f"add i64 {self._read(('x', op.rs1))}, {imm}")

    def _missed(self, op: Operation, group: Group) -> tuple[str, str]:
        """Whether the table does not hold the page that all are on, aligned; and the entry."""
        rest = [o for o in group.operations if o.offset >= op.offset]
        reference = Group(rest).reference
        address = self._address(op, reference.imm)
        stores = any(o.stores for o in rest)
        entry = self.entry(tlb.write_entry if stores else tlb.read_entry, address)
        wanted = self.value(f"and i64 {address}, {PAGE_MASK | (reference.access - 1)}")
        missed = self.value(f"icmp ne i64 {self.load(entry, ENTRY['tag'])}, {wanted}")
        low, high = min(o.imm for o in rest), max(o.imm for o in rest)
        if low != high:
            apart = self.value(f"xor i64 {self._address(op, low)}, {self._address(op, high)}")
            far = self.value(f"icmp ugt i64 {apart}, {PAGE - 1}")
            missed = self.value(f"or i1 {missed}, {far}")
        return missed, entry

    def _look_up(self, op: Operation, group: Group) -> str:
        """From an address to its place in memory; one exit for all of a group."""
        missed, entry = self._missed(op, group)
        self._go_on_unless(missed)
        return self.load(entry, ENTRY["offset"])

    # ---- cached translations

    def _if_seen(self, op: Operation, group: Group, cached: CachedTranslation) -> tuple[str, str]:
        """Go to a label if all of a group are on the cached page; emits what follows if not.

        One comparison does it: `near` is the page's negated address, `room` how far from its start
        the group may begin. An empty cached translation has no room, so nothing is on its page.
        """
        low = min(o.imm for o in group.operations)
        first = self._address(op, low)
        within = self.value(f"add i64 {first}, {self.value(f'load i64, ptr %near{cached.number}')}")
        room = self.value(f"load i64, ptr %room{cached.number}")
        seen, unseen = self.new("seen"), self.new("unseen")
        inside = self.value(f"icmp ult i64 {within}, {room}")
        self.branch(inside, seen, unseen, self.likely)
        self.label(unseen)
        return first, seen

    def _cache(self, cached: CachedTranslation, first: str, offset: str) -> None:
        """From now on the page around an address is the cached one."""
        page = self.value(f"and i64 {first}, {PAGE_MASK}")
        self.line(f"store i64 {self.value(f'sub i64 0, {page}')}, ptr %near{cached.number}")
        self.line(f"store i64 {cached.room}, ptr %room{cached.number}")
        self.line(f"store ptr {self.at(self.memory, offset)}, ptr %host{cached.number}")

    def _use_cached(self, op: Operation, group: Group, cached: CachedTranslation) -> None:
        first, seen = self._if_seen(op, group, cached)
        self._cache(cached, first, self._look_up(op, group))
        self.line(f"br label %{seen}")
        self.label(seen)

    def _store_by_cached(self, op: Operation, group: Group, cached: CachedTranslation) -> list[str]:
        """A store alone: where no table has its page, the instruction's function does it."""
        self._arguments(op, "%core")  # all that is read is read before the ways part
        first, seen = self._if_seen(op, group, cached)
        found, other, done = self.new("found"), self.new("other"), self.new("done")
        missed, entry = self._missed(op, group)
        self.branch(missed, other, found, self.unlikely)
        self.label(other)
        self._call(op)
        self.line(f"br label %{done}")
        self.label(found)
        self._cache(cached, first, self.load(entry, ENTRY["offset"]))
        self.line(f"br label %{seen}")
        self.label(seen)
        self._access(op, self.value(f"load ptr, ptr %host{cached.number}"), "0")
        self.line(f"br label %{done}")
        self.label(done)
        return []
