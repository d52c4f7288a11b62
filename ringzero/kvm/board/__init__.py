"""The x86-64 board: its devices and their places, its tables, and what it answers to exits."""
