"""SOAP answers and WSDLs, as a source may spoil them."""

from __future__ import annotations

import pytest

from adapters.population import PopulationAdapter
from motlan.errors import AccessError, ContractError, TransientError
from tests.adapters.conftest import make_source
from tests.adapters.test_adapters_soap import NS, SCHEMA, SOAP, citizens, envelope, wsdl
from tests.hostile.cases import LIMITS, NAME, NUMBER, PATIENT, SOAP_COLUMNS, Outcome, hold, soap
from tests.hostile.server import Server, http

XI = "http://www.w3.org/2001/XInclude"
GOOD = citizens(NUMBER).replace("An</", f"{NAME}</")


def entities(declared: str, used: str, head: str = "") -> str:
    return f"{head}<!DOCTYPE e [{declared}]>" + GOOD.replace(NAME, used)


def laughs() -> str:
    declared = f'<!ENTITY l0 "{NAME}">' + "".join(f'<!ENTITY l{n} "{f"&l{n - 1};" * 10}">' for n in range(1, 10))
    return entities(declared, "&l9;")


def fault(code: str, extra: str = "") -> str:
    return envelope(f"<e:Fault><faultcode>{code}</faultcode><faultstring>{NAME}</faultstring>{extra}</e:Fault>")


def inside(text: str) -> str:
    return GOOD.replace("<HoVaTen>", f"{text}<HoVaTen>")


BODIES: dict[str, tuple[str | bytes, Outcome]] = {
    "is JSON": (f'{{"name": "{NAME}"}}', ContractError),
    "is HTML": (f"<html><br>{NAME}</html>", ContractError),
    "is text": (NAME, ContractError),
    "is cut off": (GOOD[:-30], ContractError),
    "goes on behind its end": (GOOD + GOOD, ContractError),
    "has crossing tags": (GOOD.replace("</Ten></HoVaTen>", "</HoVaTen></Ten>"), ContractError),
    "has an unknown entity": (GOOD.replace(NAME, "&unknown;"), ContractError),
    "has a document type": (f"<!DOCTYPE e>{GOOD}", ContractError),
    "has an entity": (entities(f'<!ENTITY n "{NAME}">', "&n;"), ContractError),
    "laughs a billion times": (laughs(), ContractError),
    "grows by one long entity": (entities(f'<!ENTITY a "{NAME * 4000}">', "&a;" * 1000), ContractError),
    "reads a file": (entities('<!ENTITY f SYSTEM "file:///etc/passwd">', "&f;"), ContractError),
    "reads an address": (entities('<!ENTITY f SYSTEM "http://127.0.0.1:9/x">', "&f;"), ContractError),
    "has an external document type": (f'<!DOCTYPE e SYSTEM "file:///etc/passwd">{GOOD}', ContractError),
    "has a parameter entity": (entities('<!ENTITY % p SYSTEM "file:///etc/passwd"> %p;', NAME), ContractError),
    "has a default attribute by DTD": (entities(f'<!ATTLIST CongDan a CDATA "{NAME}">', NAME), ContractError),
    "includes a file": (inside(f'<xi:include xmlns:xi="{XI}" href="/etc/passwd" parse="text"/>'), 1),
    "has a style sheet": (f'<?xml-stylesheet href="file:///etc/passwd"?>{GOOD}', 1),
    "has comments": (inside(f"<!-- {NAME} -->"), 1),
    "has CDATA": (GOOD.replace(NAME, f"<![CDATA[{NAME} & <]]>"), 1),
    "has a processing instruction": (inside(f"<?x {NAME}?>"), 1),
    "says another charset than it has": (b'<?xml version="1.0" encoding="utf-16"?>' + GOOD.encode(), ContractError),
    "has a charset that nobody knows": (f'<?xml version="1.0" encoding="{NUMBER}"?>{GOOD}'.encode(), ContractError),
    "has bytes that are no text": (GOOD.encode().replace(NAME.encode(), b"\xff\xfe"), ContractError),
    "has NUL": (GOOD.replace(NAME, "a\0b"), ContractError),
    "has NUL as a reference": (GOOD.replace(NAME, "a&#0;b"), ContractError),
    "has half a letter as a reference": (GOOD.replace(NAME, "&#xD800;"), ContractError),
    "has an unknown prefix": (inside(f"<x:a>{NAME}</x:a>"), ContractError),
    "has an attribute twice": (GOOD.replace("<CongDan>", '<CongDan a="1" a="2">'), ContractError),
    "is nested deep": (inside("<a>" * 20 + NAME + "</a>" * 20), ContractError),
    "is nested without end": (inside("<a>" * 5_000 + "</a>" * 5_000), ContractError),
    "never ends its tags": ("<a>" * 300_000, ContractError),
    "has a field that is too long": (GOOD.replace(NAME, NAME * 50), 1),
    "has three hundred fields more": (inside("".join(f"<f{n}>{NAME}</f{n}>" for n in range(300))), ContractError),
    "counts another number": (citizens(NUMBER, said=2), ContractError),
    "counts less than nothing": (citizens(NUMBER, said=-1), ContractError),
    "counts in words": (citizens(NUMBER, said=NAME), ContractError),
    "counts nothing": (envelope(f'<LayThayDoiResponse xmlns="{NS}"/>'), (ContractError, 0)),
    "is an empty envelope": (f'<e:Envelope xmlns:e="{SOAP}"/>', ContractError),
    "gives its own cursor for ever": (citizens(NUMBER, following=NUMBER), ContractError),
    "has more rows than were asked for": (citizens(*[NUMBER] * 4), ContractError),
    "has a fault of the client": (fault("e:Client"), ContractError),
    "has a fault of security": (fault("wsse:InvalidSecurity"), AccessError),
    "has a fault of the server": (fault("e:Server"), TransientError),
    "has a fault with a long detail": (fault("e:Server", f"<detail>{NAME * 9000}</detail>"), TransientError),
    "has a fault whose code is a name": (fault(NAME), TransientError),
}


@pytest.mark.parametrize("case", BODIES)
def test_a_soap_page_that(case: str, server: Server) -> None:
    body, outcome = BODIES[case]
    adapter = soap(server, http(body, 200, "Content-Type: text/xml"))
    hold(lambda: adapter.pull(None), outcome)


IMPORT = (
    '<xs:schema xmlns:xs="http://www.w3.org/2001/XMLSchema"><xs:{} namespace="{}" schemaLocation="{}"/></xs:schema>'
)
ITSELF = IMPORT.format("import", "urn:other", "?wsdl")

WSDLS: dict[str, str] = {
    "is a page of a portal": f"<html><body>{NAME}</body></html>",
    "is cut off": wsdl()[:-50],
    "is empty": "",
    "has a document type": wsdl(head="<!DOCTYPE w [<!ENTITY x 'y'>]>"),
    "imports a file": wsdl(IMPORT.format("import", NS, "file:///etc/passwd")),
    "imports another host's": wsdl(IMPORT.format("import", NS, "http://register.example.gov.vn/x.xsd")),
    "includes a file": wsdl(IMPORT.format("include", NS, "file:///etc/passwd")),
    "lacks the operation": wsdl(SCHEMA.replace("LayThayDoi", "Khac")),
    "has an unknown type": wsdl(SCHEMA.replace("xs:int", "xs:nonsense")),
    "has no services": wsdl().replace("w:service", "w:nothing"),
}


@pytest.mark.parametrize("case", WSDLS)
def test_a_wsdl_that(case: str, server: Server) -> None:
    server.answers["/soap"] = http(WSDLS[case])
    hold(lambda: _population(server).pull(None), ContractError)


def test_a_wsdl_that_imports_itself_is_read_once(server: Server) -> None:
    server.answers["/soap"] = lambda asked: [http(wsdl(ITSELF) if asked[:3] == b"GET" else GOOD)]
    hold(lambda: _population(server).pull(None), ContractError)
    assert len(server.asked) < 10


def test_a_wsdl_that_always_imports_another_one_is_left(server: Server) -> None:
    def answer(_: bytes) -> list[bytes | float]:
        number = len(server.asked)
        if number == 1:
            return [http(wsdl(IMPORT.format("import", "urn:1", "?x=1")))]
        head = f'targetNamespace="urn:{number - 1}" '
        imported = IMPORT.format("import", f"urn:{number}", f"?x={number}")
        return [http(imported.replace("<xs:schema ", f"<xs:schema {head}"))]

    server.answers["/soap"] = answer
    hold(lambda: _population(server).pull(None), ContractError)
    assert 1 < len(server.asked) < 60


def _population(server: Server) -> PopulationAdapter:
    source = make_source(
        f"{server.url}/soap", options={"wsdl": "?wsdl"}, columns=SOAP_COLUMNS, key="MaHoSo", pace=PATIENT, limits=LIMITS
    )
    return PopulationAdapter(source)
