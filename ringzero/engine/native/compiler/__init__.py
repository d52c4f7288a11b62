"""The compiler: what is executed some times becomes machine code at once, on the hart's own thread.

A few guest registers live in registers of the host throughout compiled code, the others in memory.
"""
