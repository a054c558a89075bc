"""What every row of every dataset is asked, whatever a country declares: that the store can hold what it is looked up by.

A canonical value loses what the store has no text for when it is cleaned (see `motlan.cleaning`). A record's key and its moment
are the source's own words, and two of them must not become one: a row that has an unstorable one is held, with its reason.
"""

from __future__ import annotations

from collections.abc import Sequence

from motlan.declared import Text
from motlan.rules import RowRule

_MESSAGE = Text(
    vi="Khóa hoặc thời điểm của hồ sơ có ký tự không lưu được (U+0000) hoặc dài quá 1.000 byte",
    en="The record's key or moment has a character that no store holds (U+0000), or is longer than 1,000 bytes",
)
KEY, MOMENT = (
    RowRule(
        name=f"{field[1:]}_storable",
        field=field,
        dimension="sach",
        severity="blocking",
        expression=f"is_storable({field})",
        message=_MESSAGE,
    )
    for field in ("_key", "_moment")
)
STORABLE = (KEY, MOMENT)
"""The rules, in the order asked; they stand before those that are declared. Nobody can waive them."""
GIVEN = RowRule(
    name="key_given",
    field="_key",
    dimension="du",
    severity="blocking",
    expression="_key is not None and _key != ''",
    message=Text(vi="Thiếu khóa hồ sơ", en="The record has no key"),
)
"""Asked where no declared rule holds a row back by its key: rows without one would count as one record."""
BUILT_IN = (*STORABLE, GIVEN)


def built_in(declared: Sequence[RowRule]) -> list[RowRule]:
    """Return the rules that a dataset is asked beside those that are declared for it."""
    by_key = any(rule.field == "_key" and rule.severity == "blocking" for rule in declared)
    return [*STORABLE, *([] if by_key else [GIVEN])]
