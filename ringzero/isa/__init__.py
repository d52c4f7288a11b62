"""What the machine means: instructions, CSRs, traps, paging, and what derives from them.

Every instruction is one typed Python function under one encoding row (`rv_*.py`); decoder,
assembler, disassembler and documentation are derived. `registry.INSTRUCTIONS` holds them all.
"""
