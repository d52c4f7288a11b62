"""What a command boots: the options that describe a guest, the plan made of them, the machine."""
