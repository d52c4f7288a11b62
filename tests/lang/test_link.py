"""The linker and the images it makes."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest
from elftools.elf.elffile import ELFFile
from elftools.elf.sections import SymbolTableSection

from ringzero.isa.decode import decode
from ringzero.isa.decoded import Decoded
from ringzero.isa.tools.program import assemble
from ringzero.lang import Array, Struct, Stub, address_of, field, native, u8, u32, u64
from ringzero.lang.baremetal import build, cached_image
from ringzero.lang.image import Image
from ringzero.lang.link import RET
from ringzero.lang.objectfile import (
    R_ALIGN,
    R_BRANCH,
    R_JAL,
    R_RVC_BRANCH,
    R_RVC_JUMP,
    LinkError,
    Relocation,
    Symbol,
)
from ringzero.lang.relax import _align, _Edits, jump_bits
from tests.lang import bare

MISA, CSRR_A0_MISA = 0x301, 0x3010_2573
read_misa = Stub("read_misa", [], u64, [CSRR_A0_MISA, RET], inline=CSRR_A0_MISA)
read_misa_by_call = Stub("read_misa_by_call", [], u64, [CSRR_A0_MISA, RET])
missing = Stub("missing", [], u64, [("call", "nowhere"), RET])


class Table(Struct):
    numbers: Array[u64] = field(4)
    start: u8


table = Table()
for _index, _number in enumerate((3, 1, 4, 1)):
    table.numbers[_index] = u64(_number)
zeros = Table()


@native(inline=False)
def named(which: u64) -> u64:
    """A dense choice: LLVM makes a table of constants or of jumps from it."""
    if which == 0:
        return u64(0x11)
    if which == 1:
        return u64(0x2222_3333)
    if which == 2:
        return which + table.numbers[0]
    if which == 3:
        return read_misa() >> 62
    if which == 4:
        return u64(0x9999)
    return u64(7)


@native(inline=False)
def last(value: u64) -> u64:
    zeros.numbers[1] = value
    return read_misa()


@native
def program() -> None:
    for i in range(u64(6)):
        bare.show(named(i))
    bare.show(u64(last(u64(5)) == read_misa_by_call()))
    bare.show(table.numbers[2] + zeros.numbers[1] + zeros.numbers[3])
    bare.show(address_of(table) & 7)


@pytest.mark.needs_qemu
def test_references_resolve(tmp_path: Path) -> None:
    made = bare.image(program)
    assert bare.run(made, tmp_path) == [0x11, 0x2222_3333, 5, 2, 0x9999, 7, 1, 9, 0]


def words(image: Image, start: str, size: int = 64) -> list[int]:
    at = image.symbols[start] - image.base
    code = image.flat[at : at + size]
    return [int.from_bytes(code[i : i + 4], "little") for i in range(0, len(code) - 3, 2)]


def test_inline_word_takes_the_place_of_the_call() -> None:
    made = bare.image(program, [last])
    code = words(made, "last", 32)
    at = code.index(CSRR_A0_MISA)
    assert code[at + 2] & 0xFFFF == 0x8082  # c.jr ra: it was a tail call, and needs no nop


def test_elf_is_well_formed() -> None:
    made = bare.image(program)
    elf = ELFFile(io.BytesIO(made.elf))
    assert elf.header.e_machine == "EM_RISCV"
    assert elf.header.e_entry == made.entry == made.base == bare.BASE
    text, data = elf.iter_segments()
    assert (text["p_flags"], data["p_flags"]) == (5, 6)
    assert data["p_vaddr"] % 4096 == 0
    assert made.memory_size == data["p_vaddr"] + data["p_memsz"] - made.base
    table = elf.get_section_by_name(".symtab")
    assert isinstance(table, SymbolTableSection)
    table_of_symbols = {s.name: s["st_value"] for s in table.iter_symbols()}
    assert table_of_symbols["boot_stack"] == made.symbols["boot_stack"]
    assert made.symbols["program"] % 2 == 0
    assert made.symbols["_bss"] <= made.symbols["boot_stack"] < made.symbols["_end"]
    assert len(made.flat) < made.memory_size


def test_base_is_a_parameter() -> None:
    high = build([program, bare.power_off], [bare.START], entry="start", base=0x40_0000,
                 exported={"boot_stack": bare.boot_stack})  # fmt: skip
    assert high.entry == 0x40_0000
    assert high.symbols["program"] - 0x40_0000 == bare.image(program).symbols["program"] - bare.BASE


@native
def calls_missing() -> u64:
    return missing()


@pytest.mark.parametrize(
    ("stubs", "options", "message"),
    [
        ([missing], {}, "stub missing refers to 'nowhere'"),
        ([], {"entry": "begin"}, "entry 'begin' is not among"),
        ([], {"base": 0x8000_0010}, "not on a page boundary"),
        ([Stub("odd", [], None, [("jump", "start")])], {}, "holds \\('jump'"),
    ],
)
def test_what_cannot_be_linked(stubs: list[Stub], options: dict[str, Any], message: str) -> None:
    given: dict[str, Any] = {"entry": "start", "base": bare.BASE, **options}
    with pytest.raises(LinkError, match=message):
        build([program, bare.power_off], [bare.START, *stubs],
              exported={"boot_stack": bare.boot_stack}, **given)  # fmt: skip


def test_undefined_symbol_of_compiled_text() -> None:
    with pytest.raises(LinkError, match="nowhere"):
        bare.image(program, [calls_missing])


def test_image_comes_from_the_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RINGZERO_CACHE", str(tmp_path))
    made = []

    def make() -> Image:
        made.append(1)
        return bare.image(program)

    first = cached_image(["errors.py"], make)
    assert cached_image(["errors.py"], make) == first
    assert made == [1]
    cached_image(["errors.py"], make, "another option")
    assert made == [1, 1]
    entry = next(path for path in (tmp_path / "images").iterdir())
    entry.write_bytes(entry.read_bytes()[:-1])  # a torn entry is made anew
    cached_image(["errors.py"], make)
    cached_image(["errors.py"], make, "another option")
    assert made == [1, 1, 1]


@pytest.mark.parametrize(
    ("kind", "text", "reach"), [(R_JAL, "jal x0, {}", 1 << 20), (R_BRANCH, "beq x0, x0, {}", 4096)]
)
def test_jumps_are_encoded_as_the_assembler_does(kind: int, text: str, reach: int) -> None:
    words = [assemble(text.format(0x8000_0000), pc=0x8000_0000)]
    for distance in (2, 4, -2, 0x7FE, -0x800, 0xAAA, -0x556, reach - 2, -reach):
        size, mask, bits = jump_bits(kind, distance)
        expected = assemble(text.format(0x8000_0000 + distance), pc=0x8000_0000)
        assert size == 4
        assert words[0] & ~mask | bits == expected
    with pytest.raises(LinkError, match="does not reach"):
        jump_bits(kind, reach)


@pytest.mark.parametrize(("kind", "parcel", "reach"), [(R_RVC_JUMP, 0xA001, 2048),
                                                       (R_RVC_BRANCH, 0xC001, 256)])  # fmt: skip
def test_short_jumps_are_what_the_decoder_reads(kind: int, parcel: int, reach: int) -> None:
    for distance in range(-reach, reach, 2):
        size, mask, bits = jump_bits(kind, distance)
        out = Decoded()
        decode(u32(parcel & ~mask | bits), out)
        assert size == out.size == 2
        assert out.imm == u64(distance)


@pytest.mark.parametrize("before", range(0, 16, 2))
def test_padding_is_kept_as_far_as_it_is_needed(before: int) -> None:
    old = bytes(range(before)) + b"\x13\0\0\0" * 3 + b"\1\0" + b"end!"
    edits, reference = _Edits(), Relocation(0, before, R_ALIGN, Symbol("", 0, 0, 0, 0), 14)
    _align(edits, old, reference)
    edits.data += old[edits.done :]
    at = edits.data.index(b"end!")
    assert at % 16 == 0
    assert at - before < 16
    assert edits.moved(before + 14) == at
