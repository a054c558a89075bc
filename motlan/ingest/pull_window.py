"""What one pull earns: from where it reads, which rows it knows already, and how far it may move the watermark.

A row moves a watermark only with a cursor that can be read and that the source can know: neither beyond the source's own "as
of" nor beyond our clock and the difference declared. Any other row lands, is counted in every run until a later row of its
record is sound, and moves nothing.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import UTC, datetime, timedelta
from time import monotonic
from typing import Any

import duckdb

from motlan.adapter import SourceCount, Watermark
from motlan.config.registry import Dataset
from motlan.errors import ConfigurationError
from motlan.expressions import literal, one, quote
from motlan.ingest.cursors import canonical_moment, moment_of
from motlan.ingest.watermark import MOMENTS, ODD, Stored, cursors_of, landed_as, latest, read
from motlan.ledger import runs
from motlan.store import Store


class Earning:
    """What one pull reads from where, and which watermark it earns.

    Args:
        store: Where the watermark is kept.
        engine: A session that this pull has.
        dataset: What is pulled.

    Attributes:
        since: What the adapter is asked with; None for everything.
    """

    def __init__(self, store: Store, engine: duckdb.DuckDBPyConnection, dataset: Dataset) -> None:
        self._engine, self._dataset, self._cursors = engine, dataset, cursors_of(dataset)
        with store.engine.connect() as connection:
            self._stored = read(connection, dataset.name)
        self._held = self._from = self._believed()
        # An earlier version kept cursors as they came: rows of that time are found by their hash alone.
        self._was_raw = bool(self._stored and not self._stored.written and self._stored.cursor != self._held)
        self.since = self._asked()
        self._limit = self._ahead = latest(dataset)
        self._as_of, self._counted = "", monotonic()
        self._newest: tuple[Any, str] | None = None
        self._earned = Stored("")
        engine.execute("create or replace temp table odd (row_hash uhugeint, reason varchar)")

    def _believed(self) -> str | None:
        """Return the stored cursor in canonical form; None where it is none, or one that no pull can have earned."""
        if self._stored is None:
            return None
        cursors, text = self._cursors, self._stored.cursor
        if not cursors.are_instants:
            return cursors.read(self._engine, text)
        found = MOMENTS.read(self._engine, text) if text.endswith("Z") else None
        found = found or cursors.read(self._engine, text)
        return found if found and found <= latest(self._dataset) else None

    @property
    def stored(self) -> Stored | None:
        """The watermark as it was kept when the pull began."""
        return self._stored

    def read_moment(self, text: str | None) -> str | None:
        """Return a moment that the source told in canonical form; None where it is none."""
        return MOMENTS.read(self._engine, text) if text else None

    @property
    def newest_cursor(self) -> str:
        """The greatest cursor that came and earns a watermark, in canonical form; empty where none does."""
        return self._earned.cursor

    def is_behind(self) -> bool:
        """Tell whether what came lies before the watermark: tokens, which only the source understands, never do."""
        if not self._held or self._was_raw or self._cursors.kind == "token":
            return False
        earned, held = self._earned.cursor, self._held
        if not earned or self._cursors.kind != "sequence":
            return earned < held
        return int(earned) < int(held)

    def _asked(self) -> Watermark | None:
        if self._from is None or self._stored is None:
            return None
        lagged = self._cursors.step_back(self._from, self._dataset.lag)
        text = self._cursors.written(lagged, self._stored.written or self._stored.cursor)
        # What comes again is recognised from where the source begins, and it goes by the text.
        again = self._cursors.read(self._engine, text) or lagged
        self._from = min(lagged, again, key=self._cursors.rank)
        return Watermark(text, "" if self._dataset.lag else self._stored.key)

    def pull_all(self) -> None:
        """Let this pull ask for everything, whatever the watermark is."""
        self.since = self._from = None

    def pull_since(self, cursor: str) -> None:
        """Let this pull ask from a cursor on, whatever the watermark is; what landed before is known again.

        Args:
            cursor: As the source writes it, or a moment in UTC.

        Raises:
            ConfigurationError: It is no cursor of this dataset.
        """
        found = self._cursors.read(self._engine, cursor)
        if found is None and self._cursors.are_instants:
            found = MOMENTS.read(self._engine, cursor)
        if found is None:
            raise ConfigurationError(
                f"this is no cursor of the type {self._cursors.kind}",
                where=self._dataset.name,
                next_step="write it as the source does; see `motlan watermark show`.",
            )
        form = self._stored.written or self._stored.cursor if self._stored else cursor
        self._from = self._cursors.read(self._engine, self._cursors.written(found, form)) or found
        self.since = Watermark(self._cursors.written(found, form))

    def bound(self, source: SourceCount) -> None:
        """Take the source's own moment, which no watermark passes. Call it when the source has just counted."""
        self._as_of = MOMENTS.read(self._engine, source.as_of) or ""
        self._counted = monotonic()
        self._limit = min(latest(self._dataset), self._as_of or "9")
        self._look_ahead()

    def _look_ahead(self) -> None:
        """Reckon from where on a cursor is ahead: rows that changed since the source counted are not."""
        self._ahead = latest(self._dataset)
        if self._as_of:
            passed = timedelta(seconds=self._dataset.clock_difference + monotonic() - self._counted)
            self._ahead = min(self._ahead, canonical_moment(min(moment_of(self._as_of), datetime.now(UTC)) + passed))

    def reason(self, canonical: str, raw: str) -> str:
        """Return the SQL of why a cursor moves no watermark, null where it may.

        Args:
            canonical: SQL of its canonical form.
            raw: SQL of it as the source wrote it.
        """
        ahead = f" when {canonical} > {literal(self._ahead)} then 'ahead'" if self._cursors.are_instants else ""
        empty = f"regexp_full_match(coalesce({raw}, ''), '\\s*')"
        return f"case when {canonical} is null then if({empty}, 'none', 'unreadable'){ahead} end"

    def again(self) -> str:
        """Return the SQL of whether the source may send a landed row again, over `_cursor`."""
        if self._from is None or self._was_raw:
            return "true"
        if self._cursors.kind == "sequence":
            return f"coalesce(try_cast(_cursor as hugeint) >= {self._from}, true)"
        return f"(_cursor >= {literal(self._from)} or _cursor is null)"

    def remember(self, landed: str, columns: Collection[str], hashed: str) -> None:
        """Count the odd rows that landed before, but those of records of which a sound row landed later.

        Args:
            landed: SQL of the relation of landed rows.
            columns: Its raw columns.
            hashed: SQL of the number by which a row is known again.
        """
        raw = landed_as(self._dataset.cursor)
        reason = self.reason("_cursor", raw if raw in map(quote, columns) else "null::varchar")
        self._engine.execute(
            f"""create or replace temp table odd_before as
                select {hashed} as row_hash, {reason} as reason, _key, _run from {landed}
                where {self.again()} and {reason} is not null"""
        )
        if not one(self._engine, "select count(*) from odd_before")[0]:
            return
        self._engine.execute(
            f"""insert into odd select row_hash, reason from odd_before as odd anti join (
                    select _key, max(_run) as _run from {landed} where {reason} is null group by _key) as sound
                on sound._key = odd._key and sound._run > odd._run"""
        )

    def see(self, hashed: str) -> None:
        """Look at the relation `pulled`: raw columns of a chunk, those landed before too.

        Args:
            hashed: SQL of the number by which a row is known again.
        """
        self._look_ahead()
        column, key = landed_as(self._dataset.cursor), landed_as(self._dataset.key)
        canonical = self._cursors.canonical(column)
        looked = f"(select {column} as raw, {key} as key, {canonical} as place from pulled)"
        order = self._cursors.ordered("place")
        earned = f"{order} <= {literal(self._limit)}" if self._cursors.are_instants else "place is not null"
        newest, odd = one(
            self._engine,
            f"""select max({{'place': {order}, 'key': coalesce(key, ''), 'raw': raw}}) filter ({earned}),
                       count(*) filter ({self.reason("place", "raw")} is not null) from {looked}""",
        )
        if newest and (self._newest is None or (newest["place"], newest["key"]) > self._newest):
            self._newest = (newest["place"], newest["key"])
            key = newest["key"].replace("\0", "\N{REPLACEMENT CHARACTER}")  # which the store cannot hold
            self._earned = Stored(str(newest["place"]), key, newest["raw"])
        if odd:
            reason = self.reason(canonical, column)
            self._engine.execute(
                f"insert into odd select {hashed}, {reason} as reason from pulled where {reason} is not null"
            )

    @property
    def newest(self) -> Watermark:
        """The greatest cursor and key that came and earn a watermark, as the source writes them; empty where none does."""
        return Watermark(self._earned.written, self._earned.key)

    def counts(self) -> runs.Counts:
        """Return the watermark that the pull earned, and how many records have a cursor that moves none, by reason."""
        odd = self._engine.execute("select reason, count(distinct row_hash) from odd group by reason").fetchall()
        return {
            "cursor": self._earned.cursor,
            "key": self._earned.key,
            "written": self._earned.written,
            "began_at": self._stored.cursor if self._stored else "",
            "held": self._held or "",
            "cursors": {reason: dict(odd).get(reason, 0) for reason in ODD},
        }
