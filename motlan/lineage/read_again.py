"""Payloads read again: each landed row is compared with what its adapter reads today at its place in the payload that was kept.

The hash of a payload tells that its bytes are those that came, and not that the landed row stands in them: a row may have been
put beside another payload. Only an adapter knows what its bytes mean, so each is asked (`Adapter.read_again`); where one cannot
read a payload alone, that is said, and nothing is claimed.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from motlan.adapter import LOCATOR
from motlan.config.registry import Dataset
from motlan.errors import MotlanError
from motlan.ingest import payloads
from motlan.ingest.adapter_version import describe_adapter
from motlan.ingest.raw_columns import is_stored, labels, of_file, received
from motlan.lineage.evidence import Evidence, chunk_of, pulls_of, run_of
from motlan.workspace import Workspace

ANOTHER = "the payload, read again, gives another row"
ANOTHER_NOW = "the payload, read as its adapter is declared today, gives another row"
NOT_THERE = "the payload, read again, has no such row"
UNREADABLE = "the payload cannot be read again"
FIX = "fix:"
"""How the locator begins of a row that a person mended: its payload is the document of the fix."""
Row = Mapping[str, str | None]


def find_unlike(work: Workspace, dataset: str, path: Path) -> list[str]:
    """Return the rows (`_ref`) of a landed file that are not what their payloads give, as far as these can be read alone."""
    rows = pq.read_table(path)
    chunk = chunk_of(str(rows["_ref"][0]))
    payload = partial(payloads.read, work.settings.payloads)
    landed = _Landed({dataset: rows}, {chunk: of_file(str(path))}, pulls_of(work, {chunk[0]})[1], payload)
    bad, _ = compare_rows(work, landed, set(rows["_payload"].drop_null().unique().to_pylist()))
    return sorted(bad)


@dataclass
class _Landed:
    """Landed rows and what they are read again by; see `motlan.lineage.evidence.Evidence`."""

    raw: dict[str, pa.Table]
    columns: dict[tuple[str, int], dict[str, str]]
    read_by: dict[str, dict[str, str]]
    payload: Callable[[str], bytes]


def compare_rows(work: Workspace, evidence: Evidence | _Landed, holding: set[str]) -> tuple[dict[str, str], set[str]]:
    """Compare landed rows with their payloads, each of which is read once.

    Args:
        work: The open installation.
        evidence: The rows.
        holding: The payloads whose bytes are those that came.

    Returns:
        Rows (`_ref`) that differ, with the reason; and the rows whose adapter cannot read a payload alone.
    """
    bad: dict[str, str] = {}
    unread: set[str] = set()
    for name, rows in evidence.raw.items():
        dataset = work.registry.dataset(name)
        by_payload: dict[str, list[dict[str, Any]]] = {}
        for row in rows.to_pylist():
            if row["_payload"] in holding:
                by_payload.setdefault(row["_payload"], []).append(row)
        for payload, mine in by_payload.items():
            unread |= _compare(dataset, evidence, evidence.payload(payload), mine, bad)
    return bad, unread


def _compare(
    dataset: Dataset, evidence: Evidence | _Landed, payload: bytes, rows: list[dict[str, Any]], bad: dict[str, str]
) -> set[str]:
    """Compare the rows of one payload; return those that cannot be."""
    waiting = {str(row[LOCATOR]): row for row in rows if not str(row[LOCATOR]).startswith(FIX)}
    doubled = [row for row in rows if waiting.get(str(row[LOCATOR])) is not row]
    unread: set[str] = set()
    while waiting:
        # Another payload may have been given with the same bytes, under another name: its rows' locators begin otherwise.
        first = next(iter(waiting))
        try:
            batches = dataset.read_again(payload, first)
            if batches is None:
                return {*unread, *(str(row["_ref"]) for row in waiting.values())}
            found = dict(_found(batches, set(waiting)))
        except (MotlanError, ValueError, KeyError):
            bad[waiting.pop(first)["_ref"]] = UNREADABLE
            continue
        if first not in found:
            bad[waiting.pop(first)["_ref"]] = NOT_THERE
        for locator, read in found.items():
            row = waiting.pop(locator)
            if reason := _difference(dataset, evidence, row, read):
                bad[row["_ref"]] = reason
    for row in doubled:
        if reason := _difference_of_other(dataset, evidence, payload, row):
            bad[row["_ref"]] = reason
    return unread


def _difference_of_other(
    dataset: Dataset, evidence: Evidence | _Landed, payload: bytes, row: dict[str, Any]
) -> str | None:
    """Compare a row that a person mended with its fix, or one that landed again with the same payload."""
    locator = str(row[LOCATOR])
    if locator.startswith(FIX):
        after = json.loads(payload)["after"]
        shown = labels(evidence.columns.get(chunk_of(row["_ref"]), {}))
        same = all(row.get(column) == after.get(label) for column, label in shown.items())
        return None if same else ANOTHER
    batches = dataset.read_again(payload, locator)
    read = dict(_found(batches or iter(()), {locator})).get(locator)
    return None if batches is None else NOT_THERE if read is None else _difference(dataset, evidence, row, read)


def _found(batches: Iterator[pa.RecordBatch], locators: set[str]) -> Iterator[tuple[str, Row]]:
    """Give the rows that stand at some locators, as far as they must be read for them: stored column -> value."""
    wanted, left = pa.array(sorted(locators), pa.string()), len(locators)
    for batch in batches:
        table, _ = received(batch)
        mine = table.filter(pc.is_in(table[LOCATOR], wanted))
        for row in mine.to_pylist():
            yield row.pop(LOCATOR), row
        left -= mine.num_rows
        if left <= 0:
            return


def _difference(dataset: Dataset, evidence: Evidence | _Landed, landed: Row, read: Row) -> str | None:
    """Tell why a landed row is not the one that was read; None where it is.

    A column that only one of them has counts where the dataset was declared then as it is now.
    """
    then = evidence.read_by.get(run_of(str(landed["_ref"])), {})
    as_then = then.get("declared") == describe_adapter(dataset)["declared"]
    stored = evidence.columns.get(chunk_of(str(landed["_ref"])), {})
    mine = {name: landed[name] for name in landed if is_stored(name) and name in stored}
    names = mine.keys() | read.keys() if as_then else mine.keys() & read.keys()
    if all(mine.get(name) == read.get(name) for name in names):
        return None
    return ANOTHER if as_then or not then else ANOTHER_NOW
