"""The SQL of `histories`: who is chosen, what becomes true of them, and the versions of records that follow."""

from __future__ import annotations

TABLES = """
-- To whom what happens, from which day on, and in which register; `other` is the other person of it.
CREATE TABLE episode (kind VARCHAR, true_id BIGINT, other BIGINT, register VARCHAR, day INTEGER);
-- People to whom nothing else happens.
CREATE VIEW quiet AS SELECT * FROM life
  WHERE birth_day = 0 AND death_date IS NULL AND id_day = 0
    AND coalesce(death_day, move_day, name_day, job_day, school_day) IS NULL
    AND true_id NOT IN (SELECT true_id FROM episode)
    AND true_id NOT IN (SELECT other FROM episode WHERE other IS NOT NULL);
-- A version of a record from a day on. `true_id` is whom it is of by the truth, `about` whose facts it holds, `codes_of` whose
-- codes of the register. What is null is as in `life`; `wrong`: what is written beside those facts is not so.
CREATE TABLE draft (dataset VARCHAR, kind VARCHAR, number UBIGINT, true_id BIGINT, other BIGINT, about BIGINT, codes_of BIGINT,
  day INTEGER, until INTEGER, moment TIMESTAMP, wrong BOOLEAN, personal_id VARCHAR, birth_date DATE, sex VARCHAR,
  birth_province VARCHAR, birth_commune VARCHAR, commune VARCHAR, province VARCHAR, commune_name VARCHAR, employer BIGINT,
  school BOOLEAN,
  true_employer BIGINT, second BOOLEAN, dead BOOLEAN, typed_number VARCHAR, written_status VARCHAR);
-- What is true of people from a day on.
CREATE TABLE became (kind VARCHAR, true_id BIGINT, other BIGINT, register VARCHAR, day INTEGER, personal_id VARCHAR,
  birth_date DATE, sex VARCHAR, birth_province VARCHAR, in_population BOOLEAN, tax_code VARCHAR, social_insurance_code VARCHAR,
  health_card VARCHAR, education_id VARCHAR);
CREATE MACRO within_day(number, day) AS TIMESTAMP '2026-10-01' + to_days(day::INTEGER)
  + to_microseconds((h(number, 'history moment ' || day) % 86400000000)::BIGINT);
"""

CHOICE = """
INSERT INTO episode
SELECT '{kind}', true_id, NULL, register, 1 + (rank - 1) % {days} FROM (
  SELECT *, row_number() OVER (ORDER BY h(true_id, 'history {kind}'), true_id) AS rank
  FROM (SELECT *, {register} AS register FROM quiet) WHERE ({who}) AND ({member}))
WHERE rank <= {count};
"""

OTHERS = """
-- The other person, of those who are not in the register; an episode without one does not happen. Of those whom the population
-- register does not have, the ones come first whom no register has.
UPDATE episode SET other = found.other FROM (
  SELECT mine.true_id, theirs.true_id AS other FROM (
    SELECT true_id, register, {known} AS known, row_number() OVER (PARTITION BY register, known ORDER BY true_id) AS rank
    FROM episode WHERE kind = '{kind}') mine
  JOIN (
    SELECT true_id, register, in_population AS known,
      row_number() OVER (PARTITION BY register, known ORDER BY
        NOT in_population AND (in_insurance OR in_tax OR in_pupils OR in_staff),
        h(true_id, 'history other {kind} ' || register), true_id) AS rank
    FROM quiet, (SELECT DISTINCT register FROM episode WHERE kind = '{kind}') WHERE {condition}) theirs
  USING (register, known, rank)) found
WHERE episode.kind = '{kind}' AND episode.true_id = found.true_id;
DELETE FROM episode WHERE kind = '{kind}' AND (other IS NULL
  OR true_id NOT IN (SELECT min(true_id) FROM episode WHERE kind = '{kind}' AND other IS NOT NULL GROUP BY other));
"""

TWINS = """
-- A twin has the other's name but for a mark of the given name: another tone where it has one, else a tone.
CREATE MACRO other_tone(nfd) AS CASE
  WHEN regexp_matches(nfd, '[\u0300\u0301\u0303\u0309\u0323]')
    THEN translate(nfd, '\u0300\u0301\u0303\u0309\u0323', '\u0301\u0300\u0300\u0301\u0301')
  WHEN regexp_matches(nfd, '[\u0302\u0306\u031b]') THEN regexp_replace(nfd, '([\u0302\u0306\u031b])', '\\1\u0301')
  ELSE regexp_replace(nfd, '^((?:[QqGg][ui])?[^aeiouyAEIOUY]*[aeiouyAEIOUY])', '\\1\u0301') END;
UPDATE life SET
  full_name = left(full_name, length(full_name) - length(given)) || nfc_normalize(other_tone(to_name_nfd(given))),
  -- Of a half one twin is on the spine, and only the insurance knows the other.
  in_population = in_population AND u(true_id, 'twin unregistered') >= 0.5,
  id_day = if(u(true_id, 'twin unregistered') >= 0.5, id_day, NULL),
  in_insurance = in_insurance OR u(true_id, 'twin unregistered') < 0.5,
  social_insurance_code = if(u(true_id, 'twin unregistered') < 0.5, scatter(true_id, 'social insurance', 10),
    social_insurance_code),
  health_card = if(u(true_id, 'twin unregistered') < 0.5, 'TE1' || province || scatter(true_id, 'social insurance', 10),
    health_card)
WHERE twin_of IS NOT NULL;
"""

BECAME = """
-- Numbers that are established anew, because sex, birth year or birth province was wrong: serial numbers that no other has.
CREATE TABLE renewed AS
WITH wrong AS (
  SELECT life.true_id, day, life.birth_date, life.sex, life.birth_province, life.birth_commune, role,
    h(true_id, 'what was wrong') % 3 AS what, h(true_id, 'how it was wrong') AS how
  FROM episode JOIN life USING (true_id) WHERE kind = 'number_reestablished'
), places AS (
  SELECT list('0' || province ORDER BY province) AS provinces
  FROM (SELECT DISTINCT province FROM commune_old WHERE province IN (SELECT code FROM province_old))
), mended AS (
  SELECT true_id, day,
    if(what = 0, if(sex = 'male', 'female', 'male'), sex) AS sex,
    if(what = 1, birth_date + if(how % 2 = 0, INTERVAL 1 YEAR, -INTERVAL 1 YEAR), birth_date)::DATE AS birth_date,
    if(what = 2, one_of(list_filter(provinces, lambda p: p <> birth_province), how), birth_province) AS birth_province
  FROM wrong, places
), numbered AS (
  SELECT *, (birth_province::INTEGER * 10 + (year(birth_date) - 1900) // 100 * 2 + if(sex = 'male', 0, 1)) * 100
    + year(birth_date) % 100 AS prefix, row_number() OVER (ORDER BY true_id) + 900000 AS serial
  FROM mended
)
SELECT numbered.* EXCLUDE (prefix, serial),
  digits(numbered.prefix * 1000000 + (serial * 618033 + below(numbered.prefix, 'serial', 1000000)) % 1000000, 12)
    AS personal_id,
  if(numbered.birth_province = life.birth_province, birth_commune,
    (SELECT min(code) FROM commune_old WHERE '0' || commune_old.province = numbered.birth_province)) AS birth_commune
FROM numbered JOIN life USING (true_id);

CREATE MACRO second_insurance_code(id) AS scatter(id + 500000000, 'social insurance', 10);
CREATE MACRO second_card(card, id) AS left(card, 5) || second_insurance_code(id);
INSERT INTO became
WITH happened AS (
  SELECT episode.*, personal_id, birth_date, sex, birth_province, in_population, tax_code, social_insurance_code, health_card,
    education_id
  FROM episode JOIN life USING (true_id)
)
SELECT happened.* REPLACE (r.personal_id AS personal_id, r.birth_date AS birth_date, r.sex AS sex,
    r.birth_province AS birth_province)
FROM happened JOIN renewed r USING (true_id)
UNION ALL
SELECT * REPLACE (second_insurance_code(true_id) AS social_insurance_code, second_card(health_card, true_id) AS health_card)
FROM happened WHERE kind = 'membership_closed'
UNION ALL
SELECT * REPLACE (true AS in_population) FROM happened WHERE kind = 'late_registration'
UNION ALL
SELECT kind, other AS true_id, other, register, day + 1 AS day, personal_id, birth_date, sex, birth_province,
  true AS in_population, tax_code, social_insurance_code, health_card, education_id
FROM episode JOIN life ON life.true_id = other WHERE kind = 'registration_of_another'
UNION ALL
-- A record that becomes another person's takes its codes with it.
SELECT * REPLACE (if(register = 'tax_taxpayers', NULL, tax_code) AS tax_code,
    if(register = 'insurance_members', NULL, social_insurance_code) AS social_insurance_code,
    if(register = 'insurance_members', NULL, health_card) AS health_card,
    if(register = 'education_staff', NULL, education_id) AS education_id)
FROM happened WHERE kind = 'record_of_another'
UNION ALL
SELECT happened.* REPLACE (theirs.true_id AS true_id, theirs.personal_id AS personal_id, theirs.birth_date AS birth_date,
    theirs.sex AS sex, theirs.birth_province AS birth_province, theirs.in_population AS in_population,
    if(register = 'tax_taxpayers', happened.tax_code, theirs.tax_code) AS tax_code,
    if(register = 'insurance_members', happened.social_insurance_code, theirs.social_insurance_code) AS social_insurance_code,
    if(register = 'insurance_members', happened.health_card, theirs.health_card) AS health_card,
    if(register = 'education_staff', happened.education_id, theirs.education_id) AS education_id)
FROM happened JOIN life theirs ON theirs.true_id = happened.other WHERE kind = 'record_of_another';
"""

RENEWED = """
-- The population register issues the number; some of the other registers get it later, the others keep the old one.
INSERT INTO draft BY NAME
SELECT '{dataset}' AS dataset, 'number_reestablished' AS kind, {own} AS number, true_id, true_id AS about,
  true_id AS codes_of, r.* EXCLUDE (true_id, day, lag), r.day + lag AS day,
  within_day({own}, r.day + lag) AS moment, false AS wrong
FROM (SELECT *, if('{dataset}' = 'population_citizens', 0, 1 + below(true_id, '{dataset} gets number', 5)) AS lag FROM renewed) r
WHERE lag < 3 AND r.day + lag <= {days} AND true_id IN (SELECT true_id FROM life WHERE {member});
"""

REGISTERED = """
INSERT INTO draft BY NAME
SELECT '{dataset}' AS dataset, kind, {own} AS number, true_id, true_id AS about, true_id AS codes_of, day,
  within_day({own}, day) AS moment, false AS wrong
FROM episode WHERE kind IN ('late_registration', 'registration_of_another')
UNION ALL BY NAME
-- The day after, the record turns out to be another's.
SELECT '{dataset}' AS dataset, kind, {own} AS number, other AS true_id, true_id AS other, other AS about, other AS codes_of,
  day + 1 AS day, within_day({own}, day + 1) AS moment, false AS wrong
FROM episode WHERE kind = 'registration_of_another';
"""

REGISTERS = """
INSERT INTO draft BY NAME
WITH mine AS (
  SELECT episode.*, {own} AS own, {second} AS second_row, life.commune, life.next_employer, commune_alternatives.split
  FROM episode JOIN life USING (true_id) LEFT JOIN commune_alternatives ON code = life.commune WHERE register = '{dataset}'
), step AS (
  -- A record dated far ahead, with a death; the day after the right clock, and no death.
  SELECT *, own AS number, day AS from_day, true_id AS belongs,
    TIMESTAMP '2062-03-05 08:00:00' + to_seconds((h(own, 'ahead') % 86400)::BIGINT) AS moment,
    true AS wrong, true AS dead FROM mine WHERE kind = 'clock_ahead'
  UNION ALL BY NAME
  SELECT *, own AS number, day + 1 AS from_day, true_id AS belongs FROM mine WHERE kind = 'clock_ahead'
  UNION ALL BY NAME
  -- Another address in the last seconds of a day; the day after the earlier address, minutes earlier by the clock.
  SELECT mine.*, own AS number, day AS from_day, true_id AS belongs,
    TIMESTAMP '2026-10-01 23:59:58' + to_days(day) AS moment, true AS wrong,
    value AS to_commune, pick_commune.province AS to_province, name AS to_name
  FROM mine JOIN pick_commune ON slot = below(true_id, 'commune by mistake', 4096) WHERE kind = 'clock_back'
  UNION ALL BY NAME
  SELECT *, own AS number, day + 1 AS from_day, true_id AS belongs, TIMESTAMP '2026-10-01 23:55:00' + to_days(day) AS moment
  FROM mine WHERE kind = 'clock_back'
  UNION ALL BY NAME
  -- A new employer; the day after the record of before is delivered once more, with its own moment.
  SELECT *, own AS number, day AS from_day, true_id AS belongs, next_employer AS employer FROM mine WHERE kind = 'delivered_late'
  UNION ALL BY NAME
  SELECT *, own AS number, day + 1 AS from_day, true_id AS belongs, NULL::TIMESTAMP AS moment, true AS wrong, true AS as_before,
    next_employer AS true_employer FROM mine WHERE kind = 'delivered_late'
  UNION ALL BY NAME
  SELECT *, own AS number, day AS from_day, true_id AS belongs, true AS wrong, one_of(split, own).code AS to_commune,
    one_of(split, own).province AS to_province, one_of(split, own).name AS to_name
  FROM mine WHERE kind = 'commune_divided' AND len(split) > 0
  UNION ALL BY NAME
  -- Enrolled at a new school; the day after the old one says that the pupil left.
  SELECT *, second_row AS number, day AS from_day, true_id AS belongs, true AS school, 'dang_hoc' AS status
  FROM mine WHERE kind = 'school_transfer'
  UNION ALL BY NAME
  SELECT *, own AS number, day + 1 AS from_day, true_id AS belongs, 'chuyen_truong' AS status
  FROM mine WHERE kind = 'school_transfer'
  UNION ALL BY NAME
  -- A membership ends, and the same person's next one begins, with codes of its own.
  SELECT *, own AS number, day AS from_day, true_id AS belongs, 'closed' AS status FROM mine WHERE kind = 'membership_closed'
  UNION ALL BY NAME
  SELECT *, second_row AS number, day AS from_day, true_id AS belongs, 'active' AS status, true AS second
  FROM mine WHERE kind = 'membership_closed'
  UNION ALL BY NAME
  SELECT *, own AS number, day AS from_day, other AS belongs FROM mine WHERE kind IN ('record_of_another', 'record_returns')
  UNION ALL BY NAME
  SELECT *, own AS number, day + 1 AS from_day, true_id AS belongs FROM mine WHERE kind IN ('record_returns', 'number_of_another')
  UNION ALL BY NAME
  SELECT mine.*, own AS number, day AS from_day, mine.true_id AS belongs, true AS wrong, theirs.personal_id AS typed
  FROM mine JOIN life theirs ON theirs.true_id = mine.other WHERE kind = 'number_of_another'
)
SELECT '{dataset}' AS dataset, kind, number, belongs AS true_id,
  if(belongs = other, true_id, other) AS other, belongs AS about, true_id AS codes_of, from_day AS day,
  if(as_before, NULL, coalesce(moment, within_day(number, from_day))) AS moment, coalesce(wrong, false) AS wrong,
  to_commune AS commune, to_province AS province, to_name AS commune_name, employer, true_employer, school, second, dead,
  typed AS typed_number, status AS written_status
FROM step;
"""

ENDS = """
UPDATE draft SET until = ends.until
FROM (SELECT dataset, number, day, lead(day, 1, 32767) OVER (PARTITION BY dataset, number ORDER BY day) AS until FROM draft) ends
WHERE ends.dataset = draft.dataset AND ends.number = draft.number AND ends.day = draft.day;
DROP VIEW quiet;
"""

CUT = """
UPDATE draft SET moment = turn._moment FROM turn
WHERE draft.dataset = '{dataset}' AND draft.moment IS NULL AND turn._number = draft.number;
UPDATE turn SET _until = first.day
FROM (SELECT number, min(day) AS day FROM draft WHERE dataset = '{dataset}' GROUP BY number) first
WHERE turn._number = first.number;
"""

AS_IT_IS = (
    "NULL::VARCHAR AS typed_number, NULL::VARCHAR AS written_status, false AS dead, NULL::VARCHAR AS commune, "
    "NULL::VARCHAR AS province, NULL::VARCHAR AS commune_name, true_employer AS employer"
)

STATE = """
SELECT kind, number, day, until, moment, {columns} FROM (
  SELECT d.kind, d.number, d.day, d.until, d.moment, d.about, d.typed_number, d.written_status, coalesce(d.dead, false) AS dead,
    coalesce(d.school, false) AS changed_school, false AS changed_job, life.* REPLACE (
      coalesce(d.personal_id, life.personal_id) AS personal_id, coalesce(d.birth_date, life.birth_date) AS birth_date,
      coalesce(d.sex, life.sex) AS sex, coalesce(d.birth_province, life.birth_province) AS birth_province,
      coalesce(d.birth_commune, life.birth_commune) AS birth_commune,
      coalesce(d.commune, life.commune) AS commune, coalesce(d.province, life.province) AS province,
      coalesce(d.commune_name, life.commune_name) AS commune_name, coalesce(d.employer, life.employer) AS employer,
      own.tax_code AS tax_code, own.education_id AS education_id, if(d.dead, d.day, NULL) AS death_day,
      if(d.second, second_insurance_code(d.codes_of), own.social_insurance_code) AS social_insurance_code,
      if(d.second, second_card(own.health_card, d.codes_of), own.health_card) AS health_card)
  FROM {drafts} d JOIN life ON life.true_id = d.about JOIN life own ON own.true_id = d.codes_of
) {relatives}
"""
