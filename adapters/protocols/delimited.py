"""Comma-separated values with a header line (RFC 4180), to text columns, as programs and spreadsheets really write them.

The separator is told by the header line, names in it are found in any case, and lines that say nothing are no records.
RFC 4180 cannot tell an empty field from an absent one: both are empty strings here. Null means the column is absent.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from itertools import chain, islice

from adapters.protocols.charsets import charset_of, peek, to_text
from adapters.protocols.columns import Columns
from adapters.protocols.header import SEPARATORS, read_header
from adapters.protocols.lines import read_text_lines
from motlan.adapter import Limits
from motlan.errors import ConfigurationError, ContractError

HEADER_LINES = 16
"""Lines within which the header ends: blank ones may stand before it, and a quoted name may have line ends."""

_HINT = re.compile(r'"?sep=([^"\r\n])"?\s*', re.IGNORECASE)
"""A first line by which spreadsheets tell one another the separator."""

_BLANK = " \t\x00\x1a\ufeff"
"""Characters of a line that says nothing: DOS ended files by 0x1A, and others fill them up with zeros."""


AT_ONCE = 16
"""Records after which we see how much came: a line may have megabytes."""


class DelimitedRecords:
    """Turns the lines of a CSV file into columns.

    Args:
        columns: Column name -> name in the header line.
        limits: Limits of the source; the length of fields is checked where the batch is built.
        required: Columns without which a file is not the one that was declared, such as the key.
        delimiter: The separator, where it is declared.
        encoding: The charset of files without a byte order mark, where it is declared; by default UTF-8.

    Raises:
        ConfigurationError: The separator is not one character.
    """

    def __init__(
        self,
        columns: Mapping[str, str],
        limits: Limits,
        required: Collection[str] = (),
        delimiter: str = "",
        encoding: str = "",
    ) -> None:
        self._columns, self._limits, self._required, self._encoding = columns, limits, required, encoding
        self._delimiter = "\t" if delimiter in ("\\t", "tab") else delimiter
        if len(self._delimiter) > 1 or self._delimiter in ('"', "\r", "\n"):
            raise ConfigurationError("`delimiter` is not one character", next_step="mend it in adapters/agencies.yaml.")

    def charset(self, head: bytes) -> str:
        """Tell the charset of a file that starts so."""
        return charset_of(head, self._encoding)

    def read(self, chunks: Iterable[bytes], rows: int, where: str) -> Iterator[Columns]:
        """Give the records as columns, at most `rows` or `Limits.page_bytes` at a time.

        Undecodable bytes stay visible as escapes.

        Raises:
            ContractError: The header line has not the required columns, a record has another number of fields than it, or
                passes a limit.
        """
        head, chunks = peek(chunks, 4)
        lines = read_text_lines(to_text(chunks, self.charset(head), where), where)
        first = list(islice(lines, HEADER_LINES))
        hint = _HINT.fullmatch(first[0]) if first else None
        first = first[1:] if hint else first
        while first and not first[0].strip(_BLANK + "\r\n"):
            del first[0]
        if not first:
            return
        separators = self._delimiter or (hint.group(1) if hint else "") or SEPARATORS
        header = read_header(first, tuple(separators), self._columns, self._required, where)
        names = header.names(len(self._columns), where)
        came = [0]
        reader = csv.reader(_weighed(chain(first, lines), came), delimiter=header.separator, strict=True)
        next(reader)
        done = 0
        try:
            while taken := _take(reader, rows, came, self._limits.page_bytes):
                records = _filled(taken, len(names), done, where)
                done += len(records)
                if records:
                    yield self._to_columns(names, records)
        except csv.Error:
            what = f"the file is not CSV behind record {done}"
            raise ContractError(what, where=where, next_step="ask the source's owner.") from None

    def _to_columns(self, names: list[str], records: list[list[str]]) -> Columns:
        found: Columns = dict(zip(names, zip(*records, strict=True), strict=True))
        absent = (None,) * len(records)
        return {name: found.pop(name, absent) for name in self._columns} | found


def _weighed(lines: Iterable[str], came: list[int]) -> Iterator[str]:
    """Pass the lines on, and add their letters to the one number in `came`."""
    for line in lines:
        came[0] += len(line)
        yield line


def _take(reader: Iterator[list[str]], rows: int, came: list[int], limit: int) -> list[list[str]]:
    """Take records, until there are enough of them or of letters."""
    taken: list[list[str]] = []
    until = came[0] + limit
    while len(taken) < rows and came[0] < until:
        more = list(islice(reader, min(rows - len(taken), AT_ONCE)))
        if not more:
            break
        taken += more
    return taken


def _filled(records: list[list[str]], fields: int, done: int, where: str) -> list[list[str]]:
    """Leave out lines that say nothing; a blank one among lines of one field is none either.

    Raises:
        ContractError: A record has another number of fields than the header.
    """
    if set(map(len, records)) == {fields} and fields > 1:
        return records
    filled = []
    for record in records:
        if len(record) == fields and (fields > 1 or record[0] not in ("\x1a", "\ufeff")):
            filled.append(record)
        elif len(record) > 1 or any(text.strip(_BLANK) for text in record):
            what = f"record {done + len(filled) + 1} has {len(record)} field(s), and the header line {fields}"
            raise ContractError(what, where=where, next_step="ask the source's owner.")
    return filled
