"""DuckDB's SQL for the names of people: detection and repair of legacy encodings, case and tone marks.

The repairs are macros, because their tables are long; `macros()` is their whole text. A plain name passes one cheap
regular expression and none of them. Each repair needs two proofs: the text has characters or sequences that no plain
name has, and what comes out is made of Vietnamese letters (and, unless the first proof is very strong, of possible
Vietnamese syllables). How strong they are together is the confidence, and a repair is made from THRESHOLD on. So
Müller, Israël and Ðinh stay what they are.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from motlan.engine.dialect import fill
from motlan.engine.duckdb_text import CLEAN, Stage, chain, clean, let, text, unbound
from motlan.engine.vietnamese import CAPITALS, LETTERS, SMALL, SYLLABLES, TONE_MARKS, VOWELS

THRESHOLD = "0.75"
"""Least confidence, of 0 to 1, at which a legacy encoding is undone."""

CERTAIN, SURE, LIKELY, DOUBTFUL, PLAIN = (f"try_cast({share} AS DOUBLE)" for share in (0.99, 0.95, 0.8, 0.3, 0))
"""Confidence by evidence: a sequence that no spelling has; sure signs, and every word with one decodes to a possible
syllable; no sign, but the text breaks Vietnamese spelling and what comes out keeps it; signs without a second proof;
nothing of this."""


def _damage(encoding: str, confidence: str, name: str) -> str:
    """Return SQL of what a decoder found: the encoding, how sure it is, and the name that comes out."""
    return f"{{'encoding': '{encoding}', 'confidence': {confidence}, 'name': {name}}}"


def spelt(x: str) -> str:
    """Return SQL that asks whether every word is one that Vietnamese spelling allows."""
    return f"regexp_full_match({x}, {text(SYLLABLES)})"


_NAMES_ELSEWHERE = "(?i)Seán|Loïc|Naïm|Haïm|Caïn"
"""Plain names of other countries that would decode to syllables: a sign in them proves nothing."""


def _every_sure_word(raw: str, decoded: str, sure: str) -> str:
    """Return SQL that asks whether there are words with a sure sign, and all of them decode to possible syllables."""
    marked = f"regexp_matches(w, {text(sure)}) AND NOT regexp_full_match(w, {text(_NAMES_ELSEWHERE)})"
    plain = spelt(f"string_split({decoded}, ' ')[i]")
    answers = f"list_transform(string_split({raw}, ' '), lambda w, i: CASE WHEN {marked} THEN {plain} END)"
    return f"coalesce(list_bool_and({answers}), false)"


def _capitalised(x: str) -> str:
    """Return SQL that gives every word a capital and leaves its other letters."""
    return f"array_to_string(list_transform(string_split({x}, ' '), lambda w: upper(w[1]) || w[2:]), ' ')"


# --- UTF-8 encoded twice: bytes read as Windows-1252 or Latin-1 ----------------------------------------------------
_CP1252 = {byte: bytes([byte]).decode("cp1252", "replace") for byte in range(0x80, 0xA0)}
_CP1252_FROM = "".join(char for char in _CP1252.values() if char != "\ufffd")
_CP1252_TO = "".join(chr(byte) for byte, char in _CP1252.items() if char != "\ufffd")
_TWICE_PAIR = r"[ÃÄÅÆÌ][\x{80}-\x{BF}]|á[º»][\x{80}-\x{BF}]"
_TWICE_SURE = (
    r"[ÄÅÆÌ][\x{80}-\x{BF}]|á[º»][\x{80}-\x{BF}]|Ã[\x{80}-\x{9F}\x{A1}-\x{BF}]"
    r"|Ã\x{A0}[a-z]|[a-z].*[A-Za-z]Ã\x{A0}|[A-Z][a-z]+Ã\x{A0}|[A-Za-z]Ã\x{A0}.*[a-z]"
)
_BYTES = "unhex(array_to_string(list_transform(string_split(v, ''), lambda c: printf('%02X', unicode(c))), ''))"
# NBSP is the last byte of à, À, Ạ and Ỡ; many systems turn it into a space or trim it away.
_TWICE = let(
    rf"translate(regexp_replace(s, '([!-~])[ \x{{A0}}\x{{3000}}]+$', '\1', 'g'), {text(_CP1252_FROM)}, {text(_CP1252_TO)})",
    "CASE WHEN regexp_matches(v, "
    + text(_TWICE_SURE)
    + ") THEN "
    + let(
        r"regexp_replace(v, '(Ã|á[º»])( |$)', '\1'||chr(160)||'\2', 'g')",
        f"CASE WHEN regexp_full_match(v, {text(f'([ -~]|{_TWICE_PAIR})+')}) THEN "
        + _damage("utf8_twice", CERTAIN, f"nfc_normalize(try(decode({_BYTES})))")
        + " END",
    )
    + " END",
)

# --- TCVN3 (TCVN 5712:1993 VN3, the ABC fonts): one byte a letter, no toned capitals --------------------------------
TCVN3_FROM = "¡¢£¤¥¦§¨©ª«¬\u00ad®µ¶·¸¹»¼½¾ÆÇÈÉÊËÌÎÏÐÑÒÓÔÕÖ×ØÜÝÞßáâãäåæçèéêëìíîïñòóôõö÷øùúûüýþ"
TCVN3_TO = "ĂÂÊÔƠƯĐăâêôơưđàảãáạằẳẵắặầẩẫấậèẻẽéẹềểễếệìỉĩíịòỏõóọồổỗốộờởỡớợùủũúụừửữứựỳỷỹýỵ"
_TCVN3_SYMBOLS = "¡¢£¤¥¦§¨©ª«¬®µ¶¸¹»¼½¾×÷"
_TCVN3_SURE = f"[{_TCVN3_SYMBOLS}ÆÇËÎÏÑÖØÜÞßäåæçëîïñöøûüþ]|[a-z][À-Ý]|[A-Z][À-Ý][a-z]"
_TCVN3 = (
    f"CASE WHEN regexp_full_match(s, {text(f'[A-Za-z .{TCVN3_FROM}-]+')}) THEN "
    + let(
        f"translate(s, {text(TCVN3_FROM)}, {text(TCVN3_TO)})",
        _damage(
            "tcvn3",
            f"CASE WHEN regexp_matches(s, '[{_TCVN3_SYMBOLS}]') THEN {CERTAIN}"
            f" WHEN {_every_sure_word('s', 'd', _TCVN3_SURE)} THEN {SURE}"
            f" WHEN NOT {spelt('s')} AND {spelt('d')} THEN {LIKELY}"
            f" WHEN regexp_matches(s, {text(_TCVN3_SURE)}) THEN {DOUBTFUL} END",
            _capitalised("d"),
        ),
        "d",
    )
    + " END"
)

# --- VNI: a letter, then a character for its marks ------------------------------------------------------------------
_VNI_ROOF, _VNI_BREVE = "áàåãäÁÀÅÃÄ", "éèúüëÉÈÚÜË"
_VNI_FROM = "âÂáÁàÀåÅãÃäÄêÊéÉèÈúÚüÜëËùÙøØûÛõÕïÏôÔöÖñÑæÆóÓòÒîÎ"
_ROOF_TONES = "\u0302\u0302\u0301\u0301\u0300\u0300\u0309\u0309\u0303\u0303\u0323\u0323"
_VNI_TO = (
    _ROOF_TONES
    + _ROOF_TONES.replace("\u0302", "\u0306")
    + "\u0301\u0301\u0300\u0300\u0309\u0309\u0303\u0303\u0323\u0323"
    + "ơƠưƯđĐỉỈĩĨịỊỵỴ"
)
_VNI_PAIR = "[aeo][âáàåãä]|a[êéèúüë]|[aeouyôö][ùøûõï]"
_VNI_GRAMMAR = f"(?i)([a-z .-]|{_VNI_PAIR}|[ôöíìæóòîñ])+"
_VNI_SURE = "(?i)[aeo][âåä]|[ae][áàã]|a[êéèúüë]|[aeyôö][ùøûõï]|o[ùøûï]|uù|uø|uõ|uï|uû[a-z]|[öæñ]"
_VNI_VERY_SURE = "(?i)[aeo][âåä]|aê"  # Leão, Beáta, Isaác, Rafaél and Saül have the other pairs
_VNI_SPLIT = (
    rf"regexp_replace(regexp_replace(s, '([{_VNI_ROOF}])', chr(770)||'\1', 'g'),"
    rf" '([{_VNI_BREVE}])', chr(774)||'\1', 'g')"
)
_VNI_DECODED = f"nfc_normalize(translate({_VNI_SPLIT}, '{_VNI_FROM}', '{_VNI_TO}'))"
_VNI = (
    f"CASE WHEN regexp_matches(s, '{_VNI_SURE}') AND regexp_full_match(s, '{_VNI_GRAMMAR}') THEN "
    + let(
        _VNI_DECODED,
        _damage(
            "vni",
            f"CASE WHEN regexp_matches(s, '{_VNI_VERY_SURE}') THEN {CERTAIN}"
            f" WHEN {_every_sure_word('s', 'd', _VNI_SURE)} THEN {SURE} ELSE {DOUBTFUL} END",
            "d",
        ),
        "d",
    )
    + " END"
)
_VNI_UNLIKELY = (
    f"CASE WHEN regexp_full_match(s, '(?i)([a-z .-]|o[àáã]|[ôíìóò])+') AND NOT {spelt('s')} THEN "
    + let(_VNI_DECODED, f"CASE WHEN {spelt('d')} THEN {_damage('vni', LIKELY, 'd')} END", "d")
    + " END"
)

# --- VIQR (RFC 1456): marks typed after the vowel -------------------------------------------------------------------
_VIQR_STEPS = (
    (r"([AEOaeo])\^", "770"),
    (r"([Aa])\(", "774"),
    (r"([OUou])[+*]", "795"),
    ("'", "769"),
    ("`", "768"),
    (r"\?", "777"),
    ("~", "771"),
    (r"\.", "803"),
)
_VIQR_VERY_SURE = r"[AEOaeo]\^|[Aa]\(|[OUou]\+"
_VIQR_SURE = (
    _VIQR_VERY_SURE
    + r"|[AEIOUYaeiouy]~|[AEIOUYaeiouy][.`'](?:ch?|m|ng?|nh|p|t|[aeiouy]|CH?|M|NG?|NH|P|T|[AEIOUY])(?:[ ]|$)"
)


def _viqr() -> str:
    steps = "s"
    for mark, code in _VIQR_STEPS:
        pattern = mark if mark.startswith("(") else rf"([AEIOUYaeiouy][\x{{302}}\x{{306}}\x{{31B}}]?){mark}"
        steps = rf"regexp_replace({steps}, {text(pattern)}, '\1'||chr({code}), 'g')"
    steps = f"regexp_replace(regexp_replace({steps}, 'dd', 'đ', 'g'), '(?i)dd', 'Đ', 'g')"
    confidence = (
        f"CASE WHEN regexp_matches(s, {text(_VIQR_VERY_SURE)}) THEN {CERTAIN}"
        f" WHEN {_every_sure_word('s', 'd', _VIQR_SURE)} THEN {SURE} ELSE {DOUBTFUL} END"
    )
    decoded = let(f"nfc_normalize({steps})", _damage("viqr", confidence, "d"), "d")
    return f"CASE WHEN regexp_matches(s, {text(_VIQR_SURE)}) THEN {decoded} END"


# --- all of them ----------------------------------------------------------------------------------------------------
_APOSTROPHES = "\u2018\u2019\u02bc\u02bb\u2032\uff07´"
_APOSTROPHE_TO = "''" * len(_APOSTROPHES)
_TONE_MISPLACED = r"[oO][àáảãạèéẻẽẹÀÁẢÃẠÈÉẺẼẸ]\B|[uU][ỳýỷỹỵỲÝỶỸỴ]\B"
_NO_SYLLABLE = rf"(?i)(?:[bcdfghkp][lr]|[fjwz])(?:{_TONE_MISPLACED})"  # Chloé, Zoé
_SUSPICIOUS = (
    rf"[\x{{80}}-\x{{BF}}ÄÅÆÇËÎÏÑÖ×ØÛÜÞßäåæçëîïñö÷øûüþÿ{_CP1252_FROM.replace(chr(0x2019), '')}]|Ã\x{{2019}}"
    rf"|[a-z][À-Ý]|[A-Z][À-Ý][a-z]|[uU][úÚ]|[aA][âÂáÁàÀãÃêÊéÉèÈúÚùÙõÕ]|[eE][âÂáÁàÀãÃùÙõÕ]|[oO][âÂùÙ]|[uUyYôÔ][ùÙõÕ]"
    rf"|[uU][yY][ÔÕÒÓ]|[^gG][iI][ÔÕÒÓ]|[âÂ](?:[ ]|$)|[óòÓÒ](?:[nc]h|[NC]H)|{_VIQR_SURE}"
)
_NAMES = f"[{LETTERS}'` .-]+"
_CANONICAL = f"[{CAPITALS}][{SMALL}]*(?: [{CAPITALS}][{SMALL}]*)*"


def _first(*findings: str) -> str:
    """Return SQL of the first finding of decoders that is sure enough, a plain name, and left alone by every decoder."""
    plain = f"regexp_full_match(d.name, {text(_NAMES)}) AND NOT regexp_matches(d.name, {text(_SUSPICIOUS)})"
    return f"list_filter([{', '.join(findings)}], lambda d: d.confidence >= {THRESHOLD} AND {plain})[1]"


_DECODERS = ("utf8_twice", "vni", "vni_unlikely", "tcvn3")


def macros() -> dict[str, str]:
    """Return name -> definition of the macros that the name functions need, in the order to create them."""
    # TCVN3's ư is the soft hyphen, which cleaning drops.
    kept = "replace(" + clean("replace(s, chr(173), chr(57344))") + ", chr(57344), chr(173))"
    soft = f"CASE WHEN contains(s, chr(173)) THEN {let(kept, 'motlan_tcvn3(k)', 'k')} END"
    found = [f"motlan_{decoder}(s)" for decoder in _DECODERS]
    found.append(let("translate(s, 'ÐƉð', 'ĐĐđ')", "motlan_viqr(k)", "k"))  # elsewhere Ð is é of TCVN3
    signs = ", ".join(f"motlan_{decoder}(s).confidence" for decoder in (*_DECODERS, "viqr"))
    return {
        "motlan_utf8_twice": f"motlan_utf8_twice(s) AS {_TWICE}",
        "motlan_vni": f"motlan_vni(s) AS {_VNI}",
        "motlan_vni_unlikely": f"motlan_vni_unlikely(s) AS {_VNI_UNLIKELY}",
        "motlan_tcvn3": f"motlan_tcvn3(s) AS {_TCVN3}",
        "motlan_viqr": f"motlan_viqr(s) AS {_viqr()}",
        "motlan_bytes_damage": f"motlan_bytes_damage(s) AS {_first('motlan_utf8_twice(s)', soft)}",
        "motlan_damage": f"motlan_damage(s) AS {_first(*found)}",
        "motlan_doubt": f"motlan_doubt(s) AS CASE WHEN coalesce({signs}) IS NOT NULL THEN {DOUBTFUL} ELSE {PLAIN} END",
        "motlan_bytes_repaired": "motlan_bytes_repaired(s) AS coalesce(motlan_bytes_damage(s).name, s)",
        "motlan_repaired": "motlan_repaired(s) AS coalesce(motlan_damage(s).name, s)",
    }


def _if_suspicious(x: str, then: str, otherwise: str) -> str:
    return let(x, f"CASE WHEN regexp_matches(v, {text(_SUSPICIOUS)}) THEN {then} ELSE {otherwise} END")


def _note(damage: str, otherwise: str) -> str:
    """Return SQL of what a step that undoes an encoding has seen."""
    found = f"d.encoding || ', confidence ' || d.confidence || '; undone from {THRESHOLD} on'"
    return _if_suspicious("@1", let(damage, f"coalesce({found}, {otherwise})", "d"), "NULL")


def _proper_case() -> str:
    """Return SQL that gives every word of `v` a capital where the text is all capitals, or has none."""
    words = r"regexp_extract_all(lower(v), '[^ ''-]+|[ ''-]+')"
    proper = f"array_to_string(list_transform({words}, lambda w: upper(w[1]) || w[2:]), '')"
    return f"CASE WHEN v = lower(v) OR NOT regexp_matches(v, '[a-z]') THEN {proper} ELSE v END"


_MOVED = "\ue000"
"""Stands before a letter whose tone mark moves to the letter before."""


def _toned(letter: str) -> str:
    """Return a letter with each of TONE_MARKS."""
    forms = "".join(VOWELS[letter.lower()][1:])
    return forms if letter.islower() else forms.upper()


def _placed_tones() -> str:
    r"""Return SQL that puts the tone mark of open oa, oe, uy of `v` at its traditional place.

    RE2's `\B` is about ASCII letters alone, so after a vowel with a mark it means: no ASCII letter follows.
    """
    steps = "' ' || v"
    for before, letters in (("[oO]", "aAeE"), ("[^qQ][uU]", "yY")):
        toned = "".join(_toned(letter) for letter in letters)
        steps = rf"regexp_replace({steps}, '({before})([{toned}])\B', '\1{_MOVED}\2', 'g')"
    for tone, mark in enumerate(TONE_MARKS):
        toned = "".join(_toned(letter)[tone] for letter in "aAeEyY")
        steps = rf"regexp_replace({steps}, '{_MOVED}([{toned}])', '{mark}{_MOVED}\1', 'g')"
    for letter in "aAeEyY":
        steps = rf"regexp_replace({steps}, '{_MOVED}[{_toned(letter)}]', '{letter}', 'g')"
    misplaced = f"regexp_matches(v, '{_TONE_MISPLACED}') AND NOT regexp_matches(v, '{_NO_SYLLABLE}')"
    return f"CASE WHEN {misplaced} THEN nfc_normalize(({steps})[2:]) ELSE v END"


# Icelandic has ð inside of words, Vietnamese đ at their beginning alone.
_LOOK_ALIKES = (
    r"regexp_replace(regexp_replace(replace(@1, '`', ''''), '(^|[ ''-])[ÐƉ]', '\1Đ', 'g'), '(^|[ ''-])ð', '\1đ', 'g')"
)
_SPACED = r"regexp_replace(@1, '[\s\x0B\x1C-\x1F]+', ' ', 'g')"
_BARE = rf"regexp_replace({_SPACED}, '[\x00-\x1F\x7F\x{{200B}}-\x{{200D}}\x{{2060}}\x{{FEFF}}]', '', 'g')"
_UNSURE = f"'signs of one, confidence ' || nullif(motlan_doubt(v), 0) || '; undone from {THRESHOLD} on'"

_PLAINED = (
    Stage("spaces made one, control and zero-width characters dropped", _BARE),
    Stage(
        "legacy encoding undone whose bytes look like spaces (UTF-8 encoded twice, TCVN3 with a soft hyphen)",
        _if_suspicious("@1", "motlan_bytes_repaired(v)", "v"),
        _note("motlan_bytes_damage(v)", "NULL"),
    ),
    Stage("apostrophes made one", f"translate(@1, '{_APOSTROPHES}', '{_APOSTROPHE_TO}')"),
    *CLEAN[:-1],
    replace(CLEAN[-1], sql=let("@1", CLEAN[-1].sql.replace("@1", "v"))),  # or all before it would be computed twice
)
PERSON_NAME = (
    *_PLAINED,
    Stage(
        "legacy encoding undone (VNI, TCVN3, VIQR)",
        _if_suspicious("@1", "motlan_repaired(v)", "v"),
        _note("motlan_damage(v)", _UNSURE),
    ),
    Stage("look-alike letters made the usual ones", _LOOK_ALIKES),
    Stage("proper case where all was upper or lower", _if_suspicious("@1", "v", _proper_case())),
    Stage("tone marks at their traditional place", _if_suspicious("@1", "v", _placed_tones())),
)
"""Steps of the cleaning of a name, in order.

Repairs come before cleaning where bytes of the damage look like spaces or controls, and after it elsewhere. What stays
suspicious keeps its case and its marks, so that a second look finds what the first one found.
"""


def answers(odd: str, _rest: Sequence[str] = ()) -> str:
    """Return the query that cleans the names of a relation, as `person_name` does: columns `given` and `made`.

    A step that binds its value compiles its patterns anew for every vector. So the steps stand in queries of their own, and
    only what looks like a legacy encoding at some step, which is rare, is gathered and goes through all of them.

    Args:
        odd: Relation with the column `given`.
    """
    query = f"select given, {fill(_PLAINED[0].sql, ('given',))} as v, false as hard from {odd}"
    plained, blank = chain(_PLAINED[2:-1], "v"), fill(CLEAN[-1].sql, ("v",))
    for step in (plained, blank, fill(_LOOK_ALIKES, ("v",)), _proper_case(), _placed_tones()):
        hard = f"hard or coalesce(regexp_matches(v, {text(_SUSPICIOUS)}), false)"
        query = f"select given, {step} as v, {hard} as hard from ({query})"
    repaired = "select distinct word as known, word as v from stepped"
    for stage in PERSON_NAME:
        repaired = f"select known, {unbound(stage.sql)} as v from ({repaired})"
    return (
        f"with stepped as materialized (select given, v, case when hard then given end as word from ({query}))\n"
        "select given, case when word is null then stepped.v else repaired.v end as made "
        f"from stepped left join ({repaired}) as repaired on known = word"
    )


def _unless_canonical(then: str, otherwise: str) -> str:
    return let("@1", f"CASE WHEN {IS_CANONICAL.replace('@1', 'v')} THEN {then} ELSE {otherwise} END")


def _detected(found: str) -> tuple[str, str]:
    """Return SQL, of a name `v`, of something about the damage that each of the two repairs finds."""
    first = let(chain(_PLAINED[:1], "v"), _if_suspicious("v", f"motlan_bytes_damage(v).{found}", "NULL"))
    return first, let(chain(_PLAINED, "v"), _if_suspicious("v", f"motlan_damage(v).{found}", "NULL"))


_ODD = text(f"{_TONE_MISPLACED}|{_SUSPICIOUS}")
IS_CANONICAL = f"(regexp_full_match(@1, {text(_CANONICAL)}) AND NOT regexp_matches(@1, {_ODD}))"
"""Asks of `@1` whether it is a name that needs nothing done."""

_DOUBT = let(chain(_PLAINED, "v"), _if_suspicious("v", "motlan_doubt(v)", PLAIN))
TEMPLATES = {
    "person_name": _unless_canonical("v", chain(PERSON_NAME, "v")),
    "name_encoding": _unless_canonical("NULL", f"coalesce({', '.join(_detected('encoding'))})"),
    "encoding_confidence": _unless_canonical(
        PLAIN, f"CASE WHEN v IS NOT NULL THEN coalesce({', '.join(_detected('confidence'))}, {_DOUBT}) END"
    ),
}
"""Functions of this room -> SQL."""

ONLY_LETTERS = "regexp_full_match(@1, " + text(f"[{LETTERS}' -]+") + ")"
TONED = "".join("".join(forms[1:]) for forms in VOWELS.values())
TONELESS = "".join(forms[0] * 5 for forms in VOWELS.values())
