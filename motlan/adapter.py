"""What an adapter must do. `adapters/` imports this module and `motlan.errors`, and nothing else of the bus.

An adapter reaches one dataset of one agency. It checks the line, counts, and pulls pages of raw text since a
watermark. It never cleans, never drops a row, and never logs what it pulled.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

import pyarrow as pa

CursorType = Literal["moment", "epoch_seconds", "epoch_milliseconds", "sequence", "token"]
"""What a cursor may be; see `motlan.ingest.cursors`."""
Order = Literal["arrival", "moment"]
"""What orders the versions of a record; see `motlan.lake.newest`."""

LOCATOR = "_locator"
"""Name of the text column, the last of every page, that tells where in the payload the row stood."""


_PLAIN_NAME = re.compile(r"(?!.*\d{6})(?!.{65})[a-z_]\w*([./][a-z_]\w*)*(\[\d\])?", re.ASCII | re.IGNORECASE)


def tellable(column: str) -> str:
    """Return a column's name for a message. One that may be a value (of a file without a header line) is not told."""
    return column if _PLAIN_NAME.fullmatch(column) else "(a name too odd to tell)"


@dataclass(frozen=True)
class Limits:
    """What we accept from a source at the most. A source is not trusted; passing one is a ContractError."""

    payload_bytes: int = 64 * 2**20
    """Bytes of one answer or file as sent."""
    decompressed_bytes: int = 1024 * 2**20
    """Bytes of one answer or file after decompression."""
    depth: int = 32
    """Nesting of one document."""
    field_length: int = 8192
    """Characters of one field; a row with a longer one is held, and the value cut one character behind that."""
    rows: int = 200_000_000
    """Rows of one pull."""
    page_bytes: int = 32 * 2**20
    """Bytes of one answer after decompression, and of the records of one page: what an adapter holds at once."""
    landing_bytes: int = 256 * 2**20
    """Bytes of rows and payloads that landing holds at once, however wide the rows are."""
    least_page_rows: int = 5
    """Rows of a page, on average, once a pull has many pages; half of `Source.page_rows` where that is less."""


@dataclass(frozen=True)
class Pace:
    """How fast we may ask, and how long we wait and try again. Seconds throughout."""

    requests_per_second: float = 10.0
    """How often we ask, at the most."""
    connect_timeout: float = 5.0
    """For one connection to be made."""
    read_timeout: float = 60.0
    """For one wait for bytes of the source."""
    attempts: int = 5
    """How often one question is tried, the first time included."""
    first_wait: float = 0.2
    """Before the second attempt; it grows with each further one."""
    max_wait: float = 30.0
    """Between two attempts, at the most."""
    answer_timeout: float = 300.0
    """For one question until its answer is whole, all attempts and the waits between them included."""
    pull_timeout: float = 43_200.0
    """For the answers of one pull together; the time that the bus itself needs between them does not count."""
    least_bytes_per_second: float = 100.0
    """How quickly an answer must come once it began, taken over each `grace`."""
    grace: float = 60.0
    """Over how long the rate of an answer is taken: so long may it stand still."""


@dataclass(frozen=True)
class Source:
    """Everything an adapter is told about the dataset that it reaches; made from `agencies.yaml`."""

    agency: str
    dataset: str
    endpoint: str
    """URL of the agency, or of the gateway in front of it. No plain http off loopback."""
    credential: tuple[str, str] | None = field(repr=False)
    """(user, secret), resolved by name; never written down."""
    key: str
    """Column that identifies a record inside the dataset."""
    cursor: str
    """Column that orders changes: a moment, a number, or a drop's name."""
    columns: Mapping[str, str]
    """Column name -> path of the value inside a record, in the source's own words."""
    page_rows: int = 5000
    limits: Limits = field(default_factory=Limits)
    pace: Pace = field(default_factory=Pace)
    options: Mapping[str, Any] = field(default_factory=dict)
    """What only this transport or format needs, such as an operation's or a view's name."""


@dataclass(frozen=True, order=True)
class Watermark:
    """How far a dataset has been pulled: the greatest (cursor, key) landed. Ties on the cursor lose nothing.

    An adapter is given it in the source's own written form, less the lag window: a moment with the offset that the source
    writes, or of the source's own clock where it writes none; digits of an epoch or a sequence; a token as it came. It asks
    the source with the text as it stands.
    """

    cursor: str
    key: str = ""


@dataclass(frozen=True)
class Page:
    """One answer or file (or a bounded part of a file) and the rows that it held.

    `rows` has text columns only (Arrow `string`, null where the source sent nothing), in the order of
    `Source.columns` with unknown extra columns after them, and `_locator` last. Columns before it may have any names,
    and one name twice: landing gives the source's columns names of its own.
    """

    rows: pa.RecordBatch
    payload: bytes | None
    """The bytes as received. None when this page continues the payload of the page before it."""
    media_type: str
    charset: str = "utf-8"
    name: str = ""
    """The payload's name at the source (a file, a page), without personal values."""


@dataclass(frozen=True)
class SourceCount:
    """What the source itself says it holds, to compare with what we pulled."""

    rows: int
    """Rows changed since the watermark that was asked about."""
    total: int
    """Rows in the whole register."""
    as_of: str
    """The source's own moment, ISO 8601 in UTC."""
    of_lines: bool = False
    """Whether it counts lines as they are sent, such as a manifest does, and not records: one that stands twice counts twice."""


class Adapter(ABC):
    """One dataset of one agency, over the agency's own protocol.

    Raises everywhere: TransientError after the last retry, ContractError when the source breaks its word or a
    limit, AccessError when it refuses our credential, ConfigurationError when the declaration cannot be used.
    """

    cursor_type: ClassVar[CursorType] = "moment"
    """What its datasets' cursors are, where `agencies.yaml` does not say."""
    order: ClassVar[Order] = "arrival"
    """Which of a record's versions stands, where `agencies.yaml` does not say: what came last, or what has the newest moment."""

    def __init__(self, source: Source) -> None:
        self.source = source

    @abstractmethod
    def check(self) -> None:
        """Ask for the least thing that proves the line and the credential work."""

    @abstractmethod
    def count(self, since: Watermark | None) -> SourceCount:
        """Return the source's own counts, of the same rows that `pull(since)` gives."""

    @abstractmethod
    def pull(self, since: Watermark | None) -> Iterator[Page]:
        """Give every record whose cursor is at or after `since.cursor` (all when None), page by page.

        Where the cursor names whole drops, only drops after `since.cursor` are given. Memory stays flat
        whatever the size of the register. Order is the source's; the same record may come twice.
        """

    @classmethod
    def read_again(
        cls,
        source: Source,  # noqa: ARG003 - for those who can
        payload: bytes,  # noqa: ARG003
        locator: str,  # noqa: ARG003
    ) -> Iterator[pa.RecordBatch] | None:
        """Read a payload that was kept again, as `pull` read it, and without reaching the source.

        Args:
            source: The dataset as it is declared now; it has no credential.
            payload: The bytes of one `Page.payload`.
            locator: The locator of one of its rows, which may begin with the payload's name at the source.

        Returns:
            Its rows, as `Page.rows` has them; None where this adapter cannot tell them from the payload alone.
        """
        return None
