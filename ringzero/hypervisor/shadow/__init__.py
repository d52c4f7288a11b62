"""Shadow page tables: what the real hart translates with while a guest runs."""
