"""Comma-separated values with a header line (RFC 4180), to text columns.

RFC 4180 cannot tell an empty field from an absent one: both are empty strings here. Null means the column is absent.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Mapping

from adapters.protocols.columns import Columns, check_extra, column_name
from adapters.protocols.lines import read_lines
from motlan.errors import ContractError
from motlan.landing.contract import Limits


class DelimitedRecords:
    """Turns the lines of a CSV file into columns.

    Args:
        columns: Column name -> name in the header line.
        limits: Limits of the source; the length of fields is checked where the batch is built.
    """

    def __init__(self, columns: Mapping[str, str], limits: Limits) -> None:
        self._columns, self._limits = columns, limits

    def read(self, chunks: Iterable[bytes], rows: int, where: str) -> Iterator[Columns]:
        """Give the records as columns, at most `rows` or `Limits.page_bytes` at a time.

        Undecodable bytes stay visible as escapes.

        Raises:
            ContractError: A line has another number of fields than the header, or passes a limit.
        """
        size = 0

        def text() -> Iterator[str]:
            nonlocal size
            for line in read_lines(chunks, where):
                size += len(line)
                yield line.decode("utf-8", "backslashreplace") + "\n"

        lines = text()
        reader = csv.reader(lines, strict=True)
        try:
            header = [name.removeprefix("\ufeff") for name in next(reader, [])]
            records: list[list[str]] = []
            for record in reader:
                if len(record) != len(header):
                    raise ContractError("a line has another number of fields than the header", where=where)
                records.append(record)
                if len(records) == rows or size >= self._limits.page_bytes:
                    yield self._to_columns(header, records, where)
                    records, size = [], 0
            if records:
                yield self._to_columns(header, records, where)
        except csv.Error:
            raise ContractError("the file is not CSV", where=where, next_step="ask the source's owner.") from None

    def _to_columns(self, header: list[str], records: list[list[str]], where: str) -> Columns:
        found = dict(zip(header, zip(*records, strict=True), strict=True))
        if len(found) != len(header):
            raise ContractError("the header names a field twice", where=where)
        absent = (None,) * len(records)
        columns: Columns = {name: found.pop(path, absent) for name, path in self._columns.items()}
        for path, values in found.items():
            columns[column_name(path, columns)] = values
            check_extra(len(columns), len(self._columns), where)
        return columns
