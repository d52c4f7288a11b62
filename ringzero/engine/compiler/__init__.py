"""The compiler's tables, made once for a version: how each instruction is lowered, and its pieces.

The compiler itself is native (`engine/native/compiler`); this package makes what it reads.
"""
