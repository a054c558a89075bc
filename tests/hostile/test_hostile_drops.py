"""Drops over HTTP and in a folder: indexes, manifests and files, as somebody may spoil them."""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import zipfile
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest

from motlan.errors import ContractError
from tests.hostile.cases import NAME, NUMBER, Outcome, drop_at, hold
from tests.hostile.server import Server, http

RECORD = f"<Nguoi><id>{NUMBER}</id><moment>2026</moment><name>{NAME}</name></Nguoi>"
XML = f"<Tap>{RECORD}</Tap>"
CSV = f"id,moment,name\n{NUMBER},2026,{NAME}\n"
JSONL = json.dumps({"id": NUMBER, "moment": "2026", "name": NAME}) + "\n"
ENTRY = {"name": "d1", "kind": "full", "manifest": "d1/manifest.json"}


def lay(folder: Path, body: bytes | str, called: str = "f.xml.gz", rows: int = 1, **changes: Any) -> None:
    """Lay a drop of one file down, and spoil its manifest by changes (`file` changes the entry of the file)."""
    data = body if isinstance(body, bytes) else body.encode()
    if called.endswith(".gz") and data[:2] != b"\x1f\x8b" and not isinstance(body, bytes):
        data = gzip.compress(data)
    file = {"name": called, "rows": rows, "bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    manifest = {"name": "d1", "kind": "full", "created": "2026-10-01T00:00:00Z", "rows": rows, "files": [file]}
    manifest["files"] = [file | changes.pop("file", {})]
    (folder / "d1").mkdir(exist_ok=True)
    (folder / "d1" / called).write_bytes(data)
    (folder / "d1/manifest.json").write_text(json.dumps(manifest | changes))
    (folder / "index.json").write_text(json.dumps({"drops": [ENTRY]}))


INDEXES: dict[str, Any] = {
    "is a list": [ENTRY],
    "is a name": NAME,
    "has drops that are text": {"drops": NAME},
    "has a drop that is text": {"drops": [NAME]},
    "has no drops": {"drops": []},
    "has deltas alone": {"drops": [ENTRY | {"kind": "delta"}]},
    "has a kind that nobody knows": {"drops": [ENTRY | {"kind": NAME}]},
    "has two drops of one name": {"drops": [ENTRY, ENTRY]},
    "has a drop without a name": {"drops": [ENTRY | {"name": None}]},
    "has a name with a line end": {"drops": [ENTRY | {"name": f"d1\n{NUMBER}"}]},
    "has a manifest above the folder": {"drops": [ENTRY | {"manifest": "../../etc/passwd"}]},
    "has a manifest that is an address": {"drops": [ENTRY | {"manifest": "http://127.0.0.1:9/m.json"}]},
    "has a manifest that is absolute": {"drops": [ENTRY | {"manifest": "/etc/passwd"}]},
    "has a manifest that is an object": {"drops": [ENTRY | {"manifest": {"x": NAME}}]},
    "has a manifest with an escape": {"drops": [ENTRY | {"manifest": "d1/%2e%2e%2fmanifest.json"}]},
    "has a manifest with NUL": {"drops": [ENTRY | {"manifest": "d1/manifest\0.json"}]},
    "has a manifest that is not there": {"drops": [ENTRY | {"manifest": "d1/other.json"}]},
}


@pytest.mark.parametrize("case", INDEXES)
def test_an_index_that(case: str, tmp_path: Path) -> None:
    lay(tmp_path, XML)
    (tmp_path / "index.json").write_text(json.dumps(INDEXES[case]))
    hold(lambda: drop_at(tmp_path.as_uri()).pull(None), ContractError)


MANIFESTS: dict[str, dict[str, Any]] = {
    "is another drop's": {"name": "d2"},
    "is of another kind": {"kind": "delta"},
    "was made on no day": {"created": NAME},
    "counts less than nothing": {"rows": -1, "file": {"rows": -1}},
    "counts in text": {"rows": "many", "file": {"rows": "many"}},
    "counts a fraction": {"rows": 1.0},
    "counts without end": {"rows": 10**30, "file": {"rows": 10**30}},
    "counts true": {"rows": True, "file": {"rows": True}},
    "counts more rows than there are": {"rows": 10**12, "file": {"rows": 10**12}},
    "counts no rows": {"rows": 0, "file": {"rows": 0}},
    "does not add up": {"rows": 7},
    "has another sum": {"file": {"sha256": "0" * 64}},
    "has a sum that is a name": {"file": {"sha256": NAME}},
    "has no sum": {"file": {"sha256": None}},
    "has files that are text": {"files": NAME},
    "has no files": {"files": []},
    "has a file that is a list": {"files": [[NAME]]},
    "has a file above the folder": {"file": {"name": "../index.json"}},
    "has a file that is absolute": {"file": {"name": "/etc/passwd"}},
    "has a file of Windows": {"file": {"name": "..\\..\\secret.xml.gz"}},
    "has a file that is an address": {"file": {"name": "http://register.example.gov.vn/x.gz"}},
    "has a hidden file": {"file": {"name": ".secret"}},
    "has a file with another alphabet's letters": {"file": {"name": f"{NAME}.xml.gz"}},
    "has a name without end": {"file": {"name": "x" * 5000}},
    "has a file that is not there": {"file": {"name": "g.xml.gz"}},
}


@pytest.mark.parametrize("case", MANIFESTS)
def test_a_manifest_that(case: str, tmp_path: Path) -> None:
    lay(tmp_path, XML, **MANIFESTS[case])
    wanted = (ContractError, 1) if case == "counts a fraction" else ContractError
    hold(lambda: drop_at(tmp_path.as_uri()).pull(None), wanted)


def packed(body: bytes | str) -> bytes:
    return gzip.compress(body if isinstance(body, bytes) else body.encode())


def zipped() -> bytes:
    found = BytesIO()
    with zipfile.ZipFile(found, "w") as archive:
        archive.writestr("f.xml", XML)
    return found.getvalue()


BOM_16 = XML.encode("utf-16")
LAUGHS = '<!ENTITY a "haha">' + "".join(f'<!ENTITY {chr(98 + n)} "{f"&{chr(97 + n)};" * 20}">' for n in range(8))
FILES: dict[str, tuple[bytes | str, str, Outcome]] = {
    "is empty": (b"", "f.xml.gz", ContractError),
    "is not packed": (XML.encode(), "f.xml.gz", (ContractError, 1)),
    "is a zip": (zipped(), "f.xml.gz", ContractError),
    "is half packed": (packed(XML)[:-12], "f.xml.gz", ContractError),
    "is damaged": (packed(XML)[:15] + b"\0\0\0" + packed(XML)[18:], "f.xml.gz", ContractError),
    "has rubbish behind": (packed(XML) + NAME.encode(), "f.xml.gz", ContractError),
    "is a bomb": (packed(bytes(2**23)), "f.xml.gz", ContractError),
    "is a bomb of records": (packed("<Tap>" + RECORD * 50_000 + "</Tap>"), "f.xml.gz", ContractError),
    "is a bomb in a bomb": (packed(packed(bytes(2**23))), "f.xml.gz", ContractError),
    "is too long": (b"<Tap>" + b" " * 2**21, "f.xml", ContractError),
    "is cut off": (XML[:-10], "f.xml.gz", ContractError),
    "has crossing tags": (XML.replace("</Nguoi>", "</Tap>"), "f.xml.gz", ContractError),
    "has no record": ("<Tap/>", "f.xml.gz", ContractError),
    "has two records": (f"<Tap>{RECORD}{RECORD}</Tap>", "f.xml.gz", ContractError),
    "has a document type": (f"<!DOCTYPE t>{XML}", "f.xml.gz", ContractError),
    "laughs": (f"<!DOCTYPE t [{LAUGHS}]>{XML.replace(NAME, '&i;')}", "f.xml.gz", ContractError),
    "reads a file": (
        f"<!DOCTYPE t [<!ENTITY f SYSTEM 'file:///etc/passwd'>]>{XML.replace(NAME, '&f;')}", "f.xml.gz", ContractError
    ),
    "is UTF-16": (packed(BOM_16), "f.xml.gz", 1),
    "is UTF-16 and says UTF-8": (
        packed(b'\xff\xfe<?xml version="1.0" encoding="utf-8"?>' + BOM_16[2:]), "f.xml.gz", ContractError
    ),
    "is no text": (packed(XML.encode().replace(NAME.encode(), b"\xff\xfe")), "f.xml.gz", ContractError),
    "has NUL": (XML.replace(NAME, "a\0b"), "f.xml.gz", ContractError),
    "nests a record in a record": (f"<Tap><Nguoi>{RECORD}</Nguoi></Tap>", "f.xml.gz", ContractError),
    "nests without end": ("<Tap>" + "<a>" * 100_000, "f.xml.gz", ContractError),
    "has a field that is too long": (XML.replace(NAME, NAME * 50), "f.xml.gz", 1),
    "has three hundred fields more": (
        XML.replace("</Nguoi>", "".join(f"<f{n}/>" for n in range(300)) + "</Nguoi>"), "f.xml.gz", ContractError
    ),
    "is HTML": (f"<html><br>{NAME}</html>", "f.xml.gz", ContractError),
    "is JSON lines of no objects": (json.dumps(NAME), "f.jsonl", ContractError),
    "is JSON lines of lists": ("[1]\n", "f.jsonl", ContractError),
    "is JSON lines cut off": (JSONL[:-5], "f.jsonl", ContractError),
    "is JSON lines with rubbish": (JSONL + NAME, "f.jsonl", ContractError),
    "is one JSON document": (f"[\n{JSONL}]", "f.jsonl", ContractError),
    "is JSON lines of NaN": (JSONL.replace(f'"{NUMBER}"', "NaN"), "f.jsonl", ContractError),
    "is JSON nested without end": ("[" * 100_000, "f.jsonl", ContractError),
    "is JSON lines with empty ones": (f"\n \n{JSONL}\n\n", "f.jsonl", 1),
    "is JSON lines of too many": (JSONL * 2, "f.jsonl", ContractError),
}  # fmt: skip


@pytest.mark.parametrize("case", FILES)
@pytest.mark.parametrize("by_http", [False, True], ids=["in a folder", "over HTTP"])
def test_a_file_that(case: str, by_http: bool, tmp_path: Path, server: Server) -> None:
    body, name, outcome = FILES[case]
    lay(tmp_path, body, name)
    for path in ("index.json", "d1/manifest.json", f"d1/{name}"):
        server.answers[f"/{path}"] = http((tmp_path / path).read_bytes())
    endpoint = f"{server.url}/" if by_http else tmp_path.as_uri()
    hold(lambda: drop_at(endpoint, "jsonl" if name.endswith("jsonl") else "xml").pull(None), outcome)


TABLES: dict[str, tuple[bytes | str, Outcome]] = {
    "is empty": ("", ContractError),
    "is a header alone": ("id,moment,name\n", ContractError),
    "has a short line": (f"id,moment,name\n{NUMBER},{NAME}\n", ContractError),
    "has a long line": (f"id,moment,name\n{NUMBER},2026,{NAME},x\n", ContractError),
    "has an open quote": (f'id,moment,name\n{NUMBER},2026,"{NAME}\n', ContractError),
    "has text behind a quote": (f'id,moment,name\n{NUMBER},2026,"{NAME}" x\n', ContractError),
    "names a field twice": (f"id,moment,moment\n{NUMBER},2026,{NAME}\n", ContractError),
    "has a line without end": (b"id,moment,name\n" + b"x" * 900_000, ContractError),
    "has a field that is too long": (CSV.replace(NAME, NAME * 50), 1),
    "has three hundred fields more": (
        "id,moment,name," + ",".join(f"f{n}" for n in range(300)) + f"\n{NUMBER},2026,{NAME}" + ",x" * 300 + "\n",
        ContractError,
    ),
    "has more lines than the manifest": (CSV + f"{NUMBER},2026,{NAME}\n", ContractError),
    "is a spreadsheet": (zipped(), ContractError),
    "is HTML": (f"<html>\n{NAME}</html>\n", ContractError),
    "has line ends in quotes": (f'id,moment,name\n{NUMBER},2026,"{NAME}\n,x"\n', 1),
    "has a formula": (CSV.replace(NAME, "\"=cmd|'/c calc'!A0\""), 1),
    "has bytes that are no text": (CSV.encode().replace(NAME.encode(), b"\xd1\xff"), 1),
    "begins with a mark": ("\ufeff" + CSV, 1),
    "has Windows line ends": (CSV.replace("\n", "\r\n"), 1),
    "has no line end at its end": (CSV.rstrip(), 1),
}


@pytest.mark.parametrize("case", TABLES)
def test_a_table_that(case: str, tmp_path: Path) -> None:
    body, outcome = TABLES[case]
    lay(tmp_path, body, "f.csv")
    hold(lambda: drop_at(tmp_path.as_uri(), "csv").pull(None), outcome)


def put(kind: str, file: Path) -> None:
    body = file.read_bytes()
    file.unlink()
    match kind:
        case "a FIFO":
            os.mkfifo(file)
        case "a folder":
            file.mkdir()
        case "a link to a device":
            file.symlink_to("/dev/zero")
        case "a link out of the folder":
            outside = file.parents[2] / "outside"
            outside.write_bytes(body)
            file.symlink_to(outside)
        case "a link to itself":
            file.symlink_to(file)
        case "a link to nothing":
            file.symlink_to(file.with_name("nothing"))
        case "a file without end":
            with file.open("wb") as sparse:
                sparse.truncate(2**40)


KINDS = ["a FIFO", "a folder", "a link to a device", "a link out of the folder", "a link to itself", "a link to nothing",
         "a file without end"]  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("path", ["index.json", "d1/manifest.json", "d1/f.xml.gz"])
def test_what_is_no_file_of_the_folder(kind: str, path: str, tmp_path: Path) -> None:
    folder = tmp_path / "drops"
    folder.mkdir()
    lay(folder, XML)
    put(kind, folder / path)
    hold(lambda: drop_at(folder.as_uri()).pull(None), ContractError)


def test_a_folder_of_drops_that_is_a_link_out_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "drops"
    folder.mkdir()
    lay(folder, XML)
    (folder / "d1").rename(tmp_path / "outside")
    (folder / "d1").symlink_to(tmp_path / "outside")
    hold(lambda: drop_at(folder.as_uri()).pull(None), ContractError)
