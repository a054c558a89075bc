"""zeep the normal way: `client.service.X()` gives objects, which become rows.

Attributes are read along the declared paths, which is quicker than `zeep.helpers.serialize_object`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import zeep
from zeep.wsse.username import UsernameToken

from motlan.adapter import Source


def pull(source: Source) -> Iterator[int]:
    """Ask for all pages; give each one's rows."""
    client = zeep.Client(source.endpoint + source.options["wsdl"], wsse=UsernameToken(*source.credential or ("", "")))  # type: ignore[no-untyped-call]
    # The address in a recorded WSDL is that of the simulator.
    service = client.create_service(next(iter(client.wsdl.bindings)), source.endpoint)  # type: ignore[no-untyped-call]
    paths = [path.split("/") for path in source.columns.values()]
    cursor: str | None = None
    while True:
        asked = {} if cursor is None else {"ConTro": cursor}
        answer = service.LayThayDoi(SoDong=str(source.page_rows), **asked)
        rows = [tuple(_value(citizen, path) for path in paths) for citizen in answer.CongdanCollection.CongDan]
        yield len(rows)
        cursor = answer.ConTroTiep
        if cursor is None:
            return


def _value(value: Any, path: list[str]) -> Any:
    for step in path:
        value = getattr(value, step, None)
    return value
