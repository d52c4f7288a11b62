"""What a region holds: instructions reached from a hot one, on its page and on pages around it.

Branches and direct calls are followed; return points and targets of backward branches are entries
where they lie on the hot page. Paths that never ran are left out, and what the interpreter must do
ends a path. Offsets count from the start of the hot page, so that those of other pages are
negative or above 4095.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace

from ringzero.engine.interpreter import decoded
from ringzero.engine.native.floats.regions import MODES, holds
from ringzero.engine.regions.find.constants import Constants
from ringzero.engine.regions.find.operation import PAGE, Operation, compilable
from ringzero.isa.instruction import BRANCH, JUMP, SYSTEM
from ringzero.isa.registry import ILLEGAL, INSTRUCTIONS

LIMIT = 320  # instructions of a region
ENOUGH = 64  # instructions from which on a region ends where another one begins
GUESSES = 8  # targets of an indirect jump that are compared with
PAGES = 8  # other pages of a region


@dataclass(frozen=True)
class Code:
    """The pages around a hot one, by their distance from it."""

    page: Callable[[int], bytes | None]
    ran: Callable[[int], bool] = lambda offset: True  # whether an offset was ever executed
    taken: Callable[[int], bool] = lambda offset: False  # whether another region is entered there

    targets: Callable[[int], tuple[int, ...]] = lambda offset: ()  # where an indirect jump goes

    def replacing(self, entries: Iterable[int], targets: Iterable[tuple[int, int]]) -> Code:
        """The same for a region that stands there already, and whose jumps went to these."""
        own, former = frozenset(entries), sorted(targets)

        def both(offset: int) -> tuple[int, ...]:
            known = [*self.targets(offset), *(target for at, target in former if at == offset)]
            return tuple(dict.fromkeys(known))[:GUESSES]

        return replace(
            self, taken=lambda offset: offset not in own and self.taken(offset), targets=both
        )

    @staticmethod
    def single(page: bytes) -> Code:
        """One page alone."""
        return Code(lambda distance: page if distance == 0 else None)


@dataclass
class Graph:
    """The operations by offset, where blocks begin, and which of those are entries."""

    head: int
    operations: dict[int, Operation] = field(default_factory=dict)
    leaders: set[int] = field(default_factory=set)
    entries: set[int] = field(default_factory=set)
    returns: set[int] = field(default_factory=set)
    pages: dict[int, bytes] = field(default_factory=dict)  # other pages, by distance
    guesses: dict[int, tuple[int, ...]] = field(default_factory=dict)  # of indirect jumps
    frontier: set[int] = field(default_factory=set)  # where the limit ended a path

    @property
    def float_arithmetic(self) -> int:
        """How many operations compute with floating-point numbers, rather than move them."""
        return sum(op.one.floats and not op.one.memory for op in self.operations.values())

    def ways(self, op: Operation) -> set[int]:
        """Where an indirect jump may go inside; it is compared with these."""
        if op.goes is not None or op.one.kind is not JUMP:
            return set()
        return self.returns if op.returns else set(self.guesses.get(op.offset, ()))

    def words(self, distance: int) -> list[int]:
        """What a page must hold: per two bytes of its instructions, those bytes << 16 | their
        offset | whether an instruction begins there.
        """
        page, found = self.pages[distance], {}
        for op in self.operations.values():
            for at in range(op.offset, op.next, 2):
                if at // PAGE == distance:
                    within = at % PAGE
                    half = int.from_bytes(page[within : within + 2], "little")
                    starts = at == op.offset or within == 0
                    found[within] = half << 16 | within | starts
        return [found[within] for within in sorted(found)]


class Explorer:
    """Follows the code from a head until nothing is left or the limit is reached."""

    def __init__(self, code: Code, head: int, limit: int = LIMIT) -> None:
        self.code, self.limit = code, limit
        self.graph = Graph(head, leaders={head}, entries={head})
        self.pending = deque([head])
        self.optional: set[int] = set()  # where only jumps through registers lead
        self.known: dict[int, bytes | None] = {0: code.page(0)}

    def graph_of_all(self) -> Graph:
        """Explore."""
        graph = self.graph
        while self.pending:
            at: int | None = self.pending.popleft()
            constants = Constants()
            if at in self.optional and len(graph.operations) >= ENOUGH:
                continue  # most of it would be compiled for each of its callers
            while at is not None and at not in graph.operations:
                if len(graph.operations) >= self.limit:
                    graph.frontier.add(at)
                    break
                op = self._operation(at)
                if op is None or (at != graph.head and not self.code.ran(at)):
                    break
                op = graph.operations[at] = constants.follow(op)
                at = self._behind(op)
                if at is not None and len(graph.operations) >= ENOUGH and self.code.taken(at):
                    break  # another region goes on from here: not the same code once more
        settle(graph)
        self._keep_pages()
        self._choose_entries()
        return graph

    def _choose_entries(self) -> None:
        """Entries cost, each a fetch of most registers: callees inside, and return points from
        them, are none.
        """
        graph = self.graph
        for op in graph.operations.values():
            if op.one.kind is BRANCH or op.one.kind is JUMP:
                goes = op.goes
                inside = goes is not None and goes in graph.operations
                if goes is not None and inside and not op.calls and goes <= op.offset:
                    self._entry(goes)
                if op.calls and not inside:
                    self._entry(op.next)

    def _keep_pages(self) -> None:
        for op in self.graph.operations.values():
            for at in (op.offset, op.next - 2):
                page = self.known[at // PAGE]
                if at // PAGE != 0 and page is not None:
                    self.graph.pages[at // PAGE] = page

    def _bytes(self, distance: int) -> bytes | None:
        if distance not in self.known:
            room = len(self.known) <= PAGES
            self.known[distance] = self.code.page(distance) if room else None
        return self.known[distance]

    def _half(self, offset: int) -> int | None:
        page = self._bytes(offset // PAGE)
        within = offset % PAGE
        return None if page is None else int.from_bytes(page[within : within + 2], "little")

    def _operation(self, offset: int) -> Operation | None:
        """The operation at an offset; None where a region cannot hold it."""
        word = self._half(offset)
        if word is None:
            return None
        if word & 3 == 3:
            high = self._half(offset + 2)
            if high is None:
                return None
            word |= high << 16
        index, size, rd, rs1, rs2, rs3, imm = decoded(word)
        if index == ILLEGAL or not compilable(INSTRUCTIONS[index]):
            return None
        one = INSTRUCTIONS[index]
        if one.kind is SYSTEM and not holds(one, imm, rs1):
            return None
        made = Operation(offset, size, one, rd, rs1, rs2, rs3, imm)
        return made if made.rounding in (None, *MODES) else None

    def _behind(self, op: Operation) -> int | None:
        """Note where an operation goes; the offset to go on at."""
        leaders = self.graph.leaders
        if op.straddles:
            leaders.add(op.offset)
        if op.next // PAGE != op.page:
            leaders.add(op.next)
        if op.known is not None:
            self._distant(op.known)
        elif op.goes is not None:
            self._edge(op.goes)
        if op.one.kind is BRANCH:
            leaders.add(op.next)
        elif op.one.kind is JUMP:
            if op.goes is None and not op.returns:
                self._guess(op)
            if op.calls:
                leaders.add(op.next)
                self.graph.returns.add(op.next)
                self.pending.append(op.next)
            return None
        return op.next

    def _edge(self, target: int) -> None:
        self.graph.leaders.add(target)
        self.optional.discard(target)
        self.pending.append(target)

    def _distant(self, target: int) -> None:
        if target not in self.graph.leaders:
            self.optional.add(target)
        self.graph.leaders.add(target)
        self.pending.append(target)

    def _guess(self, op: Operation) -> None:
        targets = self.graph.guesses[op.offset] = self.code.targets(op.offset)
        for target in targets:
            self._distant(target)

    def _entry(self, offset: int) -> None:
        if offset // PAGE == 0:
            self.graph.entries.add(offset)


def settle(graph: Graph) -> None:
    """Forget targets of jumps that are reached past what makes their address, too."""
    for at, op in graph.operations.items():
        if op.known is not None and any(op.since < one <= at for one in graph.leaders):
            graph.operations[at] = replace(op, known=None)


def explore(code: Code, head: int, limit: int = LIMIT) -> Graph:
    """The region around a hot offset."""
    return Explorer(code, head, limit).graph_of_all()
