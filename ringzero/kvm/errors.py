"""What can go wrong with the host's KVM, as sentences.

`KvmUnavailable` (exit 126) means that this host cannot run guests by hardware assistance at all,
`KvmError` (exit 125) that KVM refused a request, `KvmStuck` that it cannot run a guest's state.
"""

from __future__ import annotations

import errno
import os
from typing import NamedTuple

from ringzero.errors import RingzeroError


class KvmError(RingzeroError):
    """A KVM request that failed."""


class KvmUnavailable(KvmError):
    """No usable KVM on this host."""

    exit_code = 126


class Where(NamedTuple):
    """Where a vCPU stood."""

    vcpu: int
    rip: int
    mode: str


class KvmStuck(KvmError):
    """The guest is in a state that this host's KVM cannot run."""

    def __init__(self, message: str, where: Where | None = None, instruction: bytes = b"") -> None:
        super().__init__(message)
        self.where = where or Where(0, 0, "unknown")
        self.instruction = instruction


HINTS: dict[tuple[str, int], str] = {
    ("KVM_CREATE_VM", errno.EBUSY): (
        "another hypervisor holds the processor's virtualization: stop it and try again"
    ),
    ("KVM_CREATE_VM", errno.ENOMEM): "the host is out of memory: free some and try again",
    ("KVM_CREATE_VCPU", errno.EEXIST): "a vCPU with this number exists: use another number",
    ("KVM_CREATE_VCPU", errno.EINVAL): "the host allows fewer vCPUs: try a smaller --cpus",
    ("KVM_SET_USER_MEMORY_REGION", errno.EEXIST): (
        "the memory slot overlaps another one: choose an address range of its own"
    ),
    ("KVM_SET_USER_MEMORY_REGION", errno.EINVAL): (
        "addresses and sizes must be multiples of 4096 and lie inside the mapping"
    ),
    ("KVM_SET_CPUID2", errno.E2BIG): "the host accepts fewer CPUID leaves: filter more of them",
}


def request_failed(request: str, purpose: str, number: int) -> KvmError:
    """The sentence for an ioctl that returned `number`."""
    kind = KvmUnavailable if (request, number) == ("KVM_CREATE_VM", errno.EBUSY) else KvmError
    name = errno.errorcode.get(number, str(number))
    hint = HINTS.get((request, number), "`ringzero doctor` shows what this host's KVM offers")
    return kind(f"{request} ({purpose}) failed with {name}, {os.strerror(number)}: {hint}.")
