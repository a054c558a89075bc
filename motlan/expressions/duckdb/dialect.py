"""DuckDB's SQL of every catalogue function.

Templates use `@1`, `@2` for arguments. One that needs an argument twice binds it with `let`, for a copied argument
would be computed, and nested, again and again; only what rules ask of plain fields does without. No template casts
without `try_`: DuckDB's cast errors quote values.
"""

from __future__ import annotations

from types import MappingProxyType

from motlan.expressions.dialect import Dialect, Scalar
from motlan.expressions.duckdb import dates, identifiers, names, places
from motlan.expressions.duckdb.text import CLEAN, Stage, chain, let
from motlan.expressions.duckdb.traces import is_unknown, narrow, unwrapped

_NAME_KEY = (
    "nullif(trim(regexp_replace(regexp_replace(translate(lower(strip_accents(@1)), 'đy', 'di'),"
    r" '''', '', 'g'), '[^a-z]+', ' ', 'g')), '')"
)


def _marked(name: str) -> str:
    """Return the SQL of a name's letters, with their marks, in lower case, y written i."""
    return rf"translate(regexp_replace(lower({name}), '[^\p{{L}}]+', '', 'g'), 'yýỳỷỹỵ', 'iíìỉĩị')"


_OTHER_MARKS = (
    f"(regexp_matches({_marked('@1')}, '[^a-z]') AND regexp_matches({_marked('@2')}, '[^a-z]')"
    f" AND {_marked('@1')} <> {_marked('@2')})"
)

TEXT = (
    CLEAN[0],
    Stage("a spreadsheet's formula around it dropped", unwrapped("@1")),
    *CLEAN[1:],
    Stage("nothing where it only says that nobody knew", let("@1", f"CASE WHEN NOT {is_unknown('v')} THEN v END")),
)
"""Steps of the cleaning of any text."""

# What is plain and has a digit in its first word, behind letters alone, says something.
_SAYS = r"regexp_full_match(@1, '([A-Za-z][A-Za-z.-]*)?[0-9][!-~]*( [!-~]+)*')"

TEMPLATES = {
    "text": f"CASE WHEN {_SAYS} THEN @1 ELSE {chain(TEXT)} END",
    "join_words": "nullif(concat_ws(' ', @*), '')",
    "digits": f"nullif(regexp_replace({narrow('@1')}, '[^0-9]', '', 'g'), '')",
    "upper": "upper(@1)",
    "lower": "lower(@1)",
    "length": "length(@1)",
    "no_longer_than": "(strlen(@1) <= @2 OR length(@1) <= @2)",
    "is_storable": "(strlen(@1) <= 1000 AND NOT contains(@1, chr(0)))",
    "substring": "substring(@1, @2, @3)",
    "matches": "regexp_full_match(@1, @2)",
    "coalesce": "coalesce(@*)",
    "number": let("try_cast(trim(@1) AS DOUBLE)", "CASE WHEN isfinite(v) THEN v END"),
    "name_key": _NAME_KEY,
    "name_toneless": f"translate(lower(@1), '{names.TONED}', '{names.TONELESS}')",
    "other_marks": _OTHER_MARKS,
    "given_name_key": f"nullif(regexp_extract({_NAME_KEY}, '[a-z]+$'), '')",
    "last_word": "string_split(@1, ' ')[-1]",
    "sorted_words": "array_to_string(list_sort(string_split(@1, ' ')), ' ')",
    "initials": r"regexp_replace(@1, '(\w)\w*( |$)', '\1', 'g')",
    "spelt_in_vietnamese": names.spelt("@1"),
    "contains_only_letters": names.ONLY_LETTERS,
    "similarity": "jaro_winkler_similarity(@1, @2)",
    "edits": "damerau_levenshtein(@1, @2)",
    # One edit leaves two letters at the beginning or at the end as they were.
    "one_edit": "(@1 = @2 OR abs(length(@1) - length(@2)) <= 1 AND (length(@1) < 6 OR @1[:2] = @2[:2] OR @1[-2:] = @2[-2:])"
    " AND damerau_levenshtein(@1, @2) <= 1)",
    **names.TEMPLATES,
    **identifiers.TEMPLATES,
    **dates.TEMPLATES,
    **places.TEMPLATES,
}
"""Catalogue function -> SQL."""

STAGES = {
    "text": TEXT,
    "person_name": names.PERSON_NAME,
    "partial_date": dates.PARTIAL_DATE,
    "commune": places.COMMUNE,
    **identifiers.STAGES,
}
"""Cleaner of several steps -> the steps, which are all that its SQL is made of."""

# Of a word that begins with a visible ASCII character one comparison tells that it is not blank.
EACH = {"join_words": "CASE WHEN @1 > '!' AND @1 < '~' OR trim(@1) <> '' THEN @1 END"}
"""Function of any number of values -> what becomes of each."""

COSTLY = {"person_name": names.IS_CANONICAL, "partial_date": dates.IS_PLAIN}
"""Costly function -> the test of a value that needs none of its steps."""

PLAIN = {"partial_date": dates.PLAIN_DATE}
"""Costly function -> its answer for such a value, where that is not the value itself."""

MACROS = {**names.macros(), **dates.macros(), **places.macros()}
"""Name -> definition of the macros that templates call, in the order to create them."""


class DuckDbDialect(Dialect):
    """DuckDB 2."""

    name = "duckdb"
    templates = TEMPLATES
    lookups = places.LOOKUPS
    each = EACH
    costly = COSTLY
    plain = PLAIN
    answers = MappingProxyType({"person_name": names.answers, "partial_date": dates.answers})

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
