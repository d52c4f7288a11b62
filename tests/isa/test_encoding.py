"""Rows say every bit once, or are refused in a sentence."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringzero.isa.encoding import EncodingError, parse

BRANCH_ROW = "imm[12|10:5] rs2 rs1 000 imm[4:1|11] 1100011"


def test_a_branch_row() -> None:
    row = parse(BRANCH_ROW)
    assert (row.mask, row.match) == (0x707F, 0x63)
    assert row.fields["imm"].extract(0xFE00_0EE3) == -4
    assert row.fields["rs2"].extract(0x00B5_0063) == 11
    assert (row.fields["imm"].width, row.fields["imm"].signed) == (13, True)


@pytest.mark.parametrize(
    ("row", "width", "sentence"),
    [
        ("0000000 rs2 rs1 000 rd 011001", 32, "31 bits, not 32"),
        ("0000000 rs2 rs1 000 rd 01100110", 32, "more than 32 bits"),
        ("0000000 rs9 rs1 000 rd 0110011", 32, "field 'rs9' names nothing"),
        ("imm rs1 000 rd 0110011", 32, "needs its bits"),
        ("imm[11:0] rs1[4:0] 000 rd 0110011", 32, "always has 5 bits"),
        ("imm[11:5|5:1] rs1 000 rd 0110011", 32, "bits of imm twice"),
        ("imm[12:7|5:0] rs1 000 rd 0110011", 32, "leaves out bits of imm"),
        ("imm[11:0] rs1 2 rd 0110011", 32, "neither bits nor a field"),
        ("000 imm[5] frs1 imm[4:0] 01", 16, "names nothing"),
    ],
)
def test_refused(row: str, width: int, sentence: str) -> None:
    with pytest.raises(EncodingError, match=sentence.replace("(", r"\(")):
        parse(row, width=width)


@given(st.integers(-2048, 2047).map(lambda half: 2 * half))
def test_insert_is_the_inverse_of_extract(value: int) -> None:
    field = parse(BRANCH_ROW).fields["imm"]
    assert field.extract(field.insert(value)) == value


@pytest.mark.parametrize("value", [1, 4096, -4098])
def test_a_value_that_does_not_fit(value: int) -> None:
    with pytest.raises(EncodingError, match=r"-4096\.\.4094 in steps of 2"):
        parse(BRANCH_ROW).fields["imm"].insert(value)


def test_overlap() -> None:
    add = parse("0000000 rs2 rs1 000 rd 0110011")
    assert not add.overlaps(parse("0100000 rs2 rs1 000 rd 0110011"))
    assert add.overlaps(parse("imm[11:0] rs1 000 rd 0110011"))
