"""Programs that run alone in M-mode: a greeting, the workloads, and tests of machine mode."""
