"""A search tree of small functions: insertion is recursive, a search loops, a judgement calls
one small function after another."""

from __future__ import annotations

from ringzero.lang import Array, Struct, field, native, ptr, typed_range, u8, u64

SIZE = 512  # nodes
SEARCHES = 2048  # in each tree


class Nodes(Struct):
    """A node is an index; 0 is no node."""

    left: Array[u64] = field(SIZE + 1)
    right: Array[u64] = field(SIZE + 1)
    key: Array[u64] = field(SIZE + 1)


nodes = Nodes()


@native(inline=False)
def goes_left(key: u64, node: u64) -> bool:
    """Which side of a node a key belongs to."""
    return key < nodes.key[node]


@native(inline=False)
def insert(node: u64, key: u64, new: u64) -> u64:
    """The tree below `node`, with node `new` for that key."""
    if node == 0:
        nodes.left[new] = u64(0)
        nodes.right[new] = u64(0)
        nodes.key[new] = key
        return new
    if goes_left(key, node):
        nodes.left[node] = insert(nodes.left[node], key, new)
    else:
        nodes.right[node] = insert(nodes.right[node], key, new)
    return node


@native(inline=False)
def depth(root: u64, key: u64) -> u64:
    """How many nodes a search passes before it finds the key, or leaves the tree."""
    node, passed = root, u64(0)
    while node != 0 and nodes.key[node] != key:
        node = nodes.left[node] if key < nodes.key[node] else nodes.right[node]
        passed += 1
    return passed


@native(inline=False)
def even(key: u64, passed: u64) -> u64:
    """A leaf of the decisions."""
    return key >> 1 ^ passed


@native(inline=False)
def odd(key: u64, passed: u64) -> u64:
    """A leaf of the decisions."""
    return key * 3 + passed


@native(inline=False)
def low(key: u64, passed: u64) -> u64:
    """Decide by the lowest bit."""
    return odd(key, passed) if key & 1 != 0 else even(key, passed)


@native(inline=False)
def high(key: u64, passed: u64) -> u64:
    """Decide by the bits above, and ask again about what is left."""
    return low(key - 512, passed + 1) if key & 0x300 == 0x300 else even(key, passed + 2)


@native(inline=False)
def judged(key: u64, passed: u64) -> u64:
    """Decide by the depth and the key's size."""
    if passed > 14:
        return high(key, passed) + low(passed, key)
    return high(key, passed) if key > 511 else low(key, passed)


@native(inline=False)
def tree(count: u64, arena: ptr[u8]) -> u64:
    """`count` trees of random keys below 1024, each built and then searched."""
    state, total = u64(2463534242), u64(0)
    for _ in typed_range(count):
        root = u64(0)
        for i in typed_range(u64(SIZE)):
            state = state * 6364136223846793005 + 1442695040888963407
            root = insert(root, state >> 54, i + 1)
        for _ in typed_range(u64(SEARCHES)):
            state = state * 6364136223846793005 + 1442695040888963407
            key = state >> 54
            total = total * 31 + judged(key, depth(root, key))
    return total
