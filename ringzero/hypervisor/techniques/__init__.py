"""The ways in which a guest of the hypervisor gets its CPU, by the names that `--cpu` has for them.

Kept alone, so that the command line knows them without the rest.
"""

TECHNIQUES = ("trap", "translate", "paravirt", "hardware")
TRAP, TRANSLATE, PARAVIRT, HARDWARE = range(len(TECHNIQUES))
