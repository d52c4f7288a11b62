"""Addresses: the TLB, its contexts, fences, page walks, and accesses past it."""
