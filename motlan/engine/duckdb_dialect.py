"""DuckDB's SQL of every catalogue function.

Templates use `@1`, `@2` for arguments. One that needs an argument twice binds it with `let`, for a copied argument
would be computed, and nested, again and again; only what rules ask of plain fields does without. No template casts
without `try_`: DuckDB's cast errors quote values.
"""

from __future__ import annotations

import re

from motlan.engine import duckdb_names as names
from motlan.engine.dialect import Dialect, Lookup, Scalar
from motlan.engine.duckdb_text import clean, let

BIRTH_PROVINCES = (
    "01 02 04 06 08 10 11 12 14 15 17 19 20 22 24 25 26 27 30 31 33 34 35 36 37 38 40 42 44 45 46 48 49 51 52 54 56 "
    "58 60 62 64 66 67 68 70 72 74 75 77 79 80 82 83 84 86 87 89 91 92 93 94 95 96"
)
"""The 63 place codes of personal IDs without their leading zero: `mapping/codes/birth_provinces.csv` has the names."""

_NAME_KEY = (
    "nullif(trim(regexp_replace(regexp_replace(translate(lower(strip_accents(@1)), 'đy', 'di'),"
    r" '''', '', 'g'), '[^a-z]+', ' ', 'g')), '')"
)


def _bare(x: str) -> str:
    """Drop what stands between the digits of a number, and the `.0` that a spreadsheet hangs on it."""
    return rf"regexp_replace({x}, '\.0\s*$|[\s\p{{Z}}\p{{Cf}}.''\x{{2018}}\x{{2019}}`\x{{2010}}-\x{{2015}}-]', '', 'g')"


def _when(condition: str, value: str = "v") -> str:
    return f"CASE WHEN {condition} THEN {value} END"


def _of_field(body: str) -> str:
    """Put the argument itself for `v`: rules ask fields, and a lambda compiles its patterns anew for every vector."""
    return re.sub(r"\bv\b", "@1", body)


_PERSONAL_ID = r"'\d{3}[0-3]\d{8}'"
_IS_PERSONAL_ID = rf"(regexp_full_match(v, {_PERSONAL_ID}) AND NOT starts_with(v, '000'))"
_LOST_ZERO = rf"'({BIRTH_PROVINCES.replace(' ', '|')})[0-3]\d{{8}}'"
_WEIGHTS = (31, 29, 23, 19, 17, 13, 7, 5, 3)
_CHECK = " + ".join(f"{weight} * (ascii(v[{place}]) - 48)" for place, weight in enumerate(_WEIGHTS, 1))

# The date's parts as yyyymmdd with zeros for what is not known.
_DATE = r"""CASE
 WHEN regexp_full_match(v, '\d{4}') THEN v || '0000'
 WHEN regexp_full_match(v, '\d{4}[-/.]\d{1,2}([-/.]\d{1,2})?([T ].*)?')
 THEN v[:4] || lpad(regexp_extract(v, '^\d{4}.(\d{1,2})', 1), 2, '0')
 || lpad(regexp_extract(v, '^\d{4}.\d{1,2}[-/.](\d{1,2})', 1), 2, '0')
 WHEN regexp_full_match(v, '(\d{1,2}[-/.])?\d{1,2}[-/.]\d{4}( .*)?')
 THEN regexp_extract(v, '[-/.](\d{4})', 1) || lpad(regexp_extract(v, '(\d{1,2})[-/.]\d{4}', 1), 2, '0')
 || lpad(regexp_extract(v, '^(\d{1,2})[-/.]\d{1,2}[-/.]', 1), 2, '0')
 WHEN regexp_full_match(v, '\d{6}') THEN v || '00'
 WHEN regexp_full_match(v, '[1-9]\d{4}(\.\d+)?') THEN strftime(DATE '1899-12-30' + try_cast(v[:5] AS INTEGER), '%Y%m%d')
 WHEN regexp_full_match(v, '\d{8}') THEN @bare END"""
_REAL_DAY = "try_cast({0}[:4] || '-' || {0}[5:6] || '-' || {0}[7:] AS DATE) IS NOT NULL"
_YEAR_FIRST = f"""CASE WHEN regexp_full_match(v, '(18|19|20)\\d\\d(00|0[1-9]|1[0-2])00')
 OR (v[:2] IN ('18', '19', '20') AND {_REAL_DAY.format("v")}) THEN v ELSE v[5:] || v[3:4] || v[:2] END"""
_DAY_FIRST = f"""CASE WHEN regexp_full_match(v, '00(00|0[1-9]|1[0-2])(18|19|20)\\d\\d')
 OR (v[5:6] IN ('18', '19', '20') AND {_REAL_DAY.format("(v[5:] || v[3:4] || v[:2])")})
 THEN v[5:] || v[3:4] || v[:2] ELSE v END"""
_PARTIAL_DATE = let(
    let("trim(@1)", _DATE.replace("@bare", f"CASE WHEN @2 = 'dmy' THEN {_DAY_FIRST} ELSE {_YEAR_FIRST} END")),
    "CASE WHEN v[:4] < '1000' THEN NULL WHEN v[5:6] = '00' THEN v[:4]"
    " WHEN v[5:6] > '12' THEN NULL WHEN v[7:] = '00' THEN v[:4] || '-' || v[5:6]"
    f" WHEN {_REAL_DAY.format('v')} THEN v[:4] || '-' || v[5:6] || '-' || v[7:] END",
)

_FOLDED = "lower(nfc_normalize(trim({})))"
_LOOKUP = "(SELECT arg_max(c.cl_{value}, c.cl_valid_from) FROM motlan_codes c WHERE c.cl_list = {list} AND {rest})"


def _lookup(code_list: str, code: str, *, value: str = "value", also: str = "") -> str:
    return _LOOKUP.format(value=value, list=code_list, rest=f"c.cl_code = {_FOLDED.format(code)}{also}")


_BY_THEN = " AND (c.cl_valid_from <= coalesce({}, '9999'))"

TEMPLATES = {
    "text": clean("@1"),
    "join_words": "nullif(array_to_string(list_filter([@*], lambda part: trim(part) <> ''), ' '), '')",
    "digits": "nullif(regexp_replace(@1, '[^0-9]', '', 'g'), '')",
    "fixed_digits": let(_bare("@1"), _when(r"length(v) = @2 AND regexp_full_match(v, '\d+')")),
    "upper": "upper(@1)",
    "lower": "lower(@1)",
    "length": "length(@1)",
    "substring": "substring(@1, @2, @3)",
    "matches": "regexp_full_match(@1, @2)",
    "coalesce": "coalesce(@*)",
    "number": let("try_cast(trim(@1) AS DOUBLE)", _when("isfinite(v)")),
    "person_name": names.unless_canonical("@1"),
    "name_key": _NAME_KEY,
    "name_toneless": f"translate(lower(@1), '{names.TONED}', '{names.TONELESS}')",
    "given_name_key": f"nullif(regexp_extract({_NAME_KEY}, '[a-z]+$'), '')",
    "contains_only_letters": names.ONLY_LETTERS,
    "personal_id": let(
        _bare("@1"),
        rf"CASE WHEN regexp_full_match(v, '\d{{12}}') THEN v"
        rf" WHEN regexp_full_match(v, {_LOST_ZERO}) THEN '0' || v END",
    ),
    "old_identity_number": let(_bare("@1"), _when(r"regexp_full_match(v, '\d{9}')")),
    "is_personal_id": _of_field(_IS_PERSONAL_ID),
    "personal_id_year": _of_field(
        _when(
            r"regexp_full_match(v, '\d{12}')",
            "1900 + 100 * ((ascii(v[4]) - 48) // 2) + 10 * (ascii(v[5]) - 48) + (ascii(v[6]) - 48)",
        )
    ),
    "personal_id_sex": _of_field(
        _when(r"regexp_full_match(v, '\d{12}')", "CASE ascii(v[4]) % 2 WHEN 0 THEN 'male' ELSE 'female' END")
    ),
    "tax_code": let(_bare("@1"), _when(r"regexp_full_match(v, '\d{10}|\d{12}|\d{13}')")),
    "is_tax_code": _of_field(
        rf"CASE WHEN v IS NULL THEN NULL WHEN regexp_full_match(v, '\d{{12}}') THEN {_IS_PERSONAL_ID}"
        rf" WHEN regexp_full_match(v, '\d{{10}}|\d{{13}}')"
        rf" THEN 10 - ({_CHECK}) % 11 = ascii(v[10]) - 48 AND v[11:] <> '000' ELSE false END",
    ),
    "social_code": let(_bare("@1"), _when(r"regexp_full_match(v, '\d{10}|\d{12}')")),
    "health_card": f"nullif(upper({_bare('@1')}), '')",
    "is_health_card": r"regexp_full_match(@1, '[A-Z]{2}[1-5]\d{2}\d{10}')",
    "partial_date": _PARTIAL_DATE,
    "date_precision": "CASE length(@1) WHEN 4 THEN 1 WHEN 7 THEN 2 WHEN 10 THEN 3 END",
    "date_year": r"try_cast(nullif(regexp_extract(@1, '^(\d{4})(-|$)', 1), '') AS INTEGER)",
    "dates_agree": "(starts_with(@1, @2) OR starts_with(@2, @1))",
    "date_swapped": let(
        "@1",
        _when("length(v) = 10 AND v[9:10] <= '12' AND v[6:7] <> v[9:10]", "v[:4] || '-' || v[9:10] || '-' || v[6:7]"),
    ),
    "moment": let(
        "trim(@1)",
        r"strftime(try_cast(CASE WHEN regexp_full_match(v, '\d{4}-\d\d-\d\d') THEN v || ' 00:00:00Z'"
        r" WHEN regexp_full_match(v, '\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d(\.\d+)?)?') THEN v || 'Z'"
        r" WHEN regexp_matches(v, '^\d{4}-\d\d-\d\d[T ]\d\d:\d\d') THEN v END AS TIMESTAMPTZ) AT TIME ZONE 'UTC', "
        "'%Y-%m-%dT%H:%M:%S.%fZ')",
    ),
    "days_between": "date_diff('day', try_cast((@1)[:10] AS DATE), try_cast((@2)[:10] AS DATE))",
    "code": _lookup("@1", "@2"),
    "code_at": _lookup("@1", "@2", also=_BY_THEN.format("@3")),
    "commune": _lookup("'communes'", "@1", also=_BY_THEN.format("@2")),
    "province_of_commune": _lookup("'communes'", "@1", value="province", also=" AND c.cl_valid_to = ''"),
    "similarity": "jaro_winkler_similarity(@1, @2)",
    "edits": "damerau_levenshtein(@1, @2)",
    "one_edit": "(abs(length(@1) - length(@2)) <= 1 AND damerau_levenshtein(@1, @2) <= 1)",
}
"""Catalogue function -> SQL."""

_MEANINGS = (
    "SELECT c.cl_code AS code, list({{'since': c.cl_valid_from, 'value': c.cl_value}} ORDER BY c.cl_valid_from DESC) AS found"
    " FROM motlan_codes c WHERE c.cl_list = {} GROUP BY c.cl_code"
)
# Most codes mean now what they meant then: the newest meaning is tried before the others.
_MEANING_AT = (
    "CASE WHEN @found[1].since <= coalesce({0}, '9999') THEN @found[1].value"
    " ELSE list_filter(@found, lambda m: m.since <= coalesce({0}, '9999'))[1].value END"
)
LOOKUPS = {
    "code": Lookup(_MEANINGS.format("@1"), _FOLDED.format("@2"), "@found[1].value"),
    "code_at": Lookup(_MEANINGS.format("@1"), _FOLDED.format("@2"), _MEANING_AT.format("@3")),
    "commune": Lookup(_MEANINGS.format("'communes'"), _FOLDED.format("@1"), _MEANING_AT.format("@2")),
    "province_of_commune": Lookup(
        "SELECT c.cl_code AS code, arg_max(c.cl_province, c.cl_valid_from) AS found FROM motlan_codes c"
        " WHERE c.cl_list = 'communes' AND c.cl_valid_to = '' GROUP BY c.cl_code",
        _FOLDED.format("@1"),
        "@found",
    ),
}
"""Function that looks into a code list -> its join."""

COSTLY = {"person_name": names.IS_CANONICAL, "partial_date": r"regexp_full_match(@1, '[1-9]\d{3}')"}
"""Costly function -> the test of a value that it leaves as it is."""


class DuckDbDialect(Dialect):
    """DuckDB 2."""

    name = "duckdb"
    templates = TEMPLATES
    lookups = LOOKUPS
    costly = COSTLY

    def quote(self, identifier: str) -> str:
        """Return the identifier in double quotes."""
        return '"' + identifier.replace('"', '""') + '"'

    def literal(self, value: Scalar) -> str:
        """Return a literal; text in single quotes."""
        if value is None:
            return "NULL"
        if isinstance(value, str):
            return "'" + value.replace("'", "''") + "'"
        return str(value).lower() if isinstance(value, bool) else repr(value)

    def typed_null(self) -> str:
        """Return a NULL of VARCHAR."""
        return "CAST(NULL AS VARCHAR)"


DUCKDB = DuckDbDialect()
"""The dialect of the built-in engine."""
