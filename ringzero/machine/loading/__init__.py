"""What is booted: kernels, initial RAM disks and firmware read from files, and put into memory."""
