"""`ringzero bench`: the same guests here and in QEMU, taking turns; medians and ratios.

`catalogue` names what is measured, `suite` runs the rounds, `table` shows them and writes JSON.
"""
