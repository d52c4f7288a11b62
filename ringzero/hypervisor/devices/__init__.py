"""The devices that a guest finds outside its memory, and the console that they share."""
