"""What native code notes about the guest: hot places, side exits, targets of jumps."""
