"""Days of changes: each record changes once at the most, in shares as declared, and the figures follow from what was measured."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import duckdb
import pytest

from bench.incremental import result
from bench.incremental.changes import KINDS, NEW, files_of, make
from motlan.errors import ConfigurationError

ROWS = 20_000


@pytest.fixture
def country(tmp_path: Path) -> Path:
    """Make registers of plain rows in which every column that a kind of change names has a value of its own."""
    for name in {kind.dataset for kind in KINDS}:
        kinds = [kind for kind in KINDS if kind.dataset == name]
        columns = dict.fromkeys(column for kind in kinds for column in (*kind.given, *kind.made))
        values = "".join(f", 'V' || lpad(i::varchar, 7, '0') as \"{column}\"" for column in columns)
        folder = tmp_path / "world" / "landed" / name
        folder.mkdir(parents=True)
        for part in range(2):
            target = folder / f"{part:06d}.parquet"
            duckdb.sql(
                f"""copy (select i as _pos, 'K' || i as _key, '2020-01-01T00:00:00.000000Z' as _moment{values}
                    from range({part * ROWS // 2}, {(part + 1) * ROWS // 2}) as r(i)) to '{target}' (format parquet)"""
            )
    return tmp_path


def test_shares_of_a_day_are_the_whole_of_it() -> None:
    assert sum(kind.share for kind in KINDS) + sum(NEW.values()) == pytest.approx(1)


def test_records_change_once_and_new_ones_were_kept_back(country: Path) -> None:
    make(country, days=3, changes=1_000, seed=7)
    for name in {kind.dataset for kind in KINDS}:
        first = duckdb.sql(f"from read_parquet({[str(path) for path in files_of(country, name, 0)]})")
        assert len(files_of(country, name, 0)) == 2
        new = round(NEW.get(name, 0) * 1_000)
        assert ROWS - first.count("*").fetchall()[0][0] == pytest.approx(3 * new, abs=60)
        seen = 0
        for day in (1, 2, 3):
            rows = duckdb.sql(f"from '{files_of(country, name, day)[0]}'")
            assert rows.columns == first.columns
            (count, earliest, latest) = duckdb.sql("select count(*), min(_moment), max(_moment) from rows").fetchall()[
                0
            ]
            assert earliest >= f"2026-10-{1 + day:02d}T" and latest < f"2026-10-{2 + day:02d}T"
            fresh = duckdb.sql("select count(*) from rows anti join first using (_key)").fetchall()[0][0]
            wanted = 1_000 * sum(kind.share for kind in KINDS if kind.dataset == name)
            assert count - fresh == pytest.approx(wanted, rel=0.3, abs=20)
            assert fresh == pytest.approx(new, abs=25)
            seen += count
        days = [str(path) for day in (1, 2, 3) for path in files_of(country, name, day)]
        assert duckdb.sql(f"select count(distinct _key) from read_parquet({days})").fetchall() == [(seen,)]


def test_too_many_changes_are_refused(country: Path) -> None:
    with pytest.raises(ConfigurationError, match="too few for so many changes"):
        make(country, days=100, changes=1_000, seed=7)


def test_figures_follow_from_what_was_measured() -> None:
    def measured(seconds: float, **other: Any) -> dict[str, Any]:
        return {
            "seconds": {"land": 0.0, "link": seconds},
            "bytes": {"link": int(seconds * 100)},
            "rows": 5,
            "why": "",
        } | other

    days = [measured(seconds, scope="changed") for seconds in (9.0, 2.0, 2.0, 2.0, 2.0, 2.2, 2.2, 2.2)]
    whole = measured(20.0, scanned=400, equal=True, written={}, changed=[0], same_scores=True)
    found = result(measured(40.0), days, measured(1.0), measured(2.0, scanned=20), whole)
    figures = found["figures"]
    assert (figures["time_share"], figures["unchanged_share"], figures["equal_to_full"]) == (0.0525, 0.025, 1)
    assert (figures["growth"], figures["growth_last"], figures["rows_read_share"]) == (1.1, 1.1, 0.05)
    assert (figures["reconcile_share"], figures["runs_full"]) == (0.11, 0)
