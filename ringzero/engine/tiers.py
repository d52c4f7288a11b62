"""All native tiers together: the interpreter, compiled blocks, and regions over both."""

from __future__ import annotations

from typing import Any

from ringzero.engine.compiler import Compiling
from ringzero.engine.ports import Bus, Memory, Profile
from ringzero.engine.regions import Regions

FLOATS_SHARE = 12  # LLVM compiles what does float arithmetic in one of so many instructions


class Tiers(Regions):
    """`engine.ports.Harts`: warm code is compiled at once, hot floating-point code by LLVM.

    What LLVM makes in the background is as good as its choice of what to make; where the compiler's
    code is about as fast, there is nothing to win by it.
    """

    def __init__(
        self,
        memory: Memory,
        bus: Bus,
        harts: int,
        *,
        deterministic: bool = False,
        parallel: bool = False,
    ) -> None:
        super().__init__(memory, bus, harts, deterministic=deterministic, parallel=parallel)
        self.compiling = Compiling(self)

    def worth_compiling(self, graph: Any) -> bool:
        """Where floating-point arithmetic is a good part of it: the compiler keeps f registers in
        memory. Its other code is about as fast as LLVM's, and there is no seam in it (decision 32).
        """
        return bool(graph.float_arithmetic * FLOATS_SHARE >= len(graph.operations))

    def _look_up(self, decoded: int, *, loaded: bool = False) -> None:
        """What is known of a page is looked up when a place of it is hot, not before."""

    def profile(self) -> Profile:
        """See `engine.ports.Harts`."""
        seen = super().profile()
        return self.compiling.counted_in(seen)

    def close(self) -> None:
        """End the threads, then give the blocks' memory back."""
        super().close()
        self.compiling.close()
