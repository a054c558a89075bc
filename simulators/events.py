"""Who is in which register, and what happens to people on the days after day 0.

A person meets each kind of event at most once in a world, so a version of a person or of a register's row is fully
described by the days on which its events happened, or were seen by the register.
"""

from __future__ import annotations

import duckdb

from simulators.people import DAY0, Range

BIRTHS = 0.0015
"""Newborns a day, as a share of people."""

KINDS: dict[str, tuple[float, str]] = {
    "death": (0.001, "birth_date < DATE '1975-01-01'"),
    "move": (0.003, "birth_day = 0"),
    "name": (0.001, "birth_day = 0 AND ends_with(full_name, given)"),
    "job": (0.003, "in_insurance AND working_age OR in_staff"),
    "school": (0.002, "in_pupils"),
}
"""Kind to (share of people a day, who it can happen to)."""

LEAST = 3
"""Events of a kind on a day, however small the world."""

SEEN: dict[str, dict[str, tuple[int, float]]] = {
    "population_citizens": {"birth": (0, 1), "id": (0, 1), "death": (0, 1), "move": (0, 1), "name": (0, 1)},
    "insurance_members": {
        "birth": (1, 0.85), "id": (1, 0.8), "death": (1, 0.75), "move": (1, 0.4), "name": (1, 0.6), "job": (0, 1),
    },
    "tax_taxpayers": {"death": (2, 0.5), "move": (1, 0.3), "name": (2, 0.4), "job": (0, 0.9)},
    "education_pupils": {"death": (1, 0.9), "move": (1, 0.5), "name": (1, 0.4), "school": (0, 1)},
    "education_staff": {"death": (1, 0.8), "move": (1, 0.3), "name": (1, 0.5), "job": (0, 1)},
}  # fmt: skip
"""Register to event kind to (days until the register sees it, share of events it sees at all)."""

MEMBERS = {
    "population_citizens": "in_population",
    "insurance_members": "in_insurance",
    "tax_taxpayers": "in_tax",
    "education_pupils": "in_pupils",
    "education_staff": "in_staff",
}
DATASETS = tuple(MEMBERS)


def a_day(share: float, people: int) -> int:
    """Number of events a day for a share of people."""
    return max(LEAST, round(share * people))


def make_events(con: duckdb.DuckDBPyConnection, part: Range, days: int, unregistered: float) -> None:
    """Create `life`: `person` with register membership, codes that follow from it, and the day of each event.

    Args:
        con: connection with `person`.
        part: which people of day 0.
        days: days after day 0.
        unregistered: share of people who are in no population record.
    """
    define_tax_codes(con)
    con.execute(_LIFE.format(employers=max(5, part.people // 40), unregistered=unregistered))
    if days:
        _let_happen(con, part.people, days)


def define_tax_codes(con: duckdb.DuckDBPyConnection) -> None:
    """Define `own_tax_code`, `second_tax_code` (of a duplicate row) and `employer_code`, which never meet."""
    con.execute(_TAX_CODES)


def _let_happen(con: duckdb.DuckDBPyConnection, people: int, days: int) -> None:
    con.execute("CREATE TABLE event (true_id BIGINT, kind VARCHAR, day BIGINT)")
    for kind, (share, condition) in KINDS.items():
        rate = a_day(share, people)
        con.execute(
            f"""
            INSERT INTO event
              SELECT true_id, '{kind}', 1 + (row_number() OVER (ORDER BY h(true_id, '{kind} event'), true_id) - 1) // {rate}
              FROM life WHERE death_date IS NULL AND ({condition})
              QUALIFY row_number() OVER (ORDER BY h(true_id, '{kind} event'), true_id) <= {rate * days}
            """
        )
    con.execute(_HAPPENED.format(columns=", ".join(f"max(day) FILTER (kind = '{k}') AS {k}_day" for k in KINDS)))


_TAX_CODES = """
CREATE MACRO weigh(n) AS 31 * (n // 10000000) + 29 * (n // 1000000 % 10) + 23 * (n // 100000 % 10)
  + 19 * (n // 10000 % 10) + 17 * (n // 1000 % 10) + 13 * (n // 100 % 10) + 7 * (n // 10 % 10) + 5 * (n % 10);
CREATE MACRO ninth(weight, wanted) AS if((weight + 3 * wanted) % 11 = 0, (wanted + 1) % 10, wanted);
CREATE MACRO with_check_digit(n, ninth) AS digits(n * 100 + ninth * 10 + 10 - (weigh(n) + 3 * ninth) % 11, 10);
-- Ten digits that obey stdnum.vn.mst: the ninth gives way where no check digit exists. Numbers that are alike but for
-- their hundreds of millions share eight digits; their ninths lie three apart, so that giving way keeps them apart.
CREATE MACRO tax_code(number) AS with_check_digit(scattered(number, 'tax code', 100000000),
  ninth(weigh(scattered(number, 'tax code', 100000000)), (number + 3 * (number // 100000000)) % 10));
-- Of 100 million numbers the first 40 are a person's own, the next 40 second codes of the same, the last are employers';
-- people from the 40 millionth on, and their second codes, have hundreds of millions of their own.
CREATE MACRO own_tax_code(id) AS tax_code(id + if(id < 40000000, 0, 100000000));
CREATE MACRO second_tax_code(id) AS tax_code(id + if(id < 40000000, 40000000, 200000000));
CREATE MACRO employer_code(number) AS tax_code(99999999 - number);
"""

_LIFE = f"""
CREATE TABLE life AS
WITH aged AS (
  SELECT *, date_diff('day', birth_date, {DAY0}) / 365.2425 AS age, year(birth_date) AS birth_year,
    u(true_id, 'health card') < 0.66 AS insured
  FROM person
), working AS (
  SELECT *, age BETWEEN 18 AND 61 AS working_age FROM aged
), member AS (
  SELECT *,
    u(true_id, 'unregistered') >= {{unregistered}} AS in_population,
    u(true_id, 'insured') < CASE WHEN age < 6 THEN 0.86 WHEN age < 18 THEN 0.76 WHEN age < 60 THEN 0.62 ELSE 0.74 END
      AS in_insurance,
    age BETWEEN 18 AND 85 AND u(true_id, 'taxed') < 0.38 AS in_tax,
    birth_year BETWEEN 2008 AND 2020 AND u(true_id, 'pupil') < if(birth_year = 2008, 0.35, 0.97)
      AND date_diff('day', birth_date, {DAY0}) > 0 AS in_pupils,
    age BETWEEN 22 AND 62 AND u(true_id, 'staff') < 0.115 AS in_staff,
    CASE WHEN working_age AND u(true_id, 'employed') < 0.6 THEN below(true_id, 'employer', {{employers}}) END AS employer,
    below(true_id, 'next employer', {{employers}}) AS next_employer
  FROM working
)
SELECT *,
  -- A child gets a personal ID some days after its birth is recorded, if at all in this world's time.
  CASE
    WHEN birth_day > 0 THEN CASE WHEN u(true_id, 'no number yet') < 0.75 THEN birth_day + 1 + below(true_id, 'number', 3) END
    WHEN birth_date > DATE '2026-08-15' AND death_date IS NULL AND u(true_id, 'no number yet') < 0.5
      THEN 1 + below(true_id, 'number', 5)
    ELSE 0 END AS id_day,
  if(in_tax, own_tax_code(true_id), NULL) AS tax_code,
  if(in_insurance, scatter(true_id, 'social insurance', 10), NULL) AS social_insurance_code,
  if(in_insurance, CASE WHEN age < 6 THEN 'TE1' WHEN age < 18 THEN 'HS4' WHEN age >= 80 THEN 'BT2' WHEN employer IS NOT NULL
    THEN 'DN4' ELSE 'GD4' END || province || scatter(true_id, 'social insurance', 10), NULL) AS health_card,
  if(in_pupils OR in_staff, scatter(true_id, 'education', 10), NULL) AS education_id,
  u(true_id, 'knows old card') AS card_roll,
  NULL::BIGINT AS death_day, NULL::BIGINT AS move_day, NULL::BIGINT AS name_day, NULL::BIGINT AS job_day,
  NULL::BIGINT AS school_day,
  NULL::VARCHAR AS new_name, NULL::VARCHAR AS new_commune, NULL::VARCHAR AS new_commune_name, NULL::VARCHAR AS new_province
FROM member;
DROP VIEW person;
DROP VIEW housed;
DROP TABLE resident;
DROP TABLE serial;
"""

_HAPPENED = """
UPDATE life SET death_day = happened.death_day,
  move_day = if(happened.move_day >= happened.death_day, NULL, happened.move_day),
  name_day = if(happened.name_day >= happened.death_day, NULL, happened.name_day),
  job_day = if(happened.job_day >= happened.death_day, NULL, happened.job_day),
  school_day = if(happened.school_day >= happened.death_day, NULL, happened.school_day),
  new_name = left(full_name, length(full_name) - length(given)) || other_given
FROM (SELECT true_id, {columns} FROM event GROUP BY true_id) happened WHERE life.true_id = happened.true_id;
-- The commune a person moves to.
UPDATE life SET new_commune = value, new_commune_name = name, new_province = pick_commune.province
FROM pick_commune WHERE slot = below(true_id, 'new commune', 4096) AND move_day IS NOT NULL;
DROP TABLE event;
"""
