"""The header line of a file of separated values: which separator it has, and where the declared columns stand."""

from __future__ import annotations

import csv
import unicodedata
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from adapters.protocols.columns import check_extra, column_name
from motlan.adapter import tellable
from motlan.errors import ContractError

SEPARATORS = (",", ";", "\t", "|")
"""Where none is declared, the first of those by which the header line has most of the declared names."""

_TOLD = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "vertical bars"}
_STEP = (
    "compare the file's header line with `columns` and `options` in adapters/agencies.yaml, or ask the source's owner."
)


@dataclass(frozen=True)
class Header:
    """A header line, as it is read by one separator."""

    separator: str
    fields: list[str]
    """Its names, as they were sent."""
    places: dict[str, int]
    """Declared column -> place in the line, counted from 0."""
    doubled: str | None
    """A declared column that could be in two places."""

    def names(self, declared: int, where: str) -> list[str]:
        """Give the columns' names in the order of the file: declared ones, and names made for the others.

        Raises:
            ContractError: A declared column is there twice, or there are too many others.
        """
        if self.doubled:
            what = f"the header line names the field of column {tellable(self.doubled)} twice"
            raise ContractError(what, where=where, next_step=_STEP)
        found = {place: column for column, place in self.places.items()}
        taken = set(self.places)
        for place, field in enumerate(self.fields):
            if place not in found:
                found[place] = column_name(field.strip() or f"field_{place + 1}", taken)
                taken.add(found[place])
        check_extra(len(found), declared, where)
        return [found[place] for place in range(len(self.fields))]


def read_header(
    lines: Iterable[str], separators: Collection[str], columns: Mapping[str, str], required: Iterable[str], where: str
) -> Header:
    """Read the header line by the separator that finds most of the declared columns.

    Args:
        lines: The first lines of the file.
        separators: Those that are tried; the first one wins where several find as many.
        columns: Column name -> name in the header line.
        required: Columns without which the file is not the one that was declared.
        where: The place, for errors.

    Raises:
        ContractError: It is no line of CSV, or a required column is not in it.
    """
    tried = [header for separator in separators if (header := _read_by(separator, list(lines), columns))]
    if not tried:
        raise ContractError("the header line is not CSV: a quoted name does not end well", where=where, next_step=_STEP)
    header = max(tried, key=lambda header: len(header.places))
    for column in required:
        if column not in header.places:
            many = f"{len(header.fields)} field{'s' if len(header.fields) > 1 else ''}"
            by = " or ".join(_TOLD.get(separator, "the declared separator") for separator in separators)
            what = f"the header line has no field for column {tellable(column)}: it has {many}, separated by {by}"
            raise ContractError(what, where=where, next_step=_STEP)
    return header


def _read_by(separator: str, lines: list[str], columns: Mapping[str, str]) -> Header | None:
    try:
        fields = next(csv.reader(lines, delimiter=separator, strict=True))
    except (csv.Error, StopIteration):
        return None
    exact, alike = _places(fields), _places(map(_plain, fields))
    places: dict[str, int] = {}
    doubled = None
    for column, name in columns.items():
        found = exact.get(name) or [
            place for place in alike.get(_plain(name), ()) if fields[place] not in columns.values()
        ]
        if found and found[0] not in places.values():
            places[column] = found[0]
            doubled = column if len(found) > 1 else doubled
    return Header(separator, fields, places, doubled)


def _places(names: Iterable[str]) -> dict[str, list[int]]:
    places: dict[str, list[int]] = {}
    for place, name in enumerate(names):
        places.setdefault(name, []).append(place)
    return places


def _plain(name: str) -> str:
    """Make names alike that differ by case, by spaces around or by how letters with marks are composed.

    >>> _plain(" Mã  Hồ Sơ ") == _plain(unicodedata.normalize("NFD", "mã hồ sơ"))
    True
    """
    name = name.replace("\ufeff", "").replace("\u200b", "")
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", " ".join(name.split())).casefold())
