"""An interpreter: it fetches an instruction of four bytes, and branches by its first."""

from __future__ import annotations

from ringzero.lang import Array, Struct, field, native, ptr, typed_range, u8, u64

HALT, SET, MOVE, ADD, SUBTRACT, MULTIPLY, AND, SHIFT, JUMP, JUMP_IF_ZERO = range(10)
NUMBER, TOTAL, VALUE, ONE, THREE, SCRATCH = range(6)  # registers of the machine
LENGTH = 4  # bytes: operation, target, and two more

# The steps of Collatz's sequence from NUMBER to 1, summed over NUMBER … 1. A jump names a line.
COLLATZ = (
    (SET, ONE, 1, 0),
    (SET, THREE, 3, 0),
    (JUMP_IF_ZERO, NUMBER, 16, 0),  # 2: the next number
    (MOVE, VALUE, NUMBER, 0),
    (SUBTRACT, SCRATCH, VALUE, ONE),  # 4: the next step
    (JUMP_IF_ZERO, SCRATCH, 14, 0),
    (ADD, TOTAL, TOTAL, ONE),
    (AND, SCRATCH, VALUE, ONE),
    (JUMP_IF_ZERO, SCRATCH, 12, 0),
    (MULTIPLY, VALUE, VALUE, THREE),
    (ADD, VALUE, VALUE, ONE),
    (JUMP, 0, 4, 0),
    (SHIFT, VALUE, VALUE, ONE),  # 12: even
    (JUMP, 0, 4, 0),
    (SUBTRACT, NUMBER, NUMBER, ONE),  # 14: the number is done
    (JUMP, 0, 2, 0),
    (HALT, TOTAL, 0, 0),
)


class Processor(Struct):
    """The registers of the machine that is interpreted."""

    registers: Array[u64] = field(8)


processor = Processor()


@native(inline=False)
def interpret(code: ptr[u8]) -> u64:
    """Run the code to its halt; the register that it names is the result."""
    line = u64(0)
    while True:
        at = line * LENGTH
        operation, target = code[at], u64(code[at + 1]) & 7
        left, right = u64(code[at + 2]), u64(code[at + 3]) & 7
        line += 1
        if operation == HALT:
            return processor.registers[target]
        elif operation == SET:
            processor.registers[target] = left
        elif operation == MOVE:
            processor.registers[target] = processor.registers[left & 7]
        elif operation == ADD:
            processor.registers[target] = processor.registers[left & 7] + processor.registers[right]
        elif operation == SUBTRACT:
            processor.registers[target] = processor.registers[left & 7] - processor.registers[right]
        elif operation == MULTIPLY:
            processor.registers[target] = processor.registers[left & 7] * processor.registers[right]
        elif operation == AND:
            processor.registers[target] = processor.registers[left & 7] & processor.registers[right]
        elif operation == SHIFT:
            processor.registers[target] = (
                processor.registers[left & 7] >> processor.registers[right]
            )
        elif operation == JUMP:
            line = left
        elif processor.registers[target] == 0:
            line = left


@native(inline=False)
def bytecode(count: u64, arena: ptr[u8]) -> u64:
    """The steps of all numbers up to `count`."""
    for index, instruction in enumerate(COLLATZ):
        for byte, value in enumerate(instruction):
            arena[index * LENGTH + byte] = u8(value)
    for i in typed_range(u64(8)):
        processor.registers[i] = u64(0)
    processor.registers[NUMBER] = count
    return interpret(arena)
