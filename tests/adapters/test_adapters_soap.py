"""SOAP: the WSDL is not trusted, faults are sorted, and answers go straight to columns."""

from __future__ import annotations

import pytest
from lxml import etree

from adapters.population import PopulationAdapter
from adapters.protocols import SoapClient
from motlan.errors import AccessError, ContractError, TransientError
from motlan.landing.contract import Watermark

NS = "urn:test:dancu"
SOAP = "http://schemas.xmlsoap.org/soap/envelope/"
COLUMNS = {"MaHoSo": "MaHoSo", "ThoiDiemCapNhat": "ThoiDiemCapNhat", "HoVaTen_Ten": "HoVaTen/Ten"}

SCHEMA = f"""<xs:schema xmlns:xs="http://www.w3.org/2001/XMLSchema" targetNamespace="{NS}" elementFormDefault="qualified">
  <xs:element name="LayThayDoi"><xs:complexType><xs:sequence>
    <xs:element name="TuThoiDiem" type="xs:dateTime" minOccurs="0"/>
    <xs:element name="ConTro" type="xs:string" minOccurs="0"/>
    <xs:element name="SoDong" type="xs:int"/>
  </xs:sequence></xs:complexType></xs:element>
  <xs:element name="DemSo"><xs:complexType><xs:sequence>
    <xs:element name="TuThoiDiem" type="xs:dateTime" minOccurs="0"/>
  </xs:sequence></xs:complexType></xs:element>
</xs:schema>"""


def wsdl(schema=SCHEMA, head="", address="http://register.example.gov.vn/elsewhere"):
    parts = {
        "message": '<w:message name="{0}"><w:part name="p" element="t:{0}"/></w:message>',
        "port": '<w:operation name="{0}"><w:input message="t:{0}"/></w:operation>',
        "binding": '<w:operation name="{0}"><s:operation soapAction="act-{0}"/>'
        '<w:input><s:body use="literal"/></w:input></w:operation>',
    }
    made = {kind: "".join(text.format(name) for name in ("LayThayDoi", "DemSo")) for kind, text in parts.items()}
    return f"""{head}<w:definitions targetNamespace="{NS}" xmlns:t="{NS}" xmlns:w="http://schemas.xmlsoap.org/wsdl/"
        xmlns:s="http://schemas.xmlsoap.org/wsdl/soap/"><w:types>{schema}</w:types>{made["message"]}
        <w:portType name="P">{made["port"]}</w:portType>
        <w:binding name="B" type="t:P"><s:binding transport="http://schemas.xmlsoap.org/soap/http"/>{made["binding"]}</w:binding>
        <w:service name="S"><w:port name="Q" binding="t:B"><s:address location="{address}"/></w:port></w:service>
        </w:definitions>"""


def envelope(inside):
    return f'<e:Envelope xmlns:e="{SOAP}"><e:Body>{inside}</e:Body></e:Envelope>'


def fault(code):
    return envelope(f"<e:Fault><faultcode>{code}</faultcode><faultstring>Nguyễn Văn A</faultstring></e:Fault>")


def citizens(*keys, following="", said=None):
    records = "".join(f"<CongDan><MaHoSo>{key}</MaHoSo><HoVaTen><Ten>An</Ten></HoVaTen></CongDan>" for key in keys)
    more = f"<ConTroTiep>{following}</ConTroTiep>" if following else ""
    count = len(keys) if said is None else said
    inside = f"<CongdanCollection><SoCongDan>{count}</SoCongDan>{records}</CongdanCollection>{more}"
    return envelope(f'<LayThayDoiResponse xmlns="{NS}">{inside}</LayThayDoiResponse>')


@pytest.fixture
def service(site, reply):
    """A site whose GET is the WSDL and whose POSTs are answered from `site.posts`."""

    def answer(asked):
        if asked.method == "GET":
            return reply(site.wsdl)
        return site.posts.pop(0) if len(site.posts) > 1 else site.posts[0]

    site.wsdl, site.posts = wsdl(), []
    site.answers["/dancu"] = answer
    return site


def client(make_source, service):
    return SoapClient(make_source(f"{service.url}/dancu"), "?wsdl")


def adapter(make_source, service):
    source = make_source(f"{service.url}/dancu", columns=COLUMNS, key="MaHoSo", options={"wsdl": "?wsdl"})
    return PopulationAdapter(source)


def test_the_question_is_made_from_the_wsdl_and_sent_to_the_endpoint(make_source, service, reply, secret):
    service.posts = [reply(citizens())]
    client(make_source, service).call("LayThayDoi", TuThoiDiem="2026-10-01T00:00:00.000000Z", SoDong=3)
    question = service.asked[-1]
    root = etree.fromstring(question.body)
    assert question.path == "/dancu"
    assert question.headers["SOAPAction"] == '"act-LayThayDoi"'
    assert [(etree.QName(child).localname, child.text) for child in root.find("{*}Body/{*}LayThayDoi")] == [
        ("TuThoiDiem", "2026-10-01T00:00:00.000000Z"),
        ("SoDong", "3"),
    ]
    token = root.find("{*}Header/{*}Security/{*}UsernameToken")
    assert (token.findtext("{*}Username"), token.findtext("{*}Password")) == ("reader", secret)
    assert token.find("{*}Password").get("Type").endswith("#PasswordText")


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        ("wsse:FailedAuthentication", AccessError),
        ("wsse:InvalidSecurity", AccessError),
        ("e:Client", ContractError),
        ("Client.Arguments", ContractError),
        ("e:Server", TransientError),
        ("whatever", TransientError),
    ],
)
@pytest.mark.parametrize("status", [500, 200])
def test_faults_are_sorted_and_not_quoted(make_source, service, reply, secret, code, kind, status):
    service.posts = [reply(fault(code), status=status)]
    with pytest.raises(kind) as error:
        client(make_source, service).call("DemSo")
    told = f"{error.value!r} {error.value}"
    assert not [word for word in ("Nguyễn", secret) if word in told]
    assert error.value.__cause__ is None


def test_a_fault_of_the_server_is_tried_again(make_source, service, reply):
    service.posts = [reply(fault("e:Server"), status=500), reply("no Fault at all", status=500), reply(citizens())]
    assert client(make_source, service).call("DemSo").find("{*}Body") is not None


def test_a_fault_of_soap_1_2_is_understood(make_source, service, reply):
    codes = (
        "<e:Code><e:Value>e:Sender</e:Value><e:Subcode><e:Value>x:FailedAuthentication</e:Value></e:Subcode></e:Code>"
    )
    service.posts = [reply(envelope(f"<e:Fault>{codes}</e:Fault>"), status=500)]
    with pytest.raises(AccessError):
        client(make_source, service).call("DemSo")


IMPORT = (
    '<xs:schema xmlns:xs="http://www.w3.org/2001/XMLSchema"><xs:import namespace="{}" schemaLocation="{}"/></xs:schema>'
)


@pytest.mark.parametrize(
    "bad",
    [
        wsdl(IMPORT.format(NS, "http://register.example.gov.vn/x.xsd")),
        wsdl(IMPORT.format(NS, "file:///etc/passwd")),
        wsdl(head="<!DOCTYPE w [<!ENTITY x 'y'>]>"),
        wsdl(SCHEMA.replace("LayThayDoi", "Khac")),
        "<html>Nguyễn</html>",
        "no xml",
    ],
    ids=["import off origin", "import of a file", "doctype", "no such element", "no wsdl", "no xml"],
)
@pytest.mark.filterwarnings("ignore:The wsdl")
def test_a_hostile_wsdl_is_refused(make_source, service, monkeypatch, bad):
    monkeypatch.setattr("requests.Session.send", lambda *_, **__: pytest.fail("zeep went out by itself"))
    service.wsdl = bad
    with pytest.raises(ContractError) as error:
        client(make_source, service).call("LayThayDoi", SoDong=1)
    assert "Nguyễn" not in str(error.value)
    assert all(asked.method == "GET" and asked.path == "/dancu" for asked in service.asked)


def test_a_wsdl_may_import_from_its_own_origin(make_source, service, reply):
    service.wsdl, service.posts = wsdl(IMPORT.format(NS, "types.xsd")), [reply(citizens())]
    service.answers["/types.xsd"] = reply(SCHEMA)
    client(make_source, service).call("DemSo")
    assert "/types.xsd" in service.paths()


def test_pages_are_followed_to_the_end(make_source, service, reply):
    service.posts = [reply(citizens("1", "2", "3", following="c1")), reply(citizens("4"))]
    pages = list(adapter(make_source, service).pull(Watermark("2026-10-01T00:00:00Z", "0")))
    assert [page.rows["MaHoSo"].to_pylist() for page in pages] == [["1", "2", "3"], ["4"]]
    assert pages[0].rows["_locator"].to_pylist()[2] == "page=1;CongDan=3"
    assert pages[0].rows["HoVaTen_Ten"].to_pylist()[0] == "An"
    assert pages[1].payload == citizens("4").encode()
    assert b"ConTro>c1<" in service.asked[-1].body and b"2026-10-01" in service.asked[-1].body


@pytest.mark.parametrize(
    "body",
    [
        citizens("1", said=2),
        citizens("1", said="x"),
        citizens("1", "2", "3", "4"),
        "<!DOCTYPE e>" + citizens("1"),
        "<e/>",
    ],
    ids=["says another number", "says no number", "more than asked", "doctype", "something else"],
)
def test_a_page_that_does_not_hold_breaks_the_contract(make_source, service, reply, body):
    service.posts = [reply(body)]
    with pytest.raises(ContractError):
        list(adapter(make_source, service).pull(None))


def test_counts_are_the_registers_own(make_source, service, reply):
    inside = "<SoCongDan>2</SoCongDan><TongSo>9</TongSo><ThoiDiemDuLieu>2026-10-01T00:00:00Z</ThoiDiemDuLieu>"
    service.posts = [reply(envelope(f"<DemSoResponse>{inside}</DemSoResponse>"))]
    count = adapter(make_source, service).count(None)
    assert (count.rows, count.total, count.as_of) == (2, 9, "2026-10-01T00:00:00Z")
