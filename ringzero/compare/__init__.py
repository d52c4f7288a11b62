"""One guest under each technique, and what each operation cost: in instructions, world by world."""
