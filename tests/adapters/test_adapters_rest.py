"""REST registers: the source's cursor is followed, and not for ever."""

from __future__ import annotations

import json

import pytest

from adapters.protocols import RestAdapter
from adapters.protocols.paging import EMPTY_PAGES
from motlan.adapter import Limits, Watermark
from motlan.errors import ConfigurationError, ContractError

OPTIONS = {
    "path": "v1/people",
    "count_path": "v1/people/count",
    "records": "result.data",
    "next_cursor": "next",
    "since_parameter": "since",
    "cursor_parameter": "after",
    "limit_parameter": "limit",
}
PEOPLE = [{"id": str(n), "moment": f"2026-10-0{n}T00:00:00Z", "name": "x"} for n in range(1, 8)]


def page(reply, records, following=None):
    body = json.dumps({"result": {"data": records}, "next": following})
    return reply(body, headers={"Content-Type": "application/json"})


@pytest.fixture
def people(site, reply):
    def answer(asked):
        start, limit = int(asked.query.get("after", 0)), int(asked.query["limit"])
        found = [person for person in PEOPLE if person["moment"] >= asked.query.get("since", "")]
        following = str(start + limit) if start + limit < len(found) else None
        return page(reply, found[start : start + limit], following)

    site.answers["/v1/people"] = answer
    return site


def adapter(make_source, site, **changes):
    return RestAdapter(make_source(site.url, **{"options": OPTIONS} | changes))


def test_all_pages_are_given_with_payload_and_locator(make_source, people):
    pages = list(adapter(make_source, people).pull(None))
    assert [page.rows.num_rows for page in pages] == [3, 3, 1]
    assert pages[1].rows.schema.names == ["id", "moment", "name", "_locator"]
    assert pages[1].rows["_locator"].to_pylist()[1] == "page=2;/result/data/1"
    assert json.loads(pages[2].payload)["result"]["data"][0]["id"] == pages[2].rows["id"][0].as_py()
    assert (pages[0].media_type, pages[0].name) == ("application/json", "page=1")


def test_a_pull_since_a_moment_includes_it(make_source, people):
    pages = adapter(make_source, people).pull(Watermark(PEOPLE[4]["moment"], "5"))
    assert [key for page in pages for key in page.rows["id"].to_pylist()] == ["5", "6", "7"]


def test_no_news_is_no_page(make_source, people):
    assert list(adapter(make_source, people).pull(Watermark("2027"))) == []


@pytest.mark.parametrize(
    "answers",
    [
        [(PEOPLE[:3], "a")],
        [(PEOPLE[:3], "a"), (PEOPLE[:3], "b"), (PEOPLE[:3], "a")],
        [([], "a")],
        [(PEOPLE[:4], None)],
        [(PEOPLE[:3], "x" * 200)],
        [(PEOPLE[:3], 7)],
        [(PEOPLE[:3], "a"), (PEOPLE[:3], "b")],
        [(PEOPLE[:3], "a"), (PEOPLE[:3], None)],
        [(PEOPLE[:3], "a"), (PEOPLE[3:6], "b"), (PEOPLE[:3], "c")],
        [([{"name": "x"}], "a"), ([{"name": "x"}], "b")],
        [("Nguyễn", None)],
        [(["Nguyễn"], None)],
    ],
    ids=[
        "same cursor",
        "circle",
        "empty page goes on",
        "too many",
        "long cursor",
        "cursor no text",
        "ever the same page",
        "last page twice",
        "pages in a circle under new cursors",
        "ever the same page without a key",
        "no list",
        "no objects",
    ],
)
def test_a_source_that_pages_wrongly_breaks_its_contract(make_source, site, reply, answers):
    site.answers["/v1/people"] = [page(reply, *answer) for answer in answers]
    with pytest.raises(ContractError) as error:
        list(adapter(make_source, site).pull(None))
    assert "Nguyễn" not in str(error.value)


def test_pages_that_overlap_or_have_no_keys_are_given(make_source, site, reply):
    site.answers["/v1/people"] = [
        page(reply, *answer)
        for answer in [
            (PEOPLE[:3], "a"),
            (PEOPLE[2:5], "b"),
            ([{"name": "x"}], "c"),
            ([{"name": "y"}], "d"),
            (PEOPLE[:3][::-1], None),
        ]
    ]
    assert sum(page.rows.num_rows for page in adapter(make_source, site).pull(None)) == 11


def test_a_pull_stops_at_the_limit_of_rows(make_source, people):
    with pytest.raises(ContractError, match="more than 5 rows"):
        list(adapter(make_source, people, limits=Limits(rows=5)).pull(None))


def test_a_field_without_end_is_cut_so_that_its_row_can_be_held(make_source, site, reply):
    site.answers["/v1/people"] = page(reply, [{"id": "x" * 5000}])
    assert keys_of(list(adapter(make_source, site).pull(None))) == ["x" * 101]


def test_counts_are_the_sources_own(make_source, site, reply):
    site.answers["/v1/people/count"] = reply('{"rows": 2, "total": 7, "as_of": "2026-10-01T00:00:00Z"}')
    count = adapter(make_source, site).count(Watermark("2026-10-06T00:00:00Z"))
    assert (count.rows, count.total, count.as_of) == (2, 7, "2026-10-01T00:00:00Z")
    assert site.asked[0].query == {"since": "2026-10-06T00:00:00Z"}


@pytest.mark.parametrize(
    "body", ['{"rows": 2, "total": 7}', '{"rows": -1, "total": 7, "as_of": "2026-10-01T00:00:00Z"}', "[]"]
)
def test_counts_that_are_none_are_refused(make_source, site, reply, body):
    site.answers["/v1/people/count"] = reply(body)
    with pytest.raises(ContractError):
        adapter(make_source, site).check()


@pytest.mark.parametrize("options", [{}, OPTIONS | {"pahts": "x"}, OPTIONS | {"path": 7}])
def test_a_slip_in_the_options_is_told(make_source, site, options):
    with pytest.raises(ConfigurationError, match="options"):
        adapter(make_source, site, options=options)


def keys_of(pages):
    return [key for page in pages for key in page.rows["id"].to_pylist()]


LAST = [
    '{"result": {"data": null}, "next": null}',
    '{"result": {"data": null}}',
    '{"result": {"data": []}, "next": ""}',
    '{"result": {"data": {}}, "next": false}',
    '{"result": {"data": ""}, "next": "  "}',
    '{"result": {}, "next": null}',
    '{"result": null}',
    '{"next": ""}',
    '{"as_of": "2026-10-01T00:00:00Z", "error": null, "errors": []}',
    "{}",
    "null",
]


@pytest.mark.parametrize("body", LAST)
@pytest.mark.parametrize("first", [True, False], ids=["alone", "behind another"])
def test_a_last_page_without_records_ends_the_pull_however_it_is_written(make_source, site, reply, body, first):
    site.answers["/v1/people"] = [*([] if first else [page(reply, PEOPLE[:3], "a")]), reply(body)]
    assert keys_of(adapter(make_source, site).pull(None)) == ([] if first else ["1", "2", "3"])


def test_no_content_ends_the_pull(make_source, site, reply):
    site.answers["/v1/people"] = [page(reply, PEOPLE[:3], "a"), reply(status=204)]
    assert keys_of(adapter(make_source, site).pull(None)) == ["1", "2", "3"]


@pytest.mark.parametrize("end", ["null", '""', "false", "0", "0.0", "-0", '"null"', '" "', '"\\n"'])
def test_a_next_cursor_that_says_there_is_none_ends_the_pull(make_source, site, reply, end):
    site.answers["/v1/people"] = reply(f'{{"result": {{"data": {json.dumps(PEOPLE[:3])}}}, "next": {end}}}')
    assert keys_of(adapter(make_source, site).pull(None)) == ["1", "2", "3"]
    assert len(site.asked) == 1


@pytest.mark.parametrize(
    ("cursor", "asked"), [("7", "7"), ("12345678901234567890", "12345678901234567890"), ("1.50", "1.50"), ('"0"', "0")]
)
def test_a_next_cursor_may_be_a_number_and_is_sent_back_as_it_came(make_source, site, reply, cursor, asked):
    first = reply(f'{{"result": {{"data": {json.dumps(PEOPLE[:3])}}}, "next": {cursor}}}')
    site.answers["/v1/people"] = [first, page(reply, PEOPLE[3:4])]
    assert keys_of(adapter(make_source, site).pull(None)) == ["1", "2", "3", "4"]
    assert site.asked[1].query["after"] == asked


@pytest.mark.parametrize("empty", ['{"result": {"data": []}, "next": "b"}', '{"result": {"data": null}, "next": "b"}'])
def test_an_empty_page_with_a_next_cursor_is_not_the_last(make_source, site, reply, empty):
    site.answers["/v1/people"] = [page(reply, PEOPLE[:3], "a"), reply(empty), page(reply, PEOPLE[3:4])]
    pages = list(adapter(make_source, site).pull(None))
    assert keys_of(pages) == ["1", "2", "3", "4"]
    assert [page.name for page in pages] == ["page=1", "page=3"]


@pytest.mark.slow
def test_empty_pages_without_end_are_refused(make_source, site, reply):
    site.answers["/v1/people"] = lambda asked: page(reply, [], f"{asked.query.get('after', '')}x"[-90:])
    with pytest.raises(ContractError, match=r"empty pages in a row|circles"):
        list(adapter(make_source, site, limits=Limits(field_length=1000)).pull(None))
    assert len(site.asked) <= EMPTY_PAGES + 1


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ('{"result": {"data": "Nguyễn"}}', "`result.data` is text, where a list of records was expected"),
        ('{"result": {"data": {"id": "1"}}}', "`result.data` is an object"),
        ('{"result": {"data": 7}}', "`result.data` is a number"),
        ('{"result": {"data": false}}', "`result.data` is true or false"),
        ('[{"id": "1"}]', "the answer is a list, where an object with `result.data` was expected"),
        ('"Nguyễn"', "the answer is text"),
        ('{"error": {"message": "Nguyễn"}}', "tells of an error"),
        ('{"errors": ["Nguyễn"], "result": null}', "tells of an error"),
        ('{"result": {"data": []}, "next": true}', "the next cursor is true or false"),
        ('{"result": {"data": []}, "next": {"after": "Nguyễn"}}', "the next cursor is an object"),
        ('{"result": {"data": []}, "next": ["Nguyễn"]}', "the next cursor is a list"),
        ("<html>Nguyễn</html>", "an HTML page"),
        ("", "nothing"),
    ],
)
def test_an_answer_of_another_form_is_told_by_what_came_and_what_was_expected(make_source, site, reply, body, told):
    site.answers["/v1/people"] = reply(body)
    with pytest.raises(ContractError, match=told) as error:
        list(adapter(make_source, site).pull(None))
    assert "Nguyễn" not in str(error.value) and "\n" not in str(error.value)


def test_the_answer_itself_may_be_the_list(make_source, site, reply):
    site.answers["/v1/people"] = reply(json.dumps(PEOPLE[:3]))
    pages = list(adapter(make_source, site, options=OPTIONS | {"records": "", "next_cursor": ""}).pull(None))
    assert keys_of(pages) == ["1", "2", "3"]
    assert pages[0].rows["_locator"].to_pylist()[1] == "page=1;/1"


def test_records_without_the_key_are_refused_and_a_single_one_is_not(make_source, site, reply):
    odd = [{"ID": person["id"], "moment": person["moment"]} for person in PEOPLE[:3]]
    site.answers["/v1/people"] = page(reply, odd)
    with pytest.raises(ContractError, match="no record has column id"):
        list(adapter(make_source, site).pull(None))
    for records in (odd[:1], [*odd[:2], PEOPLE[0]]):
        site.answers["/v1/people"] = page(reply, records)
        assert len(keys_of(adapter(make_source, site).pull(None))) == len(records)


@pytest.mark.parametrize(
    "label",
    [
        "application/json; charset=ISO-8859-1",
        "application/json; charset=windows-1252",
        "application/json;charset=us-ascii",
        "application/json; charset=utf8mb4",
        "application/json; charset=binary",
        'application/json; charset="utf-8"',
        "application/json; charset=utf-16",
        "application/json; charset=",
        "application/json; charset=../../x",
        "text/html; charset=windows-1258",
        "application/octet-stream",
    ],
)
def test_json_is_utf_8_whatever_the_label_says(make_source, site, reply, label):
    body = json.dumps({"result": {"data": [PEOPLE[0] | {"name": "Đỗ Thị Ữ"}]}}, ensure_ascii=False)
    count = '{"rows": 1, "total": 1, "as_of": "2026-10-01T00:00:00Z", "note": "Đỗ"}'
    site.answers["/v1/people"] = reply(body, headers={"Content-Type": label})
    site.answers["/v1/people/count"] = reply(count, headers={"Content-Type": label})
    (only,) = adapter(make_source, site).pull(None)
    assert (only.rows["name"].to_pylist(), only.charset, only.payload) == (["Đỗ Thị Ữ"], "utf-8", body.encode())
    assert adapter(make_source, site).count(None).rows == 1


@pytest.mark.parametrize(
    ("codec", "charset"), [("utf-8-sig", "utf-8"), ("utf-16", "utf-16"), ("utf-32-be", "utf-32-be")]
)
def test_json_of_another_unicode_form_is_read_and_its_charset_told(make_source, site, reply, codec, charset):
    body = json.dumps({"result": {"data": [PEOPLE[0] | {"name": "Đỗ"}]}}, ensure_ascii=False).encode(codec)
    site.answers["/v1/people"] = reply(body)
    (only,) = adapter(make_source, site).pull(None)
    assert (only.rows["name"].to_pylist(), only.charset) == (["Đỗ"], charset)
    assert only.payload.decode(only.charset).removeprefix("\ufeff").startswith('{"result"')


@pytest.mark.parametrize("number", ["120", "120.0", "1.2E2", "1.2e+2", "12000e-2", '"120"', '"120.0"', '" 120 "'])
def test_a_count_may_be_any_whole_number_of_json(make_source, site, reply, number):
    site.answers["/v1/people/count"] = reply(
        f'{{"rows": {number}, "total": {number}, "as_of": "2026-10-01T00:00:00Z"}}'
    )
    assert adapter(make_source, site).count(None).rows == 120
