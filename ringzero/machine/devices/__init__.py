"""The devices that sit directly on the board's bus."""
