"""Merkle trees after RFC 9162 (section 2.1; the tree of RFC 6962): heads, proofs of inclusion and consistency, their checks.

A complete subtree is a node: node (level, index) covers 2^level leaves from index * 2^level on; a node of level 0 is a leaf's
hash. What is appended never changes a node, so that stored nodes give any proof with a logarithm of reads.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence

Node = tuple[int, int]
"""Level and index of a complete subtree."""
Range = tuple[int, int]
"""The leaves from the first index up to, not with, the second."""
EMPTY = hashlib.sha256().digest()
"""Head of a tree without leaves."""


def hash_leaf(data: bytes) -> bytes:
    """Return the hash of a leaf: SHA-256 of 0x00 and its data."""
    return hashlib.sha256(b"\x00" + data).digest()


def hash_node(left: bytes, right: bytes) -> bytes:
    """Return the hash of an inner node: SHA-256 of 0x01 and its children's hashes."""
    return hashlib.sha256(b"\x01" + left + right).digest()


class Tree:
    """A tree to which leaf hashes are appended. It keeps the heads of its complete subtrees alone.

    Args:
        frontier: Heads of the complete subtrees that it begins with, the largest first: size -> hash.
    """

    def __init__(self, frontier: Iterable[tuple[int, bytes]] = ()) -> None:
        self._frontier = list(frontier)

    def append(self, leaf: bytes) -> list[bytes]:
        """Append a leaf hash; return the inner nodes that became complete, from level 1 on."""
        size, node, made = 1, leaf, []
        while self._frontier and self._frontier[-1][0] == size:
            node = hash_node(self._frontier.pop()[1], node)
            size *= 2
            made.append(node)
        self._frontier.append((size, node))
        return made

    def head(self) -> bytes:
        """Return the tree's head."""
        return fold([node for _, node in self._frontier])


def fold(nodes: Sequence[bytes]) -> bytes:
    """Return the head over complete subtrees that follow each other, the largest first; `EMPTY` of none."""
    if not nodes:
        return EMPTY
    *others, head = nodes
    for node in reversed(others):
        head = hash_node(node, head)
    return head


def tree_head(leaves: Iterable[bytes]) -> bytes:
    """Return the head over leaf hashes."""
    tree = Tree()
    for leaf in leaves:
        tree.append(leaf)
    return tree.head()


def nodes_of(leaves: Range) -> list[Node]:
    """Return the complete subtrees that cover a range which begins where a subtree of its size may begin, the largest first."""
    start, end = leaves
    found = []
    while start < end:
        level = (end - start).bit_length() - 1
        found.append((level, start >> level))
        start += 1 << level
    return found


def _split(size: int) -> int:
    """Return the largest power of two that is smaller than a size above one."""
    return 1 << ((size - 1).bit_length() - 1)


def inclusion_ranges(index: int, size: int) -> list[Range]:
    """Return the ranges whose heads prove that a leaf is in a tree, in the order of the proof (RFC 9162, section 2.1.3.1)."""
    start, end, found = 0, size, []
    while end - start > 1:
        middle = start + _split(end - start)
        if index < middle:
            found.append((middle, end))
            end = middle
        else:
            found.append((start, middle))
            start = middle
    return found[::-1]


def consistency_ranges(old: int, size: int) -> list[Range]:
    """Return the ranges whose heads prove that a tree extends its first leaves (RFC 9162, section 2.1.4.1); none of 0 or all."""
    if old in (0, size):
        return []
    start, end, found, whole = 0, size, [], True
    while start + old != end:
        middle = start + _split(end - start)
        if start + old <= middle:
            found.append((middle, end))
            end = middle
        else:
            found.append((start, middle))
            old -= middle - start
            start, whole = middle, False
    return ([] if whole else [(start, end)]) + found[::-1]


def heads_of(ranges: Sequence[Range], nodes: Mapping[Node, bytes]) -> list[bytes]:
    """Return the heads of ranges from the nodes that cover them (`nodes_of`)."""
    return [fold([nodes[node] for node in nodes_of(leaves)]) for leaves in ranges]


def prove(ranges: Sequence[Range], read: Callable[[set[Node]], Mapping[Node, bytes]]) -> list[bytes]:
    """Return the hashes of a proof.

    Args:
        ranges: Those of `inclusion_ranges` or `consistency_ranges`.
        read: Gives the hashes of nodes.
    """
    wanted = {node for leaves in ranges for node in nodes_of(leaves)}
    return heads_of(ranges, read(wanted) if wanted else {})


def prove_inclusion(leaves: Sequence[bytes], index: int) -> list[bytes]:
    """Return the proof that a leaf is in the tree of all these leaf hashes, which are at hand."""
    return [tree_head(leaves[start:end]) for start, end in inclusion_ranges(index, len(leaves))]


def root_from_inclusion(leaf: bytes, index: int, size: int, proof: Sequence[bytes]) -> bytes | None:
    """Return the head that an inclusion proof leads to (RFC 9162, section 2.1.3.2); None where it has not the form of one."""
    if not 0 <= index < size:
        return None
    place, last, node = index, size - 1, leaf
    for other in proof:
        if last == 0:
            return None
        if place & 1 or place == last:
            node = hash_node(other, node)
            while not place & 1 and place:
                place, last = place >> 1, last >> 1
        else:
            node = hash_node(node, other)
        place, last = place >> 1, last >> 1
    return node if last == 0 else None


def is_included(leaf: bytes, index: int, size: int, proof: Sequence[bytes], head: bytes) -> bool:
    """Tell whether a proof shows that a leaf hash is at an index of the tree of this size and head."""
    return root_from_inclusion(leaf, index, size, proof) == head


def is_consistent(old: int, old_head: bytes, size: int, head: bytes, proof: Sequence[bytes]) -> bool:
    """Tell whether a proof shows that the tree of a size and head extends the smaller one (RFC 9162, section 2.1.4.2)."""
    if old == size:
        return not proof and old_head == head
    if old == 0:
        return not proof and old_head == EMPTY
    if not 0 < old < size or not proof:
        return False
    path = [old_head, *proof] if old & (old - 1) == 0 else list(proof)
    place, last = old - 1, size - 1
    while place & 1:
        place, last = place >> 1, last >> 1
    first = second = path[0]
    for other in path[1:]:
        if last == 0:
            return False
        if place & 1 or place == last:
            first, second = hash_node(other, first), hash_node(other, second)
            while not place & 1 and place:
                place, last = place >> 1, last >> 1
        else:
            second = hash_node(second, other)
        place, last = place >> 1, last >> 1
    return last == 0 and first == old_head and second == head
