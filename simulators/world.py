"""Make a world on disk: the truth, the registers' rows, and the log of what is wrong with them.

Layout of the folder:

- `world.json`: how it was made; `credentials.json`: user and secret of each agency; `today`: the day the agencies show.
- `registers/<dataset>/rows.parquet`: every version of every row as served, ordered by (moment, key). `_day` is the first
  day it is served, `_until` the day a newer version replaces it, `_pos` its place in the order.
- `truth/`: for scoring only; see docs/agencies.md.
"""

from __future__ import annotations

import json
import secrets
import shutil
from pathlib import Path
from typing import Any

import duckdb

from simulators import codes, events, people, registers
from simulators.damage import define_damage
from simulators.dirt import Profile, make_dirt

AGENCIES = ("population", "insurance", "tax", "education")

_ROW_GROUP = 20480


def make_world(
    out: Path | str,
    *,
    people: int,
    seed: int,
    days: int = 0,
    dirt: str = "default",
    dense: bool = False,
    threads: int | None = None,
) -> dict[str, Any]:
    """Make a world of synthetic people and their registers.

    The same arguments make the same rows, whatever the number of threads; only the credentials are new each time.

    Args:
        out: folder to make; what an earlier world left in it is removed.
        people: number of people on day 0, 12 at least.
        seed: any integer.
        days: days of changes after day 0.
        dirt: profile of `dirt.yaml`: `default`, `heavy` or `clean`.
        dense: whatever the number of people is, let about 2,700 of them share a birth date, so that as many namesakes
            share one as among 100 million: few dates over the same ages. Small worlds are misleadingly easy to link
            otherwise. Full density takes 67,500 people; newborns of the days keep their dates.
        threads: threads of DuckDB, all cores by default.

    Returns:
        The realised counts, as in `truth/counts.json`.

    Raises:
        ValueError: too few people, negative days, or an unknown profile.
    """
    if people < 12 or days < 0:
        raise ValueError("a world needs at least 12 people and no negative number of days")
    profile = Profile(dirt)
    out = Path(out)
    _clear(out)
    con = duckdb.connect(config={"temp_directory": str(out / "scratch"), **({"threads": threads} if threads else {})})
    try:
        _make_people(con, people, seed, days, profile, dense)
        registers.make_registers(con, days, {name: profile.rate("duplicate_row", name) for name in events.DATASETS})
        define_damage(con)
        con.execute(
            'CREATE TABLE dirt (dataset VARCHAR, key VARCHAR, day INTEGER, "column" VARCHAR, kind VARCHAR, truth VARCHAR, '
            "damaged VARCHAR)"
        )
        for dataset in events.DATASETS:
            make_dirt(con, dataset, profile)
            _write_register(con, dataset, out)
        _write_truth(con, out, days)
        counts = _counts(con, days)
    finally:
        con.close()
    counts = {"people": people, "seed": seed, "days": days, "profile": dirt, "dense": dense, **counts}
    _write_json(out / "truth" / "counts.json", counts)
    _write_json(out / "world.json", {"people": people, "seed": seed, "days": days, "dirt": dirt, "dense": dense})
    _write_credentials(out)
    (out / "today").write_text("0", encoding="ascii")
    shutil.rmtree(out / "scratch", ignore_errors=True)
    return counts


def _clear(out: Path) -> None:
    for name in ("registers", "truth", "scratch", "tax", "education"):
        shutil.rmtree(out / name, ignore_errors=True)
    (out / "agencies.json").unlink(missing_ok=True)
    (out / "truth").mkdir(parents=True)


def _make_people(
    con: duckdb.DuckDBPyConnection, count: int, seed: int, days: int, profile: Profile, dense: bool
) -> None:
    codes.load(con)
    people.define_chance(con, seed)
    births = events.a_day(events.BIRTHS, count)
    people.make_people(con, count, days, births, profile.world("namesake"), dense)
    events.make_events(con, count, days, profile.world("no_population_record"))


def _write_register(con: duckdb.DuckDBPyConnection, dataset: str, out: Path) -> None:
    folder = out / "registers" / dataset
    folder.mkdir(parents=True)
    con.execute(
        f"""
        COPY (SELECT * EXCLUDE (_true_id) REPLACE (strftime(_moment, '%Y-%m-%dT%H:%M:%S.%fZ') AS _moment)
          FROM served ORDER BY _pos)
        TO '{folder / "rows.parquet"}' (FORMAT parquet, COMPRESSION zstd, ROW_GROUP_SIZE {_ROW_GROUP})
        """
    )
    # Only what the counts and the truth need stays in memory.
    con.execute(
        f"""
        CREATE TABLE row_{dataset} AS SELECT _key, _true_id, _day FROM damaged;
        DROP VIEW served;
        DROP TABLE damaged;
        DROP TABLE turn;
        """
    )


def _write_truth(con: duckdb.DuckDBPyConnection, out: Path, days: int) -> None:
    truth = out / "truth"
    con.execute(f"COPY ({_PERSONS.format(days=days)}) TO '{truth / 'persons.parquet'}' (FORMAT parquet)")
    rows = " UNION ALL ".join(
        f"SELECT '{dataset}' AS dataset, _key AS key, _true_id AS true_id, _day AS valid_from_day FROM row_{dataset}"
        for dataset in events.DATASETS
    )
    con.execute(f"COPY ({rows} ORDER BY dataset, key, valid_from_day) TO '{truth / 'rows.parquet'}' (FORMAT parquet)")
    con.execute(
        f"COPY (FROM dirt ORDER BY dataset, key, day, \"column\") TO '{truth / 'dirt.parquet'}' (FORMAT parquet)"
    )


def _counts(con: duckdb.DuckDBPyConnection, days: int) -> dict[str, Any]:
    """Rows per dataset and day, damaged values and rows per dataset and kind, people, events per day."""
    dirt: dict[str, dict[str, int]] = {dataset: {} for dataset in events.DATASETS}
    hit: dict[str, dict[str, int]] = {dataset: {} for dataset in events.DATASETS}
    query = "SELECT dataset, kind, count(*), count(DISTINCT key) FILTER (day = 0) FROM dirt GROUP BY 1, 2 ORDER BY 1, 2"
    for dataset, kind, values, keys in con.execute(query).fetchall():
        dirt[dataset][kind] = values
        hit[dataset][kind] = keys
    kinds = ("birth", "id", *events.KINDS)
    return {
        "rows": {name: _by_day(con, f"row_{name}", "_day", range(days + 1)) for name in events.DATASETS},
        "dirt": dirt,
        "dirty_rows_day0": hit,
        "world": _facts(con.execute(_WORLD)),
        "events": {kind: _by_day(con, "life", f"{kind}_day", range(1, days + 1)) for kind in kinds},
    }


def _by_day(con: duckdb.DuckDBPyConnection, table: str, column: str, days: range) -> dict[str, int]:
    found = dict(con.execute(f"SELECT {column}, count(*) FROM {table} GROUP BY 1").fetchall())
    return {str(day): found.get(day, 0) for day in days}


def _facts(cursor: duckdb.DuckDBPyConnection) -> dict[str, int]:
    names = [column[0] for column in cursor.description or ()]
    return dict(zip(names, cursor.fetchone() or (), strict=True))


def _write_credentials(out: Path) -> None:
    users = {"population": "motlan", "insurance": "motlan", "tax": "motlan", "education": "education_reader"}
    path = out / "credentials.json"
    _write_json(path, {name: f"{users[name]}:{secrets.token_urlsafe(18)}" for name in AGENCIES})
    path.chmod(0o600)


def _write_json(path: Path, value: Any) -> None:
    path.write_text(json.dumps(value, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")


_WORLD = """
SELECT count(*) FILTER (birth_day = 0) AS people, count(death_date) AS dead_on_day0,
  count(*) FILTER (birth_day = 0 AND NOT in_population) AS no_population_record,
  count(*) FILTER (birth_day = 0 AND id_day IS DISTINCT FROM 0) AS no_personal_id,
  count(DISTINCT household) AS households,
  (SELECT count(*) FROM (SELECT count(*) OVER (PARTITION BY full_name, birth_date) AS n FROM life) WHERE n > 1) AS namesakes
FROM life
"""

_PERSONS = """
WITH version AS (
  SELECT *, unnest(list_distinct(list_filter([birth_day, death_day, move_day, name_day, job_day, school_day, id_day],
    lambda d: d >= birth_day AND d <= {days}))) AS valid_from_day
  FROM life
)
SELECT true_id, valid_from_day::INTEGER AS valid_from_day,
  if(id_day <= valid_from_day, personal_id, NULL) AS personal_id, cmnd,
  if(name_day <= valid_from_day, new_name, full_name) AS full_name, birth_date, sex, ethnicity, birth_province,
  if(move_day <= valid_from_day, new_commune, commune) AS residence_commune,
  if(move_day <= valid_from_day, new_province, version.province) AS residence_province,
  coalesce(death_date, if(death_day <= valid_from_day, DATE '2026-10-01' + death_day::INTEGER, NULL)) AS death_date,
  in_population, household AS household_id, tax_code, social_insurance_code, health_card, education_id
FROM version LEFT JOIN moved USING (true_id)
ORDER BY true_id, valid_from_day
"""
