"""The compiler's tables, made once for a version: how each instruction is lowered, and its pieces.

The compiler itself is native (`engine/native/compiler`); this package makes what it reads.
"""

from ringzero.engine.compiler.kept import load_tables
from ringzero.engine.compiler.tier import Compiled, Compiling

__all__ = ["Compiled", "Compiling", "load_tables"]
