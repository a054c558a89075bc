"""The HTTP line: paced, retried, bounded, on one origin, and silent about secrets."""

from __future__ import annotations

import gzip
import logging
import time

import pytest

from adapters.protocols.auth import Basic
from adapters.protocols.http import HttpLine
from motlan.adapter import Limits, Pace
from motlan.errors import AccessError, ConfigurationError, ContractError, MotlanError, TransientError


def get(site, source, path="x", **arguments):
    line = HttpLine(source, Basic(*source.credential))
    return line.get(line.url(path), **arguments)


def test_plain_http_off_loopback_is_refused_before_any_connection(make_source, monkeypatch):
    monkeypatch.setattr("socket.getaddrinfo", lambda *_, **__: pytest.fail("a name was looked up"))
    with pytest.raises(ConfigurationError):
        HttpLine(make_source("http://register.example.gov.vn/"))


def test_a_server_error_is_tried_again(site, make_source, reply):
    site.answers["/x"] = [reply(status=500), reply(status=503), reply(b"fine")]
    assert get(site, make_source(site.url)).body == b"fine"
    assert len(site.asked) == 3


def test_the_last_failed_attempt_is_told_as_transient(site, make_source, reply):
    site.answers["/x"] = reply(status=502)
    with pytest.raises(TransientError, match="502"):
        get(site, make_source(site.url))
    assert len(site.asked) == 3


def test_a_busy_source_gets_the_pause_that_it_asks_for(site, make_source, reply):
    site.answers["/x"] = [reply(status=429, headers={"Retry-After": "1"}), reply(b"fine")]
    started = time.monotonic()
    get(site, make_source(site.url))
    assert time.monotonic() - started >= 1


def test_a_pause_longer_than_we_wait_is_handed_to_the_scheduler(site, make_source, reply):
    site.answers["/x"] = reply(status=503, headers={"Retry-After": "3600"})
    with pytest.raises(TransientError) as error:
        get(site, make_source(site.url))
    assert error.value.retry_after == 3600
    assert len(site.asked) == 1


@pytest.mark.parametrize(
    ("status", "kind"), [(400, ContractError), (404, ContractError), (401, AccessError), (403, AccessError)]
)
def test_what_would_fail_again_is_not_tried_again(site, make_source, reply, status, kind):
    site.answers["/x"] = reply(status=status)
    with pytest.raises(kind):
        get(site, make_source(site.url))
    assert len(site.asked) == 1


def test_a_redirect_off_the_origin_is_not_followed(site, make_source, reply):
    site.answers["/x"] = reply(status=302, headers={"Location": "http://register.example.gov.vn/y"})
    with pytest.raises(ContractError, match="redirects"):
        get(site, make_source(site.url))
    assert site.paths() == ["/x"]


@pytest.mark.parametrize("path", ["http://127.0.0.1:1/x", "//example.gov.vn/x", "file:///etc/passwd"])
def test_a_path_that_is_another_address_is_refused(site, make_source, path):
    with pytest.raises(ContractError):
        HttpLine(make_source(site.url)).url(path)


def test_paths_lie_under_the_endpoint_and_queries_on_it(make_source):
    line = HttpLine(make_source("https://gateway.example.gov.vn/dancu"))
    assert str(line.url("v1/x")) == "https://gateway.example.gov.vn/dancu/v1/x"
    assert str(line.url("?wsdl")) == "https://gateway.example.gov.vn/dancu?wsdl"


def test_an_answer_larger_than_allowed_is_cut_off(site, make_source, reply):
    site.answers["/x"] = reply(b"x" * 2_000)
    with pytest.raises(ContractError, match="more than 1000 bytes"):
        get(site, make_source(site.url, limits=Limits(payload_bytes=1000)))


def test_a_gzip_bomb_in_an_answer_is_cut_off(site, make_source, reply):
    site.answers["/x"] = reply(gzip.compress(bytes(3_000_000)), headers={"Content-Encoding": "gzip"})
    with pytest.raises(ContractError, match="unpacked"):
        get(site, make_source(site.url))


def test_a_packed_answer_is_unpacked(site, make_source, reply):
    site.answers["/x"] = reply(
        gzip.compress(b"fine"), headers={"Content-Encoding": "gzip", "Content-Type": "Text/XML; charset=UTF-8"}
    )
    answer = get(site, make_source(site.url))
    assert (answer.body, answer.media_type, answer.charset.lower()) == (b"fine", "text/xml", "utf-8")


def test_a_coding_that_nobody_asked_for_is_refused(site, make_source, reply):
    site.answers["/x"] = reply(b"?", headers={"Content-Encoding": "br"})
    with pytest.raises(ContractError):
        get(site, make_source(site.url))


def test_a_cut_answer_is_tried_again(site, make_source, reply):
    site.answers["/x"] = [reply(b"half", headers={"Content-Length": "9", "Connection": "close"}), reply(b"whole")]
    source = make_source(site.url, pace=Pace(1000, 1, 0.2, 3, 0.01, 1))
    assert get(site, source).body == b"whole"


def test_a_silent_server_is_a_time_out(site, make_source, reply):
    site.answers["/x"] = lambda _: time.sleep(0.3) or reply()
    with pytest.raises(TransientError, match="time-out"):
        get(site, make_source(site.url, pace=Pace(1000, 1, 0.1, 1)))


def test_nobody_at_home_is_transient(site, make_source):
    site.close()
    with pytest.raises(TransientError, match="line failed"):
        get(site, make_source(site.url))


def test_requests_are_spaced(site, make_source, reply):
    site.answers["/x"] = reply()
    line = HttpLine(make_source(site.url, pace=Pace(requests_per_second=20)))
    started = time.monotonic()
    for _ in range(5):
        line.get(line.url("x"))
    assert time.monotonic() - started >= 0.19


@pytest.mark.parametrize("status", [401, 403, 404, 302, 500])
def test_neither_errors_nor_logs_repeat_secret_query_or_answer(site, make_source, reply, secret, caplog, status):
    caplog.set_level(logging.DEBUG)
    site.answers["/x"] = reply("Nguyễn Thị Mật", status=status)
    with pytest.raises(MotlanError) as error:
        get(site, make_source(site.url), params={"q": "personal-value"})
    assert error.value.__cause__ is None
    told = f"{error.value!r} {error.value} {caplog.text}"
    assert not [word for word in (secret, "Nguyễn", "personal-value") if word in told]


def test_the_environments_proxies_are_not_used(site, make_source, reply, monkeypatch):
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    site.answers["/x"] = reply(b"fine")
    assert get(site, make_source(site.url)).body == b"fine"


@pytest.mark.parametrize("coding", ["gzip", "GZIP", "x-gzip", "X-Gzip", "identity, gzip", " gzip ", ",gzip"])
def test_gzip_is_known_by_all_its_names(site, make_source, reply, coding):
    site.answers["/x"] = reply(gzip.compress(b"fine") + bytes(512), headers={"Content-Encoding": coding})
    answer = get(site, make_source(site.url))
    assert (answer.body, answer.codings) == (b"fine", ())


@pytest.mark.parametrize("coding", ["identity", "", "Identity, identity"])
def test_no_coding_is_one(site, make_source, reply, coding):
    site.answers["/x"] = reply(b"fine", headers={"Content-Encoding": coding})
    assert get(site, make_source(site.url)).body == b"fine"


def test_codings_are_taken_off_in_their_order_and_not_without_end(site, make_source, reply):
    twice = gzip.compress(gzip.compress(b"fine"))
    site.answers["/x"] = reply(twice, headers={"Content-Encoding": "gzip, x-gzip"})
    assert get(site, make_source(site.url)).body == b"fine"
    site.answers["/x"] = reply(twice, headers={"Content-Encoding": ", ".join(["gzip"] * 40)})
    with pytest.raises(ContractError, match="more than 3 content codings"):
        get(site, make_source(site.url))


def test_an_empty_answer_needs_no_unpacking(site, make_source, reply):
    site.answers["/x"] = reply(b"", headers={"Content-Encoding": "gzip"})
    assert get(site, make_source(site.url)).body == b""


@pytest.mark.parametrize(
    ("coding", "body", "told"),
    [
        ("br", b"?", "the content coding br came, where gzip or none was asked for"),
        ("deflate", b"?", "the content coding deflate"),
        ("gzip, zstd", b"?", "the content coding zstd"),
        ("Nguyen-Van-A", b"?", "an unknown content coding"),
        ("gzip", b'{"ten": "Nguy"}', "is not gzip data: it starts as JSON"),
        ("gzip", gzip.compress(b"x", mtime=0) + b"tail", "neither zeros nor gzip data"),
        ("gzip", gzip.compress(b"x", mtime=0)[:-3], "ends too early"),
    ],
)
def test_a_coding_that_cannot_be_taken_off_is_told(site, make_source, reply, coding, body, told):
    site.answers["/x"] = reply(body, headers={"Content-Encoding": coding})
    with pytest.raises(ContractError, match=told) as error:
        get(site, make_source(site.url))
    assert "Nguy" not in str(error.value)


@pytest.mark.parametrize(("status", "kind"), [(503, TransientError), (401, AccessError), (404, ContractError)])
@pytest.mark.parametrize(("coding", "body"), [("br", b"?"), ("gzip", b"?"), ("gzip", b"")])
def test_the_status_of_a_failure_counts_more_than_how_it_is_packed(
    site, make_source, reply, status, kind, coding, body
):
    site.answers["/x"] = reply(body, status=status, headers={"Content-Encoding": coding})
    with pytest.raises(kind, match=f"HTTP status {status}"):
        get(site, make_source(site.url, pace=Pace(1000, 1, 1, 1)))


def test_what_is_asked_for_as_it_is_stored_is_left_so(site, make_source, reply):
    packed = gzip.compress(b"fine")
    site.answers["/x"] = reply(packed, headers={"Content-Encoding": "X-GZIP"})
    answer = get(site, make_source(site.url), coding="identity")
    assert (answer.body, answer.codings) == (packed, ("x-gzip",))
