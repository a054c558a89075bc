"""Landed rows: what each gets beside its columns."""

from __future__ import annotations

import re

import pyarrow as pa

from motlan.landing import land


def test_every_row_has_a_salt_that_no_other_has() -> None:
    salts = [salt for _ in range(2) for salt in land.places(1_000)["_salt"].to_pylist()]
    assert len(set(salts)) == 2_000
    assert all(re.fullmatch("[0-9a-f]{32}", salt) for salt in salts)


def test_rows_keep_their_order_in_shares_of_a_chunk() -> None:
    count = land.SHARE_ROWS + 7
    rows = land.placed(pa.table({"key": pa.arange(0, count)}))
    assert rows["_position"].to_pylist() == rows["key"].to_pylist() == list(range(count))
    assert [len(share) for share in rows["key"].chunks] == [land.SHARE_ROWS, 7]
