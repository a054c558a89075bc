"""Read a register's served rows page by page, as they are on the world's `today`."""

from __future__ import annotations

import base64
import binascii
import threading
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import duckdb

DAY0 = date(2026, 10, 1)


def read_today(world: Path) -> int:
    """Day that the agencies of a world show."""
    return int((world / "today").read_text(encoding="ascii"))


def as_of(day: int) -> str:
    """The moment a register's content of a day stands for: the day's last; day 0 has what was before it."""
    return f"{DAY0 + timedelta(days=day)}T{'23:59:59.999999' if day else '00:00:00.000000'}Z"


def cursor_of(position: int) -> str:
    """Make an opaque cursor of a place in the order of rows."""
    return base64.urlsafe_b64encode(f"p{position}".encode()).decode().rstrip("=")


def position_of(cursor: str) -> int:
    """Read an opaque cursor.

    Raises:
        ValueError: the cursor is not one of ours.
    """
    try:
        text = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode("ascii")
    except (binascii.Error, UnicodeDecodeError) as error:
        raise ValueError("not a cursor") from error
    if not (text.startswith("p") and text[1:].isdigit()):
        raise ValueError("not a cursor")
    return int(text[1:])


class Register:
    """One register's rows on disk, rendered by SQL.

    The file is sorted by place, so a page reads the row groups from its cursor on and stops at its limit.
    """

    def __init__(self, world: Path, dataset: str) -> None:
        self._world = world
        self._file = world / "registers" / dataset / "rows.parquet"
        # One thread: a page is small, and more of them only decode row groups that the page does not reach.
        self._con = duckdb.connect(config={"threads": 1})
        self._con.execute(f"CREATE VIEW rows AS FROM read_parquet('{self._file}')")
        self._counts: dict[tuple[int, str | None], int] = {}
        self._lock = threading.Lock()

    @property
    def today(self) -> int:
        """Day that is served."""
        return read_today(self._world)

    def page(self, rendered: str, *, after: int, since: str | None, limit: int) -> tuple[list[str], int | None]:
        """One page of rendered rows.

        Args:
            rendered: SQL expression that gives a row's text.
            after: place after which the page starts, 0 for the first.
            since: moment from which rows count, inclusive.
            limit: most rows.

        Returns:
            The rows' texts, and the place to continue after, None on the last page.
        """
        today = self.today
        found = (
            self._con.cursor()
            .execute(
                f"""
                SELECT {rendered}, _pos FROM rows
                WHERE _pos > $after AND _day <= $today AND _until > $today AND _moment >= $since LIMIT $limit
                """,
                {"after": after, "today": today, "since": since or "", "limit": limit + 1},
            )
            .fetchall()
        )
        texts = [row[0] for row in found[:limit]]
        return texts, found[limit - 1][1] if len(found) > limit else None

    def find(self, rendered: str, condition: str, values: dict[str, Any], limit: int) -> list[str]:
        """Texts of the rows of today that meet a condition."""
        query = f"SELECT {rendered} FROM rows WHERE _day <= $today AND _until > $today AND {condition} LIMIT {limit}"
        return [row[0] for row in self._con.cursor().execute(query, {"today": self.today, **values}).fetchall()]

    def count(self, since: str | None = None) -> int:
        """Number of rows of today, changed at or after a moment."""
        key = (self.today, since)
        with self._lock:
            if key not in self._counts:
                query = "SELECT count(*) FROM rows WHERE _day <= $today AND _until > $today AND _moment >= $since"
                found = self._con.cursor().execute(query, {"today": key[0], "since": since or ""}).fetchone()
                self._counts[key] = found[0] if found else 0
            return self._counts[key]
