"""All native tiers together: the interpreter, compiled blocks, and regions over both."""

from __future__ import annotations

import threading

from ringzero.engine.compiler import Compiling, load_tables, tables_are_kept
from ringzero.engine.ports import Bus, Memory, Profile
from ringzero.engine.regions import Regions

PATIENCE = 0.25  # seconds: a program that ends sooner needs no compiler


class Tiers(Regions):
    """`engine.ports.Harts`: warm code is compiled at once, hot code by LLVM in the background."""

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
        self.compiling: Compiling | None = None
        self._ended = threading.Event()
        self._maker: threading.Thread | None = None
        if tables_are_kept():
            self.compiling = Compiling(self)
        else:
            self._maker = threading.Thread(target=self._make_tables, name="compiler", daemon=True)
            self._maker.start()

    def _make_tables(self) -> None:
        """The first use of an installation: nobody waits; what is decoded later is counted."""
        try:
            if not self._ended.wait(PATIENCE):
                load_tables()
                self.compiling = Compiling(self)
        except BaseException as error:
            self._fail(error)  # raised where the machine is run

    def profile(self) -> Profile:
        """See `engine.ports.Harts`."""
        seen = super().profile()
        return self.compiling.counted_in(seen) if self.compiling else seen

    def close(self) -> None:
        """End the threads, then give the blocks' memory back."""
        self._ended.set()
        if self._maker is not None:
            self._maker.join()
        super().close()
        if self.compiling is not None:
            self.compiling.close()
