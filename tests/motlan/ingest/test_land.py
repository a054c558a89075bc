"""Landed rows: what each gets beside its columns."""

from __future__ import annotations

import re
import tracemalloc
from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import pytest

from motlan import pipeline
from motlan.adapter import Page
from motlan.errors import ContractError
from motlan.ingest import land
from tests.conftest import SPINE, Country, spine_record


def test_every_row_has_a_salt_that_no_other_has() -> None:
    salts = [salt for _ in range(2) for salt in land.places(1_000)["_salt"].to_pylist()]
    assert len(set(salts)) == 2_000
    assert all(re.fullmatch("[0-9a-f]{32}", salt) for salt in salts)


def test_rows_keep_their_order_in_shares_of_a_chunk() -> None:
    count = land.SHARE_ROWS + 7
    rows = land.placed(pa.table({"key": pa.arange(0, count)}))
    assert rows["_position"].to_pylist() == rows["key"].to_pylist() == list(range(count))
    assert [len(share) for share in rows["key"].chunks] == [land.SHARE_ROWS, 7]


def page(number: int, payload: bytes | None = b"", width: int = 1, name: str = "") -> Page:
    rows = pa.RecordBatch.from_pydict({"id": [str(number)], "text": ["x" * width], land.LOCATOR: ["/0"]})
    return Page(rows, payload, "application/json", name=name)


def wide(pages: int, payload: int, width: int = 1) -> Iterator[Page]:
    return (page(number, bytes([number]) * payload, width) for number in range(pages))


@pytest.mark.parametrize(("payload", "width"), [(10**6, 1), (1, 10**6), (5 * 10**5, 5 * 10**5)])
def test_a_chunk_ends_by_bytes_however_few_its_rows(payload: int, width: int) -> None:
    chunks = [(chunk.size, chunk.held) for chunk in land._chunks(wide(120, payload, width), 10**7, None)]
    assert sum(size for size, _ in chunks) == 120
    assert len(chunks) >= 12
    assert max(held for _, held in chunks) < 10**7 + 2 * 10**6


@pytest.mark.parametrize("keep", [None, lambda payload: "kept"])
def test_payloads_of_many_gigabytes_take_the_memory_of_a_few(keep: Any) -> None:
    tracemalloc.start()
    for chunk in land._chunks(wide(120, 10**6), 10**7, keep):
        chunk.take()
        chunk.payloads.clear()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < (13 if keep is None else 3) * 10**6


def test_a_file_that_goes_on_in_the_next_chunk_keeps_its_payload() -> None:
    pages = [page(0, b"file", 10**6), page(1, None, 10**6), page(2, None, 10**6)]
    chunks = list(land._chunks(iter(pages), 10**6, None))
    assert [list(chunk.payloads.values()) for chunk in chunks] == [[b"file"]] * 3
    assert len({chunk.rows[0]["_payload"][0] for chunk in chunks}) == 1


def test_more_pages_than_the_source_has_rows_end_the_pull() -> None:
    taken = land._headway((page(n, name=f"page={n}") for n in range(10**6)), 20, "people")
    with pytest.raises(ContractError, match=r"people page=120: the source announced 20 rows.* Next: "):
        list(taken)


@pytest.mark.parametrize("threads", ["1", "2"])
def test_wide_rows_are_landed_whole_within_the_declared_bytes(
    country: Country, threads: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MOTLAN_THREADS", threads)
    country.declare(
        "adapters/agencies.yaml", lambda it: it["agencies"]["alpha"].update(limits={"landing_bytes": 600_000})
    )
    country.declare(
        "adapters/agencies.yaml", lambda it: it["agencies"]["alpha"]["datasets"]["alpha_people"].update(page_rows=1)
    )
    people = [spine_record(row) | {"note": "x" * 200_000} for row in SPINE]
    country.write("alpha_people", people)
    landed = pipeline.sync("alpha_people")["land"]
    assert landed["pulled"] == landed["landed"] == len(SPINE)
    assert len(landed["chunks"]) == len(SPINE)
    country.write("alpha_people", [*people, spine_record(("a9", *SPINE[0][1:])) | {"note": "y"}])
    again = pipeline.sync("alpha_people")["land"]
    assert (again["pulled"], again["landed"]) == (len(SPINE) + 1, 1)
