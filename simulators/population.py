"""The population register: SOAP 1.1 over HTTP, with a password in the message's header."""

from __future__ import annotations

import hmac
import re
from pathlib import Path

from lxml import etree
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from simulators.population_wsdl import FORMS, NAMESPACE, Tree, wsdl
from simulators.serving import credential, serve_http
from simulators.store import Register, as_of, cursor_of, position_of

_SOAP = "http://schemas.xmlsoap.org/soap/envelope/"
_WSSE = "http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-wssecurity-secext-1.0.xsd"
_MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,6})?Z")
_FREE_TEXT = re.compile(r"HoVaTen|HoTen|ChiTiet|DiaChi")
"""Columns that can hold signs of XML; the others hold codes, digits and dates, also when damaged."""
_LARGEST_PAGE = 10_000
_PAGE = 1_000
_FOUND_AT_MOST = 100


class Fault(Exception):  # noqa: N818 - SOAP's own word
    """A request refused; `code` is the SOAP fault code."""

    def __init__(self, code: str, text: str) -> None:
        super().__init__(text)
        self.code = code


def render(tree: Tree) -> str:
    """SQL expression of the XML of a row: an element with no text in it is left out."""
    parts = []
    for name, child in tree.items():
        if not isinstance(child, str):
            text = f"nullif({render(child)}, '')"
        elif _FREE_TEXT.search(child):
            text = f"replace(replace(replace({child}, '&', '&amp;'), '<', '&lt;'), '>', '&gt;')"
        else:
            text = child
        parts.append(f"'<{name}>' || {text} || '</{name}>'")
    return f"concat({', '.join(parts)})"


class PopulationService:
    """The three operations, on one register."""

    def __init__(self, world: Path, form: str) -> None:
        self._register = Register(world, "population_citizens")
        self._form = form
        self._user, self._secret = credential(world, "population")
        self._row = render({"CongDan": FORMS[form]})

    def wsdl(self, address: str) -> str:
        """The contract, with the service's own address in it."""
        return wsdl(self._form, address)

    def answer(self, body: bytes) -> str:
        """Answer one SOAP request.

        Raises:
            Fault: wrong password, unknown operation or wrong arguments.
        """
        try:
            root = etree.fromstring(body, etree.XMLParser(resolve_entities=False, no_network=True))
        except etree.XMLSyntaxError as error:
            raise Fault("soap:Client", "the request is not XML") from error
        self._authenticate(root)
        message = root.find(f"{{{_SOAP}}}Body/*")
        operations = {"LayThayDoi": self._changes, "TraCuu": self._look_up, "DemSo": self._count}
        name = etree.QName(message) if message is not None else None
        if message is None or name is None or name.namespace != NAMESPACE or name.localname not in operations:
            raise Fault("soap:Client", "no such operation")
        given = {
            etree.QName(child).localname: (child.text or "").strip()
            for child in message
            if child.tag is not etree.Comment
        }
        arguments = {key: value for key, value in given.items() if value}
        return f'<{name.localname}Response xmlns="{NAMESPACE}">{operations[name.localname](arguments)}</{name.localname}Response>'

    def _authenticate(self, root: etree._Element) -> None:
        token = root.find(f"{{{_SOAP}}}Header/{{{_WSSE}}}Security/{{{_WSSE}}}UsernameToken")
        user = token.findtext(f"{{{_WSSE}}}Username", "") if token is not None else ""
        secret = token.findtext(f"{{{_WSSE}}}Password", "") if token is not None else ""
        right = hmac.compare_digest(user.encode(), self._user.encode())
        if not (hmac.compare_digest(secret.encode(), self._secret.encode()) and right):
            raise Fault("wsse:FailedAuthentication", "the user or the password is wrong")

    def _changes(self, arguments: dict[str, str]) -> str:
        size = arguments.get("SoDong", str(_PAGE))
        if not size.isdigit() or not 1 <= int(size) <= _LARGEST_PAGE:
            raise Fault("soap:Client", f"SoDong must be 1 to {_LARGEST_PAGE}")
        try:
            after = position_of(arguments["ConTro"]) if "ConTro" in arguments else 0
        except ValueError as error:
            raise Fault("soap:Client", "ConTro is not a cursor of this service") from error
        rows, following = self._register.page(self._row, after=after, since=_moment(arguments), limit=int(size))
        more = f"<ConTroTiep>{cursor_of(following)}</ConTroTiep>" if following is not None else ""
        return self._collection(rows) + more

    def _look_up(self, arguments: dict[str, str]) -> str:
        asked = {}
        if "SoDinhDanh" in arguments:
            asked["SoDinhDanh = $number"] = ("number", arguments["SoDinhDanh"])
        if "SoCMND" in arguments:
            asked["SoCMND = $card"] = ("card", arguments["SoCMND"])
        if "HoVaTen" in arguments:
            name = "concat_ws(' ', HoVaTen_Ho, HoVaTen_ChuDem, HoVaTen_Ten)"
            asked[f"lower({name}) = lower($name)"] = ("name", arguments["HoVaTen"])
        if "NgayThangNamSinh" in arguments:
            if not re.fullmatch(r"\d{4}(-\d\d-\d\d)?", arguments["NgayThangNamSinh"]):
                raise Fault("soap:Client", "NgayThangNamSinh must be yyyy-mm-dd or yyyy")
            birth = arguments["NgayThangNamSinh"].replace("-", "")
            asked["starts_with(NgayThangNamSinh_NgayThangNam, $birth)"] = ("birth", birth)
        if not {"SoDinhDanh", "SoCMND"} & arguments.keys() and not {"HoVaTen", "NgayThangNamSinh"} <= arguments.keys():
            raise Fault("soap:Client", "give SoDinhDanh, SoCMND, or HoVaTen with NgayThangNamSinh")
        rows = self._register.find(self._row, " AND ".join(asked), dict(asked.values()), _FOUND_AT_MOST)
        return self._collection(rows)

    def _count(self, arguments: dict[str, str]) -> str:
        changed, total = self._register.count(_moment(arguments)), self._register.count()
        moment = as_of(self._register.today)
        return f"<SoCongDan>{changed}</SoCongDan><TongSo>{total}</TongSo><ThoiDiemDuLieu>{moment}</ThoiDiemDuLieu>"

    def _collection(self, rows: list[str]) -> str:
        return (
            "<CongdanCollection><GhiChu>Synthetic data</GhiChu>"
            f"<ThoiDiemDuLieu>{as_of(self._register.today)}</ThoiDiemDuLieu><SoCongDan>{len(rows)}</SoCongDan>"
            f"{''.join(rows)}</CongdanCollection>"
        )


def _moment(arguments: dict[str, str]) -> str | None:
    moment = arguments.get("TuThoiDiem")
    if moment is not None and not _MOMENT.fullmatch(moment):
        raise Fault("soap:Client", "TuThoiDiem must be YYYY-MM-DDTHH:MM:SS.ffffffZ")
    return moment


def application(world: Path, form: str) -> Starlette:
    """The register as a web application."""
    service = PopulationService(world, form)

    async def soap(request: Request) -> Response:
        if request.method == "GET":
            return Response(service.wsdl(str(request.url.replace(query=""))), media_type="text/xml")
        try:
            inside, status = await run_in_threadpool(service.answer, await request.body()), 200
        except Fault as fault:
            inside = f"<soap:Fault><faultcode>{fault.code}</faultcode><faultstring>{fault}</faultstring></soap:Fault>"
            status = 500
        envelope = (
            f'<?xml version="1.0" encoding="UTF-8"?>\n<soap:Envelope xmlns:soap="{_SOAP}" xmlns:wsse="{_WSSE}">'
            f"<soap:Body>{inside}</soap:Body></soap:Envelope>"
        )
        return Response(envelope, status_code=status, media_type="text/xml")

    return Starlette(routes=[Route("/population", soap, methods=["GET", "POST"])])


def serve(world: Path, port: int, form: str) -> None:
    """Serve the register until told to stop."""
    serve_http(application(world, form), port, "/population")
