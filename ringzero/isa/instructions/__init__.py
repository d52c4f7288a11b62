"""The instructions, a file for each extension; one typed function under one encoding row each.

`registry.py` imports every `rv_*.py` here in the order of their names.
"""
