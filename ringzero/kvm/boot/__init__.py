"""What a guest finds at its start: its kernel in memory, and the registers it is entered with."""
