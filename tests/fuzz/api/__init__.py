"""The Python API in any order: build, run, pause, step, look, close, drop, fork, signals, threads.

`sequence` is a process that does random things to machines and ends with 0 if all that was raised
is a sentence, and nothing is left; `__main__` starts such processes and looks at how they end, so
that a signal is seen.
"""
