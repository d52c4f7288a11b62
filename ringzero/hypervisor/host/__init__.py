"""What the host does: it builds the hypervisor with its guests, and reads what it reports."""
