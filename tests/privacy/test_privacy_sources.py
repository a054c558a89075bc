"""What a source sends may be about anybody, and may be wrong anywhere: no adapter repeats it."""

import gzip
import hashlib
import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psycopg
import pytest

from adapters.population import PopulationAdapter
from adapters.protocols import DropAdapter, RestAdapter, SqlAdapter
from motlan.adapter import Adapter
from motlan.errors import MotlanError
from motlan.ingest import drift
from motlan.store.session import Store
from tests.adapters.conftest import Reply, Site, make_source
from tests.privacy.leaks import Known, shown

SOAP = "http://schemas.xmlsoap.org/soap/envelope/"
REST = {
    "path": "people",
    "count_path": "count",
    "records": "data",
    "next_cursor": "next",
    "since_parameter": "since",
    "cursor_parameter": "cursor",
    "limit_parameter": "limit",
}


def fault(text: str) -> str:
    said = f"<faultcode>e:Client</faultcode><faultstring>no citizen {text}</faultstring><detail>{text}</detail>"
    return f'<e:Envelope xmlns:e="{SOAP}"><e:Body><e:Fault>{said}</e:Fault></e:Body></e:Envelope>'


def page(text: str) -> str:
    return json.dumps({"data": [{"id": "1", "moment": "2026", "name": text}], "next": text}, ensure_ascii=False)


@pytest.fixture
def site() -> Any:
    server = Site()
    yield server
    server.close()


def soap(site: Site, text: str, answer: Reply) -> Adapter:
    from tests.adapters.test_adapters_soap import wsdl

    site.answers = {"/soap": lambda asked: Reply(wsdl()) if asked.method == "GET" else answer}
    return PopulationAdapter(make_source(f"{site.url}/soap", options={"wsdl": "?wsdl"}))


def rest(site: Site, text: str, answer: Reply) -> Adapter:
    site.answers = {"/people": answer, "/count": answer}
    return RestAdapter(make_source(site.url, options=REST))


def drop(site: Site, text: str, answer: Reply) -> Adapter:
    body = answer.body.encode() if isinstance(answer.body, str) else answer.body
    packed = gzip.compress(body)
    manifest = {"name": "d1", "kind": "full", "created": "2026-10-01T00:00:00Z", "rows": 1}
    files = [{"name": "f.xml.gz", "rows": 1, "bytes": len(packed), "sha256": hashlib.sha256(packed).hexdigest()}]
    site.answers = {
        "/index.json": Reply(json.dumps({"drops": [{"name": "d1", "kind": "full", "manifest": "d1/manifest.json"}]})),
        "/d1/manifest.json": Reply(json.dumps(manifest | {"files": files})),
        "/d1/f.xml.gz": Reply(packed),
    }
    options = {"index": "index.json", "format": "xml", "record": "Nguoi"}
    columns = {"_drop": "_drop", "id": "id", "moment": "moment", "name": "name"}
    return DropAdapter(make_source(f"{site.url}/", cursor="_drop", columns=columns, options=options))


CASES: dict[str, tuple[Callable[[Site, str, Reply], Adapter], Callable[[str], Reply]]] = {
    "a SOAP fault that quotes": (soap, lambda text: Reply(fault(text), 500)),
    "a SOAP fault with success's status": (soap, lambda text: Reply(fault(text))),
    "a SOAP answer cut off": (soap, lambda text: Reply(fault(text)[:-30])),
    "a SOAP answer with a DTD": (soap, lambda text: Reply(f"<!DOCTYPE e [<!ENTITY e '{text}'>]>{fault(text)}")),
    "a page that counts a name": (soap, lambda text: Reply(fault(text).replace("e:Fault", "SoCongDan"))),
    "an error's body": (rest, lambda text: Reply(text, 400)),
    "an error's header": (rest, lambda text: Reply("", 302, {"Location": f"/people?name={quote(text)}"})),
    "a server error's body": (rest, lambda text: Reply(text, 500)),
    "JSON that ends early": (rest, lambda text: Reply(page(text)[:-2])),
    "JSON of nobody's form": (rest, lambda text: Reply(json.dumps([text]))),
    "a record that is a name": (rest, lambda text: Reply(json.dumps({"data": [text], "next": None}))),
    "bytes that are no text": (rest, lambda text: Reply(b'{"data": "' + text.encode() + b"\xff")),
    "a cursor that goes in circles": (rest, lambda text: Reply(page(text))),
    "XML with an unknown entity": (
        drop,
        lambda text: Reply(f"<a><Nguoi><name>&{text.replace(' ', '_')};</name></Nguoi></a>"),
    ),
    "XML with crossing tags": (drop, lambda text: Reply(f"<a><Nguoi><name>{text}</Nguoi></name></a>")),
    "XML with a wrong count": (drop, lambda text: Reply(f"<a>{f'<Nguoi><name>{text}</name></Nguoi>' * 2}</a>")),
}


@pytest.mark.parametrize("case", CASES)
def test_what_a_source_sends_wrongly_is_not_repeated(
    case: str,
    site: Site,
    somebody: str,
    known: Known,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    caplog.set_level(logging.DEBUG)
    make, answer = CASES[case]
    assert known.leaked(str(answer(somebody)))
    with pytest.raises(MotlanError) as caught:
        list(make(site, somebody, answer(somebody)).pull(None))
    assert site.asked
    assert not known.leaked(shown(caught.value), caplog.text, *capfd.readouterr())


@pytest.mark.slow
def test_what_a_database_says_of_a_value_is_not_repeated(store: Store, somebody: str, known: Known) -> None:
    with psycopg.connect(store.url, autocommit=True) as connection:
        wrong = f"case when n = 0 then '{somebody}!'::text::integer end::text"
        connection.execute(
            f"create or replace view wrong as select 'a' id, 'm' as moment, {wrong} as name from generate_series(0, 1) n"
        )
        with pytest.raises(psycopg.DataError) as own:
            connection.execute("select * from wrong")
        assert known.leaked(shown(own.value))
    role, _, place = store.url.removeprefix("postgresql://").partition("@")
    file = Path(place.partition("passfile=")[2].partition("&")[0])
    password = file.read_text(encoding="ascii").strip().rpartition(":")[2]
    database, _, rest = place.partition("?")
    endpoint = f"postgresql://{database}?host={rest.partition('host=')[2]}"
    source = make_source(endpoint, credential=(role, password), options={"view": "wrong"})
    with pytest.raises(MotlanError) as caught:
        list(SqlAdapter(source).pull(None))
    assert "22P02" in str(caught.value)
    assert not known.leaked(shown(caught.value))


def test_a_columns_name_that_may_be_a_value_is_not_told(somebody: str, known: Known) -> None:
    found = drift.Drift({somebody.replace(" ", "_"), "001090000001", "so_dien_thoai"})
    assert found.counts()["added"].count("(a name too odd to tell)") == 2
    assert "so_dien_thoai" in drift.described(found.counts())
    assert not known.leaked(str(found.counts()), drift.described(found.counts()))
