"""The bundled guest kernel: sets up the hart, then does what the boot arguments ask.

`mode=test` (the default) runs the self-tests, `mode=bench` the nanobenchmarks, `iterations=N`
times each. It ends by the SBI's system reset, with an exit code of 1 if a test failed.
"""

from __future__ import annotations

from ringzero.bare.device_tree import ABSENT, find, is_tree
from ringzero.bare.stubs import csr
from ringzero.bare.text import put
from ringzero.guests import sbi
from ringzero.guests.kernel import pages, privileged, processes
from ringzero.guests.kernel.benchmarks import run_benchmarks
from ringzero.guests.kernel.selftests import run_tests
from ringzero.lang import Stub, address_of, native, ptr, u8, u64

ITERATIONS = 1000
image_data = Stub("_data", [], None, [])  # the linker's names for where data begin and all ends
image_end = Stub("_end", [], None, [])


@native(inline=False)
def find_argument(tree: ptr[u8], name: ptr[u8]) -> u64:
    """The offset of what follows `name` in the boot arguments; 0 if it is not there."""
    if not is_tree(tree):
        return u64(0)
    at, size = find(tree, "chosen", "bootargs", False, u64(0))
    if at == ABSENT:
        return u64(0)
    i = u64(0)
    while i < size:
        j = u64(0)
        while name[j] != 0 and i + j < size and tree[at + i + j] == name[j]:
            j += 1
        if name[j] == 0:
            return at + i + j
        i += 1
    return u64(0)


@native
def number(tree: ptr[u8], offset: u64) -> u64:
    """The decimal number at `offset`."""
    value, i = u64(0), offset
    while 48 <= tree[i] <= 57:
        value = value * 10 + u64(tree[i] - 48)
        i += 1
    return value


@native
def main(hart: u64, tree: ptr[u8]) -> None:
    """The kernel, from its first instruction of typed text to power-off."""
    put("ringzero kernel\n")
    mode, iterations = find_argument(tree, "mode="), find_argument(tree, "iterations=")
    benches = mode != 0 and tree[mode] == 98
    count = number(tree, iterations) if iterations != 0 else u64(ITERATIONS)
    privileged.setup()
    csr.scounteren.write(u64(7))
    pages.setup(address_of(image_end))
    pages.make_kernel_tables(address_of(image_data))
    pages.pool.root = pages.make_space()
    pages.use(pages.pool.root)
    processes.setup()
    privileged.enable_interrupts(u64(privileged.TIMER_PENDING))
    passed = True
    if benches:
        run_benchmarks(count)
    else:
        passed = run_tests()
    sbi.power_off(not passed)
