"""The published administrative codes and the weighted choices of the world, as tables in DuckDB."""

from __future__ import annotations

from pathlib import Path

import duckdb

from simulators import names

CODES = Path(__file__).resolve().parent.parent / "mapping" / "codes"

SLOTS = 4096
"""Slots of every weighted choice and key: a choice is a look-up by number, `key's start + below(who, salt, SLOTS)`."""

POPULATION = {
    "01": 8.7, "04": 0.55, "08": 1.8, "11": 0.65, "12": 0.5, "14": 1.3, "15": 1.75, "19": 1.75, "20": 0.8, "22": 1.4,
    "24": 3.6, "25": 3.9, "31": 4.6, "33": 3.6, "37": 4.4, "38": 4.2, "40": 3.7, "42": 1.6, "44": 1.8, "46": 1.4,
    "48": 3.0, "51": 2.1, "52": 3.5, "56": 2.2, "66": 3.3, "68": 3.8, "75": 4.4, "79": 14.0, "80": 3.2, "82": 4.3,
    "86": 4.2, "91": 4.9, "92": 4.2, "96": 2.6,
}  # fmt: skip
"""Millions of people by province of July 2025, about: only the proportions matter."""


def _fill(con: duckdb.DuckDBPyConnection, kind: str, rows: list[tuple[str, str, float]]) -> None:
    """Share out a kind's slots: those of a key follow those of the key before it."""
    shared = names.slots(rows, SLOTS)
    start = {key: SLOTS * number for number, key in enumerate(dict.fromkeys(key for key, *_ in shared))}
    spans = [(key, value, start[key] + first, start[key] + after) for key, value, first, after in shared]
    keys, values, firsts, ends = (list(column) for column in zip(*spans, strict=True))
    con.execute(
        """
        INSERT INTO pick SELECT ?, key, unnest(range(first, after)), value
        FROM (SELECT unnest(?::VARCHAR[]) AS key, unnest(?::VARCHAR[]) AS value, unnest(?::INT[]) AS first,
          unnest(?::INT[]) AS after)
        """,
        [kind, keys, values, firsts, ends],
    )


def load(con: duckdb.DuckDBPyConnection) -> None:
    """Create the tables of codes and choices in `con`.

    - `commune_now(code, province, name)`: the communes of July 2025.
    - `commune_alternatives(code, province, name, former, whole, split, reused)`: a commune of July 2025, and lists of
      {code, province, name} of former communes that became (part of) it: all, retired codes with one successor,
      retired codes with several, and codes that today mean another commune.
    - `ethnic_group(code, name, style)`: style is the key of its family names.
    - `pick(kind, key, slot, value)`: kinds `commune` (key ''), `birthplace` (key: province), `old_commune` (key: former
      province), `family` (style), `middle` (sex), `given` (sex or style), `group` (key ''), `home` (ethnic code).
    """
    con.execute(
        f"""
        CREATE TABLE listed AS SELECT * FROM read_csv('{CODES / "communes.csv"}', all_varchar = true);
        CREATE TABLE commune_now AS SELECT code, province, name FROM listed WHERE valid_to IS NULL;
        CREATE TABLE commune_old AS
          SELECT code, province, name, unnest(string_split(successors, ';')) AS successor,
            contains(successors, ';') AS divided, code IN (SELECT code FROM commune_now) AS lives_on
          FROM listed WHERE valid_to IS NOT NULL;
        CREATE TABLE commune_alternatives AS
          WITH old AS (SELECT *, {{'code': code, 'province': province, 'name': name}} AS unit FROM commune_old)
          SELECT now.*, list(unit ORDER BY old.code) AS former,
            list(unit ORDER BY old.code) FILTER (NOT lives_on AND NOT divided) AS whole,
            list(unit ORDER BY old.code) FILTER (NOT lives_on AND divided) AS split,
            list(unit ORDER BY old.code) FILTER (lives_on AND old.code <> now.code) AS reused
          FROM commune_now now JOIN old ON successor = now.code GROUP BY ALL;
        CREATE TABLE province_old AS
          SELECT code, successors AS successor
          FROM read_csv('{CODES / "provinces.csv"}', all_varchar = true) WHERE valid_to IS NOT NULL;
        CREATE TABLE ethnic_group (code VARCHAR, name VARCHAR, style VARCHAR);
        CREATE TABLE pick (kind VARCHAR, key VARCHAR, slot INTEGER, value VARCHAR);
        """
    )
    con.executemany("INSERT INTO ethnic_group VALUES (?, ?, ?)", [group[:3] for group in names.GROUPS])
    _fill(con, "family", list(names.families()))
    _fill(con, "middle", list(names.middles()))
    _fill(con, "given", list(names.givens()))
    _fill(con, "ethnic", [("", group[0], group[3]) for group in names.GROUPS])
    now = con.execute("SELECT province, code FROM commune_now ORDER BY code").fetchall()
    size = {p: sum(1 for q, _ in now if q == p) for p in POPULATION}
    anywhere = [("", code, POPULATION[p] / size[p]) for p, code in now]
    homes = [(g[0], code, 1.0) for g in names.GROUPS if g[4] for p, code in now if p in g[4].split()]
    _fill(con, "commune", anywhere + homes)
    old = con.execute("SELECT code, successor FROM province_old ORDER BY code").fetchall()
    births = [(p, code, 40.0 if successor == p else 0.15) for p in POPULATION for code, successor in old]
    _fill(con, "birthplace", births)
    units = con.execute("SELECT DISTINCT province, code FROM commune_old ORDER BY ALL").fetchall()
    _fill(con, "old_commune", [(p, code, 1.0) for p, code in units])
    con.execute(_PICKS)


_PICKS = """
CREATE TABLE start AS SELECT kind, key, min(slot) AS slot FROM pick GROUP BY ALL;
CREATE TABLE pick_family AS SELECT slot, value FROM pick WHERE kind = 'family';
CREATE TABLE pick_middle AS SELECT slot, value FROM pick WHERE kind = 'middle';
CREATE TABLE pick_given AS SELECT slot, value FROM pick WHERE kind = 'given';
CREATE TABLE pick_old_commune AS SELECT slot, value FROM pick WHERE kind = 'old_commune';
CREATE TABLE pick_ethnic AS
  SELECT pick.slot, value, name, style, family.slot AS family_start, given.slot AS given_start, home.slot AS home_start
  FROM pick JOIN ethnic_group ON code = value
  JOIN start family ON family.kind = 'family' AND family.key = style
  JOIN start given ON given.kind = 'given' AND given.key = if(style IN ('ede', 'giarai'), 'ede_male', 'male')
  LEFT JOIN start home ON home.kind = 'commune' AND home.key = code
  WHERE pick.kind = 'ethnic';
CREATE TABLE pick_commune AS
  SELECT pick.slot, value, province, name, start.slot AS birthplace_start
  FROM pick JOIN commune_now ON code = value JOIN start ON start.kind = 'birthplace' AND start.key = province
  WHERE pick.kind = 'commune';
CREATE TABLE pick_birthplace AS
  SELECT pick.slot, value, start.slot AS old_commune_start
  FROM pick JOIN start ON start.kind = 'old_commune' AND start.key = value
  WHERE pick.kind = 'birthplace';
DROP TABLE pick;
DROP TABLE start;
"""
