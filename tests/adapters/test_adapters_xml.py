"""XML records: quick and walked records read alike, and nothing hostile is believed."""

from __future__ import annotations

import unicodedata
from xml.sax.saxutils import escape

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.protocols.columns import rows_of, to_batch
from adapters.protocols.guard import slices
from adapters.protocols.xml import RECORD_BYTES, XmlRecords, parse_document, text_of
from adapters.protocols.xml_charset import charset_of
from adapters.protocols.xml_plain import is_utf_8
from motlan.adapter import Limits
from motlan.errors import ConfigurationError, ContractError

COLUMNS = {"Ma": "Ma", "Ten_Ho": "Ten/Ho", "Ten_Ten": "Ten/Ten", "DanToc": "DanToc", "DanToc_Ma": "DanToc/Ma"}
LIMITS = Limits(depth=6)


def document(*records, root="<Tap xmlns='urn:x'>"):
    return (root + "".join(f"<Nguoi>{record}</Nguoi>" for record in records) + "</Tap>").encode()


def read(body, columns=COLUMNS, rows=100, limits=LIMITS):
    """Rows of three ways of reading, which must be the same: an answer, a file in pieces, and element by element."""
    records = XmlRecords("Nguoi", columns, limits)
    paged = as_rows([records.read_document(body, "d")[0]])
    streamed = as_rows(records.read([body[n : n + 40] for n in range(0, len(body), 40)], rows, "d"))
    walked = as_rows(records.read(slices(body.decode().encode("utf-16")), rows, "d")) if is_utf_8(body) else paged
    assert filled(paged) == filled(streamed) == filled(walked)
    return paged


def filled(rows):
    return [{name: value for name, value in row.items() if value is not None} for row in rows]


def as_rows(batches):
    rows = []
    for columns in batches:
        rows += to_batch(columns, [""] * rows_of(columns), LIMITS).drop_columns(["_locator"]).to_pylist()
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
    assert (first["Ten/BiDanh"], second["Ten/BiDanh"]) == (None, "x")


def test_a_second_element_of_a_path_is_not_lost():
    (row,) = read(document("<Ma>1</Ma><Ma>2</Ma><Ma>3</Ma>"))
    assert (row["Ma"], row["Ma[2]"], row["Ma[3]"]) == ("1", "2", "3")


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


PLAIN = "<Nguoi><Ma>1</Ma><Ten><Ho>Đỗ</Ho></Ten></Nguoi>"


def test_plain_records_are_not_parsed_one_by_one(monkeypatch):
    walked = []
    walk = XmlRecords.walk
    monkeypatch.setattr(XmlRecords, "walk", lambda self, *given: walked.append(1) or walk(self, *given))
    body = f"<Tap>{PLAIN * 2000}<Nguoi><Ma>&lt;</Ma></Nguoi>{PLAIN * 2000}</Tap>".encode()
    records = XmlRecords("Nguoi", COLUMNS, LIMITS)
    assert rows_of(records.read_document(body, "d")[0]) == 4001
    assert len(walked) == 2


def test_what_stands_around_the_records_is_given_back():
    body = f"<Tap><So>2</So>{PLAIN * 50}<Sau>x</Sau></Tap>".encode()
    columns, root = XmlRecords("Nguoi", COLUMNS, LIMITS).read_document(body, "d")
    assert (rows_of(columns), text_of(root, "So"), text_of(root, "Sau"), text_of(root, "Ma")) == (50, "2", "x", None)


@pytest.mark.parametrize(
    ("between", "found"),
    [
        (f"<!-- {PLAIN} -->", 0),
        (f"<x><![CDATA[{PLAIN}]]></x>", 0),
        (f"<?x {PLAIN}?>", 0),
        (f"<x>{PLAIN}</x>", 1),
        ("<Nguoi>\n<Ma>2</Ma>\n<Ten>\n\t<Ho>Lê</Ho>\n</Ten>\n</Nguoi>\n", 1),
        ("<Nguoi>\n</Nguoi>", 1),
        ("<Nguoi><Ten> </Ten></Nguoi>", 1),
        ("<Nguoi><DanToc></DanToc></Nguoi>", 1),
        ("<Nguoi/>", 1),
        ("<Nguoi><Ma>a\r\nb</Ma></Nguoi>", 1),
        ("<Nguoi><Ma>\ufffd\x7f\x85</Ma></Nguoi >", 1),
        ("<b:Nguoi xmlns:b='urn:x'><b:Ma>2</b:Ma></b:Nguoi>", 1),
        ("<Nguoi xmlns='urn:y'><Ma>2</Ma></Nguoi>", 1),
        (f"<Nguoi>{PLAIN}</Nguoi>", 2),
    ],
)
def test_what_is_odd_between_plain_records_is_read_as_a_parser_reads_it(between, found):
    assert len(read(f"<Tap>{' ' * 300}{PLAIN * 3}{between}{PLAIN * 3}</Tap>".encode())) == 6 + found


@pytest.mark.parametrize(
    "between",
    [
        b"<Nguoi><Ma>\xff</Ma></Nguoi>",
        b"<Nguoi><Ma>\xed\xa0\x80</Ma></Nguoi>",
        b"<Nguoi><Ma>\xef\xbf\xbf</Ma></Nguoi>",
        b"<Nguoi><Ma>\x01</Ma></Nguoi>",
        b"<Nguoi><Ma>]]></Ma></Nguoi>",
        b"<Nguoi><Ma>&x;</Ma></Nguoi>",
        b"<a:Nguoi><a:Ma>2</a:Ma></a:Nguoi>",
        b"<Nguoi><Ma>2</Ma>",
        b"</Tap>",
    ],
)
def test_what_is_no_xml_between_plain_records_is_refused(between):
    body = b"<Tap>" + b" " * 300 + PLAIN.encode() * 3 + between + PLAIN.encode() * 3 + b"</Tap>"
    records = XmlRecords("Nguoi", COLUMNS, LIMITS)
    with pytest.raises(ContractError):
        records.read_document(body, "d")
    with pytest.raises(ContractError):
        list(records.read([body[n : n + 40] for n in range(0, len(body), 40)], 100, "d"))


def test_records_too_deep_are_refused_however_plain():
    body = f"{'<Tap>' * 4}{' ' * 300}{PLAIN * 3}{'</Tap>' * 4}".encode()
    assert rows_of(XmlRecords("Nguoi", COLUMNS, Limits(depth=7)).read_document(body, "d")[0]) == 3
    with pytest.raises(ContractError, match="deeper"):
        XmlRecords("Nguoi", COLUMNS, Limits(depth=5)).read_document(body, "d")


def test_a_column_that_nobody_declared_stays_with_its_rows():
    new = "<Nguoi><Moi>{}</Moi></Nguoi>"
    body = "".join([PLAIN * 10, new.format(1), PLAIN * 10, new.format(2), PLAIN * 4])
    batches = XmlRecords("Nguoi", COLUMNS, LIMITS).read(slices(f"<Tap>{' ' * 300}{body}</Tap>".encode()), 15, "d")
    places = [[n for n, row in enumerate(as_rows([columns])) if row.get("Moi")] for columns in batches]
    assert places == [[10], [6]]


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
        XmlRecords("Nguoi", COLUMNS, LIMITS).read_document(body.encode(), "d")
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


NAME = "<Tap><Nguoi><Ma>Đỗ</Ma></Nguoi><Nguoi><Ma>2</Ma></Nguoi></Tap>"


def saying(charset, text=NAME):
    return f"<?xml version='1.0' encoding='{charset}'?>" + text


def read_both(body, label="", records=None):
    """Names that an answer with this label outside of it, and a file with this declared charset, have."""
    made = XmlRecords("Nguoi", COLUMNS, LIMITS, label)
    in_file = as_rows(made.read([body[n : n + 9] for n in range(0, len(body), 9)], 100, "d"))
    in_answer = as_rows([XmlRecords("Nguoi", COLUMNS, LIMITS).read_document(body, "d", label)[0]])
    assert in_file == in_answer
    assert text_of(parse_document(body, "d", label), "Ma") == in_answer[0]["Ma"]
    return [row["Ma"] for row in in_answer]


@pytest.mark.parametrize(
    "body",
    [
        NAME.encode(),
        NAME.encode("utf-8-sig"),
        NAME.encode("utf-16"),
        NAME.encode("utf-16-le"),
        NAME.encode("utf-16-be"),
        saying("utf-8").encode("utf-8-sig"),
        saying("UTF8").encode(),
        saying("utf-16").encode("utf-8-sig"),
        saying("utf-8").encode("utf-16"),
        saying("utf-8").encode("utf-16-be"),
        saying("utf-16").encode("utf-16-le"),
        saying("iso-8859-1").encode("utf-8-sig"),
        saying("windows-1258", NAME.replace("ỗ", "ô\u0303")).encode("cp1258"),
    ],
)
def test_the_charset_is_the_marks_then_what_the_document_says(body):
    assert [unicodedata.normalize("NFC", name) for name in read_both(body)] == ["Đỗ", "2"]


@pytest.mark.parametrize("charset", ["utf-16", "UTF-16LE", "utf-32", "ucs-2", "iso-10646-ucs-4", "unicode"])
@pytest.mark.parametrize(("text", "told"), [(NAME, "UTF-8"), (NAME.replace("Đỗ", "Do"), "UTF-8")])
def test_a_document_that_says_two_bytes_a_letter_and_has_one_is_told_so(charset, text, told):
    body = saying(charset, text).encode()
    for read_it in (lambda: parse_document(body, "d"), lambda: read_both(body)):
        with pytest.raises(ContractError, match=f"the XML declares {charset} and is {told}") as error:
            read_it()
        assert "Do" not in str(error.value).partition("declares")[2].partition("Next")[0]


def test_it_is_read_where_a_label_or_the_dataset_says_what_it_is():
    assert read_both(saying("utf-16").encode(), "utf-8") == ["Đỗ", "2"]
    assert read_both(saying("utf-16").replace("Đỗ", "é").encode("latin-1"), "ISO-8859-1") == ["é", "2"]


def test_plain_records_of_it_are_not_parsed_one_by_one(monkeypatch):
    monkeypatch.setattr(XmlRecords, "walk", lambda *_: pytest.fail("walked") if walked else walked.append(1) or {})
    walked = []
    body = saying("utf-16", f"<Tap>{PLAIN * 50}</Tap>").encode()
    assert rows_of(XmlRecords("Nguoi", COLUMNS, LIMITS).read_document(body, "d", "utf-8")[0]) == 50


@pytest.mark.parametrize(
    ("label", "body", "name"),
    [
        ("utf-8", NAME.encode(), "Đỗ"),
        ("UTF-8", saying("utf-8").encode(), "Đỗ"),
        ("iso-8859-1", saying("utf-8").encode(), "Đỗ"),
        ("windows-1252", NAME.encode(), "Đỗ"),
        ("us-ascii", NAME.encode(), "Đỗ"),
        ("utf8mb4", NAME.encode(), "Đỗ"),
        ("utf-16", NAME.encode(), "Đỗ"),
        ("utf-8", saying("iso-8859-1").encode(), "Đỗ"),
        ("iso-8859-1", NAME.encode("utf-16"), "Đỗ"),
        ("iso-8859-1", NAME.encode("utf-8-sig"), "Đỗ"),
        ("utf-8", saying("iso-8859-1", NAME.replace("Đỗ", "é")).encode("latin-1"), "é"),
        ("iso-8859-1", NAME.replace("Đỗ", "é").encode("latin-1"), "é"),
        ("iso-8859-1", saying("utf-8", NAME.replace("Đỗ", "é")).encode("latin-1"), "é"),
        ("cp1258", saying("utf-8", NAME.replace("Đỗ", "Đ")).encode("cp1258"), "Đ"),
    ],
)
def test_a_label_outside_and_the_document_are_weighed_by_the_bytes(label, body, name):
    columns, _ = XmlRecords("Nguoi", COLUMNS, LIMITS).read_document(body, "d", label)
    assert as_rows([columns])[0]["Ma"] == name == text_of(parse_document(body, "d", label), "Ma")
    assert body.decode(charset_of(body[:256], body, label)).startswith(("<", "\ufeff"))


@pytest.mark.parametrize(
    ("body", "told"),
    [
        (saying("utf8mb4").encode(), "declares a charset that is not known"),
        (saying("Nguyen-Van-A").encode(), "declares a charset that is not known"),
        (saying("us-ascii").encode(), "bytes that are no letters of the charset"),
        (NAME.replace("Đỗ", "\xff").encode("latin-1"), "bytes that are no letters of the charset"),
        (
            f"<Tap>{PLAIN}{PLAIN.replace('Đỗ', chr(255))}</Tap>".encode("latin-1", "replace"),
            "bytes that are no letters",
        ),
        (NAME.encode("utf-32"), "UTF-32, where UTF-8 was expected"),
        (NAME.encode("utf-32-be"), "UTF-32"),
        (b"", "starts as nothing"),
        (b'{"ten": "Nguyen"}', "starts as JSON"),
        (b"<!DOCTYPE html><html>Nguyen<br></html>", "an HTML page|document type"),
        (b"\x1f\x8b\x08", "starts as gzip data"),
        (b"<Tap><Nguoi>Nguyen</Tap>", "not well-formed"),
    ],
)
def test_what_came_instead_of_xml_is_told_in_a_line(body, told):
    for read_it in (
        lambda: parse_document(body, "d"),
        lambda: XmlRecords("Nguoi", COLUMNS, LIMITS).read_document(body, "d"),
        lambda: list(XmlRecords("Nguoi", COLUMNS, LIMITS).read([body], 9, "d")),
    ):
        with pytest.raises(ContractError, match=told) as error:
            read_it()
        assert "Nguyen" not in str(error.value) and "\n" not in str(error.value)
        assert error.value.__cause__ is None


@pytest.mark.parametrize("encoding", ["no-such", "../x", "base64"])
def test_a_charset_that_is_none_cannot_be_declared(encoding):
    with pytest.raises(ConfigurationError):
        XmlRecords("Nguoi", COLUMNS, LIMITS, encoding)
