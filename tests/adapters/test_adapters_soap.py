"""SOAP: the WSDL is not trusted, faults are sorted, and answers go straight to columns."""

from __future__ import annotations

import dataclasses

import pytest
from lxml import etree

from adapters.population import PopulationAdapter
from adapters.protocols import SoapClient
from adapters.protocols.http import Answer
from adapters.protocols.soap import refuse_fault
from adapters.protocols.xml import parse_document
from motlan.adapter import Watermark
from motlan.errors import AccessError, ContractError, TransientError

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


@pytest.mark.parametrize(
    "inside",
    ["", "<CongdanCollection/>", "<CongdanCollection><SoCongDan/></CongdanCollection><ConTroTiep> </ConTroTiep>"],
)
def test_a_last_page_may_leave_out_what_is_empty(make_source, service, reply, inside):
    last = envelope(f'<LayThayDoiResponse xmlns="{NS}">{inside}</LayThayDoiResponse>')
    service.posts = [reply(citizens("1", following="c1")), reply(last)]
    (page,) = adapter(make_source, service).pull(None)
    assert page.rows["MaHoSo"].to_pylist() == ["1"]


def test_counts_are_the_registers_own(make_source, service, reply):
    inside = "<SoCongDan>2</SoCongDan><TongSo>9</TongSo><ThoiDiemDuLieu>2026-10-01T00:00:00Z</ThoiDiemDuLieu>"
    service.posts = [reply(envelope(f"<DemSoResponse>{inside}</DemSoResponse>"))]
    count = adapter(make_source, service).count(None)
    assert (count.rows, count.total, count.as_of) == (2, 9, "2026-10-01T00:00:00Z")


def fault_1_1(code, detail=""):
    inside = f"<faultcode>{code}</faultcode><faultstring>Client FailedAuthentication Nguyễn Văn A</faultstring>"
    return envelope(f"<e:Fault>{inside}<detail>{detail}</detail></e:Fault>")


def fault_1_2(code, *subcodes, detail=""):
    nested = ""
    for subcode in reversed(subcodes):
        nested = f"<e:Subcode><e:Value>{subcode}</e:Value>{nested}</e:Subcode>"
    text = f"<e:Code><e:Value>{code}</e:Value>{nested}</e:Code><e:Reason><e:Text>Client Nguyễn</e:Text></e:Reason>"
    body = f"<e:Body><e:Fault>{text}<e:Detail>{detail}</e:Detail></e:Fault></e:Body>"
    return f'<e:Envelope xmlns:e="http://www.w3.org/2003/05/soap-envelope">{body}</e:Envelope>'


DETAILS = [
    "",
    "<Value>Client</Value>",
    "<x:Code xmlns:x='urn:x'><x:Value>wsse:FailedAuthentication</x:Value></x:Code>",
    "<faultcode>e:Client</faultcode><Code><Value>Server</Value></Code>",
    "<e:Fault><faultcode>e:Client</faultcode><e:Code><e:Value>e:Sender</e:Value></e:Code></e:Fault>",
]
CODES = [
    (fault_1_1, ("e:Server",), TransientError),
    (fault_1_1, ("Server.Busy",), TransientError),
    (fault_1_1, ("soap:Server.Client",), TransientError),
    (fault_1_1, ("  e:Server\n",), TransientError),
    (fault_1_1, ("",), TransientError),
    (fault_1_1, ("ns1:CustomerUnknown",), TransientError),
    (fault_1_1, ("e:Client",), ContractError),
    (fault_1_1, ("Client.Server.Busy",), ContractError),
    (fault_1_1, ("{http://schemas.xmlsoap.org/soap/envelope/}Client",), ContractError),
    (fault_1_1, ("e:MustUnderstand",), ContractError),
    (fault_1_1, ("e:VersionMismatch",), ContractError),
    (fault_1_1, ("soap:Client.Authentication",), AccessError),
    (fault_1_1, ("\n wsse:FailedAuthentication \n",), AccessError),
    (fault_1_1, ("ns7:InvalidSecurityToken",), AccessError),
    (fault_1_2, ("e:Receiver",), TransientError),
    (fault_1_2, ("e:Receiver", "x:Client"), TransientError),
    (fault_1_2, ("e:Sender",), ContractError),
    (fault_1_2, ("e:Sender", "x:Server"), ContractError),
    (fault_1_2, ("e:DataEncodingUnknown",), ContractError),
    (fault_1_2, ("e:Sender", "x:Denied", "wsse:FailedAuthentication"), AccessError),
    (fault_1_2, ("e:Receiver", "wsse:FailedCheck"), AccessError),
]


@pytest.mark.parametrize(("make", "codes", "kind"), CODES)
@pytest.mark.parametrize("detail", DETAILS)
def test_a_fault_is_judged_by_its_own_code_alone(make, codes, kind, detail):
    body = make(*codes, detail=detail).encode()
    with pytest.raises(kind) as error:
        refuse_fault(parse_document(body, "d"), Answer(500, "text/xml", "", None, body), "d")
    assert type(error.value) is kind and "Nguyễn" not in str(error.value)


@pytest.mark.parametrize("status", [200, 400, 403, 500])
@pytest.mark.parametrize(("content_type", "charset"), [("text/html", "utf-8"), ("", "utf-16")])
def test_a_fault_is_one_whatever_its_status_type_and_charset(
    make_source, service, reply, status, content_type, charset
):
    body = fault_1_1("Server.Busy", "<Value>Client</Value>").encode(charset)
    service.posts = [reply(body, status=status, headers={"Content-Type": content_type})]
    with pytest.raises(TransientError):
        list(adapter(make_source, service).pull(None))


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (400, fault_1_2("e:Sender"), ContractError),
        (500, fault_1_1("e:Client"), ContractError),
        (401, fault_1_1("e:Client"), AccessError),
        (403, fault_1_2("e:Sender"), AccessError),
        (403, "<html>Fault</html>", AccessError),
        (429, fault_1_1("e:Client"), TransientError),
        (500, "", TransientError),
        (503, "Fault", TransientError),
        (500, envelope("<x>Fault faultcode Client</x>"), TransientError),
        (404, envelope("<x/>"), ContractError),
        (500, fault_1_1("e:Server").partition("<e:Body>")[2].replace("<e:Fault>", f"<e:Fault xmlns:e='{SOAP}'>"), None),
    ],
)
def test_status_and_fault_are_weighed_together(make_source, service, reply, status, body, kind):
    service.posts = [reply(body.removesuffix("</e:Body></e:Envelope>") if kind is None else body, status=status)]
    with pytest.raises(kind or TransientError) as error:
        client(make_source, service).call("DemSo")
    assert type(error.value) is (kind or TransientError)


def test_a_word_or_an_element_of_the_data_is_no_fault(make_source, service, reply):
    record = "<MaHoSo>1</MaHoSo><Fault><faultcode>Client</faultcode></Fault><HoVaTen><Ten>Fault</Ten></HoVaTen>"
    body = citizens("2").replace("<CongDan>", f"<CongDan>{record}</CongDan><CongDan>", 1)
    service.posts = [reply(body.replace("<SoCongDan>1<", "<SoCongDan>2<"))]
    (page,) = adapter(make_source, service).pull(None)
    assert page.rows["MaHoSo"].to_pylist() == ["1", "2"]


@pytest.mark.parametrize("number", ["1", "1.0", " 1 ", "1E0", "+1"])
def test_the_number_of_records_may_be_any_whole_number(make_source, service, reply, number):
    service.posts = [reply(citizens("1", said=number))]
    assert len(list(adapter(make_source, service).pull(None))) == 1


@pytest.mark.parametrize(
    ("said", "label", "codec", "charset"),
    [
        ("utf-16", "text/xml; charset=utf-8", "utf-8", "utf-8"),
        ("utf-8", "text/xml; charset=iso-8859-1", "utf-8", "utf-8"),
        ("utf-16", "text/xml", "utf-8-sig", "utf-8"),
        ("utf-16", "text/xml; charset=utf-16", "utf-16", "utf-16"),
        ("windows-1258", "text/xml", "cp1258", "windows-1258"),
    ],
)
def test_an_answer_is_read_in_its_charset_and_tells_it(make_source, service, reply, said, label, codec, charset):
    text = f"<?xml version='1.0' encoding='{said}'?>" + citizens("1").replace(">An<", ">Đô<")
    service.wsdl = wsdl(head=f"<?xml version='1.0' encoding='{said}'?>").encode(codec)
    site_answer = service.answers["/dancu"]
    service.answers["/dancu"] = lambda asked: dataclasses.replace(site_answer(asked), headers={"Content-Type": label})
    service.posts = [reply(text.encode(codec))]
    (page,) = adapter(make_source, service).pull(None)
    assert (page.rows["HoVaTen_Ten"].to_pylist(), page.charset) == (["Đô"], charset)


def test_an_answer_that_says_utf_16_and_is_utf_8_is_told_so(make_source, service, reply):
    service.posts = [reply("<?xml version='1.0' encoding='utf-16'?>" + citizens("1"))]
    for ask in (lambda: list(adapter(make_source, service).pull(None)), lambda: adapter(make_source, service).check()):
        with pytest.raises(ContractError, match="declares utf-16 and is UTF-8"):
            ask()


def test_records_without_the_key_are_refused(make_source, service, reply):
    service.posts = [reply(citizens("1", "2").replace("MaHoSo", "MaSo"))]
    with pytest.raises(ContractError, match="column MaHoSo"):
        list(adapter(make_source, service).pull(None))
