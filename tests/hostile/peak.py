"""Reads one hostile source in a process of its own, and prints by how many megabytes that grew at its peak."""

from __future__ import annotations

import gzip
import hashlib
import json
import resource
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from motlan.adapter import Limits, Page
from motlan.errors import MotlanError
from motlan.ingest import land
from tests.hostile.cases import PATIENT, RECORD, drop_at, page, rest
from tests.hostile.server import Server, http

DEFAULT = Limits()
PACE = replace(PATIENT, answer_timeout=120, pull_timeout=120, read_timeout=60)
PAD = "x" * 1024


def padded_pages(server: Server) -> Iterator[Page]:
    """A pull of many pages of one row and of megabytes that no column holds: more than a third of a gigabyte together."""
    numbers, padding = iter(range(10**6)), PAD * 6 * 1024

    def answer(_: bytes) -> list[bytes | float]:
        number = next(numbers)
        body = page(RECORD | {"id": str(number)}, following=f"c{number}" if number < 59 else None)
        return [http(f'{{"padding": "{number}{padding}",{body[1:]}')]

    return rest(server, answer, PACE, limits=DEFAULT).pull(None)


def letters_of_four_bytes(server: Server) -> Iterator[Page]:
    """One answer that Python keeps with four bytes a letter."""
    body = page(RECORD, padding="😀" + PAD * 24 * 1024)
    return rest(server, http(body), PACE, limits=DEFAULT).pull(None)


def small_objects(server: Server) -> Iterator[Page]:
    """As many objects as an answer may have."""
    body = '{"data": [{"id":1},' + '{"a":1},' * 998_999 + '{"a":1}], "next": null}'
    return rest(server, http(body), PACE, limits=DEFAULT, page_rows=10**7).pull(None)


def packed_records(server: Server) -> Iterator[Page]:
    """A file of less than a megabyte that unpacks to a hundred."""
    folder = Path(tempfile.mkdtemp())
    line = json.dumps({"id": "1", "moment": "2026", "name": "x" * 8000}) + "\n"
    body = gzip.compress(line.encode() * 12_000, 1)
    file = {"name": "f.jsonl.gz", "rows": 12_000, "sha256": hashlib.sha256(body).hexdigest()}
    manifest = {"name": "d1", "kind": "full", "created": "2026-10-01T00:00:00Z", "rows": 12_000, "files": [file]}
    (folder / "d1").mkdir()
    (folder / "d1/f.jsonl.gz").write_bytes(body)
    (folder / "d1/manifest.json").write_text(json.dumps(manifest))
    (folder / "index.json").write_text(
        json.dumps({"drops": [{"name": "d1", "kind": "full", "manifest": "d1/manifest.json"}]})
    )
    return drop_at(folder.as_uri(), "jsonl", limits=DEFAULT, page_rows=5000, pace=PACE).pull(None)


CASES: dict[str, Callable[[Server], Iterator[Page]]] = {
    case.__name__: case for case in (padded_pages, letters_of_four_bytes, small_objects, packed_records)
}


def peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


def main(case: str) -> None:
    server = Server()
    before = peak()
    rows: Any = 0
    pages = CASES[case](server)
    try:
        for chunk in land._chunks(pages, DEFAULT.landing_bytes // 4, None):
            rows += chunk.size
            chunk.take()
            chunk.payloads.clear()
    except MotlanError as error:
        rows = str(error)
    print(json.dumps({"grew": peak() - before, "rows": rows}))
    with suppress(OSError):
        server.close()


if __name__ == "__main__":
    main(sys.argv[1])
