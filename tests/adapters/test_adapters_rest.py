"""REST registers: the source's cursor is followed, and not for ever."""

from __future__ import annotations

import json

import pytest

from adapters.protocols import RestAdapter
from motlan.errors import ConfigurationError, ContractError
from motlan.landing.contract import Limits, Watermark

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


def test_a_field_without_end_is_refused(make_source, site, reply):
    site.answers["/v1/people"] = page(reply, [{"id": "x" * 101}])
    with pytest.raises(ContractError, match="column id"):
        list(adapter(make_source, site).pull(None))


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
