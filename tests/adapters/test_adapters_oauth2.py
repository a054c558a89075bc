"""Bearer tokens: fetched once, renewed at their end or when refused."""

from __future__ import annotations

import base64
import json

import pytest

from adapters.protocols.http import HttpLine
from adapters.protocols.oauth2 import ClientCredentials
from motlan.errors import AccessError, ConfigurationError, ContractError


def token(reply, value="t1", seconds=3600, **changes):
    return reply(json.dumps({"access_token": value, "token_type": "Bearer", "expires_in": seconds} | changes))


def line_of(source):
    return HttpLine(source, ClientCredentials(source, "oauth/token"))


def test_one_token_serves_many_requests(site, make_source, reply, secret):
    site.answers |= {"/oauth/token": token(reply), "/x": reply(b"fine")}
    line = line_of(make_source(site.url))
    for _ in range(2):
        assert line.get(line.url("x")).body == b"fine"
    assert site.paths() == ["/oauth/token", "/x", "/x"]
    asked = site.asked[0]
    assert asked.body == b"grant_type=client_credentials"
    assert base64.b64decode(asked.headers["Authorization"].split()[1]).decode() == f"reader:{secret}"
    assert site.asked[1].headers["Authorization"] == "Bearer t1"


def test_an_ended_token_is_renewed_before_it_is_used(site, make_source, reply):
    site.answers |= {"/oauth/token": [token(reply, "t1", 0), token(reply, "t2")], "/x": reply()}
    line = line_of(make_source(site.url))
    for _ in range(3):
        line.get(line.url("x"))
    used = [asked.headers["Authorization"] for asked in site.asked if asked.path == "/x"]
    assert used == ["Bearer t1", "Bearer t2", "Bearer t2"]


def test_a_refused_token_is_renewed_once(site, make_source, reply):
    site.answers["/oauth/token"] = [token(reply, "t1"), token(reply, "t2")]
    site.answers["/x"] = lambda asked: reply(status=200 if asked.headers["Authorization"] == "Bearer t2" else 401)
    line = line_of(make_source(site.url))
    line.get(line.url("x"))
    assert site.paths() == ["/oauth/token", "/x", "/oauth/token", "/x"]


def test_a_token_that_is_always_refused_ends_in_an_access_error(site, make_source, reply):
    site.answers |= {"/oauth/token": token(reply), "/x": reply(status=401)}
    line = line_of(make_source(site.url))
    with pytest.raises(AccessError):
        line.get(line.url("x"))
    assert site.paths().count("/x") == 2


@pytest.mark.parametrize("status", [400, 401])
def test_a_refused_credential_is_an_access_error_without_the_secret(site, make_source, reply, secret, status):
    site.answers["/oauth/token"] = reply(json.dumps({"error": "invalid_client"}), status=status)
    line = line_of(make_source(site.url))
    with pytest.raises(AccessError) as error:
        line.get(line.url("x"))
    assert secret not in str(error.value)


@pytest.mark.parametrize(
    "changes", [{"access_token": "a\nb"}, {"access_token": 1}, {"token_type": "mac"}, {"expires_in": "x"}]
)
def test_an_answer_that_is_no_bearer_token_breaks_the_contract(site, make_source, reply, changes):
    site.answers["/oauth/token"] = token(reply, **changes)
    line = line_of(make_source(site.url))
    with pytest.raises(ContractError):
        line.get(line.url("x"))


def test_a_token_endpoint_elsewhere_is_refused(make_source):
    with pytest.raises(ContractError):
        ClientCredentials(make_source("https://a.example.gov.vn"), "https://b.example.gov.vn/token")


def test_a_missing_credential_is_named(make_source):
    with pytest.raises(ConfigurationError, match="MOTLAN_CREDENTIAL_TEST"):
        ClientCredentials(make_source("https://a.example.gov.vn", credential=None), "token")


def used_tokens(site, make_source, reply, lifetime, times=3):
    """Tokens that were sent to a place where the first one is good for two requests."""
    numbers = iter(range(1, 9))

    def fetched(_):
        body = {"access_token": f"t{next(numbers)}", "token_type": "bearer"}
        return reply(json.dumps(body)[:-1] + lifetime + "}")

    def answered(asked):
        good = asked.headers["Authorization"] != "Bearer t1" or site.paths().count("/x") <= 2
        return reply(status=200 if good else 401)

    site.answers |= {"/oauth/token": fetched, "/x": answered}
    line = line_of(make_source(site.url))
    for _ in range(times):
        line.get(line.url("x"))
    return [asked.headers["Authorization"].removeprefix("Bearer ") for asked in site.asked if asked.path == "/x"]


@pytest.mark.parametrize(
    "lifetime",
    ["", ', "expires_in": null', ', "expires_in": ""', ', "expires_in": -1']
    + [f', "expires_in": {value}' for value in ("3599.0", '"3599"', '"3599.0"', "3599.5", "3.6e3", "9" * 19, "1e300")],
)
def test_a_token_is_used_until_it_is_refused_whatever_form_its_lifetime_has(site, make_source, reply, lifetime):
    assert used_tokens(site, make_source, reply, lifetime) == ["t1", "t1", "t1", "t2"]


def test_a_token_of_no_lifetime_is_used_once(site, make_source, reply):
    assert used_tokens(site, make_source, reply, ', "expires_in": 0', 2) == ["t1", "t2"]


@pytest.mark.parametrize("kind", ["bearer", "BEARER", "Bearer"])
def test_the_tokens_type_is_read_in_any_case(site, make_source, reply, kind):
    site.answers |= {"/oauth/token": token(reply, token_type=kind), "/x": reply(b"fine")}
    line = line_of(make_source(site.url))
    assert line.get(line.url("x")).body == b"fine"


@pytest.mark.parametrize("lifetime", ["soon", True, [], {}, "3599 s", "2026-10-01T00:00:00Z"])
def test_a_lifetime_that_is_no_number_is_told_without_the_token(site, make_source, reply, lifetime):
    site.answers["/oauth/token"] = token(reply, "s3cret-token", lifetime)
    line = line_of(make_source(site.url))
    with pytest.raises(ContractError, match="expires_in") as error:
        line.get(line.url("x"))
    assert "s3cret-token" not in str(error.value)
