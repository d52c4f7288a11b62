"""Virtio 1.2: queues, transports (PCI and MMIO) and the devices behind them."""
