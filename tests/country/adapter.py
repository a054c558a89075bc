"""An adapter over a JSON file of records, in the contract's form."""

import json
from collections.abc import Iterable, Iterator
from pathlib import Path

import pyarrow as pa

from motlan.adapter import LOCATOR, Adapter, Page, Source, SourceCount, Watermark
from motlan.errors import ContractError, TransientError


class FileAdapter(Adapter):
    def _records(self) -> list[dict[str, str | None]]:
        path = Path(self.source.endpoint.removeprefix("file://")) / f"{self.source.dataset}.json"
        text = path.read_text(encoding="utf-8")
        if text == "down":
            raise TransientError("the register does not answer", where=self.source.dataset)
        if text == "broken":
            raise ContractError("the register sent no JSON", where=self.source.dataset, next_step="ask its owner.")
        return json.loads(text)

    def check(self) -> None:
        self._records()

    def _since(self, since: Watermark | None) -> list[dict[str, str | None]]:
        records = [row for row in self._records() if since is None or (row["updated"] or "") >= since.cursor]
        return sorted(records, key=lambda row: (row["updated"] or "", row["id"] or ""))

    def count(self, since: Watermark | None) -> SourceCount:
        return SourceCount(len(self._since(since)), len(self._records()), "2026-10-01T00:00:00.000000Z")

    def pull(self, since: Watermark | None) -> Iterator[Page]:
        records = self._since(since)
        for start in range(0, len(records), self.source.page_rows):
            rows = records[start : start + self.source.page_rows]
            named = dict.fromkeys([*self.source.columns, *sorted({name for row in rows for name in row})])
            batch = to_batch(rows, named, start)
            yield Page(batch, json.dumps(rows, ensure_ascii=False).encode(), "application/json")

    @classmethod
    def read_again(cls, source: Source, payload: bytes, locator: str) -> Iterator[pa.RecordBatch]:
        rows, start = json.loads(payload), int(locator.removeprefix("/"))
        named = dict.fromkeys([*source.columns, *sorted({name for row in rows for name in row})])
        # A payload does not tell where its page began: it is cut into pages of a known size.
        yield to_batch(rows, named, start // source.page_rows * source.page_rows)


def to_batch(rows: list[dict[str, str | None]], named: Iterable[str], start: int) -> pa.RecordBatch:
    columns = {name: [row.get(name) for row in rows] for name in named}
    columns[LOCATOR] = [f"/{start + number}" for number in range(len(rows))]
    return pa.RecordBatch.from_pydict(columns, pa.schema([(name, pa.string()) for name in columns]))
