"""How much memory translated code may take, in one setting for all tiers: three quarters
of it for the compiler's code, half of that for each generation, and the rest for regions. Beyond
that the oldest eighth is freed while the guest runs on.
"""

from __future__ import annotations

from ringzero.lang.cache_limit import size_setting

VARIABLE, DEFAULT = "RINGZERO_CODE_LIMIT", 128 << 20
EIGHTHS = 8


def code_limit() -> int:
    """Bytes of translated code in memory."""
    return size_setting(VARIABLE, DEFAULT)


def compiled_limit() -> int:
    """Bytes of the compiler's code."""
    return code_limit() // 4 * 3


def region_limit() -> int:
    """Bytes of regions."""
    return code_limit() - compiled_limit()
