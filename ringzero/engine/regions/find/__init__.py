"""What a region consists of: its graph, constants, registers, loops, and pages."""
