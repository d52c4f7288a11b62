"""Fuzzers, each a package with a command for long runs and a test that runs a bounded sample."""
