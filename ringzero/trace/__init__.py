"""What a machine did, and what it would do, step by step."""
