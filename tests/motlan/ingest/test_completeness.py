"""What came of a source is what the source counts, as of the same moment: no fewer records and no more."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import duckdb
import pyarrow as pa
import pytest

from motlan.adapter import Adapter, Page, Source, SourceCount, Watermark
from motlan.errors import ContractError
from motlan.ingest import completeness
from motlan.ingest.completeness import Census

Row = tuple[str | None, str | None, str]
"""Key, cursor, name."""


class Register(Adapter):
    """A register that changes between the questions that it is asked."""

    def __init__(self, rows: list[Row], counted: list[int] | None = None, *, of_lines: bool = False) -> None:
        super().__init__(
            Source("test", "people", "file:///", None, "id", "at", {"id": "id", "at": "at", "name": "name"})
        )
        self.rows, self.counted, self.of_lines = rows, counted, of_lines
        self.asked: list[Watermark | None] = []
        self.meanwhile: Callable[[list[Row]], list[Row]] = lambda rows: rows

    def check(self) -> None: ...

    def _since(self, since: Watermark | None) -> list[Row]:
        return [row for row in self.rows if since is None or (row[1] or "9") >= since.cursor]

    def count(self, since: Watermark | None) -> SourceCount:
        rows = len(self._since(since)) if self.counted is None else self.counted[0]
        if self.counted is not None and len(self.counted) > 1:
            del self.counted[0]
        return SourceCount(rows, len(self.rows), "2026-10-01T00:00:00Z", self.of_lines)

    def pull(self, since: Watermark | None) -> Iterator[Page]:
        """Give what is there now, and change behind the reader."""
        self.asked.append(since)
        found = self._since(since)
        self.rows = self.meanwhile(self.rows)
        columns = zip(*found, strict=True) if found else ([], [], [])
        arrays = [pa.array(column, pa.string()) for column in columns]
        yield Page(pa.RecordBatch.from_arrays(arrays, ["id", "at", "name"]), None, "text/plain")


def people(first: int, last: int, at: str = "1") -> list[Row]:
    return [(f"k{number:04}", at, "x") for number in range(first, last + 1)]


def take(register: Register, since: Watermark | None = None) -> Census:
    with duckdb.connect() as engine:
        census = Census(register, since, engine, register.source.key)
        for asked in census.asked():
            for page in register.pull(asked):
                rows = pa.Table.from_batches([page.rows])
                census.newest = max([census.newest, *(Watermark(at) for at in rows["at"].to_pylist() if at)])
                census.add(rows)
        assert census.pulled == census.count.rows
        return census


@pytest.mark.parametrize("since", [None, Watermark("2")])
def test_a_source_that_stands_still_is_counted_and_pulled_once(since: Watermark | None) -> None:
    register = Register(people(1, 10) + people(11, 30, "2"))
    assert take(register, since).pulled == (30 if since is None else 20)
    assert register.asked == [since]


@pytest.mark.parametrize("counted", [1, 99, 101, 120 * 2, 0])
@pytest.mark.parametrize("of_lines", [False, True])
def test_a_difference_that_stays_stops_the_run_and_tells_both_numbers(counted: int, of_lines: bool) -> None:
    register = Register(people(1, 100), [counted], of_lines=of_lines)
    with pytest.raises(ContractError, match=rf"counts {counted} records, and 100 came: \d+ (more|fewer)"):
        take(register)
    assert len(register.asked) == 1


def test_a_difference_that_stays_while_the_count_moves_stops_the_run() -> None:
    with pytest.raises(ContractError, match="50 came"):
        take(Register(people(1, 50), [100, 101, 102, 103, 104, 105]))
    with pytest.raises(ContractError, match="50 came"):
        take(Register(people(1, 50), [40, 39, 38, 37, 36, 35, 34]))


def test_records_that_came_while_the_pages_were_read_are_pulled_from_the_newest_on() -> None:
    register = Register(people(1, 50), [48, 60])
    register.meanwhile = lambda rows: people(1, 50) + people(51, 60, "2")
    assert take(register).pulled == 60
    assert register.asked == [None, Watermark("1")]


def test_a_late_record_behind_the_reader_is_found_by_a_second_whole_pull() -> None:
    register = Register(people(1, 50, "5"), [49, 51])
    register.meanwhile = lambda rows: people(1, 50, "5") + people(51, 51, "1")
    assert take(register).pulled == 51
    assert register.asked[-1] is None


def test_records_that_vanish_behind_the_reader_are_no_more_than_the_source_has() -> None:
    register = Register(people(1, 50), [51, 49])
    register.meanwhile = lambda rows: people(1, 49)
    assert take(register).pulled == 49
    assert register.asked == [None, None]


def test_a_record_that_changes_while_it_is_pulled_comes_twice_and_counts_once() -> None:
    assert take(Register([*people(1, 50), ("k0007", "2", "y")], [50])).pulled == 50


def test_pages_that_overlap_count_a_record_once_and_hide_no_other() -> None:
    assert take(Register(people(1, 50) + people(41, 50), [50])).pulled == 50
    with pytest.raises(ContractError, match=r"counts 60 records, and 50 came \(60 rows, some twice\): 10 fewer"):
        take(Register(people(1, 50) + people(41, 50), [60]))


def test_lines_of_a_manifest_count_as_often_as_they_stand() -> None:
    assert take(Register(people(1, 50) + people(41, 50), [60], of_lines=True)).pulled == 60


def test_versions_of_a_record_may_be_what_a_source_counts() -> None:
    assert take(Register(people(1, 50) + people(1, 50, "2"), [100])).pulled == 100


def test_records_without_a_key_or_a_cursor_are_counted_by_what_they_hold() -> None:
    rows: list[Row] = [(None, None, "a"), (None, None, "b"), ("k1", None, "c"), (None, "1", "a"), ("k1", "1", "c")]
    assert take(Register(rows, [5])).pulled == 5


def test_a_source_that_never_stands_still_has_what_it_had_between_two_counts() -> None:
    register = Register(people(1, 50), [48, 51, 53, 55, 57, 59])
    register.meanwhile = lambda rows: people(1, len(rows) + 2)
    with duckdb.connect() as engine:
        census = Census(register, None, engine, register.source.key)
        for asked in census.asked():
            for page in register.pull(asked):
                census.newest = Watermark("1")
                census.add(pa.Table.from_batches([page.rows]))
        assert (census.pulled, census.count.rows) == (56, 57)
        assert len(register.asked) == completeness.TRIES


def test_a_source_that_sends_without_end_is_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MOTLAN_COUNT_SLACK", "10")
    register = Register(people(1, 100), [10, 12])
    with duckdb.connect() as engine, pytest.raises(ContractError, match="counts 12 records"):
        census = Census(register, None, engine, register.source.key)
        for _ in census.asked():
            while True:
                census.add(pa.Table.from_batches([page.rows for page in register.pull(None)]))
