"""Where golden values came from: kept narrow, told in full.

A golden row keeps `_sources`, the rows of its person, and `_decided`, a text that names of each filled field the place of its row
among them, and what decided where that was not the authority alone: `birth_date 1; full_name 2 agreement disputed`. Most persons'
texts are alike, so they take next to nothing. Who asks is told a pointer for each field, in full.
"""

from __future__ import annotations

from motlan.expressions import literal

SOURCES, DECIDED = "_sources", "_decided"
"""Columns of a golden row; see above. A source has `dataset`, `key`, `ref` and `as_of`, the record's own moment."""
POINTER = "_pointers"
"""Column that readers see instead: a list of (field, dataset, key, ref, as_of, rule, disputed).

`as_of` is the source record's own moment. `rule` tells what decided: `authority`; between equals `freshness` or `agreement`;
`refined` where an agreeing register said it more precisely.
"""
DISPUTED = " disputed"
BETWEEN = "; "


def pointer(field: str, row: str = "") -> str:
    """Return the SQL of a field's pointer, null where the golden row has no such value.

    Args:
        field: SQL of the field's name.
        row: Alias of the golden row, with a dot behind it.
    """
    all_of = f"'{BETWEEN}' || {row}{DECIDED} || '{BETWEEN}'"
    return _pointer(field, f"split_part(split_part({all_of}, '{BETWEEN}' || {field} || ' ', 2), '{BETWEEN}', 1)", row)


def _pointer(field: str, told: str, row: str) -> str:
    source = f"{row}{SOURCES}[nullif(split_part({told}, ' ', 1), '')::integer]"
    names = ", ".join(f"'{name}': {source}.{name}" for name in ("dataset", "key", "ref", "as_of"))
    rule = f"coalesce(nullif(split_part({told}, ' ', 2), ''), 'authority')"
    disputed = f"split_part({told}, ' ', 3) != ''"
    return f"(case when {told} != '' then {{'field': {field}, {names}, 'rule': {rule}, 'disputed': {disputed}}} end)"


def pointed(rows: str) -> str:
    """Return the SQL of golden rows with `_pointers` in the place of what is kept.

    Args:
        rows: Relation of golden rows.
    """
    each = _pointer("split_part(told, ' ', 1)", "substr(told, length(split_part(told, ' ', 1)) + 2)", "")
    all_of = f"list_filter(string_split(coalesce({DECIDED}, ''), '{BETWEEN}'), lambda told: told != '')"
    return f"(select * exclude ({SOURCES}, {DECIDED}), list_transform({all_of}, lambda told: {each}) as {POINTER} from {rows})"


def disputes() -> str:
    """Return the SQL of how many fields of a golden row are disputed, as an aggregate."""
    gone = f"replace({DECIDED}, {literal(DISPUTED)}, '')"
    return f"coalesce(sum(length({DECIDED}) - length({gone})), 0)::bigint // {len(DISPUTED)}"
