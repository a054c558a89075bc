"""What every hostile source is held to, and the four ways to reach one."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from adapters.population import PopulationAdapter
from adapters.protocols import DropAdapter, RestAdapter
from motlan.adapter import Adapter, Limits, Pace, Page
from motlan.errors import MotlanError
from tests.adapters.conftest import SECRET, make_source
from tests.adapters.test_adapters_soap import wsdl
from tests.hostile.server import Server, http
from tests.privacy.leaks import Known, shown

NAME, NUMBER = "Đặng Thị Ngọc Mật", "001190888777"
"""Somebody's, in all that hostile sources send."""
KNOWN = Known([NAME, NUMBER])

PATIENT = Pace(1000, 5, 5, 1, 0, 0.05, answer_timeout=30, pull_timeout=40)
"""For sources that are quick and wrong: no case may be told by a busy machine."""
TIGHT = Pace(
    1000, 2, 5, 2, 0, 0.05, answer_timeout=0.6, pull_timeout=1.5, least_bytes_per_second=100, grace=5
)  # fmt: skip
"""For sources that are slow."""
ONCE = replace(TIGHT, attempts=1, pull_timeout=30)
"""For those of which each answer must come in time: nothing else ends the pull."""
LIMITS = Limits(payload_bytes=2**20, decompressed_bytes=2**21, depth=8, field_length=100, rows=1000, page_bytes=2**20)

REST = {
    "path": "people", "count_path": "count", "records": "data", "next_cursor": "next",
    "since_parameter": "since", "cursor_parameter": "cursor", "limit_parameter": "limit",
}  # fmt: skip
SOAP_COLUMNS = {"MaHoSo": "MaHoSo", "ThoiDiemCapNhat": "ThoiDiemCapNhat", "HoVaTen_Ten": "HoVaTen/Ten"}
DROP_COLUMNS = {"_drop": "_drop", "id": "id", "moment": "moment", "name": "name"}
RECORD = {"id": NUMBER, "moment": "2026-10-01T00:00:00Z", "name": NAME}


def page(*records: Any, following: Any = None, **more: Any) -> str:
    return json.dumps({"data": list(records) or [RECORD], "next": following} | more, ensure_ascii=False)


def rest(server: Server, answer: Any, pace: Pace = PATIENT, **changes: Any) -> Adapter:
    server.answers["/people"] = server.answers["/count"] = answer
    return RestAdapter(make_source(server.url, **{"options": REST, "pace": pace, "limits": LIMITS} | changes))


def token(server: Server, answer: Any, pace: Pace = PATIENT) -> Adapter:
    server.answers = {"/token": answer, "/people": http(page())}
    return RestAdapter(make_source(server.url, options=REST | {"token_path": "token"}, pace=pace, limits=LIMITS))


def soap(server: Server, answer: Any, pace: Pace = PATIENT) -> Adapter:
    def talk(question: bytes) -> Any:
        if question.startswith(b"GET"):
            return [http(wsdl())]
        return [answer] if isinstance(answer, bytes) else answer(question)

    server.answers["/soap"] = talk
    options, columns = {"wsdl": "?wsdl"}, SOAP_COLUMNS
    return PopulationAdapter(
        make_source(f"{server.url}/soap", options=options, columns=columns, key="MaHoSo", pace=pace, limits=LIMITS)
    )


def drop(server: Server, answer: Any, pace: Pace = PATIENT) -> Adapter:
    server.answers["/index.json"] = answer
    return drop_at(f"{server.url}/", pace=pace)


def drop_at(endpoint: str, form: str = "xml", **changes: Any) -> Adapter:
    options = {"index": "index.json", "format": form, "record": "Nguoi"}
    settings = {"cursor": "_drop", "columns": DROP_COLUMNS, "options": options, "pace": PATIENT, "limits": LIMITS}
    return DropAdapter(make_source(endpoint, **settings | changes))


Outcome = type[MotlanError] | int | tuple[type[MotlanError], int]

WAYS: dict[str, Callable[..., Adapter]] = {"rest": rest, "soap": soap, "drop": drop, "token": token}


class Stopwatch:
    """Seconds of a block, without those in which a busy machine let nobody run who was due."""

    def __init__(self) -> None:
        self.seconds = 0.0

    @contextmanager
    def running(self) -> Iterator[None]:
        ended, late = threading.Event(), [0.0]

        def watch() -> None:
            while not ended.is_set():
                began = time.monotonic()
                ended.wait(0.01)
                late[0] += max(0.0, time.monotonic() - began - 0.015)

        watcher, started = threading.Thread(target=watch), time.monotonic()
        watcher.start()
        try:
            yield
        finally:
            took = time.monotonic() - started
            ended.set()
            watcher.join()
            self.seconds = took - late[0]


def hold(
    ask: Callable[[], Any],
    wanted: type[MotlanError] | int,
    says: str = "",
    within: float = 45.0,
    told: str = "test_people",
) -> None:
    """Ask, and hold what comes to the rules of this folder.

    Args:
        ask: Asks the source; gives pages.
        wanted: The error's kind, or how many rows land, or both where either is right.
        says: What the error tells.
        within: Seconds in which it must be over, on a machine that has time.
        told: What the error names.
    """
    kinds = tuple(kind for kind in (wanted if isinstance(wanted, tuple) else (wanted,)) if isinstance(kind, type))
    watch = Stopwatch()
    try:
        with watch.running():
            pages: list[Page] = list(ask())
    except Exception as error:  # noqa: BLE001 - any other one is what is looked for
        text = shown(error)
        assert isinstance(error, MotlanError), text
        assert isinstance(error, kinds), text
        assert told in str(error) and error.next_step and says in str(error), text
        assert not KNOWN.leaked(text) and SECRET not in text
    else:
        rows = sum(each.rows.num_rows for each in pages)
        assert rows == wanted or (isinstance(wanted, tuple) and rows in wanted)
    assert watch.seconds < within, f"{watch.seconds:.1f} seconds"
