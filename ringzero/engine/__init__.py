"""How the machine runs on this host: engines that execute the text of `isa/`.

`reference` lets CPython run it and defines what is correct; the others are compiled from the same
text, and compared with it instruction by instruction (`tests/lockstep`).
"""
