"""SOAP 1.1 over HTTP. The WSDL says how a question looks; answers are read as bytes.

zeep makes the envelope and the WS-Security header. It never sends: addresses in the WSDL are not used, every byte goes
to the declared endpoint through our own line. It never reads an answer either: one Python object per citizen is slow.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import zeep
import zeep.exceptions
from lxml import etree
from zeep.wsse.username import UsernameToken

from adapters.protocols.auth import user_and_secret
from adapters.protocols.http import Answer, HttpLine, judge_status
from adapters.protocols.xml import parse_document
from motlan.adapter import Source
from motlan.errors import AccessError, ContractError, TransientError

WSDL_DOCUMENTS = 50
"""Documents that a WSDL may be made of: an import may always name another one."""

_ENVELOPES = ("http://schemas.xmlsoap.org/soap/envelope/", "http://www.w3.org/2003/05/soap-envelope")
"""SOAP 1.1 and 1.2."""
_CODES = (
    "{*}faultcode",
    "{*}Code/{*}Value",
    *(f"{{*}}Code{'/{*}Subcode' * depth}/{{*}}Value" for depth in range(1, 6)),
)
"""Where a fault's codes stand, from the fault: SOAP 1.1 section 4.4, and 1.2 section 5.4, where subcodes are nested."""
_SECURITY_FAULTS = {
    "Authentication",
    "FailedAuthentication",
    "FailedCheck",
    "InvalidSecurity",
    "InvalidSecurityToken",
    "SecurityTokenUnavailable",
    "UnsupportedSecurityToken",
}
"""OASIS WS-Security 1.1 section 12, and the example of SOAP 1.1 section 4.4.1: `Client.Authentication`."""
_OUR_FAULTS = {"Client", "Sender", "MustUnderstand", "VersionMismatch", "DataEncodingUnknown"}
"""SOAP 1.1 section 4.4.1 and SOAP 1.2 section 5.4.6: the same question would fail again."""
_BUSY = (408, 425, 429)
"""Statuses that are of the moment, whatever the fault says: a gateway may send them around the service's answer."""


class SoapClient:
    """Asks the operations of one service.

    Args:
        source: The dataset; its credential becomes a UsernameToken (PasswordText, so the line must be TLS or loopback).
        wsdl: Where the WSDL is, from the endpoint, such as `?wsdl`.
    """

    def __init__(self, source: Source, wsdl: str) -> None:
        self._where = source.dataset
        self._token = UsernameToken(*user_and_secret(source))  # type: ignore[no-untyped-call]
        self._line = HttpLine(source)
        self._wsdl = wsdl
        self._client: Any = None

    def ask(self, operation: str, **arguments: str | int) -> Answer:
        """Ask an operation (document/literal, wrapped), and leave the answer unread: `refuse_fault` is for who reads it.

        Raises:
            AccessError: A security fault.
            ContractError: A fault of the sender, or a WSDL that cannot be used.
            TransientError: A fault of the server, after the last retry.
        """
        envelope, action = self._message(operation, arguments, f"{self._where} {operation}")
        headers = {"Content-Type": "text/xml; charset=utf-8", "SOAPAction": f'"{action}"'}
        return self._line.post(self._line.endpoint, envelope, headers, judge=_judge)

    def call(self, operation: str, **arguments: str | int) -> etree._Element:
        """Ask an operation, and read its short answer at once.

        Raises:
            AccessError, ContractError, TransientError: As `ask`; ContractError for an answer that cannot be used, too.
        """
        where = f"{self._where} {operation}"
        answer = self.ask(operation, **arguments)
        root = parse_document(answer.body, where, answer.charset)
        refuse_fault(root, answer, where)
        return root

    def _message(self, operation: str, arguments: Mapping[str, Any], where: str) -> tuple[bytes, str]:
        try:
            client = self._service()
            envelope = client.create_message(client.service, operation, **arguments)
            port = next(iter(next(iter(client.wsdl.services.values())).ports.values()))
            action = port.binding.get(operation).soapaction or ""
        except (
            zeep.exceptions.Error,
            etree.LxmlError,
            LookupError,
            TypeError,
            ValueError,
            AttributeError,
            RecursionError,
        ):
            # zeep raises all of these about a WSDL, and quotes arguments in some.
            raise ContractError("the WSDL cannot be used for this operation", where=where) from None
        return etree.tostring(envelope, xml_declaration=True, encoding="utf-8"), action

    def _service(self) -> Any:
        if self._client is None:
            settings = zeep.Settings(strict=True, xml_huge_tree=False, forbid_dtd=True, forbid_entities=True)
            loader = _Loader(self._line, self._where)
            url = str(self._line.url(self._wsdl))
            self._client = zeep.Client(url, self._token, loader, settings=settings)  # type: ignore[no-untyped-call]
        return self._client


class _Loader:
    """What zeep fetches the WSDL and its imports through: our own line, so that none of it leaves the origin."""

    def __init__(self, line: HttpLine, where: str) -> None:
        self._line, self._where, self._loaded = line, where, 0

    def load(self, url: str) -> bytes:
        self._loaded += 1
        if self._loaded > WSDL_DOCUMENTS:
            raise ContractError(f"the WSDL is in more than {WSDL_DOCUMENTS} documents", where=self._where)
        answer = self._line.get(self._line.url(url))
        root = parse_document(answer.body, f"{self._where} WSDL", answer.charset)
        return etree.tostring(root, encoding="utf-8")  # whatever charset it was in, and whatever it says


def _judge(answer: Answer, where: str) -> None:
    if answer.status >= 400 and answer.status not in _BUSY:
        try:
            root = parse_document(answer.body, where, answer.charset)
        except ContractError:
            judge_status(answer, where)
        else:
            refuse_fault(root, answer, where)
    judge_status(answer, where)


def refuse_fault(root: etree._Element, answer: Answer, where: str) -> None:
    """Raise a fault as the error that its own code stands for: HTTP wants it to be a 500, and not every server knows.

    What stands in its text and detail is neither judged nor repeated: it may be anything, and quote what we asked.

    Raises:
        AccessError: A security fault, or a fault of the sender with a status that refuses the credential.
        ContractError: A fault of the sender.
        TransientError: A fault of the server, or one of a code that is not the standard's.
    """
    fault = _fault_of(root)
    if fault is None:
        return
    codes = [_local(element.text or "") for path in _CODES for element in fault.findall(path)]
    parts = {part for code in codes for part in code.split(".")}
    ours = bool(codes) and codes[0].partition(".")[0] in _OUR_FAULTS
    if parts & _SECURITY_FAULTS or (ours and answer.status in (401, 403)):
        step = "check the agency's credential: `credential` in adapters/agencies.yaml names its variable."
        raise AccessError("the source refuses our credential (SOAP fault)", where=where, next_step=step)
    if ours:
        step = "compare the question with the source's WSDL, or ask its owner."
        raise ContractError("the source refuses the question (SOAP fault of the sender)", where=where, next_step=step)
    raise TransientError(
        "SOAP fault of the server", where=where, next_step="try again later.", retry_after=answer.retry_after
    )


def _fault_of(root: etree._Element) -> etree._Element | None:
    """Find the fault of an answer: in its body, or alone without an envelope, as some gateways send it."""
    if etree.QName(root).localname == "Fault" and etree.QName(root).namespace in _ENVELOPES:
        return root
    return root.find("{*}Body/{*}Fault")


def _local(code: str) -> str:
    """Cut a code's namespace off, written as a prefix or in braces.

    >>> _local(" soap:Client.Authentication "), _local("{urn:x}Server")
    ('Client.Authentication', 'Server')
    """
    return code.strip().rpartition("}")[2].rpartition(":")[2]
