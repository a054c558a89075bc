"""Make a world on disk: the truth, the registers' rows, and the log of what is wrong with them.

Layout of the folder:

- `world.json`: how it was made; `credentials.json`: user and secret of each agency; `today`: the day the agencies show.
- `registers/<dataset>/rows.parquet`: every version of every row as served, ordered by (moment, key). `_day` is the first
  day it is served, `_until` the day a newer version replaces it, `_pos` its place in the order.
- `truth/`: for scoring only; see docs/reference/agencies.md.
"""

from __future__ import annotations

import json
import secrets
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb

from simulators import codes, events, histories, people, registers
from simulators.damage import define_damage
from simulators.dirt import Profile, make_dirt
from simulators.people import Range, whole

AGENCIES = ("population", "insurance", "tax", "education")


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
    counts = make_range(
        whole(people), Files(out), out / "scratch", seed=seed, days=days, profile=profile, dense=dense, threads=threads
    )
    counts = {"people": people, "seed": seed, "days": days, "profile": dirt, "dense": dense, **counts}
    write_json(out / "truth" / "counts.json", counts)
    write_json(out / "world.json", {"people": people, "seed": seed, "days": days, "dirt": dirt, "dense": dense})
    _write_credentials(out)
    (out / "today").write_text("0", encoding="ascii")
    return counts


@dataclass(frozen=True)
class Files:
    """Where a range of a world is written: as a world of its own, or (`number` given) as a file among other ranges'."""

    out: Path
    number: int | None = None

    def rows(self, dataset: str) -> Path:
        """File of a register's rows."""
        if self.number is None:
            return self.out / "registers" / dataset / "rows.parquet"
        return self.out / "landed" / dataset / f"{self.number:06d}.parquet"

    @property
    def row_group(self) -> int:
        """Rows in a row group: few where servers read pages from the middle."""
        return 20_480 if self.number is None else 122_880

    def truth(self, table: str) -> Path:
        """File of a table of the truth: `persons`, `rows`, `dirt`, or `histories` where the world has days."""
        name = f"{table}.parquet" if self.number is None else f"{table}/{self.number:06d}.parquet"
        return self.out / "truth" / name


def make_range(
    part: Range,
    files: Files,
    scratch: Path,
    *,
    seed: int,
    days: int,
    profile: Profile,
    dense: bool,
    threads: int | None = None,
    memory_limit: str | None = None,
) -> dict[str, Any]:
    """Make the people of a range, their registers' rows and the truth about them.

    Args:
        part: which people.
        files: where to write.
        scratch: folder of what does not fit in memory; removed afterwards.
        seed: as for `make_world`.
        days: days of changes after day 0; of a range that is the whole country.
        profile: how often what is wrong.
        dense: as for `make_world`.
        threads: threads of DuckDB, all cores by default.
        memory_limit: memory of DuckDB, such as `3GB`.

    Returns:
        The realised counts.

    Raises:
        ValueError: the ranges are too many for their serial numbers of personal IDs.
        RuntimeError: a range does not fit in memory, so that its rows lost their order.
    """
    given = {
        "temp_directory": str(scratch),
        "threads": threads,
        "memory_limit": memory_limit,
        # Joins are done as they are written, the larger side first: rows keep its order, and need no sort of wide rows.
        "disabled_optimizers": "join_order,build_side_probe_side",
    }
    con = duckdb.connect(config={name: value for name, value in given.items() if value})
    try:
        _make_people(con, part, seed, days, profile, dense)
        registers.make_relatives(con)
        define_damage(con)
        histories.make_histories(con, profile, part.people, days)
        con.execute(_LOGS.format(dataset=f"ENUM {tuple(sorted(events.DATASETS))}"))
        for dataset in events.DATASETS:
            registers.define_versions(con, dataset, days, profile.rate("duplicate_row", dataset))
            make_dirt(con, dataset, profile, part.first)
            _write_register(con, dataset, files)
        _write_truth(con, files, days)
        return _counts(con, days)
    finally:
        con.close()
        shutil.rmtree(scratch, ignore_errors=True)


def _clear(out: Path) -> None:
    for name in ("registers", "truth", "scratch", "tax", "education"):
        shutil.rmtree(out / name, ignore_errors=True)
    (out / "agencies.json").unlink(missing_ok=True)
    (out / "truth").mkdir(parents=True)


def _make_people(
    con: duckdb.DuckDBPyConnection, part: Range, seed: int, days: int, profile: Profile, dense: bool
) -> None:
    codes.load(con)
    people.define_chance(con, seed)
    births = events.a_day(events.BIRTHS, part.people)
    twins = profile.history(histories.TWINS, part.people)
    people.make_people(con, part, days, births, profile.world("namesake"), dense, twins if days else 0)
    events.make_events(con, part, days, profile.world("no_population_record"))


def _write_register(con: duckdb.DuckDBPyConnection, dataset: str, files: Files) -> None:
    file = files.rows(dataset)
    file.parent.mkdir(parents=True, exist_ok=True)
    rows = "served"
    if histories.lay_over(con, dataset):
        rows = """(SELECT * REPLACE (row_number() OVER (ORDER BY _moment, _key, _day) AS _pos)
          FROM (FROM served UNION ALL BY NAME FROM drafted) ORDER BY _pos)"""
    con.execute(
        f"""
        COPY (SELECT * REPLACE (strftime(_moment, '%Y-%m-%dT%H:%M:%S.%fZ') AS _moment) FROM {rows})
        TO '{file}' (FORMAT parquet, COMPRESSION zstd, COMPRESSION_LEVEL 1, ROW_GROUP_SIZE {files.row_group}, PRESERVE_ORDER true)
        """
    )
    in_order = f"SELECT bool_and(_pos = file_row_number + 1) FROM read_parquet('{file}', file_row_number = true)"
    if con.execute(in_order).fetchone() == (False,):
        raise RuntimeError(f"{file} is out of order: its range does not fit in memory; make ranges smaller")
    con.execute(
        f"""
        INSERT INTO shown SELECT '{dataset}', _number, true_id, _day FROM turn;
        DROP VIEW IF EXISTS drafted;
        DROP VIEW served;
        DROP VIEW record;
        DROP VIEW version;
        DROP TABLE hit;
        DROP TABLE turn;
        """
    )


def _write_truth(con: duckdb.DuckDBPyConnection, files: Files, days: int) -> None:
    key = " ".join(f"WHEN '{name}' THEN {registers.key_text(name, 'number')}" for name in events.DATASETS)
    key = f"CASE dataset {key} END AS key"
    version = _VERSION.format(days=days) if days else "0"
    tables = {
        "persons": _PERSONS.format(version=version),
        "rows": f"SELECT dataset::VARCHAR AS dataset, {key}, true_id, day AS valid_from_day "
        "FROM (FROM shown ORDER BY dataset, number, day)",
        "dirt": f"SELECT dataset::VARCHAR AS dataset, {key}, * EXCLUDE (dataset, number) "
        'FROM (FROM dirt ORDER BY dataset, number, day, "column")',
    }
    if days:
        tables["histories"] = f"SELECT {key}, * EXCLUDE (number) FROM ({histories.HISTORIES})"
    for name, query in tables.items():
        file = files.truth(name)
        file.parent.mkdir(parents=True, exist_ok=True)
        con.execute(f"COPY ({query}) TO '{file}' (FORMAT parquet, COMPRESSION zstd, COMPRESSION_LEVEL 1)")


def _counts(con: duckdb.DuckDBPyConnection, days: int) -> dict[str, Any]:
    """Rows per dataset and day, damaged values and rows per dataset and kind, people, events per day."""
    dirt: dict[str, dict[str, int]] = {dataset: {} for dataset in events.DATASETS}
    hit: dict[str, dict[str, int]] = {dataset: {} for dataset in events.DATASETS}
    query = (
        "SELECT dataset, kind, count(*), count(DISTINCT number) FILTER (day = 0) FROM dirt GROUP BY 1, 2 ORDER BY 1, 2"
    )
    for dataset, kind, values, keys in con.execute(query).fetchall():
        dirt[dataset][kind] = values
        hit[dataset][kind] = keys
    kinds = ("birth", "id", *events.KINDS)
    return {
        "rows": {
            name: _by_day(con, f"shown WHERE dataset = '{name}'", "day", range(days + 1)) for name in events.DATASETS
        },
        "dirt": dirt,
        "dirty_rows_day0": hit,
        "world": _facts(con.execute(_WORLD)),
        "histories": dict(con.execute(_HISTORIES).fetchall()) if days else {},
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
    _keep_credentials(out, {name: f"{users[name]}:{secrets.token_urlsafe(18)}" for name in AGENCIES})


def take_credentials(out: Path, folder: Path) -> None:
    """Give the agencies of a world the credentials that others made: `credential_<agency>` in a folder, with `user:secret` each.

    Raises:
        OSError: A file is missing.
    """
    told = {name: (folder / f"credential_{name}").read_text(encoding="utf-8").strip() for name in AGENCIES}
    _keep_credentials(out, told)


def _keep_credentials(out: Path, told: dict[str, str]) -> None:
    path = out / "credentials.json"
    path.touch(mode=0o600)
    write_json(path, told)
    path.chmod(0o600)


def write_json(path: Path, value: Any) -> None:
    """Write a small file for people and machines."""
    path.write_text(json.dumps(value, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")


_LOGS = """
-- Every row served, and every damaged value; `number` stands for a row's key.
CREATE TABLE shown (dataset {dataset}, number UBIGINT, true_id BIGINT, day INTEGER);
CREATE TABLE dirt (dataset {dataset}, number UBIGINT, day INTEGER, "column" VARCHAR, kind VARCHAR, truth VARCHAR,
  damaged VARCHAR);
"""

_WORLD = """
SELECT count(*) FILTER (birth_day = 0) AS people, count(death_date) AS dead_on_day0,
  count(*) FILTER (birth_day = 0 AND NOT in_population) AS no_population_record,
  count(*) FILTER (birth_day = 0 AND id_day IS DISTINCT FROM 0) AS no_personal_id,
  count(DISTINCT household) AS households,
  (SELECT count(*) FROM (SELECT count(*) OVER (PARTITION BY full_name, birth_date) AS n FROM life) WHERE n > 1) AS namesakes
FROM life
"""

_HISTORIES = f"""
SELECT kind, count(*) FROM episode GROUP BY kind
UNION ALL SELECT '{histories.TWINS}', count(*) FROM life WHERE twin_of IS NOT NULL HAVING count(*) > 0 ORDER BY 1
"""

_PERSONS = """
SELECT true_id, valid_from_day::INTEGER AS valid_from_day,
  if(id_day <= valid_from_day, personal_id, NULL) AS personal_id, cmnd,
  if(name_day <= valid_from_day, new_name, full_name) AS full_name, birth_date, sex, ethnicity, birth_province,
  if(move_day <= valid_from_day, new_commune, commune) AS residence_commune,
  if(move_day <= valid_from_day, new_province, province) AS residence_province,
  coalesce(death_date, if(death_day <= valid_from_day, DATE '2026-10-01' + death_day::INTEGER, NULL)) AS death_date,
  in_population, household AS household_id, tax_code, social_insurance_code, health_card, education_id
FROM (
  SELECT *, {version} AS valid_from_day FROM life
  UNION ALL BY NAME
  SELECT life.* REPLACE (became.personal_id AS personal_id, became.birth_date AS birth_date, became.sex AS sex,
    became.birth_province AS birth_province, became.in_population AS in_population, became.tax_code AS tax_code,
    became.social_insurance_code AS social_insurance_code, became.health_card AS health_card,
    became.education_id AS education_id), became.day AS valid_from_day
  FROM became JOIN life USING (true_id)
)
ORDER BY true_id, valid_from_day
"""

_VERSION = """
unnest(list_distinct(list_filter([birth_day, death_day, move_day, name_day, job_day, school_day, id_day],
  lambda d: d >= birth_day AND d <= {days})))
"""
