"""What stands once about the native core: where slots are, handlers by number, entry points."""

from __future__ import annotations

import ctypes

import pytest

from ringzero.engine.interpreter import NativeCore
from ringzero.engine.interpreter.handlers import handler_names
from ringzero.engine.interpreter.module import ENTRY_POINTS, WRITTEN
from ringzero.engine.interpreter.special_handlers import SpecialHandler
from ringzero.engine.native.code.address import (
    code_offset,
    first_slot,
    page_number,
    slot_at,
    slot_index,
)
from ringzero.engine.native.code.handler_numbers import FAR, HANDLERS, Special
from ringzero.engine.native.state import DecodedPage, Slot
from ringzero.isa.registry import INSTRUCTIONS
from ringzero.lang import u64
from ringzero.lang.host import view


@pytest.mark.parametrize("pc", [0x8000_0000, 0x8000_0124, 0xFFFF_FFFF_8000_1FFE])
def test_a_slot_tells_its_page_and_its_instruction(pc: int) -> None:
    slot = slot_at(first_slot(u64(7)), u64(pc))
    assert page_number(slot) == 7
    assert slot_index(slot) == pc % 4096 // 2
    assert code_offset(slot) == pc % 4096
    distance = DecodedPage.fields["slots"].length * ctypes.sizeof(view(Slot))
    assert slot - first_slot(u64(7)) < distance, "behind the slots stand other fields"


def test_every_special_handler_has_a_number_and_a_text() -> None:
    names = handler_names()
    assert len(names) == HANDLERS
    for special in Special:
        assert names[special] == special.symbol
        assert callable(getattr(SpecialHandler, special.symbol))
    assert [int(special) for special in Special] == list(range(2 * len(INSTRUCTIONS), FAR))


def test_entry_points_are_called_by_the_names_of_typed_functions() -> None:
    core = NativeCore.load()
    for name in (*WRITTEN, *(one.name for one in ENTRY_POINTS)):
        assert callable(getattr(core, name))
    with pytest.raises(AttributeError, match=r"no entry point nothing: see module\.ENTRY_POINTS"):
        core.nothing()
