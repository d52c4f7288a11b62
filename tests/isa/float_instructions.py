"""All floating-point instructions but loads and stores, as functions that compile and run alone."""

from __future__ import annotations

from ringzero.isa.hart import Hart
from ringzero.isa.instruction import Instruction
from ringzero.isa.instructions import rv_d, rv_f, rv_zfh
from ringzero.isa.privileged.trap import Trap
from ringzero.lang import Native, native, u64
from tests.isa.spike_floats import TRAPPED

FLOATS = [
    one
    for module in (rv_f, rv_d, rv_zfh)
    for one in vars(module).values()
    if isinstance(one, Instruction) and not one.memory
]


@native(inline=True)
def apply(
    body: Native[..., u64], shape: tuple[str, ...],
    hart: Hart, a: u64, b: u64, c: u64, x: u64, rm: u64,
) -> u64:  # fmt: skip
    if shape == ("hart", "frs1", "frs2", "frs3", "rm"):
        return body(hart, a, b, c, rm)
    elif shape == ("hart", "frs1", "frs2", "rm"):
        return body(hart, a, b, rm)
    elif shape == ("hart", "frs1", "rm"):
        return body(hart, a, rm)
    elif shape == ("hart", "rs1", "rm"):
        return body(hart, x, rm)
    elif shape == ("hart", "frs1", "frs2"):
        return body(hart, a, b)
    elif shape == ("frs1", "frs2"):
        return body(a, b)
    elif shape == ("frs1",):
        return body(a)
    else:
        return body(x)


SHAPES = {
    ("hart", "frs1", "frs2", "frs3", "rm"), ("hart", "frs1", "frs2", "rm"), ("hart", "frs1", "rm"),
    ("hart", "rs1", "rm"), ("hart", "frs1", "frs2"), ("frs1", "frs2"), ("frs1",), ("rs1",),
}  # fmt: skip


def wrapped(one: Instruction) -> Native:
    """A root that runs one instruction; a trap gives TRAPPED."""
    body, shape = one.function, one.parameters
    assert shape in SHAPES, one.name

    def run(hart: Hart, a: u64, b: u64, c: u64, x: u64, rm: u64) -> u64:
        try:
            return apply(body, shape, hart, a, b, c, x, rm)
        except Trap:
            return u64(TRAPPED)

    run.__name__ = "run_" + one.name.replace(".", "_")
    made: Native = native(run)
    return made
