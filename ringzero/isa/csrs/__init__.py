"""The control and status registers, a file for each mode or purpose that the manual groups them by.

`registry.py` has them all, and what an instruction that reads or writes one by its number does.
"""
