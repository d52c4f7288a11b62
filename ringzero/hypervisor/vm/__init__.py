"""The virtual machines: their state, the world switch, whose turn it is, and the beginning."""
