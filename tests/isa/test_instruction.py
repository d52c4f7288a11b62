"""Definitions that contradict themselves are refused; what follows from good ones is right."""

from __future__ import annotations

import re
from typing import Any

import pytest

from ringzero.isa import instruction
from ringzero.isa.encoding import EncodingError
from ringzero.isa.footprint import Access, Load, ManagedBlock, ZeroedBlock
from ringzero.isa.hart import Hart
from ringzero.isa.instruction import BRANCH, JUMP, SYSTEM, Instruction, insn
from ringzero.isa.privileged.access import load, store
from ringzero.isa.registry import BY_NAME, INSTRUCTIONS, check
from ringzero.lang import Fixed, native, u8, u32, u64

ADD = "0000000 rs2 rs1 000 rd 0110011"


@pytest.fixture(autouse=True)
def registry_untouched() -> Any:
    before = list(instruction.defined)
    yield
    instruction.defined[:] = before


def only(rs1: u64) -> u64:
    """Return it."""
    return rs1


def no_such(rs3: u64) -> u64:
    return rs3


def taken(rs1: u64) -> bool:
    return rs1 == 0


def narrow(rs1: u64) -> u32:
    return u32(rs1)


@pytest.mark.parametrize(
    ("function", "template", "row", "options", "sentence"),
    [
        (only, "x rd, rs3", ADD, {}, "template 'x rd, rs3' names rs3"),
        (no_such, "x rd", ADD, {}, r"takes rs3, but row .* has no rs3"),
        (taken, "x rd", ADD, {}, "x.. returns .*bool.*, but PLAIN returns"),
        (only, "x rs1", ADD, {"kind": BRANCH}, "but BRANCH returns"),
        (only, "x rs1", ADD, {"kind": JUMP}, "but JUMP returns"),
        (narrow, "x rd", ADD, {}, "u32"),
        (only, "x rs1", "imm[11:5] rs2 rs1 000 imm[4:0] 0100011", {}, "has no rd or frd"),
    ],
)
def test_refused(function: Any, template: str, row: str, options: Any, sentence: str) -> None:
    with pytest.raises(EncodingError, match=sentence):
        insn(template, row, extension="X", **options)(function)


def reads(hart: Hart, rs1: u64) -> u64:
    return load(hart, u32, rs1)


def writes(hart: Hart, rs1: u64) -> u64:
    store(hart, u64, rs1, 0)
    return u64(0)


def through(hart: Hart, rs1: u64) -> u64:
    return helper(hart, u32, rs1)


@native
def helper(hart: Hart, kind: type[Fixed], address: u64) -> u64:
    """A load in a function of its own."""
    return load(hart, kind, address)


@pytest.mark.parametrize(
    ("function", "options", "sentence"),
    [
        (reads, {}, "calls load, but declares no access"),
        (through, {}, "calls load, but declares no access"),
        (only, {"access": Load(u32)}, "calls none, but declares Load"),
        (writes, {"access": Load(u64)}, "calls store, but declares Load"),
        (reads, {"access": Load(u64)}, "accesses u32, but declares Load of u64"),
        (through, {"access": Load(u8)}, "accesses u32, but declares Load of u8"),
        (reads, {"access": Load(u32), "steps": True}, "cannot step"),
    ],
)
def test_a_footprint_that_is_not_the_function_s_is_refused(
    function: Any, options: Any, sentence: str
) -> None:
    with pytest.raises(EncodingError, match=sentence):
        insn("x rd, rs1", ADD, extension="X", **options)(function)


def test_a_footprint_that_is_the_function_s_is_kept() -> None:
    made = insn("x rd, rs1", ADD, extension="X", access=Load(u32))(through)
    assert (made.memory, made.access, made.steps) == (True, Load(u32), False)


WIDTHS = {"b": 1, "h": 2, "w": 4, "d": 8}


@pytest.mark.parametrize("name", BY_NAME)
def test_what_each_instruction_touches_follows_from_its_name(name: str) -> None:
    """By the manual's mnemonics: fl, l, hlv and lr load, fs, s, hsv and sc store."""
    access = BY_NAME[name].access
    found = re.fullmatch(r"(fl|l|fs|s)([bhwd])u?", name)
    found = found or re.fullmatch(r"(amo\w+|lr|sc|hlvx?|hsv)\.([bhwd])u?", name)
    if name.startswith("cbo."):
        assert access == (ZeroedBlock() if name == "cbo.zero" else ManagedBlock())
    elif found is None:
        assert access is None
    else:
        assert isinstance(access, Access)
        assert access.size == WIDTHS[found[2]]
        assert access.changes == (found[1] not in ("fl", "l", "hlv", "hlvx"))


def test_overlapping_instructions_are_refused() -> None:
    other = insn("plus rd, rs1, rs2", ADD, extension="X")(only)
    with pytest.raises(EncodingError, match=r"plus \(.*\) overlaps add \("):
        check([BY_NAME["add"], other])


def test_one_name_twice_is_refused() -> None:
    other = insn("add rd, rs1", "0000011 rs2 rs1 000 rd 0110011", extension="X")(only)
    with pytest.raises(EncodingError, match="add is defined twice"):
        check([BY_NAME["add"], other])


@pytest.mark.parametrize("one", INSTRUCTIONS, ids=lambda one: one.name)
def test_each_has_a_meaning_in_one_line(one: Instruction) -> None:
    assert one.summary.endswith(".")
    assert one.function.signature  # annotations resolve


def facts(name: str) -> dict[str, Any]:
    one = BY_NAME[name]
    keys = ("destination", "memory", "floats", "writes_floats", "dirties_floats")
    return {key: getattr(one, key) for key in keys}


def test_what_follows_from_a_signature() -> None:
    nothing = dict.fromkeys(("memory", "floats", "writes_floats", "dirties_floats"), False)
    assert facts("add") == {**nothing, "destination": "rd"}
    assert facts("sd") == {**nothing, "destination": None, "memory": True}
    assert facts("amoadd.w") == {**nothing, "destination": "rd", "memory": True}
    assert facts("fence") == {**nothing, "destination": None}
    assert BY_NAME["beq"].may_jump_static
    assert BY_NAME["jal"].may_jump_static
    assert not BY_NAME["jalr"].may_jump_static
    assert BY_NAME["fence.i"].kind is SYSTEM
    assert BY_NAME["slli"].sources == {"rs1": "rs1", "shamt": "imm"}


def test_what_follows_for_floats() -> None:
    plain = {"memory": False, "floats": True}
    assert facts("fld") == {
        **plain, "memory": True, "destination": "frd",
        "writes_floats": True, "dirties_floats": True,
    }  # fmt: skip
    assert facts("fsd") == {
        **plain, "memory": True, "destination": None,
        "writes_floats": False, "dirties_floats": False,
    }  # fmt: skip
    assert not facts("feq.d")["dirties_floats"]  # accrue() does, where a flag is raised
    assert not facts("fclass.d")["dirties_floats"]
    assert not facts("fmv.x.d")["dirties_floats"]
    assert BY_NAME["fmadd.d"].sources["frs3"] == "rs3"
    assert BY_NAME["fadd.d"].sources["rm"] == "imm"


def test_instructions_run_in_cpython_by_themselves() -> None:
    hart = Hart()
    BY_NAME["fence.i"](hart)
    assert hart.changes == 4
    assert BY_NAME["jal"](u64(0x1000), u64(2), u64(-16 & (1 << 64) - 1)) == (0x1002, 0xFF0)
