"""The formats of files, chosen by a dataset's options."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Protocol

from adapters.protocols.charsets import declared_codec
from adapters.protocols.columns import Columns
from adapters.protocols.delimited import DelimitedRecords
from adapters.protocols.json import JsonRecords
from adapters.protocols.xml import XmlRecords
from motlan.adapter import Source
from motlan.errors import ConfigurationError


class Format(Protocol):
    """Turns the bytes of a file into columns, some rows at a time."""

    def charset(self, head: bytes) -> str:
        """Tell the charset of a file that starts so."""

    def read(self, chunks: Iterable[bytes], rows: int, where: str) -> Iterator[Columns]:
        """Give the records as columns, at most `rows` at a time."""


@dataclass(frozen=True, kw_only=True)
class FormatOptions:
    """What is in the files."""

    format: str
    """`xml`, `jsonl` or `csv`."""
    record: str = "record"
    """What one record is called in locators; in XML also the element's local name."""
    delimiter: str = ""
    """Separator of CSV, one character or `tab`; without one, the header line tells it."""
    encoding: str = ""
    """Charset of CSV that is not UTF-8, or of XML that declares a wrong one; a byte order mark goes before it."""


def format_for(options: FormatOptions, columns: Mapping[str, str], source: Source) -> Format:
    """Make the format.

    Args:
        options: The options of the dataset.
        columns: Column name -> its path or name in a record, of those that stand in the files.
        source: The dataset.

    Raises:
        ConfigurationError: There is no such format, or an option that is none of its own.
    """
    own = {"xml": {"encoding"}, "jsonl": set(), "csv": {"encoding", "delimiter"}}.get(options.format)
    where, limits = source.dataset, source.limits
    if own is None:
        raise ConfigurationError(f"unknown format {options.format}", where=where)
    for name in ("encoding", "delimiter"):
        if getattr(options, name) and name not in own:
            what = f"`{name}` says nothing about the format {options.format}"
            raise ConfigurationError(what, where=where, next_step="mend `options` in adapters/agencies.yaml.")
    if options.format == "jsonl":
        return JsonRecords(columns, limits)
    if options.format == "xml":
        return XmlRecords(options.record, columns, limits, options.encoding)
    required = [name for name in (source.key, source.cursor) if name in columns]
    encoding = declared_codec(options.encoding, where)
    return DelimitedRecords(columns, limits, required, options.delimiter, encoding)
