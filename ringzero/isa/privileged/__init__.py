"""The privileged architecture: traps, address translation, memory protection, memory accesses,
and counters. Instructions and CSRs are written over these.
"""
