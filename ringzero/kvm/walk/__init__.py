"""A bundled guest that goes every way between the rings, and what each of them costs."""
