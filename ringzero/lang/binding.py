"""All use of LLVM itself: parse, optimise, emit objects, load them into this process.

LLVM reports some errors by ending the process, so every call of its binding stands here or in
`engine/`. Nothing is imported from llvmlite until a compilation or a load is asked for.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Mapping
from typing import Any

from ringzero.lang.compiler import Target

BARE_TRIPLE = "riscv64-unknown-elf"
BARE_FEATURES = "+m,+a,+c,+relax"


@functools.cache
def llvm() -> Any:
    """llvmlite's binding, initialised."""
    import llvmlite.binding as binding

    binding.initialize_native_target()
    binding.initialize_native_asmprinter()
    _fork_between_calls(binding.ffi.lib._lock)
    return binding


def _fork_between_calls(lock: Any) -> None:
    """Let a process fork only while no thread is inside LLVM.

    The binding's lock would be held in the child for ever, which would wait for it as soon as it
    drops anything of LLVM's.
    """

    def release() -> None:
        lock.__exit__(None, None, None)

    os.register_at_fork(before=lock.__enter__, after_in_parent=release, after_in_child=release)


@functools.cache
def version() -> str:
    """What generated code depends on: the versions of LLVM and of its binding."""
    import llvmlite

    return f"llvmlite {llvmlite.__version__} LLVM {'.'.join(map(str, llvm().llvm_version_info))}"


@functools.cache
def host_machine(model: str = "small", reloc: str = "pic", opt: int = 2) -> Any:
    """The target machine of this host, with all its CPU's features."""
    binding = llvm()
    return binding.Target.from_triple(binding.get_default_triple()).create_target_machine(
        cpu=binding.get_host_cpu_name(),
        features=binding.get_host_cpu_features().flatten(),
        opt=opt,
        reloc=reloc,
        codemodel=model,
    )


@functools.cache
def host_target() -> Target:
    """The host as the compiler sees it."""
    machine = host_machine()
    return Target(str(machine.triple), str(machine.target_data), "preserve_mostcc")


@functools.cache
def host_identity() -> str:
    """What an object compiled for this host depends on beside its source."""
    binding = llvm()
    features = binding.get_host_cpu_features().flatten()
    return f"{version()} {binding.get_host_cpu_name()} {features}"


@functools.cache
def host_fuses() -> bool:
    """Whether this host multiplies and adds in one instruction: else LLVM would call a library."""
    name = str(host_machine().triple).partition("-")[0]
    return name != "x86_64" or bool(llvm().get_host_cpu_features().get("fma", False))


@functools.cache
def bare_machine() -> Any:
    """The target machine of bare riscv64: relaxed by our linker, static, medium code model."""
    binding = llvm()
    binding.initialize_all_targets()
    binding.initialize_all_asmprinters()
    return binding.Target.from_triple(BARE_TRIPLE).create_target_machine(
        cpu="generic-rv64",
        features=BARE_FEATURES,
        opt=2,
        reloc="static",
        codemodel="medium",
    )


@functools.cache
def bare_target() -> Target:
    """Bare riscv64 as the compiler sees it."""
    machine = bare_machine()
    return Target(BARE_TRIPLE, str(machine.target_data), "", "signext")


def optimised(text: str, machine: Any, level: int = 2) -> Any:
    """The module of `text` after verification and LLVM's pipeline of that level."""
    binding = llvm()
    module = binding.parse_assembly(text)
    module.verify()
    options = binding.create_pipeline_tuning_options(speed_level=level)
    options.loop_vectorization = False
    options.slp_vectorization = False
    options.loop_unrolling = False
    builder = binding.create_pass_builder(machine, options)
    builder.getModulePassManager().run(module, builder)
    return module


def object_code(text: str, machine: Any, level: int = 2) -> bytes:
    """An ELF object file of `text` for `machine`."""
    return bytes(machine.emit_object(optimised(text, machine, level)))


@functools.cache
def _jit() -> Any:
    # JITLink keeps an object together, and reaches far symbols through stubs; the older linker ends
    # the process where two sections lie more than 2 GiB apart.
    return llvm().create_lljit_compiler(host_machine(), use_jit_link=True)


_loaded = 0


class Library:
    """An object loaded into this process; it stays while this object lives."""

    def __init__(
        self, code: bytes | list[bytes], symbols: list[str], imports: Mapping[str, int] = {}
    ) -> None:
        global _loaded
        _loaded += 1
        builder = llvm().JITLibraryBuilder()
        for one in [code] if isinstance(code, bytes) else code:
            builder.add_object_img(one)
        for name in symbols:
            builder.export_symbol(name)
        for name, address in imports.items():
            builder.import_symbol(name, address)
        self._tracker = builder.link(_jit(), f"library{_loaded}")
        self.addresses = {name: int(self._tracker[name]) for name in symbols}


PASSES = ("sroa", "instruction_combine", "simplify_cfg", "aggressive_dce")


def quick_object(text: str, machine: Any, context: Any = None) -> bytes:
    """An object file in half the time of `object_code`: what is marked is inlined, and four passes
    run. For code whose small functions are all marked, and whose speed is in the single function.
    """
    binding = llvm()
    module = binding.parse_assembly(text, context) if context else binding.parse_assembly(text)
    builder = binding.create_pass_builder(
        machine, binding.create_pipeline_tuning_options(speed_level=1)
    )
    inliner = binding.create_new_module_pass_manager()
    inliner.add_always_inliner_pass()
    inliner.add_global_dead_code_eliminate_pass()
    inliner.run(module, builder)
    manager = binding.create_new_function_pass_manager()
    for name in PASSES:
        getattr(manager, f"add_{name}_pass")()
    for function in module.functions:
        if not function.is_declaration:
            manager.run(function, builder)
    return bytes(machine.emit_object(module))
