"""The compiler of typed Python: native functions become LLVM text.

In the order in which it flows: `program.py` asks for a function, `function.py` emits it, with
`statements.py`, `calls.py`, `intrinsics.py`, `floating_text.py`, `expressions.py` and
`operands.py`; `module.py` puts the text together, in the terms of `terms.py`.
"""

from ringzero.lang.compiler.program import Program
from ringzero.lang.compiler.terms import (
    CompileError,
    Target,
    passed_type,
    result_kinds,
    result_type,
)

__all__ = ["CompileError", "Program", "Target", "passed_type", "result_kinds", "result_type"]
