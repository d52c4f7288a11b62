"""A region as LLVM text."""
