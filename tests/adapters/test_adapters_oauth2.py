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
