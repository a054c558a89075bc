"""Who is in which register, and what happens to people on the days after day 0.

A person meets each kind of event at most once in a world, so a version of a person or of a register's row is fully
described by the days on which its events happened, or were seen by the register.
"""

from __future__ import annotations

import duckdb

from simulators.people import DAY0

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


def make_events(con: duckdb.DuckDBPyConnection, people: int, days: int, unregistered: float) -> None:
    """Create `life`: `person` with register membership, codes that follow from it, and the day of each event.

    Args:
        con: connection with `person`.
        people: people of day 0.
        days: days after day 0.
        unregistered: share of people who are in no population record.
    """
    con.execute(_MEMBERSHIP.format(employers=max(5, people // 40), unregistered=unregistered))
    con.execute("CREATE TABLE event (true_id BIGINT, kind VARCHAR, day BIGINT)")
    for kind, (share, condition) in KINDS.items():
        rate = a_day(share, people)
        con.execute(
            f"""
            INSERT INTO event
              SELECT true_id, '{kind}', 1 + (row_number() OVER (ORDER BY h(true_id, '{kind} event'), true_id) - 1) // {rate}
              FROM member WHERE death_date IS NULL AND ({condition})
              QUALIFY row_number() OVER (ORDER BY h(true_id, '{kind} event'), true_id) <= {rate * days}
            """
        )
    con.execute(_LIFE.format(columns=", ".join(f"max(day) FILTER (kind = '{k}') AS {k}_day" for k in KINDS)))


_MEMBERSHIP = f"""
CREATE MACRO weigh(s) AS 31 * s[1]::INT + 29 * s[2]::INT + 23 * s[3]::INT + 19 * s[4]::INT + 17 * s[5]::INT
  + 13 * s[6]::INT + 7 * s[7]::INT + 5 * s[8]::INT;
CREATE MACRO ninth(weight, wanted) AS if((weight + 3 * wanted) % 11 = 0, (wanted + 1) % 10, wanted);
-- Ten digits that obey stdnum.vn.mst: the ninth gives way where no check digit exists.
CREATE MACRO tax_code(number) AS scatter(number, 'tax code', 8)
  || ninth(weigh(scatter(number, 'tax code', 8)), number % 10)
  || (10 - (weigh(scatter(number, 'tax code', 8))
    + 3 * ninth(weigh(scatter(number, 'tax code', 8)), number % 10)) % 11);
CREATE TABLE employer AS SELECT number, tax_code(99999999 - number) AS employer_code FROM range({{employers}}) r(number);
CREATE TABLE member AS
WITH aged AS (
  SELECT *, date_diff('day', birth_date, {DAY0}) / 365.2425 AS age, year(birth_date) AS birth_year,
    u(true_id, 'health card') < 0.66 AS insured
  FROM person
), working AS (
  SELECT *, age BETWEEN 18 AND 61 AS working_age FROM aged
)
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
FROM working;
"""

_LIFE = """
CREATE TABLE life AS
WITH happened AS (SELECT true_id, {columns} FROM event GROUP BY true_id),
dated AS (
  SELECT member.*, happened.* EXCLUDE (true_id),
    -- A child gets a personal ID some days after its birth is recorded, if at all in this world's time.
    CASE
      WHEN birth_day > 0 THEN CASE WHEN u(true_id, 'no number yet') < 0.75 THEN birth_day + 1 + below(true_id, 'number', 3) END
      WHEN birth_date > DATE '2026-08-15' AND death_date IS NULL AND u(true_id, 'no number yet') < 0.5
        THEN 1 + below(true_id, 'number', 5)
      ELSE 0 END AS id_day
  FROM member LEFT JOIN happened USING (true_id)
)
SELECT * REPLACE (
    if(move_day >= death_day, NULL, move_day) AS move_day, if(name_day >= death_day, NULL, name_day) AS name_day,
    if(job_day >= death_day, NULL, job_day) AS job_day, if(school_day >= death_day, NULL, school_day) AS school_day),
  left(full_name, length(full_name) - length(given)) || other_given AS new_name,
  now.employer_code AS employer_code, next.employer_code AS next_employer_code,
  if(in_tax, tax_code(true_id), NULL) AS tax_code,
  if(in_insurance, scatter(true_id, 'social insurance', 10), NULL) AS social_insurance_code,
  if(in_insurance, CASE WHEN age < 6 THEN 'TE1' WHEN age < 18 THEN 'HS4' WHEN age >= 80 THEN 'BT2' WHEN employer IS NOT NULL
    THEN 'DN4' ELSE 'GD4' END || province || scatter(true_id, 'social insurance', 10), NULL) AS health_card,
  if(in_pupils OR in_staff, scatter(true_id, 'education', 10), NULL) AS education_id,
  u(true_id, 'knows old card') AS card_roll
FROM dated LEFT JOIN employer now ON now.number = employer LEFT JOIN employer next ON next.number = next_employer;
DROP TABLE member;
-- The commune a person moves to, and the one before the present.
CREATE TABLE moved AS
  SELECT true_id, pick.value AS new_commune, commune_now.province AS new_province
  FROM life JOIN pick ON pick.kind = 'commune' AND pick.slot = below(true_id, 'new commune', 4096)::INTEGER
  JOIN commune_now ON commune_now.code = pick.value
  WHERE move_day IS NOT NULL;
"""
