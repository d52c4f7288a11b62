"""What is hot enough to be compiled, and where indirect jumps go."""
