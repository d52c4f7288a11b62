"""The FUSE server by random sequences of operations, beside a folder of the host's own."""
