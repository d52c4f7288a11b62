"""Decoded code: pages of decoded instructions, their life, and stores that change them."""
