"""What this host offers for hardware assistance, and what to do where it offers nothing.

Facts come from /dev/kvm itself, which is asked for an empty virtual machine, and from what Linux
says about the processor; no guest is run, so asking is quick and changes nothing.
"""

from __future__ import annotations

import errno
import os
import platform
import sys
from dataclasses import dataclass
from pathlib import Path

from ringzero.descriptors import open_file
from ringzero.kvm import api
from ringzero.kvm.errors import KvmError, KvmUnavailable

DEVICE = "/dev/kvm"


@dataclass(frozen=True)
class KvmStatus:
    """Can `--cpu kvm` work here? `kind` is vmx, svm, pvm or none."""

    available: bool
    kind: str
    reason: str
    advice: str

    def sentence(self) -> str:
        """Reason and advice as one line."""
        return f"{self.reason} {self.advice}".strip()


def open_device(path: str | None = None) -> int:
    """A file descriptor of /dev/kvm with the right API version, or KvmUnavailable."""
    path = path or DEVICE
    if not sys.platform.startswith("linux") or platform.machine() not in ("x86_64", "AMD64"):
        raise KvmUnavailable(
            f"KVM guests need Linux on x86-64, and this is {sys.platform} on "
            f"{platform.machine()}: use --cpu emulate, which needs nothing from the host."
        )
    try:
        fd = open_file(path, os.O_RDWR | os.O_CLOEXEC)
    except OSError as error:
        raise KvmUnavailable(_not_opened(path, error.errno or 0)) from None
    try:
        version = api.request(fd, api.GET_API_VERSION)
    except KvmError as error:
        os.close(fd)
        raise KvmUnavailable(f"{path} is not the KVM device: {error}") from None
    if version != api.API_VERSION:
        os.close(fd)
        raise KvmUnavailable(
            f"{path} speaks version {version} of the KVM interface and ringzero speaks "
            f"{api.API_VERSION}: use a Linux kernel of 2.6.22 or later."
        )
    return fd


def _not_opened(path: str, number: int) -> str:
    if number in (errno.ENOENT, errno.ENODEV, errno.ENXIO):
        return f"{path} is not there: {missing_advice()}"
    if number in (errno.EACCES, errno.EPERM):
        return (
            f"You have no permission to use {path}: add yourself to its group with "
            "`sudo usermod -aG kvm $USER` and log in again."
        )
    if number == errno.EBUSY:
        return f"{path} is in use by another hypervisor: stop it and try again."
    return f"{path} cannot be opened ({os.strerror(number)}): check it with `ls -l {path}`."


def missing_advice() -> str:
    """What to do where there is no /dev/kvm."""
    flags = cpu_flags()
    if "vmx" in flags or "svm" in flags:
        module = "kvm-intel" if "vmx" in flags else "kvm-amd"
        return (
            f"the processor can do it, so load the module with `sudo modprobe {module}` "
            "(and see that virtualization is enabled in the firmware)."
        )
    if "hypervisor" in flags:
        return (
            "this is a virtual machine without nested virtualization, so enable it for this "
            "machine in the outer hypervisor or use --cpu emulate."
        )
    return (
        "the processor offers no virtualization, or the firmware hides it: enable VT-x or AMD-V "
        "there, or use --cpu emulate."
    )


def cpu_flags(path: str = "/proc/cpuinfo") -> frozenset[str]:
    """The processor's features by Linux's names; empty where Linux does not say."""
    try:
        with open(path, encoding="ascii", errors="replace") as lines:
            for line in lines:
                if line.startswith("flags"):
                    return frozenset(line.partition(":")[2].split())
    except OSError:
        pass
    return frozenset()


def kind_of_host(modules: Path = Path("/sys/module")) -> str:
    """vmx or svm: by the processor; pvm: KVM in software, for hosts that have neither."""
    if (modules / "kvm_pvm").is_dir():
        return "pvm"
    if (modules / "kvm_intel").is_dir():
        return "vmx"
    if (modules / "kvm_amd").is_dir():
        return "svm"
    return next((flag for flag in ("vmx", "svm") if flag in cpu_flags()), "none")


OFFERS = {
    "vmx": "Intel VT-x (VMX): guests run at native speed.",
    "svm": "AMD-V (SVM): guests run at native speed.",
    "pvm": (
        "KVM in software (PVM): it emulates guests that do not know it, so small guests work and "
        "a stock Linux kernel stops early."
    ),
    "none": "KVM of a kind that Linux does not name.",
}


def try_device(path: str | None = None) -> None:
    """Make a virtual machine and give it back: only that tells of another hypervisor in the way."""
    fd = open_device(path)
    try:
        os.close(api.request(fd, api.CREATE_VM))
    finally:
        os.close(fd)


def status(path: str | None = None) -> KvmStatus:
    """What `ringzero doctor` prints about KVM."""
    try:
        try_device(path)
    except KvmError as error:
        reason, _, advice = str(error).partition(": ")
        return KvmStatus(False, "none", f"{reason}.", advice[:1].upper() + advice[1:])
    kind = kind_of_host()
    advice = {
        "pvm": "For stock kernels use a host with VT-x or AMD-V, or --cpu emulate.",
        "none": "Try a small guest before relying on it.",
    }.get(kind, "")
    return KvmStatus(True, kind, OFFERS[kind], advice)
