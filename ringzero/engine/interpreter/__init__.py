"""The interpreter: one handler an instruction, in one LLVM module with all of `native`."""

from ringzero.engine.interpreter.engine import Interpreter
from ringzero.engine.interpreter.native_core import NativeCore, code_key, decoded

__all__ = ["Interpreter", "NativeCore", "code_key", "decoded"]
