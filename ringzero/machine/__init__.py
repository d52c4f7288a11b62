"""Where the guest lives: memory, bus, clock, devices, and the board that puts them together."""
