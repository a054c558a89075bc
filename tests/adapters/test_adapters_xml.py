"""XML records: quick and walked records read alike, and nothing hostile is believed."""

from __future__ import annotations

from xml.sax.saxutils import escape

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.protocols.columns import rows_of
from adapters.protocols.guard import slices
from adapters.protocols.xml import RECORD_BYTES, XmlRecords, parse_document
from motlan.errors import ConfigurationError, ContractError
from motlan.landing.contract import Limits

COLUMNS = {"Ma": "Ma", "Ten_Ho": "Ten/Ho", "Ten_Ten": "Ten/Ten", "DanToc": "DanToc", "DanToc_Ma": "DanToc/Ma"}
LIMITS = Limits(depth=6)


def document(*records, root="<Tap xmlns='urn:x'>"):
    return (root + "".join(f"<Nguoi>{record}</Nguoi>" for record in records) + "</Tap>").encode()


def read(body, columns=COLUMNS, rows=100, limits=LIMITS):
    """Rows of both ways of reading, which must be the same."""
    paged = as_rows([XmlRecords("Nguoi", columns, limits).read_page(parse_document(body, "d"), "d")])
    streamed = as_rows(XmlRecords("Nguoi", columns, limits).read(slices(body), rows, "d"))
    assert [{k: v for k, v in row.items() if v is not None} for row in paged] == [
        {k: v for k, v in row.items() if v is not None} for row in streamed
    ]
    return paged


def as_rows(batches):
    rows = []
    for columns in batches:
        rows += [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]
    return rows


def test_absent_is_null_and_empty_is_empty():
    (row,) = read(document("<Ma>1</Ma><Ten><Ho/><Ten></Ten></Ten>"))
    assert row == {"Ma": "1", "Ten_Ho": "", "Ten_Ten": "", "DanToc": None, "DanToc_Ma": None}


def test_nil_is_null():
    xsi = "xmlns:xsi='http://www.w3.org/2001/XMLSchema-instance'"
    (row,) = read(document(f"<Ma {xsi} xsi:nil='true'/>"))
    assert row["Ma"] is None


def test_one_place_may_be_a_value_or_a_branch():
    first, second = read(document("<DanToc>01</DanToc>", "<DanToc><Ma>02</Ma></DanToc>"))
    assert (first["DanToc"], first["DanToc_Ma"]) == ("01", None)
    assert (second["DanToc"], second["DanToc_Ma"]) == (None, "02")


def test_an_unknown_element_becomes_a_column_of_its_own():
    first, second = read(document("<Ma>1</Ma>", "<Ma>2</Ma><Ten><BiDanh>x</BiDanh></Ten>"))
    assert (first["Ten_BiDanh"], second["Ten_BiDanh"]) == (None, "x")


def test_a_second_element_of_a_path_is_not_lost():
    (row,) = read(document("<Ma>1</Ma><Ma>2</Ma><Ma>3</Ma>"))
    assert (row["Ma"], row["Ma_2"], row["Ma_3"]) == ("1", "2", "3")


def test_prefixes_comments_instructions_and_escapes_make_no_difference():
    body = b"<a:Tap xmlns:a='urn:x'><a:Nguoi><a:Ma>1</a:Ma><a:Ten><a:Ho>A<!-- c -->B</a:Ho></a:Ten></a:Nguoi>"
    body += b"<a:Nguoi><?pi?><a:Ma><![CDATA[<&]]></a:Ma></a:Nguoi><Nguoi><Ma>&amp;lt;&#13;</Ma></Nguoi></a:Tap>"
    first, second, third = read(body)
    assert (first["Ma"], first["Ten_Ho"], second["Ma"], third["Ma"]) == ("1", "AB", "<&", "&lt;\r")


def test_the_declared_charset_is_followed():
    body = "<?xml version='1.0' encoding='utf-16'?><Tap><Nguoi><Ma>Đỗ</Ma></Nguoi></Tap>".encode("utf-16")
    assert read(body)[0]["Ma"] == "Đỗ"


def test_a_file_comes_in_batches_of_the_asked_size():
    batches = XmlRecords("Nguoi", COLUMNS, LIMITS).read(slices(document(*["<Ma>1</Ma>"] * 25)), 10, "d")
    assert [rows_of(columns) for columns in batches] == [10, 10, 5]


def test_a_document_without_records_gives_none():
    assert read(b"<Tap/>") == []


TEXT = st.text(
    st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"], exclude_characters="\ufffe\uffff"), max_size=5
)
VALUE = st.none() | TEXT
NAMES = ["Ma", "Ten/Ho", "Ten/Ten", "DanToc", "DanToc/Ma", "Moi"]


@given(st.lists(st.dictionaries(st.sampled_from(NAMES), TEXT), max_size=5))
def test_whatever_was_sent_is_read_back(people):
    records = []
    for person in people:
        person.pop("DanToc" if "DanToc/Ma" in person else "DanToc/Ma", None)
        inside = ""
        for branch in ("Ma", "Ten", "DanToc", "Moi"):
            leaves = [
                f"<{p.split('/')[1]}>{escape(v)}</{p.split('/')[1]}>"
                for p, v in person.items()
                if p.startswith(branch + "/")
            ]
            if leaves:
                inside += f"<{branch}>{''.join(leaves)}</{branch}>"
            elif branch in person:
                inside += f"<{branch}>{escape(person[branch])}</{branch}>"
        records.append(inside)
    wanted = [{path.replace("/", "_"): value for path, value in person.items()} for person in people]
    got = [{name: value for name, value in row.items() if value is not None} for row in read(document(*records))]
    assert got == wanted


DTD = "<!DOCTYPE Tap [<!ENTITY x 'y'>]>"
HOSTILE = {
    "entity": f"{DTD}<Tap><Nguoi><Ma>&x;</Ma></Nguoi></Tap>",
    "dtd without use": f"{DTD}<Tap><Nguoi><Ma>1</Ma></Nguoi></Tap>",
    "dtd without records": f"{DTD}<Tap/>",
    "outside dtd": "<!DOCTYPE Tap SYSTEM 'file:///etc/passwd'><Tap><Nguoi><Ma>1</Ma></Nguoi></Tap>",
    "laughs": "<!DOCTYPE Tap [<!ENTITY a 'ha'><!ENTITY b '&a;&a;'><!ENTITY c '&b;&b;'>]><Tap x='&c;'>&c;</Tap>",
    "unknown entity": "<Tap><Nguoi><Ma>&x;</Ma></Nguoi></Tap>",
    "too deep record": document("<a>" * 9 + "</a>" * 9).decode(),
    "too deep document": "<a>" * 3000 + "</a>" * 3000,
    "not closed": "<Tap><Nguoi><Ma>1</Ma></Nguoi>",
    "no xml": "Nguyễn Văn A",
    "empty": "",
    "field without end": f"<Tap><Nguoi><Ma>{'x' * (10**7 + 9)}</Ma></Nguoi></Tap>",
    "columns without end": document("".join(f"<c{number}>1</c{number}>" for number in range(300))).decode(),
}


@pytest.mark.parametrize("body", HOSTILE.values(), ids=HOSTILE.keys())
def test_a_hostile_document_is_refused_without_quoting_it(body):
    with pytest.raises(ContractError) as page:
        XmlRecords("Nguoi", COLUMNS, LIMITS).read_page(parse_document(body.encode(), "d"), "d")
    with pytest.raises(ContractError) as stream:
        list(XmlRecords("Nguoi", COLUMNS, LIMITS).read(slices(body.encode()), 100, "d"))
    assert page.value.__cause__ is stream.value.__cause__ is None
    assert "Nguyễn" not in f"{page.value} {stream.value}"


def test_a_file_without_records_stops_early():
    taken = 0

    def chunks():
        nonlocal taken
        yield b"<Tap>"
        while True:
            taken += 1
            yield b"<x></x>" * 10_000

    with pytest.raises(ContractError, match="no record"):
        list(XmlRecords("Nguoi", COLUMNS, LIMITS).read(chunks(), 100, "d"))
    assert taken * 70_000 < RECORD_BYTES + 140_000


def test_a_page_of_tags_without_end_is_refused_before_it_is_parsed():
    with pytest.raises(ContractError, match="tags"):
        parse_document(b"<a/>" * 4_000_001, "d")


def test_two_columns_of_one_path_cannot_be_declared():
    with pytest.raises(ConfigurationError):
        XmlRecords("Nguoi", {"a": "Ma", "b": "Ma"}, LIMITS)
