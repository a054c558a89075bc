"""Registers that leave files: an index of drops, a manifest a drop, and the files that it vouches for.

    index.json                         {"drops": [{"name", "kind": "full" | "delta", "manifest"}]}
    <drop>/manifest.json               {"name", "kind", "created", "rows", "files": [{"name", "rows", "sha256"}]}
    <drop>/<file>                      records, in a format and perhaps gzip

The same over HTTP and in a folder. A drop counts as a whole: what a manifest says is checked before its rows are
believed, and the drop's name is the cursor.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from pyarrow import RecordBatch

from adapters.protocols.charsets import peek
from adapters.protocols.codings import GZIP_MAGIC
from adapters.protocols.columns import has_key, keyless, numbered, rows_of, to_batch
from adapters.protocols.deadline import refuse_late, told_at, within
from adapters.protocols.formats import Format, FormatOptions, format_for
from adapters.protocols.guard import capped, gunzip, moment, plain_name, slices, whole_number
from adapters.protocols.json import at_path, parse
from adapters.protocols.openers import Opener, Sent, opener_for
from adapters.protocols.options import read_options
from adapters.protocols.xml_plain import HEAD_BYTES
from motlan.adapter import Adapter, Page, Source, SourceCount, Watermark
from motlan.errors import ContractError

DROP = "_drop"
"""Name of the column that tells which drop a row came with."""

_PLACE = ";record="
"""Stands in a locator between the file and the number of the record."""
PAGES_AT_ONCE = 4
"""A page of a file has `Source.page_rows` times this many rows at most: a file costs no question a page."""


@dataclass(frozen=True, kw_only=True)
class DropOptions(FormatOptions):
    """Where the index is, and what is in the files."""

    index: str
    """Path of the index under the endpoint; manifests lie beside it, files beside their manifest."""


@dataclass(frozen=True)
class _File:
    name: str
    rows: int
    sha256: str


@dataclass(frozen=True)
class _Drop:
    name: str
    kind: str
    manifest: str


@dataclass(frozen=True)
class _Manifest:
    created: str
    rows: int
    files: list[_File]


class DropAdapter(Adapter):
    """A register that leaves files, at an http(s) endpoint or in a folder (`file:///…`)."""

    cursor_type = "token"
    order = "moment"  # a drop may come late

    def __init__(self, source: Source) -> None:
        super().__init__(source)
        self._options = read_options(source, DropOptions)
        self._format = _format_of(source, self._options)
        self._opener: Opener = opener_for(source)
        self._folder = self._options.index.rpartition("/")[0]

    def check(self) -> None:
        """Read the index."""
        self._drops()

    def count(self, since: Watermark | None) -> SourceCount:
        """Add up what the manifests say.

        `rows` are the rows of the drops that `pull(since)` gives; `total` are those of the newest full drop, as the
        source counts nothing else: deltas after it may have added some. `as_of` is when the newest drop was made.
        """
        seconds, where = self.source.pace.pull_timeout, self.source.dataset
        with told_at(where), within(seconds, "pull_timeout"):
            drops = self._drops()
            full = _newest_full(drops, where)
            wanted = {drop.name for drop in self._since(drops, since)}
            asked = {name: drop for drop in drops if (name := drop.name) in wanted | {full.name, drops[-1].name}}
            told = {}
            for name, drop in asked.items():
                refuse_late()
                manifest = self._manifest(drop)
                told[name] = (manifest.rows, manifest.created)
        rows = sum(told[name][0] for name in wanted)
        return SourceCount(rows=rows, total=told[full.name][0], as_of=told[drops[-1].name][1], of_lines=True)

    def pull(self, since: Watermark | None) -> Iterator[Page]:
        """Read the drops after `since.cursor`, or the newest full one and those after it.

        A locator is `2026-10-01-full/NguoiNopThue-0001.xml.gz;record=17`, counted from 1 in the file.
        """
        return capped(self._pages(since), self.source)

    @classmethod
    def read_again(cls, source: Source, payload: bytes, locator: str) -> Iterator[RecordBatch]:
        """Read the records of a file that was kept, some at a time."""
        name = locator.rpartition(_PLACE)[0]
        zipped, where = payload.startswith(GZIP_MAGIC), f"{source.dataset} {name}"
        chunks = gunzip(slices(payload), source.limits.decompressed_bytes, where) if zipped else slices(payload)
        return _read_rows(_format_of(source, read_options(source, DropOptions)), chunks, name, source)

    def _pages(self, since: Watermark | None) -> Iterator[Page]:
        for drop in self._since(self._drops(), since):
            for file in self._manifest(drop).files:
                yield from self._file(drop, file)

    def _since(self, drops: list[_Drop], since: Watermark | None) -> list[_Drop]:
        first = since.cursor if since else _newest_full(drops, self.source.dataset).name
        return [drop for drop in drops if drop.name > first or (since is None and drop.name == first)]

    def _read(self, path: str) -> Sent:
        return self._opener.read(f"{self._folder}/{path}" if self._folder else path)

    def _parse(self, sent: Sent, where: str) -> Any:
        return parse(sent.unpack(self.source.limits.payload_bytes, where), where)

    def _drops(self) -> list[_Drop]:
        """Read the index, in the order of names."""
        where = f"{self.source.dataset} {self._options.index}"
        listed = at_path(self._parse(self._opener.read(self._options.index), where), "drops")
        drops = []
        for entry in _objects(listed, where):
            name, kind, manifest = plain_name(entry.get("name"), where), entry.get("kind"), entry.get("manifest")
            if kind not in ("full", "delta") or not isinstance(manifest, str):
                raise ContractError("a drop is neither full nor delta, or has no manifest", where=where)
            folder, _, file = manifest.rpartition("/")
            steps = [plain_name(step, where) for step in (folder, file)]
            drops.append(_Drop(name, kind, "/".join(steps)))
        if len({drop.name for drop in drops}) != len(drops):
            raise ContractError("two drops have the same name", where=where)
        return sorted(drops, key=lambda drop: drop.name)

    def _manifest(self, drop: _Drop) -> _Manifest:
        where = f"{self.source.dataset} {drop.manifest}"
        document = self._parse(self._read(drop.manifest), where)
        if at_path(document, "name") != drop.name or at_path(document, "kind") != drop.kind:
            raise ContractError("the manifest is not the one of the drop in the index", where=where)
        listed = at_path(document, "files")  # null is how some serialisers write an empty list; `rows` must say so, too
        files = [_file(entry, where) for entry in _objects([] if listed is None else listed, where)]
        rows = whole_number(at_path(document, "rows"), where)
        if len({file.name for file in files}) != len(files):
            raise ContractError("the manifest names a file twice", where=where, next_step="ask the source's owner.")
        if sum(file.rows for file in files) != rows:
            raise ContractError("the files' rows do not add up to the manifest's", where=where)
        return _Manifest(moment(at_path(document, "created"), where), rows, files)

    def _file(self, drop: _Drop, file: _File) -> Iterator[Page]:
        """Read one file: its hash first, its rows as they come, their number last."""
        name = f"{drop.name}/{file.name}"
        where = f"{self.source.dataset} {name}"
        limits = self.source.limits
        body = self._read(f"{drop.manifest.rpartition('/')[0]}/{file.name}").find(
            file.sha256.lower(), limits.payload_bytes, where
        )
        zipped = body.startswith(GZIP_MAGIC)  # names are wrong at times, in both directions
        chunks = gunzip(slices(body), limits.decompressed_bytes, where) if zipped else slices(body)
        head, chunks = peek(chunks, HEAD_BYTES)
        charset = self._format.charset(head)
        done, keyed = 0, False
        for batch in _read_rows(self._format, chunks, name, self.source):
            payload = None if done else body
            done += batch.num_rows
            keyed = keyed or has_key(batch, self.source)
            yield Page(batch, payload, _media_type(file.name, zipped), charset, name)
        if done != file.rows:
            raise ContractError(f"the file has {done} rows, its manifest says {file.rows}", where=where)
        if done and not keyed:
            raise keyless(self.source, where)


def _format_of(source: Source, options: DropOptions) -> Format:
    columns = {name: path for name, path in source.columns.items() if name != DROP}
    return format_for(options, columns, source)


def _read_rows(file: Format, chunks: Iterable[bytes], name: str, source: Source) -> Iterator[RecordBatch]:
    """Give the rows of a file (`<drop>/<file>`), with their places in it, some at a time."""
    done = 0
    for columns in file.read(chunks, source.page_rows * PAGES_AT_ONCE, f"{source.dataset} {name}"):
        rows = rows_of(columns)
        columns[DROP] = [name.partition("/")[0]] * rows
        ordered = {column: columns.pop(column) for column in source.columns} | columns
        yield to_batch(ordered, numbered(f"{name}{_PLACE}", done + 1, rows), source.limits)
        done += rows


def _file(entry: dict[str, Any], where: str) -> _File:
    rows = whole_number(entry.get("rows"), where)
    return _File(plain_name(entry.get("name"), where), rows, str(entry.get("sha256")))


def _media_type(file: str, zipped: bool) -> str:
    if zipped:
        return "application/gzip"
    suffixes = {"xml": "application/xml", "jsonl": "application/jsonl", "csv": "text/csv"}
    return suffixes.get(file.removesuffix(".gz").rpartition(".")[2], "application/octet-stream")


def _newest_full(drops: list[_Drop], where: str) -> _Drop:
    for drop in reversed(drops):
        if drop.kind == "full":
            return drop
    raise ContractError("the index has no full drop", where=where, next_step="ask the source's owner.")


def _objects(value: Any, where: str) -> list[dict[str, Any]]:
    if not isinstance(value, list) or not all(isinstance(entry, dict) for entry in value):
        raise ContractError("a listing is not a list of objects", where=where, next_step="ask the source's owner.")
    return value
