"""DuckDB's SQL for units of administration and addresses.

An address is folded to lower case without marks, its parts parted by `, `, the kinds of units written out; a
unit is found by its folded name, and of several the one whose district, province and date agree.
"""

from __future__ import annotations

from motlan.expressions.dialect import Lookup, Sql, Stage
from motlan.expressions.duckdb.codes import BY_THEN, FOLD, looked_up, meaning_at, meanings_of
from motlan.expressions.duckdb.pieces import chain, let, text


def _commune(value: str) -> str:
    return looked_up("'communes'", "@1", value=value, also=BY_THEN.format("@2"))


_CODE_THEN = Stage("the code as the list writes it", FOLD)
COMMUNE = (
    _CODE_THEN,
    Stage(
        "the commune of July 2025 that it stands for, read by the date",
        _commune("c.cl_value"),
        let(
            _commune("{'name': c.cl_name, 'since': c.cl_valid_from, 'candidates': c.cl_candidates}"),
            "coalesce(v.name || CASE v.since WHEN '' THEN ' of before the reform' ELSE ', since ' || v.since END"
            " || CASE v.candidates WHEN '' THEN '' ELSE ', divided among ' || v.candidates END,"
            " CASE WHEN @1 IS NOT NULL THEN 'no list has this code at the date' END)",
        ),
    ),
)
"""Steps of the reading of a commune's code."""

# --- addresses ------------------------------------------------------------------------------------------------------
_KINDS = "phường|xã|thị trấn|đặc khu|quận|huyện|thị xã|thành phố|tỉnh"
_COMMUNE_KINDS = "(?:phuong|xa|thi tran|dac khu)"
_WIDER_KINDS = "^(tinh|thanh pho|quan|huien|thi xa) "
_SHORT = {
    "p": "phuong", "f": "phuong", "x": "xa", "tt": "thi tran", "dk": "dac khu", "q": "quan", "h": "huien", "tx": "thi xa",
    "tp": "thanh pho", "t": "tinh",
}  # fmt: skip
_CITY = "(thanh pho |tp)?(ho chi minh|hcm)$"


def _letters(x: str) -> str:
    """Return SQL of a text in small letters a to z without marks (y written i), other characters left."""
    return f"replace(translate(strip_accents(lower({x})), 'đy', 'di'), '''', '')"


def _address() -> str:
    # The kinds are sought with their marks: without them xã is like Xà, and quận like Quan.
    sql = rf"regexp_replace(', ' || lower(nfc_normalize(s)), '[\s,;.-]+({_KINDS})[\s.]+', ', \1 ', 'g')"
    sql = rf"regexp_replace({_letters(sql)}, '[^a-z0-9,;]+', ' ', 'g')"
    sql = rf"regexp_replace({sql}, '[ ,;]*[,;][ ,;]*', ', ', 'g')"
    sql = rf"regexp_replace({sql}, ', ([pfq])(\d)', ', \1 \2', 'g')"
    for short, kind in _SHORT.items():
        sql = f"replace({sql}, ', {short} ', ', {kind} ')"
    sql = rf"regexp_replace({sql}, '(phuong|quan) 0+(\d)', '\1 \2', 'g')"
    sql = rf"regexp_replace({sql}, '(, viet nam)?[ ,]*$', '', 'g')"
    return rf"regexp_replace({sql}, ', {_CITY}', ', thanh pho ho chi minh', 'g')"


def macros() -> dict[str, str]:
    """Return name -> definition of the macros that addresses need, in the order to create them."""
    place = rf"regexp_replace(trim(regexp_replace({_letters('s')}, '[^a-z0-9]+', ' ', 'g')), ' 0+(\d)', ' \1', 'g')"
    return {
        "motlan_place": f"motlan_place(s) AS {place}",
        "motlan_unit": f"motlan_unit(s) AS regexp_replace(motlan_place(s), '{_WIDER_KINDS}', '', 'g')",
        "motlan_address": f"motlan_address(s) AS {_address()}",
        "motlan_wider": (
            f"motlan_wider(s) AS list_transform(regexp_extract_all(regexp_extract(motlan_address(s),"
            f" '.*, {_COMMUNE_KINDS} [^,]+(.*)', 1), '[^,]+'), lambda p: regexp_replace(trim(p), '{_WIDER_KINDS}', '', 'g'))"
        ),
    }


# Of the units with the name: those that the wider units in the text agree with, of the newest time, by their marks where
# several are left and the text has marks. One wider unit is the province, or a district where the province is known; two
# are district and province, so an old unit is meant, even where both have one name.
_AGREEING = (
    "list_filter(@found, lambda unit: CASE len(a) WHEN 0 THEN unit.province = trim(@2)"
    " WHEN 1 THEN a[1] = unit.within OR (a[1] = unit.district AND unit.province = trim(@2))"
    " ELSE len(a) = 2 AND a[1] = unit.district AND a[2] = unit.within END AND unit.since <= coalesce(@3, '9999'))"
)
_NEWEST = "list_filter(n, lambda unit: unit.since = list_max(list_transform(n, lambda other_unit: other_unit.since)))"
_EXACT = "list_filter(n, lambda unit: contains(lower(nfc_normalize(@1)), unit.name) AND lower(@1) <> strip_accents(lower(@1)))"
_ONE = "CASE WHEN len(list_distinct(n)) = 1 THEN nullif(n[1], '') END"


def _then(value: str, body: str) -> str:
    return let(value, body, "n")


_ADDRESS_COMMUNE = (
    "CASE WHEN @found IS NOT NULL THEN "
    + let(
        "motlan_wider(@1)",
        _then(
            _AGREEING,
            _then(
                _NEWEST,
                _then(
                    f"CASE WHEN len(n) > 1 THEN {_EXACT} ELSE n END",
                    _then("list_transform(n, lambda unit: unit.value)", _ONE),
                ),
            ),
        ),
        "a",
    )
    + " END"
)

# --- all of them ----------------------------------------------------------------------------------------------------
TABLES = {
    "motlan_commune_provinces": """
SELECT c.cl_code AS code, arg_max(c.cl_province, c.cl_valid_from) FILTER (c.cl_valid_to = '') AS province,
 arg_max(c.cl_province, c.cl_valid_from) FILTER (c.cl_valid_to <> '') AS former_province
 FROM motlan_codes c WHERE c.cl_list = 'communes' GROUP BY ALL""",
    "motlan_named_communes": """
SELECT motlan_place(c.cl_name) AS code, list({'since': c.cl_valid_from, 'province': c.cl_province,
 'district': motlan_unit(c.cl_district), 'within': motlan_unit(p.cl_name),
 'name': lower(regexp_replace(c.cl_name, '^(Phường|Xã|Thị trấn|Đặc khu) ', '')),
 'value': CASE c.cl_candidates WHEN '' THEN c.cl_value ELSE '' END} ORDER BY c.cl_valid_from, c.cl_code) AS found
 FROM motlan_codes c JOIN motlan_codes p
 ON p.cl_list = 'provinces' AND p.cl_code = c.cl_province AND p.cl_valid_from = c.cl_valid_from
 WHERE c.cl_list = 'communes' GROUP BY ALL""",
    "motlan_named_provinces": """
SELECT motlan_unit(c.cl_name) AS code, CASE WHEN count(DISTINCT c.cl_value) = 1 THEN min(c.cl_value) END AS found
 FROM motlan_codes c WHERE c.cl_list = 'provinces' GROUP BY ALL""",
}
"""Table that look-ups read -> its query over `motlan_codes` (of a place by its folded name: see `motlan_place`)."""
_PROVINCES = "SELECT c.code AS code, c.{} AS found FROM motlan_commune_provinces c"

LOOKUPS = {
    "commune": meanings_of("'communes'", "@1", meaning_at("@2")),
    "commune_candidates": meanings_of("'communes'", "@1", f"nullif({meaning_at('@2', 'candidates')}, '')"),
    "province_of_commune": Lookup(_PROVINCES.format("province"), FOLD, "@found"),
    "former_province_of_commune": Lookup(_PROVINCES.format("former_province"), FOLD, "@found"),
    "address_commune": Lookup(
        "SELECT c.code AS code, c.found AS found FROM motlan_named_communes c",
        f"nullif(regexp_extract(motlan_address(@1), '.*, ({_COMMUNE_KINDS} [^,]+)', 1), '')",
        _ADDRESS_COMMUNE,
    ),
    "address_province": Lookup(
        "SELECT c.code AS code, c.found AS found FROM motlan_named_provinces c",
        "regexp_replace(regexp_extract(motlan_address(@1), ', ([^,]+)$', 1), '^(tinh|thanh pho) ', '', 'g')",
        "@found",
    ),
}
"""Function that looks into a code list -> its join."""


def _alone(function: str) -> str:
    """Return a look-up's SQL where there is no join: the names inside are such as no argument has."""
    look = LOOKUPS[function]
    found = f"(SELECT cl_found FROM (SELECT code AS cl_key, found AS cl_found FROM ({look.relation})) WHERE cl_key = {look.key})"
    return let(found, look.answer.replace("@found", "l"), "l")


TEMPLATES = {
    "commune": chain(COMMUNE),
    "commune_candidates": (
        f"nullif({looked_up(text('communes'), FOLD, value='c.cl_candidates', also=BY_THEN.format('@2'))}, '')"
    ),
    "province_of_commune": looked_up(text("communes"), FOLD, value="c.cl_province", also=" AND c.cl_valid_to = ''"),
    "former_province_of_commune": looked_up(
        text("communes"), FOLD, value="c.cl_province", also=" AND c.cl_valid_to <> ''"
    ),
    "address_commune": _alone("address_commune"),
    "address_province": _alone("address_province"),
}
"""Functions on places -> SQL."""

PLACES = Sql(templates=TEMPLATES, stages={"commune": COMMUNE}, lookups=LOOKUPS, macros=macros(), tables=TABLES)
"""The SQL of functions on places."""
