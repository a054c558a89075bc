"""The Merkle log against the published vectors of RFC 6962's reference implementation."""

import hashlib

from motlan.ledger.log import leaf_hash, tree_head

LEAVES = ["", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f"]
ROOTS = [
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]


def test_tree_heads_equal_the_published_ones() -> None:
    leaves = [hashlib.sha256(b"\x00" + bytes.fromhex(data)).digest() for data in LEAVES]
    assert [tree_head(leaves[:size]).hex() for size in range(1, len(leaves) + 1)] == ROOTS
    assert tree_head([]).hex() == hashlib.sha256().hexdigest()


def test_an_entry_is_hashed_by_its_content_and_not_by_its_order_of_keys() -> None:
    assert leaf_hash({"a": 1, "b": "ô"}) == leaf_hash({"b": "ô", "a": 1}) != leaf_hash({"a": 1, "b": "o"})
