"""An adapter over a JSON file of a register: its own moment, and its records in the columns that agencies.yaml declares."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa

from motlan.adapter import LOCATOR, Adapter, Page, SourceCount, Watermark


class RowsAdapter(Adapter):
    def _read(self) -> dict[str, Any]:
        path = Path(self.source.endpoint.removeprefix("file://")) / f"{self.source.dataset}.json"
        return json.loads(path.read_text(encoding="utf-8"))

    def check(self) -> None:
        self._read()

    def _since(self, since: Watermark | None) -> list[dict[str, str | None]]:
        cursor, key = self.source.cursor, self.source.key
        records = [row for row in self._read()["records"] if since is None or (row[cursor] or "") >= since.cursor]
        return sorted(records, key=lambda row: (row[cursor] or "", row[key] or ""))

    def count(self, since: Watermark | None) -> SourceCount:
        told = self._read()
        return SourceCount(len(self._since(since)), len(told["records"]), told["as_of"])

    def pull(self, since: Watermark | None) -> Iterator[Page]:
        records = self._since(since)
        for start in range(0, len(records), self.source.page_rows):
            rows = records[start : start + self.source.page_rows]
            named = dict.fromkeys([*self.source.columns, *sorted({name for row in rows for name in row})])
            columns = {name: [row.get(name) for row in rows] for name in named}
            columns[LOCATOR] = [f"/{start + number}" for number in range(len(rows))]
            batch = pa.RecordBatch.from_pydict(columns, pa.schema([(name, pa.string()) for name in columns]))
            yield Page(batch, json.dumps(rows, ensure_ascii=False).encode(), "application/json")
