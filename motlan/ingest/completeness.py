"""Hold what a pull got against the source's own count, of the same rows and as of the same moment: fewer and more.

A pull takes time, and a live source moves meanwhile. Where what came is not what was counted before, the source counts again. If
its number moved, what moved is pulled too: first from the newest change that came, then everything once more. If the number
stayed, or the difference did, the run ends before anything of it is visible.

What is compared are records. One that comes twice (pages that overlap) counts once, and one that changes while it is pulled
comes in two versions, of which the source counts one. So its count may be of the versions (distinct rows) or of the keys; a
record without a key is told by all its columns. A count of lines, as manifests have it, is compared with the rows as they came.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from dataclasses import dataclass, field

import duckdb
import pyarrow as pa

from motlan.adapter import Adapter, SourceCount, Watermark
from motlan.errors import ContractError
from motlan.expressions import literal, one, quote
from motlan.settings import sizes

TRIES = 4
"""How often a source is pulled in one run, while its count moves."""


@dataclass
class Census:
    """What came of a source in one run, and the source's own count."""

    adapter: Adapter
    since: Watermark | None
    """Both the counts and the pulls are of what changed since then."""
    engine: duckdb.DuckDBPyConnection
    """A session of its own thread. It keeps 16 bytes a record in a table, which goes to disk where memory ends."""
    key: str
    """Name of the key's column in the rows that are added."""
    count: SourceCount = field(init=False)
    """The newest count."""
    newest: Watermark = field(default=Watermark(""))
    """The greatest cursor that came, as the caller says it."""
    rows: int = 0
    """Rows that came, since everything was last asked for."""
    _held: tuple[int, int] | None = None
    _seed: str = field(default_factory=lambda: secrets.token_hex(8))
    """A new one in every run, so that no two records have one hash for ever."""

    def __post_init__(self) -> None:
        self.count = self.adapter.count(self.since)

    @property
    def pulled(self) -> int:
        """How many records came, in the sense that is nearest to the source's count."""
        return min(self._records(), key=lambda records: abs(records - self.count.rows))

    def asked(self) -> Iterator[Watermark | None]:
        """Give the watermark of each pull that is needed. The caller pulls, and adds what comes, before it goes on.

        Raises:
            ContractError: What came is not what the source counts.
        """
        asked = self.since
        for left in reversed(range(TRIES)):
            if asked == self.since:
                self._begin()
            yield asked
            if self._agrees():
                return
            before, self.count = self.count, self.adapter.count(self.since)
            if self._agrees() or (not left and self._passed(before)):
                return
            stayed = (before.rows, before.total) == (self.count.rows, self.count.total)
            if not left or self.count.of_lines or (stayed and asked == self.since):
                raise self._refusal()
            grew = self.count.rows > before.rows and self.newest.cursor
            asked = self.newest if left > 1 and grew else self.since

    def add(self, rows: pa.Table) -> None:
        """Count rows that came.

        Raises:
            ContractError: They are more than twice as many as the source counts, and do not end.
        """
        self.rows, self._held = self.rows + rows.num_rows, None
        if self.rows > 2 * self.count.rows + sizes().count_slack:
            self.count = self.adapter.count(self.since)
            if self.rows > 2 * self.count.rows + sizes().count_slack:
                raise self._refusal()
        if self.count.of_lines:
            return
        key, salt = quote(self.key), literal(self._seed)
        whole = f"hash({', '.join(quote(name) for name in rows.column_names)}, {salt})"
        # Rows without a key may be alike, and are records all the same.
        nobody = f"hash({whole}, {self.rows} + row_number() over ())"
        self._insert(
            rows,
            f"case when {key} is null then {whole} else hash({key}, {salt}) end",
            f"case when {key} is null then {nobody} else {whole} end" if rows[self.key].null_count else whole,
        )

    def missing(self, keys: str) -> str:
        """Return the SQL of those keys (of a relation with `_key`) of which no record came, once everything was asked for."""
        hashed = f"hash(_key, {literal(self._seed)})"
        return f"select _key from {keys} where {hashed} not in (select key from records_that_came)"

    def came(self, key: str) -> bool:
        """Tell whether a record with a key came."""
        query = f"select count(*) from records_that_came where key = hash(?, {literal(self._seed)})"
        return bool(self.engine.execute(query, [key]).fetchall()[0][0])

    def _insert(self, rows: pa.Table, key: str, version: str) -> None:
        self.engine.register("came", rows)
        self.engine.execute(f"insert into records_that_came select {key}, {version} from came")
        self.engine.unregister("came")

    def _begin(self) -> None:
        self.rows, self._held = 0, None
        self.engine.execute("create or replace temp table records_that_came (key ubigint, version ubigint)")

    def _records(self) -> tuple[int, int]:
        """Count what came, as few as can be meant (keys) and as many (versions)."""
        if self.count.of_lines:
            return self.rows, self.rows
        if self._held is None:
            versions = one(self.engine, "select count(distinct version) from records_that_came")[0]
            keys = versions
            if versions != self.count.rows:
                keys = one(self.engine, "select count(distinct key) from records_that_came")[0]
            self._held = keys, versions
        return self._held

    def _agrees(self) -> bool:
        return self.count.rows in self._records()

    def _passed(self, before: SourceCount) -> bool:
        """Tell whether a source that never stood still had, between two counts, what came."""
        fewest, most = sorted((before.rows, self.count.rows))
        keys, versions = self._records()
        return keys <= most and versions >= fewest and before.rows != self.count.rows

    def _refusal(self) -> ContractError:
        came, twice = self.pulled, f" ({self.rows} rows, some twice)" if self.rows != self.pulled else ""
        return ContractError(
            f"the source counts {self.count.rows} records, and {came} came{twice}: {_side(came, self.count.rows)}",
            where=self.adapter.source.dataset,
            next_step="pull again; if it stays so, ask the source's owner which number is right.",
        )


def _side(came: int, counted: int) -> str:
    return f"{counted - came} fewer" if came < counted else f"{came - counted} more"
