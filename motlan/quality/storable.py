"""What every row of every dataset is asked, whatever a country declares: that the store can hold what it is looked up by.

A canonical value loses what the store has no text for when it is cleaned (see `motlan.cleaning`). A record's key and its moment
are the source's own words, and two of them must not become one: a row that has an unstorable one is held, with its reason.
"""

from __future__ import annotations

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
"""The rules, in the order asked; they stand before those that are declared."""
