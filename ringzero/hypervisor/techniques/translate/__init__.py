"""Binary translation: sensitive instructions of a guest's kernel are rewritten in copies."""
