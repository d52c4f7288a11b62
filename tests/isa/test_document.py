"""docs/isa.md says what the definitions say."""

from __future__ import annotations

from ringzero.isa.tools.document import PAGE, page


def test_the_page_is_current() -> None:
    assert PAGE.read_text() == page(), "run: python -m ringzero.isa.tools.document --write"
