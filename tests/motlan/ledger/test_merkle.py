"""The log's tree is the one of RFC 9162, by known vectors, by a verifier from elsewhere, and for every size to 2,000."""

import hashlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pymerkle import InmemoryTree, proof, verify_consistency, verify_inclusion

from motlan.ledger import merkle

INPUTS = ("", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f")
ROOTS = (
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
)
"""The vectors of RFC 6962's reference implementation: data of eight leaves, and the heads of the first none to eight."""
PATH_OF_FIRST = (
    "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
    "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
    "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
)
MOST = 2_000
LEAVES = [merkle.hash_leaf(str(number).encode()) for number in range(MOST)]
KNOWN = [merkle.hash_leaf(bytes.fromhex(data)) for data in INPUTS]


@pytest.fixture(scope="module")
def grown() -> tuple[list[bytes], dict[merkle.Node, bytes]]:
    """Heads of every size to the most, and the nodes as the log stores them."""
    tree, heads, nodes = merkle.Tree(), [merkle.EMPTY], {}
    for index, leaf in enumerate(LEAVES):
        nodes[0, index] = leaf
        nodes |= {(level, index >> level): node for level, node in enumerate(tree.append(leaf), 1)}
        heads.append(tree.head())
    return heads, nodes


def test_heads_and_a_path_are_those_of_the_known_vectors():
    for size, root in enumerate(ROOTS):
        assert merkle.tree_head(KNOWN[:size]).hex() == root
    assert [node.hex() for node in merkle.prove_inclusion(KNOWN, 0)] == list(PATH_OF_FIRST)


def test_inclusion_and_consistency_hold_at_every_size(grown):
    heads, nodes = grown
    for size in range(1, MOST + 1):
        for index in {0, size // 3, size // 2, size - 1}:
            path = merkle.heads_of(merkle.inclusion_ranges(index, size), nodes)
            assert merkle.is_included(LEAVES[index], index, size, path, heads[size])
            assert not merkle.is_included(LEAVES[index - 1], index, size, path, heads[size]) or size == 1
        for old in {0, 1, size // 3, size // 2, size - 1, size}:
            path = merkle.heads_of(merkle.consistency_ranges(old, size), nodes)
            assert merkle.is_consistent(old, heads[old], size, heads[size], path)


@settings(deadline=None, max_examples=300)
@given(st.data())
def test_a_proof_of_anything_else_is_refused(grown, data):
    heads, nodes = grown
    size = data.draw(st.integers(2, MOST))
    index = data.draw(st.integers(0, size - 1))
    path = merkle.heads_of(merkle.inclusion_ranges(index, size), nodes)
    place = data.draw(st.integers(0, len(path) - 1))
    altered = [hashlib.sha256(node).digest() if at == place else node for at, node in enumerate(path)]
    for wrong in (altered, path[:-1], [*path, path[0]]):
        assert not merkle.is_included(LEAVES[index], index, size, wrong, heads[size])
    assert not merkle.is_included(LEAVES[index], index, size, path, heads[size - 1])
    other = data.draw(st.integers(-1, size).filter(lambda other: other != index))
    assert not merkle.is_included(LEAVES[index], other, size, path, heads[size])
    old = data.draw(st.integers(1, size - 1))
    path = merkle.heads_of(merkle.consistency_ranges(old, size), nodes)
    place = data.draw(st.integers(0, len(path) - 1))
    altered = [hashlib.sha256(node).digest() if at == place else node for at, node in enumerate(path)]
    for wrong in (altered, path[:-1], [*path, path[0]]):
        assert not merkle.is_consistent(old, heads[old], size, heads[size], wrong)
    assert not merkle.is_consistent(old, heads[old - 1], size, heads[size], path)
    assert not merkle.is_consistent(old, heads[old], size, heads[size - 1], path)


def test_another_verifier_takes_our_heads_and_proofs(grown):
    heads, nodes = grown
    theirs = InmemoryTree(algorithm="sha256")
    for size in range(1, 70):
        theirs.append(str(size - 1).encode())
        assert theirs.get_state() == heads[size]
        for index in range(size):
            made = theirs.prove_inclusion(index + 1)
            ours = [LEAVES[index], *merkle.heads_of(merkle.inclusion_ranges(index, size), nodes)]
            verify_inclusion(LEAVES[index], heads[size], proof.MerkleProof("sha256", True, size, made.rule, [], ours))
        for old in range(1, size + 1):
            verify_consistency(heads[old], heads[size], theirs.prove_consistency(old, size))
