"""What embedded programs do: walk and turn lists, scan text with a state machine, check with a CRC.

The mixture is CoreMark's idea; the text is this project's own.
"""

from __future__ import annotations

from ringzero.lang import Array, Struct, field, native, ptr, typed_range, u8, u64

LENGTH = 128
INVALID, START, SIGN, DIGITS, POINT, FRACTION, EXPONENT, POWER = range(8)


class Lists(Struct):
    """Linked lists in an array: `next` and `value` by index; 0 ends a list."""

    next: Array[u64] = field(LENGTH + 1)
    value: Array[u64] = field(LENGTH + 1)
    seen: Array[u64] = field(8)
    text: Array[u8] = field(512)


lists = Lists()


@native(inline=False)
def crc16(crc: u64, value: u64) -> u64:
    """CRC-16/CCITT of 16 bits, bit by bit."""
    left = value & 0xFFFF
    for _ in typed_range(u64(16)):
        low = (left ^ crc) & 1
        left >>= 1
        crc >>= 1
        if low != 0:
            crc ^= 0xA001
    return crc


@native(inline=False)
def turned(head: u64) -> u64:
    """The list in the opposite order."""
    before = u64(0)
    while head != 0:
        following = lists.next[head]
        lists.next[head] = before
        before = head
        head = following
    return before


@native(inline=False)
def find(head: u64, value: u64) -> u64:
    """The first record with that value, and how far away it is."""
    distance = u64(0)
    while head != 0:
        if lists.value[head] == value:
            return head * 1000 + distance
        head = lists.next[head]
        distance += 1
    return distance


@native(inline=False)
def merged(left: u64, right: u64) -> u64:
    """Two sorted lists as one."""
    head, tail = u64(0), u64(0)
    while left != 0 or right != 0:
        take_left = right == 0 or (left != 0 and lists.value[left] <= lists.value[right])
        taken = left if take_left else right
        if take_left:
            left = lists.next[left]
        else:
            right = lists.next[right]
        if tail == 0:
            head = taken
        else:
            lists.next[tail] = taken
        tail = taken
    if tail != 0:
        lists.next[tail] = u64(0)
    return head


@native(inline=False)
def sorted_list(head: u64) -> u64:
    """Merge sort, recursive; the list is split in the middle."""
    if head == 0 or lists.next[head] == 0:
        return head
    slow, fast = head, lists.next[head]
    while fast != 0 and lists.next[fast] != 0:
        slow = lists.next[slow]
        fast = lists.next[lists.next[fast]]
    half = lists.next[slow]
    lists.next[slow] = u64(0)
    return merged(sorted_list(head), sorted_list(half))


@native(inline=False)
def after(state: u64, byte: u8) -> u64:
    """The state of the number scanner after one more character."""
    digit = 48 <= byte <= 57
    if state == START:
        if digit:
            return u64(DIGITS)
        if byte == 43 or byte == 45:
            return u64(SIGN)
        return u64(POINT) if byte == 46 else u64(INVALID)
    if state == SIGN:
        return u64(DIGITS) if digit else u64(INVALID)
    if state == DIGITS:
        if digit:
            return u64(DIGITS)
        if byte == 46:
            return u64(POINT)
        return u64(EXPONENT) if byte == 101 else u64(INVALID)
    if state == POINT or state == FRACTION:
        if digit:
            return u64(FRACTION)
        return u64(EXPONENT) if byte == 101 else u64(INVALID)
    if state == EXPONENT or state == POWER:
        return u64(POWER) if digit else u64(INVALID)
    return u64(INVALID)


@native(inline=False)
def scan(size: u64) -> u64:
    """Scan comma-separated numbers; a CRC of how often each state was the last."""
    for i in typed_range(u64(8)):
        lists.seen[i] = u64(0)
    state = u64(START)
    for i in typed_range(size):
        byte = lists.text[i]
        if byte == 44:
            lists.seen[state] += 1
            state = u64(START)
        elif state != INVALID:
            state = after(state, byte)
    crc = u64(0xFFFF)
    for i in typed_range(u64(8)):
        crc = crc16(crc, lists.seen[i])
    return crc


@native(inline=False)
def write_text(seed: u64) -> u64:
    """Digits, signs, points, exponents and commas in an order that `seed` chooses."""
    for i in typed_range(u64(512)):
        seed = seed * 6364136223846793005 + 1442695040888963407
        kind = seed >> 59
        byte = u8(48 + (seed >> 40) % 10)
        if kind < 5:
            byte = u8(44)
        elif kind < 7:
            byte = u8(46)
        elif kind < 8:
            byte = u8(101)
        elif kind < 9:
            byte = u8(45)
        lists.text[i] = byte
    return seed


@native(inline=False)
def records(count: u64, arena: ptr[u8]) -> u64:
    """All of it, `count` times, each fed by the CRC of the one before."""
    crc, seed = u64(0xFFFF), u64(42)
    for turn in typed_range(count):
        head = u64(0)
        for i in typed_range(u64(LENGTH)):
            lists.next[i + 1] = head
            lists.value[i + 1] = (i * 37 + crc) & 0xFF
            head = i + 1
        head = turned(head)
        for i in typed_range(u64(16)):
            crc = crc16(crc, find(head, (i * 16 + turn) & 0xFF))
        head = sorted_list(head)
        while head != 0:
            crc = crc16(crc, lists.value[head])
            head = lists.next[head]
        if turn & 7 == 0:
            seed = write_text(seed)
        crc = crc16(crc, scan(u64(512)))
    return crc
