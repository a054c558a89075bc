"""DuckDB's SQL for legacy encodings in the names of people: how they are recognised, and undone.

The repairs are macros, because their tables are long; `macros()` is their whole text. A plain name passes one cheap
regular expression and none of them. Each repair needs two proofs: the text has characters or sequences that no plain
name has, and what comes out is made of Vietnamese letters (and, unless the first proof is very strong, of possible
Vietnamese syllables). How strong they are together is the confidence, and a repair is made from THRESHOLD on. So
Müller, Israël and Ðinh stay what they are.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from mapping.functions.alphabet import LETTERS, SYLLABLES
from motlan.expressions.dialect import fill
from motlan.expressions.duckdb.pieces import clean, let, text

THRESHOLD = "0.75"
"""Least confidence, of 0 to 1, at which a legacy encoding is undone."""

CERTAIN, SURE, LIKELY, DOUBTFUL, PLAIN = (f"try_cast({share} AS DOUBLE)" for share in (0.99, 0.95, 0.8, 0.3, 0))
"""Confidence by evidence: a sequence that no spelling has; sure signs, and every word with one decodes to a possible
syllable; no sign, but the text breaks Vietnamese spelling and what comes out keeps it; signs without a second proof;
nothing of this."""


def spelt(x: str) -> str:
    """Return SQL that asks whether every word is one that Vietnamese spelling allows."""
    return f"regexp_full_match({x}, {text(SYLLABLES)})"


@dataclass(frozen=True)
class _Decoder:
    """Undoes one encoding.

    Attributes:
        encoding: Its name.
        reading: SQL, of a text `@1`, of what comes out; null where the text does not look like it.
        asked: SQL, of the text and what came out as `@2`, of texts that are to be asked whether they are `spelt`.
        confidence: SQL, of both and the answers as `@3` and on, of how sure it is.
        name: SQL, of both, of the name that comes out.
    """

    encoding: str
    reading: str
    confidence: str
    asked: tuple[str, ...] = ()
    name: str = "@2"


_NAMES_ELSEWHERE = "(?i)Seán|Loïc|Naïm|Haïm|Caïn"
"""Plain names of other countries that would decode to syllables: a sign in them proves nothing."""


def _sure_words(sure: str) -> str:
    """Return SQL of what the words with a sure sign became; nothing where there are none."""
    marked = f"regexp_matches(w, {text(sure)}) AND NOT regexp_full_match(w, {text(_NAMES_ELSEWHERE)})"
    became = f"list_transform(string_split(@1, ' '), lambda w, i: CASE WHEN {marked} THEN string_split(@2, ' ')[i] END)"
    return f"array_to_string({became}, ' ')"


def _capitalised(x: str) -> str:
    """Return SQL that gives every word a capital and leaves its other letters."""
    return f"array_to_string(list_transform(string_split({x}, ' '), lambda w: upper(w[1]) || w[2:]), ' ')"


# --- UTF-8 encoded twice: bytes read as Windows-1252 or Latin-1 ----------------------------------------------------
_CP1252 = {byte: bytes([byte]).decode("cp1252", "replace") for byte in range(0x80, 0xA0)}
_CP1252_FROM = "".join(char for char in _CP1252.values() if char != "\ufffd")
_CP1252_TO = "".join(chr(byte) for byte, char in _CP1252.items() if char != "\ufffd")
_CONTINUES = r"\x{80}-\x{BF}" + _CP1252_FROM
# Case functions changed the lead bytes of some: Ã is no ã where a byte of a second letter stands behind it.
_LEADS = (
    ("Á([º»])", r"á\1"),
    (f"ã([{re.sub('[‘’“”–—]', '', _CONTINUES)}])", r"Ã\1"),
    *((f"{small}([{_CONTINUES}])", rf"{capital}\1") for small, capital in ("äÄ", "åÅ", "æÆ")),
)
_TWICE_IN_ANY_CASE = f"[ãäåæ][{_CONTINUES}]|[áÁ][º»]"
_TWICE_PAIR = r"[ÃÄÅÆÌ][\x{80}-\x{BF}]|á[º»][\x{80}-\x{BF}]"
_TWICE_SURE = (
    r"[ÄÅÆÌ][\x{80}-\x{BF}]|á[º»][\x{80}-\x{BF}]|Ã[\x{80}-\x{9F}\x{A1}-\x{BF}]"
    r"|Ã\x{A0}[a-z]|[a-z].*[A-Za-z]Ã\x{A0}|[A-Z][a-z]+Ã\x{A0}|[A-Za-z]Ã\x{A0}.*[a-z]"
)
_BYTES = "unhex(array_to_string(list_transform(string_split(v, ''), lambda c: printf('%02X', unicode(c))), ''))"
_TWICE_SIGN = f"[ÃÄÅÆÌ]|{_TWICE_IN_ANY_CASE}"


def _led() -> str:
    steps = "translate(@1, 'ÿΜƑ', 'Ÿµƒ')"
    for pattern, put in _LEADS:
        steps = f"regexp_replace({steps}, {text(pattern)}, '{put}', 'g')"
    return steps


# NBSP is the last byte of à, À, Ạ and Ỡ; many systems turn it into a space or trim it away. In small letters, š, œ and ž stand
# for two bytes each.
_TWICE = _Decoder(
    "utf8_twice",
    f"CASE WHEN regexp_matches(@1, '{_TWICE_SIGN}') AND NOT (regexp_matches(@1, '[šœž]') AND @1 = lower(@1)) THEN "
    + let(
        rf"translate(regexp_replace({_led()}, '([!-~])[ \x{{A0}}\x{{3000}}]+$', '\1', 'g'),"
        f" {text(_CP1252_FROM)}, {text(_CP1252_TO)})",
        "CASE WHEN regexp_matches(v, "
        + text(_TWICE_SURE)
        + ") THEN "
        + let(
            r"regexp_replace(v, '(Ã|á[º»])( |$)', '\1'||chr(160)||'\2', 'g')",
            f"CASE WHEN regexp_full_match(v, {text(f'([ -~]|{_TWICE_PAIR})+')}) THEN nfc_normalize(try(decode({_BYTES}))) END",
        )
        + " END",
    )
    + " END",
    CERTAIN,
    name="CASE WHEN @1 = lower(@1) THEN lower(@2) WHEN regexp_matches(@1, '[a-z]') THEN @2 ELSE upper(@2) END",
)

# --- TCVN3 (TCVN 5712:1993 VN3, the ABC fonts): one byte a letter, no toned capitals --------------------------------
TCVN3_FROM = "¡¢£¤¥¦§¨©ª«¬\u00ad®µ¶·¸¹»¼½¾ÆÇÈÉÊËÌÎÏÐÑÒÓÔÕÖ×ØÜÝÞßáâãäåæçèéêëìíîïñòóôõö÷øùúûüýþ"
TCVN3_TO = "ĂÂÊÔƠƯĐăâêôơưđàảãáạằẳẵắặầẩẫấậèẻẽéẹềểễếệìỉĩíịòỏõóọồổỗốộờởỡớợùủũúụừửữứựỳỷỹýỵ"
_TCVN3_SYMBOLS = "¡¢£¤¥¦§¨©ª«¬®µ¶¸¹»¼½¾×÷"
_TCVN3_SURE = f"[{_TCVN3_SYMBOLS}ÆÇËÎÏÑÖØÜÞßäåæçëîïñöøûüþ]|[a-z][À-Ý]|[A-Z][À-Ý][a-z]"
_NG_WITHOUT_H = r"(?i)(?:^|\s)ng[eéèẻẽẹêếềểễệiíìỉĩị]"  # NgÔ is Ngô in odd case, and not Ngễ
_TCVN3 = _Decoder(
    "tcvn3",
    f"CASE WHEN regexp_full_match(@1, {text(f'[A-Za-z .{TCVN3_FROM}-]+')}) AND NOT regexp_matches(@1, '{_TWICE_IN_ANY_CASE}')"
    f" THEN translate(@1, {text(TCVN3_FROM)}, {text(TCVN3_TO)}) END",
    f"CASE WHEN regexp_matches(@1, '[{_TCVN3_SYMBOLS}]') THEN {CERTAIN}"
    f" WHEN @3 AND NOT regexp_matches(@2, '{_NG_WITHOUT_H}') THEN {SURE}"
    f" WHEN NOT @4 AND @5 THEN {LIKELY} WHEN regexp_matches(@1, {text(_TCVN3_SURE)}) THEN {DOUBTFUL} END",
    (_sure_words(_TCVN3_SURE), "@1", "@2"),
    _capitalised("@2"),
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
    rf"regexp_replace(regexp_replace(@1, '([{_VNI_ROOF}])', chr(770)||'\1', 'g'),"
    rf" '([{_VNI_BREVE}])', chr(774)||'\1', 'g')"
)
_VNI_SIGNED = f"(regexp_matches(@1, '{_VNI_SURE}') AND regexp_full_match(@1, '{_VNI_GRAMMAR}'))"
_VNI_UNSIGNED = "regexp_full_match(@1, '(?i)([a-z .-]|o[àáã]|[ôíìóò])+')"
_VNI = _Decoder(
    "vni",
    f"CASE WHEN {_VNI_SIGNED} OR {_VNI_UNSIGNED}"
    f" THEN nfc_normalize(translate({_VNI_SPLIT}, '{_VNI_FROM}', '{_VNI_TO}')) END",
    f"CASE WHEN {_VNI_SIGNED} AND regexp_matches(@1, '{_VNI_VERY_SURE}') THEN {CERTAIN}"
    f" WHEN {_VNI_SIGNED} AND @3 THEN {SURE} WHEN {_VNI_UNSIGNED} AND NOT @4 AND @5 THEN {LIKELY}"
    f" WHEN {_VNI_SIGNED} THEN {DOUBTFUL} END",
    (_sure_words(_VNI_SURE), "@1", "@2"),
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
    steps = "@1"
    for mark, code in _VIQR_STEPS:
        pattern = mark if mark.startswith("(") else rf"([AEIOUYaeiouy][\x{{302}}\x{{306}}\x{{31B}}]?){mark}"
        steps = rf"regexp_replace({steps}, {text(pattern)}, '\1'||chr({code}), 'g')"
    steps = f"regexp_replace(regexp_replace({steps}, 'dd', 'đ', 'g'), '(?i)dd', 'Đ', 'g')"
    return f"CASE WHEN regexp_matches(@1, {text(_VIQR_SURE)}) THEN nfc_normalize({steps}) END"


_VIQR = _Decoder(
    "viqr",
    _viqr(),
    f"CASE WHEN regexp_matches(@1, {text(_VIQR_VERY_SURE)}) THEN {CERTAIN} WHEN @3 THEN {SURE} ELSE {DOUBTFUL} END",
    (_sure_words(_VIQR_SURE),),
)


# --- cp1258 read as cp1252: tone marks are bytes of their own behind the vowel ---------------------------------------
_CP1258_FROM, _CP1258_TO = "ÌÒÞìòÃãÐðÕõÝý", "\u0300\u0309\u0303\u0301\u0323ĂăĐđƠơƯư"
_CP1258_SIGN = "(?:[aeyâêôãõýAEYÂÊÔÃÕÝ]|[^qQ][uU]|[^gG][iI])[ìòÌÒÞ]|[oO](?:[ìÌÞ]|[òÒ](?:[^nN]|$))|[ýÝ][õÕ]"
# Gi and qu are consonants (giò, quì), and oòng is a rhyme (Voòng).
# Whether ì was Ì, or the other way round, nobody knows where the whole name changed its case.
_CP1258 = _Decoder(
    "cp1258",
    f"CASE WHEN regexp_matches(@1, '{_CP1258_SIGN}')"
    f" AND regexp_full_match(@1, {text(f'[A-Za-z .ÂâÊêÔôÀàÁáÈèÉéÍíÓóÙùÚú{_CP1258_FROM}-]+')})"
    f" THEN nfc_normalize(translate(@1, '{_CP1258_FROM}', '{_CP1258_TO}')) END",
    "CASE WHEN @3 AND NOT (regexp_matches(@1, '[ìò]') AND @1 = lower(@1))"
    f" AND NOT (regexp_matches(@1, '[ÌÒ]') AND @1 = upper(@1)) THEN {SURE} ELSE {DOUBTFUL} END",
    (_sure_words(_CP1258_SIGN),),
)

# --- all of them ----------------------------------------------------------------------------------------------------
SUSPICIOUS = (
    rf"[\x{{80}}-\x{{BF}}ÄÅÆÇËÎÏÑÖ×ØÛÜÞßäåæçëîïñö÷øûüþÿ{_CP1252_FROM.replace(chr(0x2019), '')}]|Ã\x{{2019}}"
    rf"|[a-z][À-Ý]|[A-Z][À-Ý][a-z]|[uU][úÚ]|[aA][âÂáÁàÀãÃêÊéÉèÈúÚùÙõÕ]|[eE][âÂáÁàÀãÃùÙõÕ]|[oO][âÂùÙ]|[uUyYôÔ][ùÙõÕ]"
    rf"|{_CP1258_SIGN}|[uU][yY][ÔÕÒÓ]|[^gG][iI][ÔÕÒÓ]|[âÂ](?:[ ]|$)|[óòÓÒ](?:[nc]h|[NC]H)|{_VIQR_SURE}"
)
"""Pattern of what no plain name has, or hardly any."""
_NAMES = f"[{LETTERS}'` .-]+"

_STEPS = {"k": "k(s)", "c": "c(s, k)", "b": "b(s, k, c)"}
"""Steps of a repair before the last one, in order -> their calls."""


@dataclass(frozen=True)
class _Repair:
    """Decoders that look at a text `s`, in the order in which they are believed.

    It goes by steps, each a macro of the text and of the steps before it: `k`, the text as some decoders read it; `c`, what
    comes out of each; `b`, answers about spelling, asked all at once; `found`, a list of what each decoder found: the
    encoding, how sure it is, and the name that comes out.

    Attributes:
        name: What its macros are called by.
        otherwise: SQL of `k`.
        decoders: Each with the text that it reads, `s` or `k`.
    """

    name: str
    otherwise: str
    decoders: tuple[tuple[_Decoder, str], ...]

    def macros(self) -> dict[str, str]:
        """Return name -> definition of the steps, and of what they are good for in one."""
        came = [f"'{decoder.encoding}': {fill(decoder.reading, (x,))}" for decoder, x in self.decoders]
        asked: list[str] = []
        findings = []
        for decoder, x in self.decoders:
            came_out = f"c.{decoder.encoding}"
            answers = [f"b[{len(asked) + number}]" for number in range(1, len(decoder.asked) + 1)]
            asked += [f"CASE WHEN {came_out} IS NOT NULL THEN {fill(one, (x, came_out))} END" for one in decoder.asked]
            confidence, name = (fill(sql, (x, came_out, *answers)) for sql in (decoder.confidence, decoder.name))
            finding = f"{{'encoding': '{decoder.encoding}', 'confidence': {confidence}, 'name': {name}}}"
            findings.append(f"CASE WHEN {came_out} IS NOT NULL THEN {finding} END")
        steps = {
            "k(s)": self.otherwise,
            "c(s, k)": f"{{{', '.join(came)}}}",
            "b(s, k, c)": f"list_transform([{', '.join(asked)}], lambda x: {spelt('x')})",
            "found(s, k, c, b)": f"[{', '.join(findings)}]",
            "damage(s)": f"motlan_believed({self.bound()})",
            "repaired(s)": f"coalesce(motlan_{self.name}_damage(s).name, s)",
        }
        return {
            f"motlan_{self.name}_{step.split('(')[0]}": f"motlan_{self.name}_{step} AS {sql}"
            for step, sql in steps.items()
        }

    def call(self, step: str) -> str:
        """Return SQL of a step after those before it: `found(s, k, c, b)`."""
        return f"motlan_{self.name}_{step}"

    def bound(self) -> str:
        """Return SQL of what was found, as one expression of `s`."""
        body = self.call("found(s, k, c, b)")
        for name, step in reversed(_STEPS.items()):
            body = let(self.call(step), body, name)
        return body

    def staged(self, query: str) -> str:
        """Return a query with the column `repaired` of a query with `s`. Each step is a query: bound, it is slow to compile."""
        for name, step in _STEPS.items():
            query = f"select *, {self.call(step)} as {name} from ({query})"
        return (
            f"select *, coalesce(motlan_believed({self.call('found(s, k, c, b)')}).name, s) as repaired from ({query})"
        )


# TCVN3's ư is the soft hyphen, which cleaning drops.
_SOFT = "replace(" + clean("replace(s, chr(173), chr(57344))") + ", chr(57344), chr(173))"
OF_BYTES = _Repair("bytes", f"CASE WHEN contains(s, chr(173)) THEN {_SOFT} END", ((_TWICE, "s"), (_TCVN3, "k")))
"""What must be undone before cleaning."""
OF_LETTERS = _Repair(
    "letters",
    "translate(s, 'ÐƉð', 'ĐĐđ')",  # for VIQR: elsewhere Ð is é of TCVN3
    ((_TWICE, "s"), (_VNI, "s"), (_TCVN3, "s"), (_CP1258, "s"), (_VIQR, "k")),
)
"""What is undone after it."""


def macros() -> dict[str, str]:
    """Return name -> definition of the macros that repairs need, in the order to create them."""
    plain = f"regexp_full_match(d.name, {text(_NAMES)}) AND NOT motlan_suspicious(d.name)"
    believed = f"list_filter(found, lambda d: d.confidence >= {THRESHOLD} AND {plain})[1]"
    signs = f"list_filter({OF_LETTERS.bound()}, lambda d: d.confidence IS NOT NULL)[1]"
    return {
        "motlan_suspicious": f"motlan_suspicious(s) AS regexp_matches(s, {text(SUSPICIOUS)})",
        "motlan_believed": f"motlan_believed(found) AS {believed}",
        **OF_BYTES.macros(),
        **OF_LETTERS.macros(),
        "motlan_doubt": f"motlan_doubt(s) AS CASE WHEN {signs} IS NOT NULL THEN {DOUBTFUL} ELSE {PLAIN} END",
    }
