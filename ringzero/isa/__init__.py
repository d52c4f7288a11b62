"""What the machine means: instructions, CSRs, traps, paging, and what derives from them.

Every instruction is one typed Python function under one encoding row (`instructions/`), and every
CSR is one class (`csrs/`). `privileged/` says what traps, address translation and protection mean,
`softfloat/` what floating point means. The decoder, and the assembler, the disassembler and the
documentation in `tools/`, are derived. `registry.INSTRUCTIONS` holds all instructions.
"""
