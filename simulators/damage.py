"""What each kind of dirt does to a value, as SQL expressions.

An expression sees `{v}`, the undamaged text, and the columns of `record` (with `_how`, a 64-bit hash of the
row). It gives the value itself back where the kind cannot apply, so nothing is ever logged that did not happen.
"""

from __future__ import annotations

import duckdb

from simulators.lettering import NEW_TONE, TABLES


def define_damage(con: duckdb.DuckDBPyConnection) -> None:
    """Define the macros that the expressions below call."""
    for kind, table in TABLES.items():
        entries = ", ".join(f"'{letter}': '{text.replace(chr(39), chr(39) * 2)}'" for letter, text in table.items())
        con.execute(
            f"CREATE MACRO to_{kind}(s) AS array_to_string("
            f"list_transform(string_split(s, ''), lambda c: coalesce(MAP {{{entries}}}[c], c)), '')"
        )
    moved = "s || ' '"
    for old, new in NEW_TONE.items():
        for before, after in ((old, new), (old.capitalize(), new.capitalize())):
            moved = f"replace({moved}, '{before} ', '{after} ')"
    con.execute(f"CREATE MACRO to_name_new_tone(s) AS rtrim({moved}, ' ')")
    con.execute(_MACROS)


_MACROS = """
CREATE MACRO turn_digit(s, p, turn) AS left(s, p - 1) || ((substr(s, p, 1)::INTEGER + turn) % 10) || substr(s, p + 1);
CREATE MACRO swap_at(s, p) AS left(s, p - 1) || substr(s, p + 1, 1) || substr(s, p, 1) || substr(s, p + 2);
CREATE MACRO transpose_digits(s, how) AS swap_at(s, list_filter(list_concat(range(1 + how % 11, 12), range(1, 12)),
  lambda p: substr(s, p, 1) <> substr(s, p + 1, 1))[1]);
CREATE MACRO misspell(s, p, how) AS CASE
  WHEN substr(s, p, 1) = ' ' OR how % 3 = 0 AND length(s) > 3 THEN left(s, p - 1) || substr(s, p + 1)
  WHEN how % 3 = 1 AND substr(s, p - 1, 1) <> substr(s, p, 1) THEN swap_at(s, p - 1)
  ELSE left(s, p) || substr(s, p) END;
CREATE MACRO punctuate(s, how) AS CASE how % 4
  WHEN 0 THEN s[1:3] || ' ' || s[4:6] || ' ' || s[7:9] || ' ' || s[10:]
  WHEN 1 THEN s[1:4] || '.' || s[5:8] || '.' || s[9:]
  WHEN 2 THEN s || ' '
  ELSE ' ' || s END;
CREATE MACRO lose_letters(s, how) AS regexp_replace(s, '[^ -~]', if(how % 2 = 0, '?', chr(65533)), 'g');
-- The number before it was re-established: wrong birth year, last digits of another row of the book.
CREATE MACRO cancelled_id(prefix, id) AS digits((prefix // 100 * 100 + (prefix + 1) % 100) * 1000000
  + below(id, 'cancelled', 1000000), 12);
CREATE MACRO one_of(units, how) AS units[1 + (how % greatest(len(units), 1)::UBIGINT)::BIGINT];
"""

NUMBER: dict[str, str] = {
    "id_typo": "turn_digit({v}, 1 + (_how % 12)::INTEGER, 1 + ((_how >> 8) % 9)::INTEGER)",
    "id_transposed": "transpose_digits({v}, (_how % 1000)::BIGINT)",
    "id_missing": "NULL",
    "id_cmnd": "coalesce(cmnd, {v})",
    "id_reissued": "cancelled_id(prefix, true_id)",
    "id_other": "coalesce(_other_id, {v})",
    "id_leading_zero": "if({v} LIKE '0%', substr({v}, 2), {v})",
    "id_punctuated": "punctuate({v}, _how)",
    "id_spreadsheet": "format('{{:.2E}}', {v}::DOUBLE)",
    "identity_lost": "NULL",
}

_BLANK_MARK = "CASE _how % 3 WHEN 0 THEN chr(8203) WHEN 1 THEN chr(65279) ELSE chr(160) END"

NAME: dict[str, str] = {
    **{kind: f"to_{kind}({{v}})" for kind in TABLES},
    "name_new_tone": "to_name_new_tone({v})",
    "name_upper": "upper({v})",
    "name_double_space": "replace({v}, ' ', '  ')",
    "name_trailing_blank": "{v} || if(_how % 2 = 0, ' ', '  ')",
    "name_invisible": "{v} || " + _BLANK_MARK,
    "name_swapped": "regexp_replace({v}, '^(.*) (\\S+)$', '\\2 \\1')",
    "name_lost_letters": "lose_letters({v}, _how)",
    "identity_lost": "if(_how % 4 < 2, lose_letters({v}, _how), NULL)",
    "name_typo": "misspell({v}, (2 + _how % greatest(length({v}) - 1, 1)::UBIGINT)::BIGINT, _how >> 8)",
}

LAST_PART_ONLY = frozenset({"name_trailing_blank", "name_invisible", "name_typo"})
"""Kinds that hit the given name alone where the name is served in parts."""

DATE: dict[str, tuple[str, str, str]] = {
    "date_year_only": ("year(birth_date) < 1985", "", ""),
    "date_stand_in": ("year(birth_date) < 1985", "'01'", "'01'"),
    "date_zeros": ("year(birth_date) < 1985", "'00'", "'00'"),
    "date_swapped": ("day(birth_date) <= 12", "strftime(birth_date, '%d')", "strftime(birth_date, '%m')"),
}
"""Kind to (whom it can hit, month, day); an empty month means the year alone."""

IMPOSSIBLE_YEAR = "CASE _how % 3 WHEN 0 THEN 9999 WHEN 1 THEN 1790 ELSE 2030 + (_how >> 8) % 60 END"

WRONG_YEAR = "year(birth_date) - CASE WHEN _how % 3 = 0 THEN 10 WHEN year(birth_date) % 10 = 0 THEN -1 ELSE 1 END"
"""Another decade, or the last digit off by one."""

PLACE: dict[str, str] = {
    "place_old_code": "if(_age_roll >= 0.12, one_of(whole, _how), NULL)",
    "place_old_code_split": "if(_age_roll >= 0.12, one_of(split, _how), NULL)",
    "place_reused_code": "if(_age_roll >= 0.12, one_of(reused, _how), NULL)",
    "place_unknown_code": "{{'code': '99' || digits((_how % 1000)::INTEGER, 3), 'province': _place.province, 'name': ''}}",
    "stale_record": "if(former_commune <> commune, _former_place, NULL)",
}
"""Kind to the {code, province, name} served, NULL where the kind cannot apply."""
