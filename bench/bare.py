"""The floor of a pull: the same bytes, fetched without looking at them but for the next cursor.

Each function gives 0 a page, as nobody counts rows here.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from xml.sax.saxutils import escape

import httpx
import psycopg
from psycopg import conninfo, sql

from motlan.adapter import Source

_SOAP = "http://schemas.xmlsoap.org/soap/envelope/"
_WSSE = "http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-wssecurity-secext-1.0.xsd"
_MESSAGES = "http://www.mic.gov.vn/dancu/1.0"
_NEXT = {"soap": re.compile(rb"<ConTroTiep>([^<]+)"), "rest": re.compile(rb'"next_cursor":"([^"]+)"')}

Bodies = Iterator[tuple[str, bytes]]
"""The cursor that was asked with, empty at first, and the answer."""


def soap_bodies(source: Source) -> Bodies:
    """Ask for all pages of the population's changes."""
    user, secret = map(escape, source.credential or ("", ""))
    head = (
        f'<s:Envelope xmlns:s="{_SOAP}"><s:Header><w:Security xmlns:w="{_WSSE}"><w:UsernameToken><w:Username>{user}'
        f"</w:Username><w:Password>{secret}</w:Password></w:UsernameToken></w:Security></s:Header><s:Body>"
        f'<LayThayDoi xmlns="{_MESSAGES}">'
    )
    with httpx.Client(timeout=120, trust_env=False) as client:
        cursor: str | None = ""
        while cursor is not None:
            place = f"<ConTro>{cursor}</ConTro>" if cursor else ""
            question = f"{head}{place}<SoDong>{source.page_rows}</SoDong></LayThayDoi></s:Body></s:Envelope>"
            answer = client.post(source.endpoint, content=question, headers={"Content-Type": "text/xml"})
            yield cursor, answer.raise_for_status().content
            cursor = following("soap", answer.content)


def rest_bodies(source: Source) -> Bodies:
    """Ask for all pages of a REST source, with a token."""
    options = source.options
    with httpx.Client(base_url=source.endpoint, timeout=120, trust_env=False) as client:
        form = {"grant_type": "client_credentials"}
        token = (
            client.post(options["token_path"], data=form, auth=source.credential or ("", "")).raise_for_status().json()
        )
        client.headers["Authorization"] = f"Bearer {token['access_token']}"
        cursor: str | None = ""
        while cursor is not None:
            asked = {options["limit_parameter"]: str(source.page_rows)}
            asked |= {options["cursor_parameter"]: cursor} if cursor else {}
            answer = client.get(options["path"], params=asked).raise_for_status()
            yield cursor, answer.content
            cursor = following("rest", answer.content)


def following(protocol: str, body: bytes) -> str | None:
    """Find the next cursor in the end of an answer; None on the last page."""
    found = _NEXT[protocol].search(body, max(0, len(body) - 1000))
    return found.group(1).decode() if found else None


def drop_files(source: Source) -> Iterator[bytes]:
    """Fetch every file of every drop, as stored."""
    folder = source.options["index"].rpartition("/")[0]
    with httpx.Client(base_url=source.endpoint, auth=source.credential, timeout=120, trust_env=False) as client:
        for drop in client.get(source.options["index"]).raise_for_status().json()["drops"]:
            manifest = client.get(f"{folder}/{drop['manifest']}").raise_for_status().json()
            for file in manifest["files"]:
                yield client.get(f"{folder}/{drop['name']}/{file['name']}").raise_for_status().content


def pull_soap(source: Source) -> Iterator[int]:
    """Fetch the pages of a SOAP source."""
    return (0 for _ in soap_bodies(source))


def pull_rest(source: Source) -> Iterator[int]:
    """Fetch the pages of a REST source."""
    return (0 for _ in rest_bodies(source))


def pull_xml(source: Source) -> Iterator[int]:
    """Fetch the files of a drop."""
    return (0 for _ in drop_files(source))


def pull_sql(source: Source) -> Iterator[int]:
    """Fetch the declared columns of a view by COPY, in no order."""
    user, secret = source.credential or ("", "")
    columns = sql.SQL(", ").join(map(sql.Identifier, source.columns.values()))
    query = sql.SQL("copy (select {} from {}) to stdout").format(columns, sql.Identifier(source.options["view"]))
    with (
        psycopg.connect(conninfo.make_conninfo(source.endpoint, user=user, password=secret)) as connection,
        connection.cursor() as cursor,
        cursor.copy(query) as lines,
    ):
        for _ in lines:
            pass
    yield 0
