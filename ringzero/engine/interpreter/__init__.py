"""The interpreter: one handler an instruction, in one LLVM module with all of `native`."""
