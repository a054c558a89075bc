"""DuckDB's SQL for the names of people: the steps from what was written to the canonical form, and keys of names.

The repairs are macros, because their tables are long. A plain name passes one cheap regular expression and none of them.
"""

from __future__ import annotations

from collections.abc import Sequence

from mapping.functions import letter_case
from mapping.functions.alphabet import CAPITALS, LETTERS, SMALL, TONE_MARKS, VOWELS
from mapping.functions.encodings import OF_BYTES, OF_LETTERS, PLAIN, SUSPICIOUS, THRESHOLD, spelt
from mapping.functions.encodings import macros as repairs
from mapping.functions.unknown import UNKNOWN_NAME, is_unknown_name
from motlan.expressions.dialect import Sql, Stage, fill
from motlan.expressions.duckdb.pieces import CLEAN, chain, let, text, unbound
from motlan.expressions.duckdb.traces import unwrapped

_APOSTROPHES = "\u2018\u2019\u02bc\u02bb\u2032\uff07´"
_APOSTROPHE_TO = "''" * len(_APOSTROPHES)
_WIDE = "".join(chr(code) for code in range(0xFF10, 0xFF5B))
_NARROW = "".join(chr(ord(char) - 0xFEE0) for char in _WIDE)
_TONE_MISPLACED = r"[oO][àáảãạèéẻẽẹÀÁẢÃẠÈÉẺẼẸ]\B|[uU][ỳýỷỹỵỲÝỶỸỴ]\B"
_OPEN_SYLLABLES = (
    ("(?i:ch|d|đ|g|h|kh|l|ng|nh|s|t|th|tr|x)?[oO]", "aA"),
    ("(?i:ch|h|kh|l|ng|nh|t|th|x)?[oO]", "eE"),
    ("(?i:ch|d|đ|h|kh|l|ng|nh|s|t|th|tr|x)?[uU]", "yY"),
)
"""What stands before the open a, e or y of a syllable that Vietnamese has; Noé, Zoé and Chloé are names of others."""
_CANONICAL = f"[{CAPITALS}][{SMALL}]*(?: [{CAPITALS}][{SMALL}]*)*"


def macros() -> dict[str, str]:
    """Return name -> definition of the macros that the name functions need, in the order to create them."""
    return {
        **repairs(),
        "motlan_proper_case": f"motlan_proper_case(s) AS {letter_case.proper_case()}",
        "motlan_spelt_case": (
            f"motlan_spelt_case(s) AS CASE WHEN {letter_case.CERTAIN} THEN {letter_case.capitalised('s')} ELSE s END"
        ),
        "motlan_known": f"motlan_known(v) AS {_KNOWN}",
        "motlan_placed_tones": f"motlan_placed_tones(s) AS {_placed_tones('s')}",
    }


def _if_suspicious(x: str, then: str, otherwise: str) -> str:
    return let(x, f"CASE WHEN motlan_suspicious(v) THEN {then} ELSE {otherwise} END")


def _note(damage: str, otherwise: str) -> str:
    """Return SQL of what a step that undoes an encoding has seen."""
    found = f"d.encoding || ', confidence ' || d.confidence || '; undone from {THRESHOLD} on'"
    return _if_suspicious("@1", let(damage, f"coalesce({found}, {otherwise})", "d"), "NULL")


_MOVED = "\ue000"
"""Stands before a letter whose tone mark moves to the letter before."""


def _toned(letter: str) -> str:
    """Return a letter with each of TONE_MARKS."""
    forms = "".join(VOWELS[letter.lower()][1:])
    return forms if letter.islower() else forms.upper()


def _placed_tones(x: str) -> str:
    r"""Return SQL that puts the tone mark of open oa, oe, uy at its traditional place.

    RE2's `\B` is about ASCII letters alone, so after a vowel with a mark it means: no ASCII letter follows.
    """
    steps = f"' ' || {x}"
    for before, letters in _OPEN_SYLLABLES:
        toned = "".join(_toned(letter) for letter in letters)
        steps = rf"regexp_replace({steps}, '([ ''-]{before})([{toned}])\B', '\1{_MOVED}\2', 'g')"
    for tone, mark in enumerate(TONE_MARKS):
        toned = "".join(_toned(letter)[tone] for letter in "aAeEyY")
        steps = rf"regexp_replace({steps}, '{_MOVED}([{toned}])', '{mark}{_MOVED}\1', 'g')"
    for letter in "aAeEyY":
        steps = rf"regexp_replace({steps}, '{_MOVED}[{_toned(letter)}]', '{letter}', 'g')"
    return f"CASE WHEN regexp_matches({x}, '{_TONE_MISPLACED}') THEN nfc_normalize(({steps})[2:]) ELSE {x} END"


# Icelandic has ð inside of words, Vietnamese đ at their beginning alone.
_LOOK_ALIKES = (
    r"regexp_replace(regexp_replace(replace(@1, '`', ''''), '(^|[ ''-])[ÐƉ]', '\1Đ', 'g'), '(^|[ ''-])ð', '\1đ', 'g')"
)
_SPACED = r"regexp_replace(@1, '[\s\x0B\x1C-\x1F]+', ' ', 'g')"
_BARE = rf"regexp_replace({unwrapped(_SPACED)}, '[\x00-\x1F\x7F\x{{200B}}-\x{{200D}}\x{{2060}}\x{{FEFF}}]', '', 'g')"
_UNSURE = f"'signs of one, confidence ' || nullif(motlan_doubt(v), 0) || '; undone from {THRESHOLD} on'"

_BYTES_UNDONE = "legacy encoding undone whose bytes look like spaces (UTF-8 encoded twice, TCVN3 with a soft hyphen)"
_LETTERS_UNDONE = "legacy encoding undone (VNI, TCVN3, VIQR)"
# A value that was nobody's word, among the parts of a name that were put together.
_NO_PART = r"(^| )(?:(?:NULL|NONE) |(?:null|undefined|nan|NaN|None|N/A|#N/A|\(null\))(?: |$))+"
_KNOWN = (
    f"CASE WHEN {is_unknown_name('v')} THEN NULL WHEN regexp_matches(v, {text(_NO_PART)})"
    f" THEN nullif(trim(regexp_replace(v, {text(_NO_PART)}, '\\1', 'g')), '') ELSE v END"
)
_REPAIRS = {_BYTES_UNDONE: OF_BYTES, _LETTERS_UNDONE: OF_LETTERS}

_LEFT = "nullif(nullif(@1, ''), 'NA')"
_PLAINED = (
    Stage("spaces made one, control and zero-width characters dropped", _BARE),
    Stage(
        _BYTES_UNDONE,
        _if_suspicious("@1", "motlan_bytes_repaired(v)", "v"),
        _note("motlan_bytes_damage(v)", "NULL"),
    ),
    Stage(
        "apostrophes made one",
        f"translate(@1, '{_APOSTROPHES}{_WIDE}', '{_APOSTROPHE_TO}{_NARROW}')",
    ),
    *CLEAN[:-1],
    Stage("nothing left is null, and so is NA, which as Na is a given name", let("@1", _LEFT.replace("@1", "v"))),
)
PERSON_NAME = (
    *_PLAINED,
    Stage(
        _LETTERS_UNDONE,
        _if_suspicious("@1", "motlan_letters_repaired(v)", "v"),
        _note("motlan_letters_damage(v)", _UNSURE),
    ),
    Stage("look-alike letters made the usual ones", _LOOK_ALIKES),
    Stage(
        "proper case where all was upper or lower",
        _if_suspicious("@1", "motlan_spelt_case(v)", "motlan_proper_case(v)"),
    ),
    Stage("tone marks at their traditional place", _if_suspicious("@1", "v", "motlan_placed_tones(v)")),
    Stage("words for unknown dropped, and nothing where there are no others", let("@1", _KNOWN)),
)
"""Steps of the cleaning of a name, in order.

Repairs come before cleaning where bytes of the damage look like spaces or controls, and after it elsewhere. What stays
suspicious keeps its case and its marks, so that a second look finds what the first one found.
"""


_PLAINED_ALREADY = f"[{LETTERS}'.-]+(?: [{LETTERS}'.-]+)*"
"""What the steps up to NFC and single spaces leave as it is."""


def answers(odd: str, _rest: Sequence[str] = ()) -> str:
    """Return the query that cleans the names of a relation, as `person_name` does: columns `given` and `made`.

    A step that binds its value compiles its patterns anew for every vector. So the steps stand in queries of their own, and
    only what looks like a legacy encoding at some step, which is rare, is gathered and goes through all of them.

    Args:
        odd: Relation with the column `given`.
    """
    plained = f"CASE WHEN regexp_full_match(@1, {text(_PLAINED_ALREADY)}) THEN @1 ELSE {chain(_PLAINED[2:-1])} END"
    steps = (plained, _LEFT, _LOOK_ALIKES, "motlan_proper_case(@1)", "motlan_placed_tones(@1)", "motlan_known(@1)")
    query = f"select given, {fill(_PLAINED[0].sql, ('given',))} as v0 from {odd}"
    for number, step in enumerate(steps):
        query = f"select *, {fill(step, (f'v{number}',))} as v{number + 1} from ({query})"
    seen = ", ".join(f"v{number}" for number in range(len(steps)))
    hard = f"motlan_suspicious(concat_ws(' ', {seen}))"
    stepped = f"select given, v{len(steps)} as v, case when {hard} then given end as word from ({query})"
    repaired = "select distinct word as known, word as v from stepped"
    for stage in PERSON_NAME:
        if repair := _REPAIRS.get(stage.name):
            staged = repair.staged(f"select known, v, CASE WHEN motlan_suspicious(v) THEN v END as s from ({repaired})")
            repaired = f"select known, coalesce(repaired, v) as v from ({staged})"
        else:
            repaired = f"select known, {unbound(stage.sql)} as v from ({repaired})"
    return (
        f"with stepped as materialized ({stepped})\n"
        "select given, case when word is null then stepped.v else repaired.v end as made "
        f"from stepped left join ({repaired}) as repaired on known = word"
    )


def _unless_canonical(then: str, otherwise: str) -> str:
    return let("@1", f"CASE WHEN {IS_CANONICAL.replace('@1', 'v')} THEN {then} ELSE {otherwise} END")


def _detected(found: str) -> tuple[str, str]:
    """Return SQL, of a name `v`, of something about the damage that each of the two repairs finds."""
    first = let(chain(_PLAINED[:1], "v"), _if_suspicious("v", f"motlan_bytes_damage(v).{found}", "NULL"))
    return first, let(chain(_PLAINED, "v"), _if_suspicious("v", f"motlan_letters_damage(v).{found}", "NULL"))


_ODD = text(rf"{_TONE_MISPLACED}|{SUSPICIOUS}|(?:^| )None(?: |$)|^(?i:{UNKNOWN_NAME})$")
IS_CANONICAL = f"(regexp_full_match(@1, {text(_CANONICAL)}) AND NOT regexp_matches(@1, {_ODD}))"
"""Asks of `@1` whether it is a name that needs nothing done."""

_DOUBT = let(chain(_PLAINED, "v"), _if_suspicious("v", "motlan_doubt(v)", PLAIN))
# --- keys and letters -------------------------------------------------------------------------------------------------
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
_ELSE = "".join(letter for letter in LETTERS if letter not in "ìòÌÒ")
_CONSONANTS = "b-df-hj-np-tv-xzB-DF-HJ-NP-TV-XZ" + "".join(c for c in LETTERS if c.lower() in "đčñƀ")
# An ì or ò behind a vowel is a mark of another encoding, but for gi and qu.
_ONLY_LETTERS = (
    "regexp_full_match(@1, "
    + text(f"[ìòÌÒ]?(?:[{_CONSONANTS}' -][ìòÌÒ]|[gG][iI][òÒ]|[qQ][uU][ìÌ]|[oO][òÒ][nN]|[{_ELSE}' -])+|[ìòÌÒ]")
    + ")"
)
_TONED = "".join("".join(forms[1:]) for forms in VOWELS.values())
_TONELESS = "".join(forms[0] * 5 for forms in VOWELS.values())
TEMPLATES = {
    "person_name": _unless_canonical("v", chain(PERSON_NAME, "v")),
    "name_encoding": _unless_canonical("NULL", f"coalesce({', '.join(_detected('encoding'))})"),
    "encoding_confidence": _unless_canonical(
        PLAIN, f"CASE WHEN v IS NOT NULL THEN coalesce({', '.join(_detected('confidence'))}, {_DOUBT}) END"
    ),
    "name_key": _NAME_KEY,
    "name_toneless": f"translate(lower(@1), '{_TONED}', '{_TONELESS}')",
    "other_marks": _OTHER_MARKS,
    "given_name_key": f"nullif(regexp_extract({_NAME_KEY}, '[a-z]+$'), '')",
    "spelt_in_vietnamese": spelt("@1"),
    "contains_only_letters": _ONLY_LETTERS,
}
"""Functions on names -> SQL."""

NAMES = Sql(
    templates=TEMPLATES,
    stages={"person_name": PERSON_NAME},
    costly={"person_name": IS_CANONICAL},
    answers={"person_name": answers},
    macros=macros(),
)
"""The SQL of functions on names."""
