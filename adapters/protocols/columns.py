"""From lists of text to one Arrow batch: every format's rows are made here.

Here the length of fields is limited, columns that nobody declared get names of their own, and text that is no valid Unicode
is kept visibly instead of being lost. Values are never cleaned.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator, Mapping
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from motlan.adapter import LOCATOR, Limits, Page, Source, tellable
from motlan.errors import ContractError

Columns = dict[str, Any]
"""Column name -> the texts of a run of records, null where the source sent nothing: a list of `str`, or an Arrow array of
type string where a format makes one at once. All are equally long."""

EXTRA_COLUMNS = 256
"""Columns beyond the declared ones that a source may surprise us with."""

ADDED = frozenset((LOCATOR, "_drop"))
"""Names of the columns that adapters add; a field that a source calls so is another one."""


def column_name(path: str, taken: Container[str]) -> str:
    """Name the column of a path that nobody declared: by the path itself, whatever is in it.

    Args:
        path: Path inside the record, as in `Source.columns`.
        taken: Names already in use; a clash gets a number behind it, so that nothing is overwritten.

    >>> column_name("HoVaTen/BiDanh", ["HoVaTen_Ho"]), column_name("Name", ["name"]), column_name("a", ["a"])
    ('HoVaTen/BiDanh', 'Name', 'a[2]')
    """
    name, number = path, 1
    while name in taken or name in ADDED:
        number += 1
        name = f"{path}[{number}]"
    return name


def check_extra(known: int, declared: int, where: str) -> None:
    """Refuse a source that invents columns without end.

    Raises:
        ContractError: More than `EXTRA_COLUMNS` columns were not declared.
    """
    if known - declared > EXTRA_COLUMNS:
        raise ContractError(f"more than {EXTRA_COLUMNS} fields are not declared", where=where, next_step=_ASK_OWNER)


_ASK_OWNER = "compare the source's records with `columns` in adapters/agencies.yaml and ask its owner."


def rows_of(columns: Columns) -> int:
    """Tell how many records the columns hold."""
    return len(next(iter(columns.values()), []))


def has_key(batch: Any, source: Source) -> bool:
    """Tell whether any record of a batch has a key that is not empty; True where no key is declared."""
    if source.key not in batch.schema.names:
        return True
    return bool(pc.any(pc.greater(pc.binary_length(batch[source.key]), 0)).as_py())


def keyless(source: Source, where: str) -> ContractError:
    """Make the error of records of which none has a key: they are not those that were declared."""
    what = f"no record has column {tellable(source.key)}, its key, at `{source.columns.get(source.key, '')}`"
    return ContractError(what, where=where, next_step=_ASK_OWNER)


def require_keys(pages: Iterable[Page], source: Source) -> Iterator[Page]:
    """Pass the pages of a pull on; one record without a key is a finding for others, several and no key are an error.

    Raises:
        ContractError: The pull ended, and there was no key in more than one record.
    """
    rows, keyed = 0, False
    for page in pages:
        rows += page.rows.num_rows
        keyed = keyed or has_key(page.rows, source)
        yield page
    if rows > 1 and not keyed:
        raise keyless(source, source.dataset)


def numbered(prefix: str, first: int, rows: int) -> Any:
    """Make the locators of records that stand in a row, as an Arrow array: the prefix and a running number."""
    numbers = pa.arange(first, first + rows).cast(pa.string())
    return pc.binary_join_element_wise(prefix, numbers, "")


def to_batch(columns: Mapping[str, Any], locators: Any, limits: Limits) -> Any:
    """Build the `pyarrow.RecordBatch` of a page: the columns in their order, `_locator` last, all of type string.

    Columns and locators are lists of text or Arrow arrays of type string.

    A field that is longer than `Limits.field_length` is cut one character behind it, so that its row can be told, and held: the
    payload has the whole.
    """
    arrays = {name: _text(values) for name, values in columns.items()}
    for name, array in arrays.items():
        longest = pc.max(pc.binary_length(array)).as_py() or 0
        if longest > limits.field_length and pc.max(pc.utf8_length(array)).as_py() > limits.field_length:
            arrays[name] = pc.utf8_slice_codeunits(array, 0, limits.field_length + 1)
    return pa.RecordBatch.from_arrays([*arrays.values(), _text(locators)], names=[*arrays, LOCATOR])


def _text(values: Any) -> Any:
    """Make a string array. Half a surrogate pair (JSON can send one) stays readable as its escape."""
    if isinstance(values, pa.Array):
        return values
    try:
        return pa.array(values, pa.string())
    except UnicodeEncodeError:
        safe = [value and value.encode("utf-8", "backslashreplace").decode() for value in values]
        return pa.array(safe, pa.string())
