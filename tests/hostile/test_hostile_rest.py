"""JSON and paging, as a source may spoil them."""

from __future__ import annotations

import itertools
import json
from dataclasses import replace
from typing import Any

import pytest

from motlan.adapter import Watermark
from motlan.errors import ContractError, TransientError
from tests.hostile.cases import LIMITS, NAME, NUMBER, PATIENT, RECORD, Outcome, hold, page, rest, token
from tests.hostile.server import Server, http


def nested(depth: int) -> str:
    return page().replace(f'"{NAME}"', "[" * depth + f'"{NAME}"' + "]" * depth)


BODIES: dict[str, tuple[str | bytes, Outcome]] = {
    "is HTML": (f"<html>{NAME}</html>", ContractError),
    "is XML": (f"<data>{NAME}</data>", ContractError),
    "is cut off": (page()[:-4], ContractError),
    "goes on behind its end": (page() + page(), ContractError),
    "is a list": (json.dumps([RECORD]), ContractError),
    "is a text": (json.dumps(NAME), ContractError),
    "is a number": (NUMBER, ContractError),
    "is null": ("null", (ContractError, 0)),
    "is white space": (" \r\n\t" * 100, ContractError),
    "is bytes": (bytes(range(256)) * 4, ContractError),
    "is NUL": (bytes(1000), ContractError),
    "has no records": ('{"next": null}', (ContractError, 0)),
    "has records that are null": ('{"data": null, "next": null}', (ContractError, 0)),
    "has records that are an object": (json.dumps({"data": RECORD, "next": None}), ContractError),
    "has a record that is a text": (page(NAME), ContractError),
    "has a record that is null": ('{"data": [null], "next": null}', ContractError),
    "has a record that is a list": (page([NAME]), ContractError),
    "has a cursor that is a number": (page(following=7), ContractError),
    "has a cursor that is an object": (page(following=RECORD), ContractError),
    "has a cursor that is true": (page(following=True), ContractError),
    "has a cursor without end": (page(following=NAME * 100), ContractError),
    "has half a letter as a cursor": (page(following="x").replace('"x"', '"\\ud800"'), ContractError),
    "gives its own cursor for ever": (page(following="x"), ContractError),
    "has an empty page that goes on": ('{"data": [], "next": "x"}', ContractError),
    "has more rows than were asked for": (page(*[RECORD] * 4), ContractError),
    "has a number that is none": (page().replace(f'"{NAME}"', "NaN"), ContractError),
    "has a number without end": (page().replace(f'"{NAME}"', "-Infinity"), ContractError),
    "has a number of five thousand digits": (page().replace(f'"{NAME}"', "9" * 5000), 1),
    "has an exponent of a billion": (page().replace(f'"{NAME}"', "1e999999999"), 1),
    "has a field that is too long": (page(RECORD | {"name": NAME * 50}), 1),
    "has a name of a field that is too long": (page(RECORD | {NAME * 500: ""}), 1),
    "has three hundred fields more": (page(RECORD | {f"f{n}": NAME for n in range(300)}), ContractError),
    "is nested a little deep": (nested(20), ContractError),
    "is nested deep": (nested(5_000), ContractError),
    "is nested without end": ("[" * 200_000, ContractError),
    "is nested in objects without end": ('{"a":' * 100_000, ContractError),
    "has values without end": ('{"data": [' + "1," * 2_100_000 + "1]}", ContractError),
    "has a field with NUL": (page(RECORD | {"name": "a\0b"}), 1),
    "has half a letter": (page().replace(NAME, "\\ud83d"), 1),
    "has bytes that are no text": (page().encode().replace(NAME.encode(), b"\xff\xfe\x80"), 1),
    "has a field of ours": (page(RECORD | {"_locator": NAME, "_payload": NAME, "_salt": NAME}), 1),
    "has a field without a name": (page(RECORD | {"": NAME}), 1),
    "has fields of another kind": (page({"id": True, "moment": [1, {"a": None}], "name": {"b": 2}}), 1),
    "begins with a mark": ("\ufeff" + page(), 1),
}


@pytest.mark.parametrize("case", BODIES)
def test_a_page_that(case: str, server: Server) -> None:
    body, outcome = BODIES[case]
    limits = replace(LIMITS, payload_bytes=2**23, page_bytes=2**23)
    adapter = rest(server, http(body, 200, "Content-Type: application/json"), limits=limits)
    hold(lambda: adapter.pull(None), outcome)


@pytest.mark.parametrize(
    "charset", ["nonsense", "zip", "hex", "utf-7", "utf-16", "idna", "undefined", NAME, "x" * 5000]
)
def test_a_charset_that_is_wrong(charset: str, server: Server) -> None:
    field = f"Content-Type: application/json; charset={charset}".encode().decode("latin-1")
    adapter = rest(server, http(b"\xff" + page().encode(), 200, field))
    hold(lambda: adapter.pull(None), ContractError)


COUNTS: dict[str, Any] = {
    "nothing": {},
    "a list": [1, 2],
    "a negative number": {"rows": -1},
    "a fraction": {"rows": 1.5},
    "an exponent": {"rows": 1e30},
    "true": {"rows": True},
    "null": {"rows": None},
    "an object": {"rows": {"x": NAME}},
    "a word": {"rows": NAME},
    "another alphabet's digits": {"rows": "١٢"},
    "digits without end": {"rows": "9" * 5000},
    "a moment that is none": {"as_of": NAME},
    "a moment in no zone": {"as_of": "2026-10-01T00:00:00"},
    "a moment that is a number": {"as_of": 17},
}


@pytest.mark.parametrize("case", COUNTS)
def test_a_count_that_is(case: str, server: Server) -> None:
    right = {"rows": 1, "total": 1, "as_of": "2026-10-01T00:00:00Z"}
    spoilt = COUNTS[case]
    body = json.dumps(right | spoilt if spoilt and isinstance(spoilt, dict) else spoilt)
    adapter = rest(server, http(body))
    hold(lambda: [adapter.count(Watermark("2026"))], ContractError)


TOKENS: dict[str, Any] = {
    "an object": {"access_token": {"x": NAME}, "token_type": "Bearer", "expires_in": 60},
    "a list": [NAME],
    "null": {"access_token": None, "token_type": "Bearer", "expires_in": 60},
    "empty": {"access_token": "", "token_type": "Bearer", "expires_in": 60},
    "two lines": {"access_token": f"a\r\nX-Name: {NUMBER}", "token_type": "Bearer", "expires_in": 60},
    "not ASCII": {"access_token": NAME, "token_type": "Bearer", "expires_in": 60},
    "of another kind": {"access_token": "a", "token_type": NAME, "expires_in": 60},
    "valid for words": {"access_token": "a", "token_type": "Bearer", "expires_in": NAME},
    "valid for less than nothing": {"access_token": "a", "token_type": "Bearer", "expires_in": -60},
    "a megabyte": {"access_token": "a" * 900_000, "token_type": "Bearer", "expires_in": 60},
}


@pytest.mark.parametrize("case", TOKENS)
def test_a_token_that_is(case: str, server: Server) -> None:
    adapter = token(server, http(json.dumps(TOKENS[case])))
    hold(lambda: adapter.pull(None), (ContractError, 1) if "valid" in case else ContractError)


def ever_new(rows: int) -> Any:
    numbers = itertools.count()

    def answer(_: bytes) -> list[bytes | float]:
        number = next(numbers)
        return [http(page(*[RECORD | {"id": f"{number}-{n}"} for n in range(rows)], following=f"c{number}"))]

    return answer


@pytest.mark.parametrize(("rows", "says"), [(1, "least_page_rows"), (3, "more than 400 rows")])
def test_cursors_are_not_followed_for_ever(rows: int, says: str, server: Server) -> None:
    adapter = rest(server, ever_new(rows), limits=replace(LIMITS, rows=400))
    hold(lambda: adapter.pull(None), ContractError, says)


def test_a_pull_has_a_deadline_however_well_it_goes(server: Server) -> None:
    adapter = rest(server, ever_new(3), replace(PATIENT, pull_timeout=0.3), limits=replace(LIMITS, rows=10**9))
    hold(lambda: adapter.pull(None), TransientError, "pull_timeout", within=3)
