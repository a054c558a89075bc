"""What may not pass is refused before it is used."""

from __future__ import annotations

import gzip

import httpx
import pytest

from adapters.protocols import guard
from motlan.errors import ConfigurationError, ContractError


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "127.9.8.7", "::1", "[::1]"])
def test_this_machine_is_loopback(host):
    assert guard.is_loopback(host)


@pytest.mark.parametrize(
    "host", ["127.0.0.1.example.gov.vn", "10.0.0.1", "0.0.0.0", "localhost.example.gov.vn", "", "127.1"]
)
def test_another_machine_is_not_loopback(host):
    assert not guard.is_loopback(host)


@pytest.mark.parametrize(
    "endpoint",
    [
        "http://register.example.gov.vn/x",
        "http://10.1.2.3/x",
        "https://user:pw@register.example.gov.vn/",
        "ftp://127.0.0.1/",
        "file:///etc/passwd",
        "127.0.0.1:80",
        "https://",
        "http://127.0.0.1:not-a-port/",
    ],
)
def test_an_unsafe_endpoint_is_refused_without_quoting_it(endpoint):
    with pytest.raises(ConfigurationError) as refused:
        guard.safe_endpoint(endpoint, "d")
    assert "pw" not in str(refused.value)


@pytest.mark.parametrize("endpoint", ["https://register.example.gov.vn/x", "http://localhost:1/x", "http://[::1]:1/x"])
def test_tls_anywhere_and_plain_http_on_loopback_are_fine(endpoint):
    assert str(guard.safe_endpoint(endpoint, "d")) == endpoint


@pytest.mark.parametrize(
    "url",
    ["http://127.0.0.1:2/x", "https://127.0.0.1:1/x", "http://localhost:1/x", "file:///x", "http://a:b@127.0.0.1:1/x"],
)
def test_a_url_of_another_origin_is_refused(url):
    with pytest.raises(ContractError):
        guard.same_origin(httpx.URL(url), httpx.URL("http://127.0.0.1:1/y"), "d")


@pytest.mark.parametrize(
    "name",
    ["..", "../x", "a/b", "/x", "a..b", ".hidden", "", "a\\b", "http://x", "a%2e%2e", "a\n", "x" * 129, None, 7, "ạ"],
)
def test_a_name_that_is_a_path_is_refused(name):
    with pytest.raises(ContractError):
        guard.plain_name(name, "d")


@pytest.mark.parametrize("name", ["2026-10-01-full", "NguoiNopThue-0001.xml.gz", "manifest.json"])
def test_a_plain_name_passes(name):
    assert guard.plain_name(name, "d") == name


def test_gzip_in_pieces_and_members_unpacks_to_the_same_bytes():
    packed = gzip.compress(b"one" * 50_000) + gzip.compress(b"two")
    pieces = [packed[start : start + 7] for start in range(0, len(packed), 7)]
    assert b"".join(guard.gunzip(pieces, 10**6, "d")) == b"one" * 50_000 + b"two"


def test_a_gzip_bomb_stops_at_the_limit_without_being_unpacked_first():
    bomb = gzip.compress(bytes(50_000_000))
    seen = 0
    with pytest.raises(ContractError, match="more than 1000000 bytes"):
        for piece in guard.gunzip([bomb], 10**6, "d"):
            seen += len(piece)
    assert seen <= 10**6


@pytest.mark.parametrize(
    "packed",
    [b"", b"no gzip", gzip.compress(b"x" * 999)[:-9], gzip.compress(b"x") + b"tail"],
    ids=["empty", "no gzip", "cut short", "with a tail"],  # gzip writes the time: the bytes cannot name the test
)
def test_damaged_or_short_gzip_is_refused(packed):
    with pytest.raises(ContractError):
        list(guard.gunzip([packed], 10**6, "d"))


@pytest.mark.parametrize("value", ["-1", "1.5", "", "٣", None, True, "9" * 19, [1]])
def test_what_is_no_count_is_refused(value):
    with pytest.raises(ContractError):
        guard.whole_number(value, "d")


@pytest.mark.parametrize("value", ["2026-10-01", "2026-10-01T00:00:00+07:00", None, "2026-10-01T00:00:00Z; Nguyễn"])
def test_what_is_no_moment_in_utc_is_refused(value):
    with pytest.raises(ContractError):
        guard.moment(value, "d")


PACKED = gzip.compress(b"one" * 50_000, mtime=0)


@pytest.mark.parametrize("zeros", [1, 2, 511, 512, 70_000])
@pytest.mark.parametrize("size", [1, 7, 65_536, 10**6])
def test_zeros_behind_gzip_data_are_padding_however_many_and_however_cut(zeros, size):
    if size == 1 and zeros > 600:
        return
    packed = PACKED + bytes(zeros)
    pieces = [packed[start : start + size] for start in range(0, len(packed), size)]
    assert b"".join(guard.gunzip(pieces, 10**6, "d")) == b"one" * 50_000


@pytest.mark.parametrize("between", [b"", b"\0", bytes(1000)])
def test_members_may_have_zeros_between_them(between):
    packed = PACKED + between + gzip.compress(b"") + between + gzip.compress(b"two") + between
    assert b"".join(guard.gunzip([packed], 10**6, "d")) == b"one" * 50_000 + b"two"


@pytest.mark.parametrize("tail", [b"x", b"\0\0x", b"\0" * 600 + PACKED[:9], b"PK\x03\x04", b"\x1f", b"\n"])
def test_what_stands_behind_gzip_data_and_is_no_zeros_is_refused(tail):
    for pieces in ([PACKED + tail], [PACKED, tail]):
        with pytest.raises(ContractError):
            list(guard.gunzip(pieces, 10**6, "d"))


def test_zeros_do_not_get_around_the_limit():
    with pytest.raises(ContractError, match="more than 1000 bytes"):
        list(guard.gunzip([PACKED + bytes(999) + PACKED], 1000, "d"))


def test_zeros_alone_are_no_gzip_data():
    with pytest.raises(ContractError):
        list(guard.gunzip([bytes(600)], 10**6, "d"))


@pytest.mark.parametrize(
    ("value", "number"),
    [
        *[
            ("12", 12),
            (12, 12),
            ("1.0", 1),
            (1.0, 1),
            ("1.2E2", 120),
            ("1000e-3", 1),
            ("-0", 0),
            ("0.0", 0),
            ("007", 7),
        ],
        *[(" 12\n", 12), ("+5", 5), ("9" * 18, 10**18 - 1), ("0." + "0" * 40, 0)],
    ],
)
def test_a_count_is_any_number_that_is_whole(value, number):
    assert guard.whole_number(value, "d") == number


@pytest.mark.parametrize("value", ["1e18", "1e999", "-1.0", "1e-1", "1_0", "1,0", "0x1", "1 0", "NaN", "Infinity"])
@pytest.mark.parametrize("made", [str, lambda text: text + " "])
def test_what_is_no_whole_number_is_told_without_it(value, made):
    with pytest.raises(ContractError, match="not a whole number") as error:
        guard.whole_number(made(value), "d")
    assert value not in str(error.value)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 1e300, 0.5, b"1", {}, False])
def test_no_other_kind_of_value_is_a_count(value):
    with pytest.raises(ContractError):
        guard.whole_number(value, "d")
