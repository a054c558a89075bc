"""CSV as programs and spreadsheets write it: read whole, or refused with the place; nothing is lost or shifted."""

from __future__ import annotations

import csv
import io
import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adapters.protocols.delimited import DelimitedRecords
from motlan.adapter import Limits
from motlan.errors import ConfigurationError, ContractError

COLUMNS = {"id": "id", "ho_ten": "Họ tên"}
WANTED = [{"id": "1", "ho_ten": "Đỗ Thị A"}, {"id": "2", "ho_ten": "Lê, B"}]


def read(body, columns=COLUMNS, rows=2, size=5, required=("id",), **options):
    """Rows of a file that comes in small pieces; the same must come where it comes at once."""
    records = DelimitedRecords(columns, Limits(), required, **options)
    pieces = [body[start : start + size] for start in range(0, len(body), size)]
    cut, whole = (as_rows(records.read(chunks, rows, "d")) for chunks in (pieces, [body]))
    assert cut == whole
    return cut


def as_rows(batches):
    rows = []
    for columns in batches:
        rows += [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]
    return rows


def written(separator=",", end="\r\n", header=("id", "Họ tên"), quoting=csv.QUOTE_MINIMAL):
    out = io.StringIO(newline="")
    writer = csv.writer(out, delimiter=separator, lineterminator=end, quoting=quoting)
    writer.writerows([header, ("1", "Đỗ Thị A"), ("2", "Lê, B")])
    return out.getvalue()


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
@pytest.mark.parametrize("end", ["\r\n", "\n", "\r"], ids=["CR LF", "LF", "CR"])
@pytest.mark.parametrize("mark", ["", "\ufeff", "\ufeff\ufeff"], ids=["no mark", "mark", "two marks"])
@pytest.mark.parametrize("quoting", [csv.QUOTE_MINIMAL, csv.QUOTE_ALL], ids=["bare", "quoted"])
def test_the_header_tells_the_separator_whatever_mark_or_line_end_there_is(separator, end, mark, quoting):
    assert read((mark + written(separator, end, quoting=quoting)).encode()) == WANTED


@pytest.mark.parametrize(
    "header",
    [
        ("ID", "HỌ TÊN"),
        (" id ", "Họ tên\u00a0"),
        ("Id", unicodedata.normalize("NFD", "họ Tên")),
        ("\u200bid", "Họ  tên"),
    ],
)
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_names_in_the_header_are_found_in_any_case_spacing_and_composition(header, mark):
    assert read((mark + written(";", header=header)).encode()) == WANTED


def test_a_name_that_is_exactly_there_goes_before_one_that_is_alike():
    (row,) = read(b"ID,id\nx,1\n", {"id": "id"})
    assert (row["id"], len(row), "x" in row.values()) == ("1", 2, True)


@pytest.mark.parametrize("charset", ["utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32"])
def test_the_unicode_forms_of_spreadsheets_are_read(charset):
    assert read(written("\t").encode(charset)) == WANTED


def test_another_charset_is_read_where_it_is_declared_and_a_mark_goes_before_it():
    text = written().replace("ỗ", "ô").replace("ọ", "o").replace("ị", "i")
    columns, wanted = {"id": "id", "ho_ten": "Ho tên"}, [WANTED[0] | {"ho_ten": "Đô Thi A"}, WANTED[1]]
    assert read(text.encode("cp1258"), columns, encoding="cp1258") == wanted
    assert read(text.encode("utf-8-sig"), columns, encoding="cp1258") == wanted
    assert read(text.encode("utf-16"), columns, encoding="cp1258") == wanted


def test_letters_of_an_undeclared_charset_stay_visible():
    (row,) = read("id,ten\n1,Đô\n".encode("cp1258"), {"id": "id", "ten": "ten"})
    assert row["ten"] == "\\xd0\\xf4"


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"], ids=["LF", "CR LF", "CR"])
@pytest.mark.parametrize("tail", ["", "{0}", "{0}{0}{0}{0}", " {0}", "\x1a", "{0}\x1a", "\x00\x00\x00", "\ufeff{0}"])
def test_blank_lines_at_the_end_are_no_records(end, tail):
    body = written(end=end) + tail.format(end)
    assert read(body.encode()) == WANTED
    assert read(body.rstrip("\r\n").encode()) == WANTED


def test_blank_lines_before_the_header_and_between_records_are_no_records():
    assert read('\n\r\n id,Họ tên\n\n1,Đỗ Thị A\n\n\n2,"Lê, B"\n'.encode()) == WANTED


def test_a_line_of_separators_is_a_record():
    assert read("id;Họ tên\n;\n1;x\n".encode()) == [{"id": "", "ho_ten": ""}, {"id": "1", "ho_ten": "x"}]


def test_a_quoted_field_keeps_its_line_ends_and_separators():
    text = 'id;Họ tên\r\n1;"a\r\nb\nc\rd;""e"",\u2028f"\r\n'
    assert read(text.encode()) == [{"id": "1", "ho_ten": 'a\r\nb\nc\rd;"e",\u2028f'}]


def test_a_quoted_name_may_have_a_line_end():
    assert read('id,"Họ\ntên"\n1,x\n'.encode()) == [{"id": "1", "ho_ten": "x"}]


@pytest.mark.parametrize("hint", ["sep=;", '"sep=;"', "SEP=;"])
def test_a_spreadsheets_hint_of_the_separator_is_followed(hint):
    assert read(f"{hint}\r\n{written(';')}".encode()) == WANTED


def test_a_declared_separator_is_the_only_one():
    assert read(written("\t").encode(), delimiter="tab") == WANTED
    assert read(written("~").encode(), delimiter="~") == WANTED
    with pytest.raises(ContractError, match="column id"):
        read(written(";").encode(), delimiter=",")


def test_a_file_of_one_column_has_no_separator():
    assert read(b"\xef\xbb\xbfID\r\n1\r\n2\r\n\r\n", {"id": "id"}) == [{"id": "1"}, {"id": "2"}]
    assert read(b"id\n1;2\n", {"id": "id"}) == [{"id": "1;2"}]


@pytest.mark.parametrize("body", [b"", b"\xef\xbb\xbf", b"\n\n", b"\x1a", b"id,x\n", b'\xef\xbb\xbf"id"\r\n\r\n'])
def test_a_file_without_records_gives_none(body):
    assert read(body) == []


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ("ma,Họ tên\n1,x\n", "column id: it has 2 fields, separated by commas or semicolons or tabs or vertical bars"),
        ("1,Nguyễn\n2,Nguyễn\n", "column id"),
        ("id~Họ tên\n1~x\n", "column id: it has 1 field"),
        ("<html>Nguyễn</html>", "column id"),
        ('"id,Nguyễn', "the header line is not CSV"),
        ("id,id\n1,2\n", "the field of column id twice"),
        ("ID,Id\n1,2\n", "the field of column id twice"),
        ("id,Họ tên\n1,x\n2,Nguyễn,y\n", r"record 2 has 3 field\(s\), and the header line 2"),
        ("id,Họ tên\n\n1,x\n\n2\n", "record 2 has 1 field"),
        ('id,Họ tên\n1,x\n2,"Nguyễn"y\n', "not CSV behind record"),
        ('id,Họ tên\n1,x\n2,"Nguyễn\n', "not CSV behind record"),
    ],
)
def test_what_is_not_the_declared_file_is_refused_with_its_place_and_without_values(body, told):
    with pytest.raises(ContractError, match=told) as error:
        read(body.encode())
    assert "Nguyễn" not in str(error.value) and "\n" not in str(error.value)
    assert error.value.__cause__ is None


def test_bytes_that_are_not_the_utf_16_of_their_mark_are_refused():
    with pytest.raises(ContractError, match="not utf-16"):
        read("id,x\n1,2\n".encode("utf-16")[:-1])


def test_unnamed_and_doubled_fields_that_nobody_declared_are_kept():
    (row,) = read(b"id,,x,x,\n1,a,b,c,\n", {"id": "id"})
    assert row == {"id": "1", "field_2": "a", "x": "b", "x[2]": "c", "field_5": ""}


@pytest.mark.parametrize("required", ["id", "moment"])
def test_each_required_column_must_be_there(required):
    columns = {"id": "id", "moment": "moment", "ten": "ten"}
    with pytest.raises(ContractError, match=f"column {required}"):
        read("id,moment,ten\n1,2,3\n".replace(required, "khac").encode(), columns, required=("id", "moment"))
    assert read(b"moment,ID\n2,1\n", columns, required=("id", "moment")) == [{"id": "1", "moment": "2", "ten": None}]


@pytest.mark.parametrize("delimiter", ["::", '"', "\n", "\r"])
def test_a_separator_that_is_none_cannot_be_declared(delimiter):
    with pytest.raises(ConfigurationError):
        DelimitedRecords(COLUMNS, Limits(), delimiter=delimiter)


TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\0\x1a\ufeff"), min_size=1, max_size=5)


@settings(max_examples=60)
@given(
    records=st.lists(st.tuples(TEXT.filter(str.strip), TEXT), min_size=1, max_size=5),
    separator=st.sampled_from(",;\t|"),
    end=st.sampled_from(["\r\n", "\n", "\r"]),
    charset=st.sampled_from(["utf-8", "utf-8-sig", "utf-16"]),
    size=st.integers(1, 9),
)
def test_whatever_a_writer_writes_is_read_back(records, separator, end, charset, size):
    out = io.StringIO(newline="")
    csv.writer(out, delimiter=separator, lineterminator=end, quoting=csv.QUOTE_ALL).writerows([("id", "ten"), *records])
    rows = read(out.getvalue().encode(charset), {"id": "id", "ten": "ten"}, size=size)
    assert [tuple(row.values()) for row in rows] == records
