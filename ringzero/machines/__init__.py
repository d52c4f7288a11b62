"""What a user holds: machines with one face, and how each is put together."""
