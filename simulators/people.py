"""The people of day 0 and those born in the days after it: who they are, with whom and where they live.

Every attribute is a function of (seed, person's number, salt), so a world does not depend on the number of threads and
can be made one range of numbers at a time. People come in blocks of twelve that are cut into households, so that
families never cross a range. What looks at all people at once counts per range: the serial numbers of personal IDs (each
range has its own), and the choice of mothers (as `events` chooses whom its events happen to).
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import duckdb

from simulators.codes import SLOTS

BLOCK = 12
"""People in a block: the unit households are cut from."""

CUTS = ((4, 4, 4), (5, 4, 3), (4, 3, 3, 2), (6, 4, 2), (1, 2, 4, 5), (2, 3, 3, 4), (5, 5, 2), (1, 3, 4, 4))
"""How a block may be cut into households."""

DAY0 = "DATE '2026-10-01'"

PEOPLE_A_DATE = 2700
"""People who share a birth date in a dense world: about as many as among 100 million."""

_LEAST_DATES = 25
_YEARS = 97


@dataclass(frozen=True)
class Range:
    """People `first` to `after - 1` of a country of `people`: its range `number`, from 0, of `ranges`."""

    people: int
    first: int
    after: int
    number: int = 0
    ranges: int = 1


def whole(people: int) -> Range:
    """The country as one range."""
    return Range(people, 0, people)


def define_chance(con: duckdb.DuckDBPyConnection, seed: int) -> None:
    """Define the world's chance: `h` a 64-bit hash, `u` uniform in [0, 1), `below` an integer below a bound.

    The salt is hashed first and then mixed into the number, because DuckDB's hash of several arguments joins them by
    exclusive or, which would make two salts differ by a constant only.
    """
    con.execute(
        f"""
        CREATE MACRO h(id, salt) AS hash(xor(hash(salt || ' {seed}'), id::UBIGINT));
        CREATE MACRO u(id, salt) AS (h(id, salt) >> 11)::DOUBLE / 9007199254740992.0;
        CREATE MACRO below(id, salt, bound) AS (h(id, salt) % bound::UBIGINT)::BIGINT;
        CREATE MACRO digits(number, width) AS lpad((number)::VARCHAR, width, '0');
        -- A number of `width` digits for each id below a thousand million, one to one: the multiplier is prime to 10.
        CREATE MACRO scattered(id, salt, size) AS
          (id::BIGINT * 7368787873 + (hash(salt || ' {seed}') % 1000000007)::BIGINT) % size;
        CREATE MACRO scatter(id, salt, width) AS digits(scattered(id, salt, (10 ** width)::BIGINT), width);
        """
    )


def make_people(
    con: duckdb.DuckDBPyConnection,
    part: Range,
    days: int,
    births: int,
    namesakes: float,
    dense: bool = False,
    twins: int = 0,
) -> None:
    """Create view `person`: a row for each number of the range and each newborn of the days, as they are before any event.

    Args:
        con: connection with the tables of `codes.load` and the macros of `define_chance`.
        part: which people of day 0, the dead of the last ten years among them.
        days: days after day 0.
        births: newborns of each of these days; numbered from `people` on.
        namesakes: share of people who have another person's full name and birth date.
        dense: let the people of day 0 share few birth dates (see `_squeeze`).
        twins: newborns of each of these days who have a twin, numbered after all others.

    Raises:
        ValueError: so many and small ranges that serial numbers of personal IDs do not suffice.
    """
    con.execute("CREATE TABLE cut (slot INTEGER, head INTEGER, size INTEGER)")
    con.executemany("INSERT INTO cut VALUES (?, ?, ?)", _places())
    con.execute(_HOUSEHOLDS.format(part=part, block=BLOCK, cuts=len(CUTS), namesakes=namesakes * BLOCK))
    con.execute(_AGES.format(people=part.people))
    _squeeze(con, part.people if dense else 0)
    con.execute(_RESIDENTS)
    _add_newborns(con, days, births, twins)
    con.execute(_HOMES)
    con.execute(_SERIALS.format(part=part))
    if con.execute("SELECT max(serial) > 1000000 FROM serial").fetchone() == (True,):
        raise ValueError(
            f"{part.ranges:,} ranges leave too few serial numbers of personal IDs to each: make them larger"
        )
    con.execute(_PERSON)


def _places() -> list[tuple[int, int, int]]:
    """Slot (cut and place in the block), place of the household's head, size of the household."""
    rows = []
    for number, cut in enumerate(CUTS):
        slots = [
            (head, size)
            for head, size in zip(itertools.accumulate(cut, initial=0), cut, strict=False)
            for _ in range(size)
        ]
        rows += [(number * BLOCK + place, head, size) for place, (head, size) in enumerate(slots)]
    return rows


def _squeeze(con: duckdb.DuckDBPyConnection, people: int) -> None:
    """Create view `born`: `aged` with as few birth dates as let `PEOPLE_A_DATE` of `people` share one; 0 keeps all dates.

    The dates lie evenly over the same ages, at least `_LEAST_DATES` of them (so full density takes 67,500 people), and
    keep the order of births. Every year has the same days, and a third of them come with day and month swapped too: a
    mistyped year or a swapped date meets as many strangers as among 100 million. Rare names stay as rare as they are.
    """
    dates = max(_LEAST_DATES, round(people / PEOPLE_A_DATE))
    if not people or dates >= 365 * _YEARS:
        con.execute("CREATE VIEW born AS FROM aged")
    else:
        con.execute(_BIRTH_DATES.format(dates=dates, years=_YEARS))


def _add_newborns(con: duckdb.DuckDBPyConnection, days: int, births: int, twins: int) -> None:
    """Give mothers, chosen by hash, a child each, `births` of them a day, and `twins` of these children a twin."""
    con.execute(
        f"""
        INSERT INTO resident BY NAME
          SELECT (SELECT count(*) FROM resident) + rank AS id, household, head_source, bearer, 'child' AS role,
            CASE WHEN u(id, 'baby') < 0.515 THEN 'male' ELSE 'female' END AS sex,
            ({DAY0} + (1 + rank // {births} - below(id, 'reported late', 2))::INTEGER)::DATE AS birth_date,
            1 + rank // {births} AS birth_day
          FROM (
            SELECT *, row_number() OVER (ORDER BY h(id, 'mother'), id) - 1 AS rank FROM resident
            WHERE sex = 'female' AND role IN ('head', 'spouse') AND death_date IS NULL
              AND birth_date BETWEEN {DAY0} - INTERVAL 45 YEAR AND {DAY0} - INTERVAL 20 YEAR
          ) WHERE rank < {births * days}
        """
    )
    con.execute(
        f"""
        INSERT INTO resident BY NAME
          SELECT (SELECT count(*) FROM resident) + row_number() OVER (ORDER BY id) - 1 AS id, household, head_source, bearer,
            role, sex, birth_date, birth_day, id AS twin_of, id AS source
          FROM resident WHERE birth_day > 0
          QUALIFY row_number() OVER (PARTITION BY birth_day ORDER BY h(id, 'twin'), id) <= {twins}
        """
    )


_HOUSEHOLDS = """
CREATE TABLE number AS FROM range({part.first}, {part.after}) r(id);
-- The first of some blocks have the full name and birth date of the first of another block.
CREATE MACRO source_of(id) AS CASE WHEN id % {block} = 0 AND u(id, 'namesake') < {namesakes}
  THEN {block} * below(id, 'namesake of', ceil({part.people} / {block})) ELSE id END;
CREATE VIEW placed AS
  SELECT id, id - id % {block} + cut.head AS household, id % {block} - cut.head AS place, cut.size,
    source_of(id) AS source, source_of(id - id % {block} + cut.head) AS head_source
  FROM number JOIN cut ON cut.slot = (below(id // {block}, 'cut', {cuts}) * {block} + id % {block})::INTEGER;
"""

_AGES = f"""
CREATE VIEW aged AS
WITH headed AS (
  SELECT *, 30 + 47 * power(u(head_source, 'age'), 1.4) AS head_age,
    CASE WHEN u(head_source, 'sex') < 0.72 THEN 'male' ELSE 'female' END AS head_sex,
    size > 2 OR size = 2 AND u(household + 1, 'couple') < 0.8 AS has_spouse
  FROM placed
), roles AS (
  SELECT *, CASE
      WHEN place = 0 THEN 'head'
      WHEN place = 1 AND has_spouse THEN 'spouse'
      WHEN place = size - 1 AND size >= 5 AND head_age < 62 THEN 'grandparent'
      ELSE 'child' END AS role
  FROM headed
), descent AS (
  SELECT *, head_age - 21 - 13 * u(id, 'birth gap') AS child_age, head_age - 44 - 14 * u(id, 'birth gap') AS grandchild_age
  FROM roles
), final AS (
  SELECT *,
    CASE WHEN role = 'child' AND child_age > 20 AND grandchild_age > 2 AND u(id, 'left home') < 0.75
      THEN 'grandchild' ELSE role END AS part
  FROM descent
)
SELECT id, household, source, head_source, part AS role,
  -- The father gives the family name; a household without one takes the head's. The last block may be cut short.
  if(head_sex = 'female' AND has_spouse AND household + 1 < {{people}}, household + 1, head_source) AS bearer,
  ({DAY0} - CAST(greatest(1, 365.2425 * CASE part
      WHEN 'head' THEN head_age
      WHEN 'spouse' THEN greatest(20, head_age - 5 + 8 * u(id, 'age'))
      WHEN 'grandparent' THEN head_age + 21 + 14 * u(id, 'age')
      WHEN 'grandchild' THEN grandchild_age
      ELSE CASE WHEN child_age > 0 THEN child_age ELSE least(6, greatest(head_age - 20, 0.5)) * u(id, 'age') END
  END) AS INTEGER))::DATE AS birth_date,
  CASE part
    WHEN 'head' THEN head_sex
    WHEN 'spouse' THEN CASE head_sex WHEN 'male' THEN 'female' ELSE 'male' END
    WHEN 'grandparent' THEN CASE WHEN u(id, 'sex') < 0.35 THEN 'male' ELSE 'female' END
    ELSE CASE WHEN u(id, 'sex') < 0.515 THEN 'male' ELSE 'female' END
  END AS sex
FROM final;
"""

_BIRTH_DATES = """
-- A single day, then a pair with day and month swapped, and so on in their proportion: 233 singles and 66 pairs.
CREATE TABLE calendar AS
WITH days AS (
  SELECT DISTINCT month(day) AS month, day(day) AS day FROM (SELECT unnest(range(DATE '2025-01-01', DATE '2026-01-01',
    INTERVAL 1 DAY)) AS day)
), drawn AS (
  SELECT *, day <= 12 AND day <> month AS paired, h(least(month, day) * 100 + greatest(month, day), 'calendar') AS draw
  FROM days
), ranked AS (
  SELECT *, CASE WHEN paired THEN (dense_rank() OVER (PARTITION BY paired ORDER BY draw) - 0.75) / 66
    ELSE (row_number() OVER (PARTITION BY paired ORDER BY draw, month) - 1) / 233 END AS rank
  FROM drawn
)
SELECT month, day, row_number() OVER (ORDER BY rank, month) AS place FROM ranked;
-- Years go from October to September, so that all dates lie before day 0.
CREATE TABLE birth_slot AS
WITH slot AS (
  SELECT slot, floor((slot + 0.5) * {years} / {dates})::INTEGER AS year FROM range({dates}) r(slot)
), placed AS (
  SELECT *, row_number() OVER (PARTITION BY year ORDER BY slot) AS rank FROM slot
), held AS (
  SELECT year, make_date(1930 + year - if(month > 9, 1, 0), month, day) AS birth_date
  FROM (SELECT year, count(*) AS days FROM slot GROUP BY year) JOIN calendar ON place <= days
), ordered AS (
  SELECT *, row_number() OVER (PARTITION BY year ORDER BY birth_date) AS rank FROM held
)
SELECT slot, birth_date FROM placed JOIN ordered USING (year, rank);
CREATE VIEW born AS
  SELECT aged.* REPLACE (birth_slot.birth_date AS birth_date)
  FROM aged JOIN birth_slot
    ON slot = greatest(0, least({dates} - 1, (aged.birth_date - DATE '1929-10-01') * {dates} // 35429));
"""

_RESIDENTS = """
CREATE TABLE resident AS
SELECT *,
  CASE WHEN u(id, 'dead') < CASE
      WHEN birth_date < DATE '1941-01-01' THEN 0.35 WHEN birth_date < DATE '1956-01-01' THEN 0.11
      WHEN birth_date < DATE '1986-01-01' THEN 0.025 ELSE 0.003 END
    THEN (DATE '2026-09-29' - CAST(least(3800 * u(id, 'death'), date_diff('day', birth_date, DATE '2026-09-29'))
      AS INTEGER))::DATE END AS death_date,
  0::BIGINT AS birth_day, NULL::BIGINT AS twin_of
FROM born;
DROP VIEW born;
DROP VIEW aged;
DROP VIEW placed;
DROP TABLE number;
"""


def _slot(number: str, salt: str, start: str = "0") -> str:
    """Number of a weighted choice: a slot of the key that starts at `start`, drawn by hash of `number` and `salt`."""
    return f"({start} + below({number}, '{salt}', {SLOTS}))::INTEGER"


_HOMES = f"""
-- Where people live and were born, and their kind of name.
CREATE VIEW housed AS
SELECT resident.*, ethnic.value AS ethnicity, ethnic.name AS ethnic_name, style, family_start, given_start,
  home.value AS commune, home.province, home.name AS commune_name, birthplace.value AS birthplace, old_commune_start,
  (birthplace.value::INTEGER * 10 + (year(birth_date) - 1900) // 100 * 2 + if(sex = 'male', 0, 1)) * 100
    + year(birth_date) % 100 AS prefix
FROM resident
JOIN pick_ethnic ethnic ON ethnic.slot = {_slot("head_source", "ethnicity")}
JOIN pick_commune home ON home.slot = if(home_start IS NOT NULL AND u(household, 'at home') < 0.8,
  {_slot("household", "home", "home_start")}, {_slot("household", "commune")})
JOIN pick_birthplace birthplace ON birthplace.slot = {_slot("coalesce(twin_of, id)", "birthplace", "birthplace_start")};
"""

_SERIALS = """
-- Serial numbers of personal IDs, counted from 1 among those that share place, century, sex and year. Each range has its own.
CREATE TABLE serial AS
SELECT id, (row_number() OVER (PARTITION BY prefix ORDER BY twin_of IS NOT NULL, h(id, 'serial')) - 1) * {part.ranges}
  + {part.number} + 1 AS serial
FROM housed;
"""

_PERSON = f"""
CREATE VIEW person AS
WITH bearers AS (
  SELECT housed.*, serial, coalesce(source, id) AS own,
    CASE WHEN role IN ('head', 'spouse', 'grandparent') THEN coalesce(source, id) ELSE bearer END AS family_source,
    birth_date < DATE '1985-01-01' AS older, if(sex = 'male', 0, {SLOTS}) AS sex_start
  FROM housed JOIN serial USING (id)
)
SELECT id AS true_id, household, role, sex, birth_date, birth_day, twin_of, death_date, ethnicity, ethnic_name,
  '0' || birthplace AS birth_province, native.value AS birth_commune, origin.value AS origin_commune, commune, commune_name,
  bearers.province, former.value AS former_commune, prefix,
  digits(prefix * 1000000 + (serial * 618033 + below(prefix, 'serial', 1000000)) % 1000000, 12) AS personal_id,
  CASE WHEN birth_date < DATE '2001-01-01' AND u(id, 'old card') < 0.92 THEN scatter(id, 'old card', 9) END AS cmnd,
  CASE style
    WHEN 'ede' THEN if(sex = 'male', 'Y ', 'H''') || given.value || ' ' || family.value
    WHEN 'giarai' THEN family.value || if(sex = 'male', ' ', ' H''') || given.value
    WHEN 'mong' THEN family.value || if(sex = 'male', ' A ', ' Thị ') || given.value
    ELSE concat_ws(' ', family.value,
      CASE WHEN older AND u(own, 'old style') < 0.5 THEN if(sex = 'male', 'Văn', 'Thị') ELSE middle.value END,
      CASE WHEN u(own, 'four parts') < 0.4 AND second.value <> middle.value AND second.value NOT IN ('Văn', 'Thị')
          AND second.value <> given.value THEN second.value END,
      given.value)
  END AS full_name,
  coalesce(nullif(another.value, given.value), 'Minh Anh') AS other_given, given.value AS given
FROM bearers
JOIN pick_old_commune native ON native.slot = {_slot("coalesce(twin_of, id)", "birth commune", "old_commune_start")}
JOIN pick_old_commune origin ON origin.slot = {_slot("household", "origin", "old_commune_start")}
JOIN pick_commune former ON former.slot = {_slot("household", "former commune")}
JOIN pick_family family ON family.slot = {_slot("family_source", "family", "family_start")}
JOIN pick_middle middle ON middle.slot = {_slot("own", "middle", "sex_start")}
JOIN pick_middle second ON second.slot = {_slot("own", "second", "sex_start")}
JOIN pick_given given ON given.slot = {_slot("own", "given", "given_start + sex_start")}
JOIN pick_given another ON another.slot = {_slot("own", "another given", "given_start + sex_start")};
"""
