"""The user's side of a running guest: standard input and output, the terminal, and its keys."""
