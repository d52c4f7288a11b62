"""All native tiers together: the interpreter, stitched blocks, and regions over both."""

from __future__ import annotations

from ringzero.engine.ports import Bus, Memory
from ringzero.engine.regions import Regions
from ringzero.engine.stencils import Stitching


class Tiers(Regions):
    """`engine.ports.Harts`: warm code is stitched at once, hot code compiled in the background."""

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
        self.stitching = Stitching(self)

    def close(self) -> None:
        """End the compiling thread, then give the blocks' memory back."""
        super().close()
        self.stitching.close()
