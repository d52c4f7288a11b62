"""What every bare-metal program of ringzero stands on: stubs, CSRs, memory, text, device trees.

`firmware`, `hypervisor` and `guests` are built from this, `lang` and `isa`.
"""
