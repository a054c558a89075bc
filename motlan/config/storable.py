"""What every row of every dataset is asked, whatever a country declares: that the store can hold what it is looked up by.

A canonical value loses what the store has no text for when it is cleaned (see `motlan.cleaning`). A record's key and its moment
are the source's own words, and two of them must not become one: a row that has an unstorable one is held, with its reason.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from motlan.config.files import plainly
from motlan.config.quality import RowRule

_MESSAGE = plainly(
    "The record's key or moment has a character that no store holds (U+0000), or is longer than 1,000 bytes"
)
KEY, MOMENT = (
    RowRule(
        name=f"{field[1:]}_storable",
        field=field,
        dimension="validity",
        severity="blocking",
        expression=f"is_storable({field})",
        message=_MESSAGE,
    )
    for field in ("_key", "_moment")
)
BOUNDED = "text_bounded"
"""Name of the rule that holds a row with a text that is longer than its source's `field_length`."""
STORABLE = (KEY, MOMENT)
"""The rules, in the order asked; they stand before those that are declared. Nobody can waive them."""
GIVEN = RowRule(
    name="key_given",
    field="_key",
    dimension="completeness",
    severity="blocking",
    expression="_key is not None and _key != ''",
    message=plainly("The record has no key"),
)
"""Asked where no declared rule holds a row back by its key: rows without one would count as one record."""
BUILT_IN = (*STORABLE, GIVEN)


def built_in(declared: Sequence[RowRule], columns: Iterable[str], longest: int) -> list[RowRule]:
    """Return the rules that a dataset is asked beside those that are declared for it.

    Args:
        declared: Those.
        columns: The raw columns that its fields are made of.
        longest: Characters that a text of its source may have. Landing has cut what is longer one behind that.
    """
    by_key = any(rule.field == "_key" and rule.severity == "blocking" for rule in declared)
    return [*STORABLE, *([] if by_key else [GIVEN]), *_bounded(columns, longest)]


def _bounded(columns: Iterable[str], longest: int) -> list[RowRule]:
    asked = [f"no_longer_than(raw_{column}, {longest})" for column in columns]
    if not asked:
        return []
    message = plainly(f"A value is longer than {longest} characters (cut here; the payload has the whole)")
    return [
        RowRule(
            name=BOUNDED,
            field="_key",
            dimension="validity",
            severity="blocking",
            expression=" and ".join(asked),
            message=message,
        )
    ]
