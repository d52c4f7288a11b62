"""Paravirtualization: a kernel that knows of us shares a page, and makes hypercalls."""
