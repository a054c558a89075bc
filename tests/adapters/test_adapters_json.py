"""JSON and CSV to columns, and the batch that they become."""

from __future__ import annotations

import json

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.protocols.columns import to_batch
from adapters.protocols.delimited import DelimitedRecords
from adapters.protocols.json import JsonRecords, at_path, parse
from motlan.adapter import LOCATOR, Limits
from motlan.errors import ConfigurationError, ContractError

LIMITS = Limits(depth=5, field_length=20)
RECORDS = JsonRecords({"id": "id", "ho": "ten.ho"}, LIMITS)


def columns_of(text):
    return texts(RECORDS.to_columns(parse(text.encode(), "d"), "d"))


def texts(columns):
    return {name: pa.array(values, pa.string()).to_pylist() for name, values in columns.items()}


def test_scalars_keep_the_text_that_was_sent():
    columns = columns_of('[{"id": 1.50}, {"id": 12345678901234567890}, {"id": true}, {"id": null}, {"id": ""}, {}]')
    assert columns["id"] == ["1.50", "12345678901234567890", "true", None, "", None]


def test_what_nobody_declared_becomes_columns():
    columns = columns_of('[{"a.b": "x", "ten": {"ho": "Đỗ", "dem": 1}, "list": [1.0, {"é": ["x", null, false]}]}]')
    assert list(columns) == ["id", "ho", "ten.dem", "a~1b", "list"]
    assert [values[0] for values in columns.values()] == [None, "Đỗ", "1", "x", '[1.0,{"é":["x",null,false]}]']


def test_a_value_where_a_structure_was_declared_is_shown_beside_it():
    assert columns_of('[{"ten": "Đỗ"}, {"ten": {"ho": "Lê"}}]') == {
        "id": [None, None],
        "ho": [None, "Lê"],
        "ten": ["Đỗ", None],
    }


def test_a_structure_where_a_value_was_declared_stays_text():
    assert columns_of('[{"id": {"so": 1}}]')["id"] == ['{"so":1}']


@given(st.lists(st.dictionaries(st.sampled_from(["id", "moi"]), st.none() | st.text(max_size=5)), max_size=5))
def test_text_passes_unchanged(people):
    columns = columns_of(json.dumps(people))
    for name in columns.keys() - {"ho"}:
        assert columns[name] == [person.get(name) for person in people]


@pytest.mark.parametrize(
    "text", ["[1]", "[[]]", "[null]", '[{"a": [[[[[[1]]]]]]}]', json.dumps([{f"k{n}": 1 for n in range(300)}])]
)
def test_records_of_another_shape_are_refused_without_quoting_them(text):
    with pytest.raises(ContractError) as error:
        columns_of(text)
    assert error.value.__context__ is None


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[NaN]", b"[" * 100_000, b"[1" + b",1" * 4_000_000 + b"]", "Nguyễn".encode()]
)
def test_what_is_no_json_is_refused_without_quoting_it(body):
    with pytest.raises(ContractError) as error:
        parse(body, "d")
    assert error.value.__cause__ is None
    assert "Nguyễn" not in str(error.value)


@pytest.mark.parametrize(
    "charset", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-be", "utf-32-le"]
)
def test_a_document_of_any_unicode_form_is_read_by_its_first_bytes(charset):
    assert parse('{"ten": "Đỗ"}'.encode(charset), "d") == {"ten": "Đỗ"}


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b"", "nothing"),
        (b"\n", "nothing"),
        (b"<!DOCTYPE html><p>Nguy\xe1\xbb\x85n", "an HTML page"),
        (b"<loi>Nguy\xe1\xbb\x85n</loi>", "XML"),
        (b"\x1f\x8b\x08", "gzip data"),
        (b'{"ten": "Nguy\xe1\xbb\x85n', "JSON, perhaps cut short"),
        (b"Nguy\xe1\xbb\x85n", "something else"),
        ('{"ten": "Đỗ"}'.encode("utf-16")[:-1], "something else"),
    ],
)
def test_what_came_instead_of_json_is_told_by_its_kind_alone(body, kind):
    with pytest.raises(ContractError, match=f"starts as {kind}") as error:
        parse(body, "d")
    assert "Nguy" not in str(error.value)


def test_bytes_and_halves_of_letters_that_are_no_text_stay_visible():
    columns = RECORDS.to_columns(parse(b'[{"id": "a\xff"}, {"id": "\\ud800"}]', "d"), "d")
    assert to_batch(columns, ["1", "2"], LIMITS)["id"].to_pylist() == ["a\\udcff", "\\ud800"]


def test_a_path_that_is_value_and_branch_cannot_be_declared():
    for columns in ({"a": "x", "b": "x.y"}, {"b": "x.y", "a": "x"}, {"a": "x", "b": "x"}):
        with pytest.raises(ConfigurationError):
            JsonRecords(columns, LIMITS)


def test_a_path_ends_where_the_document_does():
    assert at_path({"a": [1]}, "a.b") is None


def test_json_lines_come_in_batches_whatever_the_chunks():
    body = b'{"id": "1"}\n\n{"id": "2"}\r\n{"id": "3"}'
    batches = RECORDS.read([body[start : start + 3] for start in range(0, len(body), 3)], 2, "d")
    assert [texts(columns)["id"] for columns in batches] == [["1", "2"], ["3"]]


@pytest.mark.parametrize("charset", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-32-be"])
@pytest.mark.parametrize("tail", ["", "\n", "\r\n\r\n", "\n \t\n\x1a", "\n\ufeff\n"])
def test_json_lines_of_any_unicode_form_end_as_they_like(charset, tail):
    body = ('{"id": "1", "ten": {"ho": "Đỗ"}}\r\n\r\n{"id": "\\ud800"}' + tail).encode(charset)
    for size in (1, 7, 10**6):
        batches = list(RECORDS.read([body[start : start + size] for start in range(0, len(body), size)], 9, "d"))
        (batch,) = [to_batch(columns, ["1", "2"], LIMITS) for columns in batches]
        assert batch.to_pydict() == {"id": ["1", "\\ud800"], "ho": ["Đỗ", None], "_locator": ["1", "2"]}


@pytest.mark.parametrize(
    ("body", "told"),
    [
        (b'{"id": "1"}\n\n{"id": "Nguy\n', "line 3: JSON was expected"),
        (b"<a>Nguy</a>\n", "line 1: .*starts as XML"),
        (b'[{"id": "Nguy"}]\n', "a record is not a JSON object"),
        (b'\xff\xfe{\x00"\x00i', "not utf-16"),
    ],
)
def test_a_line_that_is_no_record_is_told_by_its_number(body, told):
    with pytest.raises(ContractError, match=told) as error:
        list(RECORDS.read([body], 9, "d"))
    assert "Nguy" not in str(error.value) and error.value.__cause__ is None


def test_a_line_without_end_is_refused():
    with pytest.raises(ContractError, match="line"):
        list(RECORDS.read([b"x" * 2**22] * 3, 2, "d"))


def test_csv_comes_in_batches_with_unknown_and_absent_columns():
    body = '\ufeffid,mới x\n1,"a, ""b""\nc"\n2,\n3,d'.encode()
    batches = list(DelimitedRecords({"id": "id", "ho": "ho"}, LIMITS).read([body], 2, "d"))
    assert [{name: list(values) for name, values in columns.items()} for columns in batches] == [
        {"id": ["1", "2"], "ho": [None, None], "mới x": ['a, "b"\nc', ""]},
        {"id": ["3"], "ho": [None], "mới x": ["d"]},
    ]


@pytest.mark.parametrize("body", [b"a,b\n1\n", b"a,a\n1,2\n", b'a\n"x"y\n', b'a\n"' + b"x" * 200_000])
def test_broken_csv_is_refused(body):
    with pytest.raises(ContractError):
        list(DelimitedRecords({"a": "a"}, LIMITS).read([body], 2, "d"))


def test_the_locator_is_the_last_column_and_everything_is_text():
    batch = to_batch({"a": ["x", None], LOCATOR + "_": ["y", "z"]}, ["1", "2"], LIMITS)
    assert batch.schema.names == ["a", "_locator_", LOCATOR]
    assert {str(kind) for kind in batch.schema.types} == {"string"}


def test_a_field_that_is_too_long_by_its_letters_is_cut_one_behind_the_limit():
    batch = to_batch({"a": ["ễ" * 20, "ễ" * 21, "ễ" * 5000, None]}, ["1", "2", "3", "4"], LIMITS)
    assert batch["a"].to_pylist() == ["ễ" * 20, "ễ" * 21, "ễ" * 21, None]


def test_a_record_cannot_bring_its_own_locator():
    assert "_locator[2]" in columns_of('[{"_locator": "x"}]')


def test_a_name_that_an_object_has_twice_is_kept_twice():
    columns = columns_of('[{"id": "1", "x": "a", "x": "b"}, {"id": "2", "id": "3", "l": {"k": 1, "k": 2}}]')
    assert (columns["id"], columns["id[2]"]) == (["1", "3"], [None, "2"])
    assert (columns["x"], columns["x[2]"], columns["l"][1]) == (["b", None], ["a", None], '{"k":2,"k":1}')


def test_names_of_one_look_are_columns_of_their_own_on_every_page():
    names = [
        "a b",
        "a.b",
        "a_b",
        "a~1b",
        "A_B",
        "",
        "_locator",
        "_drop",
        "\ud800",
        "\\ud800",
        "x[2]",
        "ho",
        "é",
        "e\u0301",
    ]
    for order in (names, names[::-1]):
        columns = columns_of(json.dumps([{name: str(place) for place, name in enumerate(order)}]))
        told = {values[0]: name for name, values in columns.items() if values[0]}
        assert len(told) == len(names)
        made = [told[str(order.index(name))] for name in names]
        assert made[:9] == ["a b", "a~1b", "a_b", "a~01b", "A_B", "", "_locator[2]", "_drop[2]", "~ud800"]
        assert made[9:] == ["\\ud800", "x~22]", "ho[2]", "é", "e\u0301"]
