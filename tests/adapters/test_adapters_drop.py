"""Drops: nothing is believed that its manifest does not vouch for, and nothing is read off the drop."""

from __future__ import annotations

import gzip
import hashlib
import json

import pytest

from adapters.protocols import DropAdapter
from motlan.adapter import Limits, Watermark
from motlan.errors import AccessError, ConfigurationError, ContractError

COLUMNS = {"id": "id", "_drop": "_drop"}
OPTIONS = {"index": "drops/index.json", "format": "xml", "record": "Nguoi"}


def xml_file(keys):
    return gzip.compress(("<Tap>" + "".join(f"<Nguoi><id>{key}</id></Nguoi>" for key in keys) + "</Tap>").encode())


def add(folder, name, files, kind="delta", created="2026-10-01T00:00:00Z", change=lambda manifest: manifest):
    """Lay a drop down: files of keys, and the manifest, which a test may spoil."""
    (folder / "drops" / name).mkdir(parents=True)
    manifest = {"name": name, "kind": kind, "created": created, "rows": 0, "files": []}
    for number, keys in enumerate(files, start=1):
        body, file = xml_file(keys), f"Nguoi-{number:04}.xml.gz"
        (folder / "drops" / name / file).write_bytes(body)
        digest = hashlib.sha256(body).hexdigest()
        manifest["files"].append({"name": file, "rows": len(keys), "bytes": len(body), "sha256": digest})
        manifest["rows"] += len(keys)
    (folder / "drops" / name / "manifest.json").write_text(json.dumps(change(manifest)))
    index = folder / "drops" / "index.json"
    drops = json.loads(index.read_text())["drops"] if index.exists() else []
    write_index(folder, [*drops, {"name": name, "kind": kind, "manifest": f"{name}/manifest.json"}])


def write_index(folder, drops):
    (folder / "drops" / "index.json").write_text(json.dumps({"drops": drops}))


@pytest.fixture
def folder(tmp_path):
    add(tmp_path, "2026-09-01-full", [["old"]], "full")
    add(tmp_path, "2026-09-02-delta", [["older"]])
    add(tmp_path, "2026-10-01-full", [[str(n) for n in range(30)], ["a", "b"]], "full")
    add(tmp_path, "2026-10-02-delta", [["c"]], created="2026-10-02T00:00:00Z")
    return tmp_path


def adapter(make_source, folder, **changes):
    settings = {"columns": COLUMNS, "cursor": "_drop", "options": OPTIONS} | changes
    return DropAdapter(make_source(folder.as_uri(), **settings))


def keys(pages):
    return [key for page in pages for key in page.rows["id"].to_pylist()]


def test_a_first_pull_reads_the_newest_full_drop_and_what_came_after(make_source, folder):
    pages = list(adapter(make_source, folder).pull(None))
    assert keys(pages) == [*(str(n) for n in range(30)), "a", "b", "c"]
    assert [page.rows.num_rows for page in pages] == [12, 12, 6, 2, 1]
    assert pages[1].rows.schema.names == ["id", "_drop", "_locator"]
    assert pages[1].rows["_locator"][0].as_py() == "2026-10-01-full/Nguoi-0001.xml.gz;record=13"
    assert set(pages[1].rows["_drop"].to_pylist()) == {"2026-10-01-full"}


def test_the_payload_comes_once_a_file_and_as_it_lay(make_source, folder):
    pages = list(adapter(make_source, folder).pull(None))
    assert [page.payload is not None for page in pages] == [True, False, False, True, True]
    assert pages[0].payload == (folder / "drops/2026-10-01-full/Nguoi-0001.xml.gz").read_bytes()
    assert (pages[0].media_type, pages[0].name) == ("application/gzip", "2026-10-01-full/Nguoi-0001.xml.gz")


def test_a_later_pull_reads_the_drops_strictly_after_the_watermark(make_source, folder):
    assert keys(adapter(make_source, folder).pull(Watermark("2026-10-01-full", "z"))) == ["c"]
    assert keys(adapter(make_source, folder).pull(Watermark("2026-10-02-delta"))) == []


def test_counts_add_up_the_manifests(make_source, folder):
    drops = adapter(make_source, folder)
    first, later = drops.count(None), drops.count(Watermark("2026-10-02-delta"))
    assert (first.rows, first.total, first.as_of) == (33, 32, "2026-10-02T00:00:00Z")
    assert (later.rows, later.total) == (0, 32)


@pytest.mark.parametrize(("name", "text"), [("csv", "id\n1\n2\n"), ("jsonl", '{"id": "1"}\n{"id": "2"}\n')])
def test_other_formats_are_read_the_same_way(make_source, tmp_path, name, text):
    def as_text(manifest):
        (tmp_path / f"drops/d/x.{name}").write_text(text)
        file = {"name": f"x.{name}", "rows": 2, "sha256": hashlib.sha256(text.encode()).hexdigest()}
        return manifest | {"rows": 2, "files": [file]}

    add(tmp_path, "d", [], "full", change=as_text)
    assert keys(adapter(make_source, tmp_path, options=OPTIONS | {"format": name}).pull(None)) == ["1", "2"]


@pytest.mark.parametrize("name", ["csv", "jsonl", "xml"])
def test_pages_of_wide_records_end_by_bytes(make_source, tmp_path, name):
    values = {str(n): "x" * 8000 for n in range(100)}
    text = {
        "csv": "id,name\n" + "".join(f"{key},{value}\n" for key, value in values.items()),
        "jsonl": "".join(f'{{"id": "{key}", "name": "{value}"}}\n' for key, value in values.items()),
        "xml": "<a>" + "".join(f"<Nguoi><id>{k}</id><name>{v}</name></Nguoi>" for k, v in values.items()) + "</a>",
    }[name]

    def as_text(manifest):
        (tmp_path / f"drops/d/x.{name}").write_text(text)
        file = {"name": f"x.{name}", "rows": 100, "sha256": hashlib.sha256(text.encode()).hexdigest()}
        return manifest | {"rows": 100, "files": [file]}

    add(tmp_path, "d", [], "full", change=as_text)
    changes = {"columns": COLUMNS | {"name": "name"}, "page_rows": 1000, "options": OPTIONS | {"format": name}}
    limits = Limits(field_length=9000, page_bytes=2**17)
    pages = list(adapter(make_source, tmp_path, limits=limits, **changes).pull(None))
    assert keys(pages) == list(values)
    assert len(pages) >= 4
    assert max(page.rows.nbytes for page in pages) < 2**18


def spoil(**changes):
    return lambda manifest: manifest | changes | {"files": [manifest["files"][0] | changes.get("file", {})]}


@pytest.mark.parametrize(
    "change",
    [
        spoil(file={"sha256": "0" * 64}),
        spoil(file={"rows": 3}, rows=3),
        spoil(file={"rows": 1}, rows=1),
        spoil(rows=7),
        lambda manifest: manifest | {"files": manifest["files"] * 2, "rows": manifest["rows"] * 2},
        spoil(name="another"),
        spoil(kind="delta"),
        spoil(created="yesterday"),
        spoil(file={"name": "../../secret.xml.gz"}),
        spoil(file={"name": "http://register.example.gov.vn/x.gz"}),
        spoil(file={"name": None}),
        lambda manifest: [manifest],
    ],
    ids=[
        "hash",
        "too few",
        "too many",
        "sum",
        "a file twice",
        "name",
        "kind",
        "moment",
        "parent",
        "url",
        "null",
        "list",
    ],
)
def test_a_manifest_that_does_not_hold_breaks_the_contract(make_source, tmp_path, change):
    (tmp_path / "secret.xml.gz").write_bytes(xml_file(["1", "2"]))
    add(tmp_path, "d", [["1", "2"]], "full", change=change)
    with pytest.raises(ContractError):
        list(adapter(make_source, tmp_path).pull(None))


@pytest.mark.parametrize(
    "drop",
    [
        {"name": "d", "kind": "full", "manifest": "../d/manifest.json"},
        {"name": "d", "kind": "full", "manifest": "/etc/passwd"},
        {"name": "d", "kind": "full", "manifest": "http://register.example.gov.vn/m.json"},
        {"name": "../d", "kind": "full", "manifest": "d/manifest.json"},
        {"name": "d", "kind": "half", "manifest": "d/manifest.json"},
        {"name": "d", "kind": "delta", "manifest": "d/manifest.json"},
        {"kind": "full", "manifest": "d/manifest.json"},
        "d",
    ],
)
def test_an_index_that_leads_elsewhere_breaks_the_contract(make_source, tmp_path, drop):
    add(tmp_path, "d", [["1"]], "full")
    write_index(tmp_path, [drop])
    with pytest.raises(ContractError):
        list(adapter(make_source, tmp_path).pull(None))


def test_two_drops_of_one_name_break_the_contract(make_source, tmp_path):
    add(tmp_path, "d", [["1"]], "full")
    write_index(tmp_path, [{"name": "d", "kind": "full", "manifest": "d/manifest.json"}] * 2)
    with pytest.raises(ContractError):
        adapter(make_source, tmp_path).check()


def test_a_link_out_of_the_folder_is_not_followed(make_source, tmp_path):
    add(tmp_path / "drop", "d", [["1"]], "full")
    manifest = tmp_path / "drop/drops/d/manifest.json"
    manifest.rename(tmp_path / "manifest.json")
    manifest.symlink_to(tmp_path / "manifest.json")
    with pytest.raises(ContractError, match="no such file"):
        adapter(make_source, tmp_path / "drop").count(None)


def test_a_bomb_in_a_file_is_cut_off(make_source, tmp_path):
    add(tmp_path, "d", [["x" * 90] * 30_000], "full")
    with pytest.raises(ContractError, match="unpacked"):
        list(adapter(make_source, tmp_path, limits=Limits(decompressed_bytes=2**20)).pull(None))


def test_a_file_larger_than_allowed_is_refused(make_source, folder):
    with pytest.raises(ContractError, match="more than 50 bytes"):
        adapter(make_source, folder, limits=Limits(payload_bytes=50)).check()


@pytest.mark.parametrize("changes", [{"options": OPTIONS | {"format": "xlsx"}}, {"options": {}}])
def test_a_declaration_that_cannot_be_used_is_told(make_source, folder, changes):
    with pytest.raises(ConfigurationError):
        adapter(make_source, folder, **changes)


def test_a_folder_on_another_machine_is_refused(make_source):
    with pytest.raises(ConfigurationError):
        DropAdapter(make_source("file://server/share", options=OPTIONS))


def test_the_same_drop_is_read_over_http(make_source, folder, site, reply):
    for path in folder.rglob("*.*"):
        site.answers["/tax/" + str(path.relative_to(folder))] = reply(path.read_bytes())
    source = make_source(f"{site.url}/tax", columns=COLUMNS, cursor="_drop", options=OPTIONS)
    over_http = list(DropAdapter(source).pull(None))
    in_folder = list(adapter(make_source, folder).pull(None))
    assert [(page.rows, page.payload) for page in over_http] == [(page.rows, page.payload) for page in in_folder]
    assert {asked.headers["Accept-Encoding"] for asked in site.asked} == {"identity"}


def test_a_refused_credential_is_an_access_error(make_source, site, reply):
    site.answers["/drops/index.json"] = reply(status=401)
    with pytest.raises(AccessError):
        DropAdapter(make_source(site.url, options=OPTIONS)).check()


XML = b"<Tap><Nguoi><id>1</id></Nguoi><Nguoi><id>2</id></Nguoi></Tap>"
ZIPPED = gzip.compress(XML, mtime=0)
CSV = "id,name\n1,Đỗ\n2,Lê\n".encode()


def lay_file(folder, body, name="x.xml.gz", rows=2, hashed=None):
    """Lay a full drop down that is one file, whose manifest has the hash of `hashed`, by default of what lies there."""

    def change(manifest):
        (folder / "drops/d" / name).write_bytes(body)
        digest = hashlib.sha256(body if hashed is None else hashed).hexdigest()
        return manifest | {"rows": rows, "files": [{"name": name, "rows": rows, "sha256": digest.upper()}]}

    add(folder, "d", [], "full", change=change)
    return folder


def serve(site, reply, folder, **headers):
    """Serve a folder; `headers` are those of the files of records."""
    for path in folder.rglob("*.*"):
        kept = headers if path.name not in ("index.json", "manifest.json") else {}
        site.answers["/" + str(path.relative_to(folder))] = reply(path.read_bytes(), headers=kept)


def pull(make_source, endpoint, **changes):
    settings = {"columns": COLUMNS, "cursor": "_drop", "options": OPTIONS} | changes
    return list(DropAdapter(make_source(endpoint, **settings)).pull(None))


@pytest.mark.parametrize("coding", ["gzip", "x-gzip", "GZIP", "identity", "br"])
@pytest.mark.parametrize("padding", [0, 512])
def test_a_stored_gzip_file_is_read_as_it_lies_however_the_server_marks_it(
    make_source, site, reply, tmp_path, coding, padding
):
    body = ZIPPED + bytes(padding)
    serve(site, reply, lay_file(tmp_path, body), **{"Content-Encoding": coding})
    (page,) = pull(make_source, site.url)
    assert (keys([page]), page.payload, page.media_type) == (["1", "2"], body, "application/gzip")


@pytest.mark.parametrize("stored", [ZIPPED, XML], ids=["gzip", "plain"])
def test_a_file_that_the_server_packs_on_the_way_is_unpacked_to_the_stored_bytes(
    make_source, site, reply, tmp_path, stored
):
    name = "x.xml" if stored == XML else "x.xml.gz"
    serve(site, reply, lay_file(tmp_path, stored, name))
    site.answers[f"/drops/d/{name}"] = reply(gzip.compress(stored), headers={"Content-Encoding": "gzip"})
    for listing in ("/drops/index.json", "/drops/d/manifest.json"):
        packed = gzip.compress(site.answers[listing].body)
        site.answers[listing] = reply(packed, headers={"Content-Encoding": "x-gzip"})
    (page,) = pull(make_source, site.url)
    assert (keys([page]), page.payload) == (["1", "2"], stored)


@pytest.mark.parametrize(
    ("name", "body"),
    [("x.xml", ZIPPED), ("x.xml.gz", XML), ("x", ZIPPED + gzip.compress(b"\n", mtime=0) + bytes(3))],
)
def test_whether_a_file_is_packed_is_told_by_its_bytes_and_not_by_its_name(make_source, tmp_path, name, body):
    (page,) = pull(make_source, lay_file(tmp_path, body, name).as_uri())
    assert (keys([page]), page.payload) == (["1", "2"], body)
    assert (page.media_type == "application/gzip") == (body != XML)


def test_a_file_that_was_unpacked_on_the_way_is_told_so(make_source, site, reply, tmp_path):
    serve(site, reply, lay_file(tmp_path, XML, hashed=ZIPPED))
    with pytest.raises(ContractError, match=r"SHA-256.*named \.gz and came unpacked"):
        pull(make_source, site.url)


def test_a_file_whose_hash_fails_with_and_without_its_coding_is_told_so(make_source, site, reply, tmp_path):
    serve(site, reply, lay_file(tmp_path, ZIPPED, hashed=b"other"), **{"Content-Encoding": "gzip"})
    with pytest.raises(ContractError, match=r"SHA-256.*content coding"):
        pull(make_source, site.url)


def test_a_coding_is_not_a_way_around_the_limits(make_source, site, reply, tmp_path):
    serve(site, reply, lay_file(tmp_path, gzip.compress(bytes(10**7)), hashed=b"x"), **{"Content-Encoding": "gzip"})
    with pytest.raises(ContractError, match="SHA-256"):
        pull(make_source, site.url)


@pytest.mark.parametrize(
    ("options", "body"),
    [
        ({"format": "csv"}, b"ma,name\n1,x\n"),
        ({"format": "csv"}, b"1,x\n2,y\n"),
        ({"format": "csv"}, b"id,name\n,x\n,y\n"),
        ({"format": "csv", "delimiter": ";"}, b"id,name\n1,x\n"),
        ({"format": "jsonl"}, b'{"ID": "1"}\n{"ID": "2"}\n'),
        ({"format": "jsonl"}, b'{"id": null}\n{}\n'),
        ({"format": "xml"}, b"<Tap><Nguoi><Id>1</Id></Nguoi></Tap>"),
        ({"format": "xml"}, b"<Tap><Nguoi><id/></Nguoi></Tap>"),
    ],
)
def test_a_file_without_the_keys_column_is_refused_with_its_name(make_source, tmp_path, options, body):
    rows = 1 if b"Nguoi" in body or b"ma,name" in body else 2
    lay_file(tmp_path, body, "x.txt", rows)
    with pytest.raises(ContractError, match=r"column id\b") as error:
        pull(make_source, tmp_path.as_uri(), options=OPTIONS | options)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("options", "body", "charset"),
    [
        ({"format": "csv"}, CSV, "utf-8"),
        ({"format": "csv"}, CSV.decode().encode("utf-16"), "utf-16"),
        ({"format": "csv", "encoding": "windows-1258"}, "id,name\n1,Đô\n2,Lê\n".encode("cp1258"), "cp1258"),
        ({"format": "jsonl"}, '{"id": "1", "name": "Đỗ"}\n{"id": "2"}\n'.encode("utf-16-le"), "utf-16-le"),
        ({"format": "jsonl"}, b'\xef\xbb\xbf{"id": "1"}\r\n\r\n{"id": "2"}\r\n\r\n\n\x1a', "utf-8"),
        ({"format": "xml"}, XML.decode().encode("utf-16"), "utf-16"),
        ({"format": "xml"}, b"<?xml version='1.0' encoding='ISO-8859-1'?>" + XML, "iso-8859-1"),
        ({"format": "xml", "encoding": "utf-8"}, b"<?xml version='1.0' encoding='utf-16'?>" + XML, "utf-8"),
    ],
)
def test_a_page_tells_the_charset_of_its_payload(make_source, tmp_path, options, body, charset):
    (page,) = pull(make_source, lay_file(tmp_path, body, "x.txt").as_uri(), options=OPTIONS | options)
    assert (keys([page]), page.charset) == (["1", "2"], charset)


@pytest.mark.parametrize(
    "options",
    [
        {"format": "csv", "encoding": "no-such"},
        {"format": "csv", "encoding": "base64"},
        {"format": "csv", "delimiter": "::"},
        {"format": "csv", "delimiter": "\n"},
        {"format": "xml", "encoding": "../x"},
        {"format": "jsonl", "encoding": "windows-1258"},
        {"format": "xml", "delimiter": ";"},
    ],
)
def test_an_option_that_cannot_be_used_is_told(make_source, folder, options):
    with pytest.raises(ConfigurationError):
        adapter(make_source, folder, options=OPTIONS | options)


@pytest.mark.parametrize("files", [[], None])
def test_a_drop_without_files_says_so_by_its_rows(make_source, tmp_path, files):
    add(tmp_path, "d1", [["1"]], "full")
    add(tmp_path, "d2", [], change=lambda manifest: manifest | {"files": files, "rows": 0.0})
    assert keys(adapter(make_source, tmp_path).pull(None)) == ["1"]
    add(tmp_path, "d3", [], change=lambda manifest: manifest | {"files": files, "rows": 1})
    with pytest.raises(ContractError, match="do not add up"):
        list(adapter(make_source, tmp_path).pull(None))
